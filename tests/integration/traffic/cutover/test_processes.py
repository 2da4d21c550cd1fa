"""Controllers as processes, on a real Envoy: killed, stopped, interrupted, two at once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ferry import ledger
from ferry.errors import GatewayError
from ferry.rehearsal.crossing.site import Site, serving
from ferry.traffic.cutover.state import HOME, Division
from ferry.traffic.cutover.warmth import Warmth, engines_of, warmth_at_home
from ferry.traffic.cutover.weights import GatewayWeights
from ferry.traffic.lock import locked
from stacks.settings import Settings
from tests.gateways import wait_until
from tests.plans import write_plan

ROOT = Path(__file__).parents[4]
KILLS = int(os.environ.get("FERRY_SOAK", "3"))
ENTERED = ["shadow entered", "5 % entered", "50 % entered", "100 % entered", "done"]

pytestmark = [pytest.mark.tool("envoy"), pytest.mark.xdist_group("cutover")]


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = Settings.load(ROOT / "stacks" / "Pulumi.dev.yaml")
    with serving(tmp_path_factory.mktemp("site"), settings, home={"ttft_ms": 1.0}, cloud={"ttft_ms": 1.0}) as site:
        yield site


@pytest.fixture
def site(shared_site: Site) -> Site:
    """All traffic at home, and nothing remembered."""
    shared_site.desk.states.path.unlink(missing_ok=True)
    shared_site.desk.go_home(force=True, why="the next test")
    shared_site.desk.states.path.unlink(missing_ok=True)
    return shared_site


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    return write_plan(tmp_path / "plan.yaml")


Ferry = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def ferry(site: Site, plan: Path) -> Iterator[Ferry]:
    """Start `ferry …` on this gateway; what still runs afterwards is killed."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str, steps: str = "[shadow, 5, 50, 100]") -> subprocess.Popen[str]:
        policy = plan.with_name("canary.yaml")
        policy.write_text(f"schema: ferry/canary/v1\nsteps: {steps}\n")
        if arguments[:2] == ("cutover", "start"):
            arguments = (*arguments, str(plan), "--policy", str(policy))
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.traffic.cutover.scripted", *arguments],
            cwd=ROOT,
            env=os.environ | {"FERRY_GATEWAY": str(site.folder.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def changes(plan: Path, cutover: str) -> list[str]:
    """What the ledger says of one cutover, but for a later way home."""
    entries = [each for each in ledger.read(plan.parent) if each["figures"]["cutover"] == cutover]
    return [each["result"] for each in entries if "change" in each["figures"] and each["verb"] == "cutover"]


def acts(site: Site, process: subprocess.Popen[str]) -> bool:
    state = site.desk.states.load()
    return state is not None and state.holder.pid == process.pid


def share(site: Site) -> int:
    return site.folder.read_routes().weights["cloud"]


def held_at(site: Site, percent: int) -> Callable[[], bool]:
    def holds() -> bool:
        state = site.desk.states.load()
        return state is not None and state.intended.candidate == percent and state.entered_at is not None

    return holds


FIVE_FOR_LONG = "[{percent: 5, minimum_seconds: 600}, 100]"


def test_killed_at_random_moments_a_new_start_ends_it_and_traffic_never_moved_without_one(
    site: Site, plan: Path, ferry: Ferry
) -> None:
    draw = random.Random(1)
    kills = 0
    while kills < KILLS:
        process = ferry("cutover", "start", "--json")
        wait_until(lambda process=process: process.poll() is not None or acts(site, process), 60)  # type: ignore[misc]
        try:
            process.wait(draw.uniform(0.0, 0.35))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
        routes, state = site.folder.read_routes(), site.desk.states.load()
        assert state is not None
        at = (routes.weights["cloud"], routes.mirror.percent if routes.mirror else 0)
        assert at in [(each.candidate, each.mirror) for each in (state.before, state.intended)]
        wait_until(lambda version=routes.version: site.desk.admin.applied_version() == version, 60)  # type: ignore[misc]
        if process.returncode == 0:
            assert changes(plan, state.id) == ENTERED
            site.desk.go_home(force=False, why="once more")
    code, out, err = end(ferry("cutover", "start", "--json"))
    assert (code, err, share(site)) == (0, "", 100)
    assert changes(plan, json.loads(out)["cutover"]) == ENTERED


def test_one_that_sleeps_while_another_takes_over_is_refused_and_says_by_whom(
    site: Site, plan: Path, ferry: Ferry
) -> None:
    first = ferry("cutover", "start", steps=FIVE_FOR_LONG)
    wait_until(held_at(site, 5), 60)
    # Not while it writes: a stopped process keeps its lock, and who comes then is told to end it.
    with locked(site.desk.states.lock), locked(site.folder.routes_lock):
        first.send_signal(signal.SIGSTOP)
    code, _, err = end(ferry("cutover", "start", steps=FIVE_FOR_LONG))
    assert code == 1
    assert "`ferry cutover start` of " in err
    assert "fence it off with --take-over" in err
    code, _, err = end(ferry("cutover", "start", "--take-over", "--json", steps="[{percent: 5}, 100]"))
    assert (code, err) == (0, "")
    first.send_signal(signal.SIGCONT)
    code, _, err = end(first)
    assert code == 1
    assert "has taken over (generation" in err.replace("\n", " ")
    assert share(site) == 100
    taken = [entry["figures"]["taken_over_from"] for entry in ledger.read(plan.parent) if "goes on" in entry["result"]]
    assert [f"process {first.pid}" in each for each in taken] == [True]


def test_a_rollback_takes_over_from_a_controller_that_runs(site: Site, plan: Path, ferry: Ferry) -> None:
    controller = ferry("cutover", "start", steps="[{percent: 50, minimum_seconds: 600}, 100]")
    wait_until(held_at(site, 50), 60)
    done = site.desk.go_home(force=False, why="3 a.m.")
    assert (done.confirmed, done.refused, done.problems) == (True, False, ())
    assert share(site) == 0
    code, _, err = end(controller)
    assert code == 1
    assert "`ferry rollback` of " in err.replace("\n", " ")
    assert ledger.read(plan.parent)[-1]["result"] == "rolled back"
    assert share(site) == 0


def test_interrupted_it_leaves_traffic_says_so_and_resume_goes_on(site: Site, plan: Path, ferry: Ferry) -> None:
    controller = ferry("cutover", "start", steps=FIVE_FOR_LONG)
    wait_until(held_at(site, 5), 60)
    controller.send_signal(signal.SIGINT)
    code, _, err = end(controller)
    assert code == 130
    assert "traffic stays at 5 % to cloud; `ferry cutover resume` goes on" in err
    assert share(site) == 5
    code, out, _ = end(ferry("cutover", "status"))
    assert (code, "no controller runs" in out) == (0, True)
    code, out, _ = end(ferry("cutover", "resume", "--json", steps="[{percent: 5, minimum_seconds: 0.1}, 100]"))
    document: dict[str, Any] = json.loads(out)
    assert (code, document["result"], share(site)) == (0, "done", 100)


def test_an_abort_from_another_process_ends_the_controller(site: Site, plan: Path, ferry: Ferry) -> None:
    controller = ferry("cutover", "start", "--json", steps=FIVE_FOR_LONG)
    wait_until(held_at(site, 5), 60)
    done = site.desk.abort("ann@site", force=False)
    assert (done.phase, done.why) == ("aborted", "aborted by ann@site")  # type: ignore[union-attr]
    code, out, _ = end(controller)
    assert (code, json.loads(out)["result"], share(site)) == (3, "aborted", 0)


def test_without_a_controller_an_abort_brings_traffic_home_itself(site: Site, plan: Path, ferry: Ferry) -> None:
    controller = ferry("cutover", "start", steps=FIVE_FOR_LONG)
    wait_until(held_at(site, 5), 60)
    controller.kill()
    controller.wait()
    done = site.desk.abort("ann@site", force=False)
    assert done.dump()["result"] == "home"  # type: ignore[union-attr]
    state = site.desk.states.load()
    assert state is not None
    assert (state.phase, share(site)) == ("aborted", 0)


def test_routes_that_envoy_refuses_are_taken_back_and_traffic_is_as_it_was(site: Site) -> None:
    # A cluster that stands in the file, and that the Envoy which runs has never heard of.
    envoy_file = site.folder.envoy_file
    rendered = envoy_file.read_text()
    cluster = "  clusters:\n    - name: mars\n      connect_timeout: 1s\n"
    envoy_file.write_text(rendered.replace("  clusters:\n", cluster, 1))
    try:
        weights = GatewayWeights(site.folder, site.desk.admin, "local", "mars")
        fence = weights.take_over(0)
        with pytest.raises(GatewayError, match=r"refused the routes .*mars.*traffic stays as it was"):
            weights.set(Division(candidate=5), before=HOME, fence=fence)
    finally:
        envoy_file.write_text(rendered)
    routes = site.folder.read_routes()
    assert routes.weights["mars"] == 0
    # What Envoy refused is gone from the file, so that its next start finds what it can run.
    site.folder.change_routes(lambda there: replace(there, weights={"local": 100, "cloud": 0}), fence=fence)
    wait_until(lambda: site.desk.admin.applied_version() == site.folder.read_routes().version)


@pytest.mark.skipif("FERRY_SOAK" not in os.environ, reason="Envoy's health checks take half a minute to give one up")
def test_a_cluster_that_nothing_reaches_gets_nothing(site: Site, plan: Path) -> None:
    site.cloud.kill()
    try:
        wait_until(lambda: site.desk.admin.counters()["cloud"].healthy == 0, 60)
        policy = plan.with_name("canary.yaml")
        policy.write_text("schema: ferry/canary/v1\nsteps: [5, 100]\n")
        with pytest.raises(GatewayError, match="cloud has no healthy server"):
            site.desk.controller(plan, policy).run()
        assert share(site) == 0
        assert site.desk.go_home(force=False, why="the cloud is unreachable").confirmed
    finally:
        site.cloud.start()


def test_the_engine_at_home_is_warm_only_when_a_token_comes(site: Site) -> None:
    def found() -> Warmth:
        return warmth_at_home(site.folder, site.desk.admin, "local")

    assert found().state == "warm"
    site.home.behave(cold=True)
    assert (found().state, "/health answers 503" in found().reason) == ("cold", True)
    site.home.behave(cold=False, error_rate=1.0)
    assert (found().state, "generates no token (status 500" in found().reason) == ("cold", True)
    site.home.behave(error_rate=0.0, hang_rate=1.0)
    hanging = replace(engines_of(site.folder, "local")[0], token_seconds=0.2)
    assert hanging.warmth().reason.endswith("did not answer in time (0.2 s for one token)")
    site.home.behave(hang_rate=0.0)
    assert found().state == "warm"


def test_beyond_tls_envoy_is_asked_whether_servers_are_healthy(site: Site) -> None:
    assert engines_of(site.folder, "cloud") == ()
    wait_until(lambda: warmth_at_home(site.folder, site.desk.admin, "cloud").state == "warm", 60)
