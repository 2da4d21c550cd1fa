"""What all tests share. Nothing here leaves the loopback, and nothing reads the user's AWS configuration.

Handlers, seeds, conditions (one moto server per worker process, emptied for each test):
    account                    an empty EmbeddedAccount in us-east-1
    account_in(region)         the same account seen from another region
    run_program(source, config={}, project=None)
                               a Pulumi program's text, run in this process against `account`; gives `program.Run`
                               (outputs, resources, properties, not_emulated). Fast; the way to test one component alone

The four stacks, each rehearsed once in a child of its own, on first use, by the one worker process that
has all tests of them:
    rehearsed(environment)     Rehearsed: .served (.rehearsal, .properties, .endpoint_url), .account, .stack
                               (`checks.Stack`). To be read only: everybody shares it
    own_rehearsed(environment) the same, as a copy (a fork: 20 ms) that the test may change as it likes
    failed_checks(rehearsed)   the names of the checks that fail on it now, as a sorted list

    def test_a_bucket_that_lost_its_encryption_is_found(own_rehearsed, failed_checks):
        prod = own_rehearsed("prod")
        prod.account.client("s3").delete_bucket_encryption(Bucket=prod.stack.outputs["model_bucket"])
        assert failed_checks(prod) == ["the model bucket is encrypted with kms"]

Markers: `shared` (needs ../shared; the fixture `shared` is its path), `tool(name)` and `pulumi_cli` (need a program
on PATH).
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from pytest_socket import socket_allow_hosts

from ferry.rehearsal.environment import isolated

if TYPE_CHECKING:
    from ferry.rehearsal import Served
    from ferry.rehearsal.account import EmbeddedAccount
    from ferry.rehearsal.checks import Stack
    from ferry.rehearsal.program import Run
    from ferry.rehearsal.server import Server

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"

# The same examples in each run, so that a failure is the change's and not the day's.
settings.register_profile("seeded", derandomize=True, deadline=None)
settings.load_profile("seeded")


def pytest_configure(config: pytest.Config) -> None:
    kept = isolated(os.environ)
    for name in set(os.environ) - set(kept):
        del os.environ[name]
    os.environ.update(kept)
    # Programs that came as packages (Envoy, the AWS CLI) stand beside this Python, activated or not.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # One process has all of them: a stack takes some ten seconds to rehearse, and each process rehearses its own.
    for item in items:
        if {"rehearsed", "own_rehearsed"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group("rehearsed"))
        elif "full_stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("full-stack"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)
    if item.get_closest_marker("shared") and not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not here")
    programs = [mark.args[0] for mark in item.iter_markers("tool")]
    if item.get_closest_marker("pulumi_cli"):
        programs.append("pulumi")
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"the program {program} is not on PATH")


@pytest.fixture(scope="session")
def shared() -> Path:
    return SHARED


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    from ferry.rehearsal.server import Server

    running = Server()
    yield running
    running.close()


@pytest.fixture
def account_in(server: Server) -> Callable[[str], EmbeddedAccount]:
    server.reset()
    return server.account


@pytest.fixture
def account(account_in: Callable[[str], EmbeddedAccount]) -> EmbeddedAccount:
    return account_in("us-east-1")


@pytest.fixture
def run_program(account: EmbeddedAccount, tmp_path: Path) -> Callable[..., Run]:
    import ferry.rehearsal.handlers
    from ferry.rehearsal import program

    import_all(ferry.rehearsal.handlers)

    def run(source: str, config: Mapping[str, Any] | None = None, project: Path | None = None) -> Run:
        folder = project or tmp_path
        (folder / "__main__.py").write_text(textwrap.dedent(source), encoding="utf-8")
        return program.run(folder, "ferry", "test", config or {}, account)

    return run


@dataclass(frozen=True)
class Rehearsed:
    served: Served
    account: EmbeddedAccount
    stack: Stack


@pytest.fixture(scope="session")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Rehearsed]]:
    from ferry.rehearsal import serve_stack
    from ferry.rehearsal.account import EmbeddedAccount
    from ferry.rehearsal.checks import Stack
    from stacks.settings import Settings

    known: dict[str, Rehearsed] = {}
    with ExitStack() as open_until_the_end:

        def get(environment: str) -> Rehearsed:
            if environment not in known:
                folder = tmp_path_factory.mktemp(environment)
                served = open_until_the_end.enter_context(serve_stack(environment, REPOSITORY, artefact_folder=folder))
                settings = Settings.load(REPOSITORY / "stacks" / f"Pulumi.{environment}.yaml")
                account = EmbeddedAccount(served.endpoint_url, settings.region)
                known[environment] = Rehearsed(served, account, Stack(settings, served.rehearsal.outputs))
            return known[environment]

        yield get


@pytest.fixture
def own_rehearsed(rehearsed: Callable[[str], Rehearsed]) -> Iterator[Callable[[str], Rehearsed]]:
    from ferry.rehearsal.account import EmbeddedAccount

    with ExitStack() as copies:

        def get(environment: str) -> Rehearsed:
            original = rehearsed(environment)
            endpoint_url = copies.enter_context(original.served.copy())
            return Rehearsed(
                original.served, EmbeddedAccount(endpoint_url, original.stack.settings.region), original.stack
            )

        yield get


@pytest.fixture
def failed_checks() -> Callable[[Rehearsed], list[str]]:
    from ferry.rehearsal import checks

    import_all(checks)

    def run(rehearsed: Rehearsed) -> list[str]:
        results = checks.run(rehearsed.account, rehearsed.stack)
        return sorted({check.name for check in results if not check.passed})

    return run


def import_all(package: ModuleType) -> None:
    """Import each module of a package: handlers and checks register themselves."""
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
