"""The whole program under the real engine while the account fails, and while engine and plugin are killed.

FERRY_SOAK=n: n times each, with other faults at other places. Without it one of each.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ferry.rehearsal.handlers
from ferry.errors import RehearsalError
from ferry.rehearsal import seeds
from ferry.rehearsal.checks import Stack
from ferry.rehearsal.engine.session import Session
from ferry.rehearsal.engine.tokens import Tokens
from ferry.render.stack_file import StackFile
from stacks.settings import Settings
from tests.accounts import differences, told
from tests.conftest import import_all
from tests.faults import Failing
from tests.fronts import census
from tests.gateways import wait_until
from tests.secret_scan import files_in, found

pytestmark = pytest.mark.pulumi_cli

REPOSITORY = Path(__file__).resolve().parents[2]
ROUNDS = range(max(1, int(os.environ.get("FERRY_SOAK", 0))))
CODES = ("ThrottlingException", "RequestLimitExceeded", "InternalError", "ServiceUnavailable")
CONFIG = StackFile.read(REPOSITORY / "stacks" / "Pulumi.dev.yaml").config


@pytest.fixture
def session(account: Any, tmp_path: Path) -> Iterator[Session]:
    import_all(ferry.rehearsal.handlers)
    seeds.seed(account, Settings.from_config(CONFIG))
    opened = Session(tmp_path / "run", REPOSITORY, "dev", account)
    yield opened
    opened.close()


@pytest.fixture
def whole(session: Session, account: Any, rehearsed: Callable[[str], Any], tmp_path: Path) -> Callable[[], None]:
    """The stack is as a clean run leaves it, nothing is there twice, and no secret was written down on the way."""

    def check() -> None:
        clean = rehearsed("dev")
        assert session.preview(CONFIG).changes == []
        assert session.resources() == clean.served.rehearsal.resources
        assert census(account) == census(clean.account)
        stack = Stack(Settings.from_config(CONFIG), session.outputs())
        assert differences(told(account, stack), told(clean.account, clean.stack)) == []
        assert found(files_in(tmp_path / "run" / "state")) == []

    return check


@pytest.mark.parametrize("seed", ROUNDS)
def test_the_next_up_goes_on_after_calls_that_fail(
    session: Session, account: Any, whole: Callable[[], None], seed: int
) -> None:
    drawn = random.Random(seed)
    code = drawn.choice(CODES)
    failing = Failing(account, drawn.randint(40, 90), code)
    session.provider._tokens = Tokens(failing)
    ends: list[str] = []
    while len(ends) < 60:
        try:
            session.up(CONFIG)
            break
        except RehearsalError as error:
            ends.append(str(error))
    assert ends
    assert all(code in text for text in ends)
    whole()


@pytest.mark.parametrize("seed", ROUNDS)
def test_the_next_up_goes_on_after_kills(
    session: Session, whole: Callable[[], None], tmp_path: Path, seed: int
) -> None:
    session.preview(CONFIG)
    drawn = random.Random(seed)
    resources = 0
    for what in ("engine", "plugin"):
        resources += drawn.randint(5, 30)
        engine = subprocess.Popen(
            ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--stack", "dev"],
            cwd=session.workspace.work_dir,
            env={**os.environ, **session.workspace.variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: session.provider.resources.total() >= resources, 60)  # noqa: B023 (called here)
        for process in [engine.pid] if what == "engine" else plugins(tmp_path / "run" / "bin"):
            os.kill(process, signal.SIGKILL)
        engine.wait(120)
        session.cancel()
    session.up(CONFIG)
    whole()


def plugins(folder: Path) -> list[int]:
    """The processes that run a plugin of this folder."""
    name = str(folder / "pulumi-resource-aws").encode()
    running = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit()]
    found = [one for one in running if name in command(one)]
    assert found
    return found


def command(process: int) -> list[bytes]:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:  # it has ended
        return []
