"""Processes of a crossing are killed while requests pass: the controller, the engine at home, the cloud."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferry.rehearsal.crossing.site import Site, serving
from ferry.rehearsal.load import Load
from ferry.rehearsal.stub_engine import StubEngine
from ferry.rehearsal.stub_engine.counts import COPY
from ferry.traffic import requests
from stacks.settings import Settings
from tests.gateways import wait_until
from tests.plans import write_plan

ROOT = Path(__file__).parents[3]
KILLS = int(os.environ.get("FERRY_SOAK", "1"))
VICTIMS = ("controller", "home", "cloud") if "FERRY_SOAK" in os.environ else ("home",)
STEPS = """
  - {shadow: true, percent: 100, minimum_seconds: 0.4}
  - {percent: 5, minimum_seconds: 0.4}
  - {percent: 50, minimum_seconds: 0.4}
  - 100
"""

pytestmark = [pytest.mark.tool("envoy"), pytest.mark.xdist_group("kills")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = Settings.load(ROOT / "stacks" / "Pulumi.dev.yaml")
    with serving(tmp_path_factory.mktemp("kills"), settings, journals=True) as running:
        yield running


class Cutover:
    """`ferry cutover start`, its gate by the clock."""

    def __init__(self, site: Site, plan: Path) -> None:
        self._site = site
        self._plan = plan
        plan.with_name("canary.yaml").write_text(f"schema: ferry/canary/v1\nsteps:{STEPS}")

    def start(self) -> subprocess.Popen[str]:
        module = "tests.integration.traffic.cutover.scripted"
        arguments = [
            "cutover",
            "start",
            str(self._plan),
            "--policy",
            str(self._plan.with_name("canary.yaml")),
            "--json",
        ]
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=os.environ | {"FERRY_GATEWAY": str(self._site.folder.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def under_way(self) -> bool:
        state = self._site.desk.states.load()
        return state is not None and state.entered_at is not None


def arrivals(engine: StubEngine) -> list[str]:
    """The ids of clients' requests: no copies, and not what asks an engine whether it is warm, which has no id."""
    assert engine.journal
    lines = [line.split("\t") for line in engine.journal.read_text().splitlines()]
    return [name for name, what in lines if name and what == "arrived" and not name.endswith(COPY)]


def more(load: Load, count: int) -> None:
    wanted = len(load.answers) + count
    wait_until(lambda: len(load.answers) >= wanted)


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_costs_what_was_in_flight_at_the_killed_engine_and_nothing_else(
    site: Site, tmp_path: Path, victim: str
) -> None:
    draw = random.Random(victim)
    for _ in range(KILLS):
        site.desk.go_home(force=True, why="the next kill")
        site.desk.states.path.unlink()
        # An engine that was killed stays ejected for a while, and a cutover does not begin towards one that is.
        wait_until(lambda: all(each.healthy for each in site.folder.admin().counters().values()), 300)
        before = requests.read(site.folder.access_log).offset
        cutover = Cutover(site, write_plan(tmp_path / "plan.yaml"))
        with Load(site.url, requests_per_second=100) as load:
            controller = cutover.start()
            wait_until(cutover.under_way)
            time.sleep(draw.uniform(0.0, 1.5))
            if victim == "controller":
                controller.kill()
            else:
                engine = site.home if victim == "home" else site.cloud
                engine.kill()
                more(load, 30)
                engine.start()
            more(load, 30)
            controller.communicate(timeout=60)
            if victim == "controller":
                out, err = cutover.start().communicate(timeout=60)
                assert (err, site.folder.read_routes().weights["cloud"]) == ("", 100), out
            more(load, 30)
        assert site.folder.admin().applied_version() == site.folder.read_routes().version
        spoilt = [answer for answer in load.answers if answer.outcome != "answered"]
        assert {answer.outcome for answer in spoilt} <= {"refused", "truncated"}
        refused = {(answer.status, answer.retry_after) for answer in spoilt if answer.outcome == "refused"}
        assert refused <= {(503, "2")}
        wait_until(lambda: len(requests.read(site.folder.access_log, before).requests) == len(load.answers))  # noqa: B023
        logged = [line for line in requests.read(site.folder.access_log, before).requests if not line.finished]
        # In flight: the connection had been made, and broke. A connection that cannot be made costs no request.
        assert {line.flags for line in logged} <= {"UC", "UPE"}  # UPE: in the middle of an answer
        assert {line.cluster for line in logged} <= {{"home": "local"}.get(victim, victim)}
        assert len(logged) == len(spoilt)
        times = Counter(arrivals(site.home) + arrivals(site.cloud))
        assert [request_id for request_id, seen in times.items() if seen > 1] == []
        if victim == "controller":
            assert spoilt == []
