"""The crossing of a rehearsal, in the account that a stack left."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ferry.artefacts import Crossing
from ferry.errors import GatewayError
from ferry.rehearsal.crossing import walk
from tests.conftest import REPOSITORY, Rehearsed
from tests.gateways import wait_until

LINES = [
    "push a model and promote it",
    "run the gateway and ask for tokens",
    "break the cloud during a cutover",
    "finish the cutover",
    "roll back by hand",
    "look at every request",
    "ship the audit and verify it",
]


@pytest.fixture
def cross(own_rehearsed: Callable[[str], Rehearsed], tmp_path: Path) -> Callable[..., list[Crossing]]:
    """Walk in a copy of the account of `dev`; `outputs` replace the program's."""

    def run(outputs: Mapping[str, Any] | None = None) -> list[Crossing]:
        dev = own_rehearsed("dev")
        known = dev.stack.outputs if outputs is None else outputs
        return walk.Walk(dev.account, dev.stack.settings, known, tmp_path).run()

    return run


@pytest.fixture
def no_envoy(monkeypatch: pytest.MonkeyPatch) -> None:
    def find() -> Path:
        raise GatewayError("envoy is nowhere")

    monkeypatch.setattr(walk, "find_envoy", find)


@pytest.mark.tool("envoy")
def test_traffic_goes_back_when_the_cloud_breaks_and_over_when_it_does_not_and_the_archive_has_every_request(
    cross: Callable[..., list[Crossing]],
) -> None:
    lines = cross()
    assert [(line.name, line.result, line.why) for line in lines] == [(name, "done", None) for name in LINES]
    figures = {line.name: line.figures for line in lines}
    assert figures[LINES[0]]["bytes_sent"] == 1_000_028
    assert [figures[name]["cloud_percent"] for name in LINES[2:5]] == [0, 100, 0]
    seen = figures[LINES[5]]
    assert (seen["lost"], seen["truncated"], seen["repeated"]) == (0, 0, 0)
    assert seen["answered"] == int(seen["requests"]) - int(seen["refused_by_the_broken_cloud"])
    assert int(figures[LINES[6]]["requests"]) > int(seen["requests"])  # those that asked with and without a token


@pytest.mark.usefixtures("no_envoy")
def test_without_envoy_the_model_is_pushed_and_everything_else_is_skipped_with_the_reason(
    cross: Callable[..., list[Crossing]],
) -> None:
    lines = cross()
    assert [(line.name, line.result, line.why) for line in lines] == [
        (LINES[0], "done", None),
        *((name, "skipped", "envoy is nowhere") for name in LINES[1:]),
    ]


@pytest.mark.usefixtures("no_envoy")
def test_a_program_that_exports_no_bucket_is_said_to_lack_it(cross: Callable[..., list[Crossing]]) -> None:
    first = cross({})[0]
    assert (first.result, first.why) == ("failed", "the program exports no model_bucket; the crossing needs it")


@pytest.mark.tool("envoy")
def test_what_follows_a_failure_is_skipped(
    cross: Callable[..., list[Crossing]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "TOKENS", "issuer: nobody\n")
    lines = cross()
    assert [line.result for line in lines] == ["done", "failed", *["skipped"] * 5]
    assert lines[-1].why == f"after a failure: {LINES[1]}"


SERVES = """
import sys, time
from pathlib import Path
from ferry.rehearsal.crossing.site import serving
from stacks.settings import Settings

with serving(Path(sys.argv[1]), Settings.load(Path("stacks/Pulumi.dev.yaml"))) as site:
    print(site.envoy_pid, site.home.pid, site.cloud.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.tool("envoy")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_a_process_that_is_killed_outright_takes_its_envoy_and_its_engines_with_it(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVES, tmp_path], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        left = [Path("/proc") / pid for pid in process.stdout.readline().split()]
        assert (len(left), all(pid.exists() for pid in left)) == (3, True)
        process.kill()
    wait_until(lambda: not any(map(_runs, left)))


def _runs(pid: Path) -> bool:
    """Not one that has ended and that nobody has waited for."""
    try:
        return (pid / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
