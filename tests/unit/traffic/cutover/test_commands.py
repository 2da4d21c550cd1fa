"""What a person gets to read of a cutover, and what is refused before anything moves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from ferry.artefacts import Reason
from ferry.cli import app
from ferry.cli.cutover_progress import Progress, table
from ferry.errors import GatewayError, InvalidField, StaleArtefact, TamperedArtefact, TrafficError
from ferry.render.hybrid import Addresses, gateway_files
from ferry.traffic.cutover import desk as desks
from ferry.traffic.cutover.controller import Told
from ferry.traffic.cutover.desk import BehindListener, Desk
from ferry.traffic.cutover.observation import GatewayLogs
from ferry.traffic.cutover.state import Division, Holder, State
from ferry.traffic.cutover.text import duration
from ferry.traffic.gateway import GatewayFolder
from stacks.settings import Settings
from tests.plans import write_plan

ROOT = Path(__file__).parents[4]


@pytest.fixture
def folder(tmp_path: Path) -> GatewayFolder:
    """A rendered gateway that no Envoy runs; nothing listens on its ports."""
    settings = Settings.load(ROOT / "stacks" / "Pulumi.dev.yaml")
    addresses = Addresses(gateway_port=1, admin_port=1, engine_port=1, ca_file="/dev/null")
    for name, text in gateway_files(settings, addresses, None, site="site", engine="vllm").items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return GatewayFolder(tmp_path / "gateway")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "canary.yaml"
    path.write_text("schema: ferry/canary/v1\n")
    return path


def run(folder: GatewayFolder, *arguments: str | Path) -> Result:
    words = [str(each) for each in arguments]
    done = CliRunner().invoke(app, [*words, "--gateway", str(folder.path)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def start(folder: GatewayFolder, plan: Path, policy: Path, *more: str) -> Result:
    return run(folder, "cutover", "start", plan, "--policy", policy, *more)


def test_a_plan_that_says_stay_moves_nothing_unless_forced(folder: GatewayFolder, policy: Path) -> None:
    reason = Reason(says="against", text="the uplink is too narrow", basis="measured", evidence="site.yaml")
    plan = write_plan(policy.with_name("plan.yaml"), verdict="stay", reasons=[reason])
    refused = start(folder, plan, policy, "--json")
    assert (refused.exit_code, json.loads(refused.stdout)) == (
        3,
        {"result": "refused", "verdict": "stay", "reasons": ["the uplink is too narrow"]},
    )
    assert "--force" in start(folder, plan, policy).stdout
    assert start(folder, plan, policy, "--force", "--dry-run").exit_code == 0


def test_an_edited_plan_is_refused(folder: GatewayFolder, policy: Path) -> None:
    plan = write_plan(policy.with_name("plan.yaml"))
    plan.write_text(plan.read_text().replace("verdict: go", "verdict: defer"))
    with pytest.raises(TamperedArtefact):
        start(folder, plan, policy)


def test_a_plan_of_an_assessment_that_changed_is_refused(folder: GatewayFolder, policy: Path) -> None:
    policy.with_name("assessment.yaml").write_text("changed: true\n")
    made_from = [{"path": "assessment.yaml", "sha256": "0" * 64}]
    plan = write_plan(policy.with_name("plan.yaml"), made_from=made_from)
    with pytest.raises(StaleArtefact):
        start(folder, plan, policy)


@pytest.mark.parametrize("steps", ["[50, 25, 100]", "[25, 150]", "[]", "[shadow]", "[25, 25, 100]"])
def test_a_bad_policy_is_one_line_that_names_the_file(folder: GatewayFolder, policy: Path, steps: str) -> None:
    policy.write_text(f"schema: ferry/canary/v1\nsteps: {steps}\n")
    before = folder.routes_file.read_text()
    with pytest.raises(InvalidField, match=r"canary\.yaml: steps") as refused:
        start(folder, write_plan(policy.with_name("plan.yaml")), policy)
    assert "\n" not in str(refused.value)
    assert folder.routes_file.read_text() == before


def test_a_policy_without_a_gate_is_refused(folder: GatewayFolder, policy: Path) -> None:
    policy.write_text("schema: ferry/canary/v1\ngate:\n")
    with pytest.raises(InvalidField, match=r"gate: traffic moves by evidence only"):
        start(folder, write_plan(policy.with_name("plan.yaml")), policy)


def test_a_cluster_that_the_gateway_does_not_have_is_refused(folder: GatewayFolder, policy: Path) -> None:
    with pytest.raises(GatewayError, match=r"has no cluster 'mars'; it has local, cloud"):
        start(folder, write_plan(policy.with_name("plan.yaml")), policy, "--candidate", "mars")


def test_without_an_envoy_nothing_moves(folder: GatewayFolder, policy: Path) -> None:
    before = folder.routes_file.read_text()
    with pytest.raises(GatewayError, match="start it with `ferry gateway run`"):
        start(folder, write_plan(policy.with_name("plan.yaml")), policy)
    assert folder.routes_file.read_text() == before


def test_a_dry_run_says_what_the_gate_will_ask_and_how_long_that_takes(folder: GatewayFolder, policy: Path) -> None:
    plan = write_plan(policy.with_name("plan.yaml"))
    unknown: dict[str, Any] = json.loads(start(folder, plan, policy, "--dry-run", "--json").stdout)
    assert (unknown["requests_per_second"]["basis"], unknown["seconds"]) == ("unknown", None)
    folder.access_log.parent.mkdir(exist_ok=True)
    lines = [
        f'{{"start_time": "2026-11-24T00:00:{second:02d}.000Z", "duration_ms": 5}}\n' for second in range(0, 41, 10)
    ]
    folder.access_log.write_text("".join(lines))
    known = json.loads(start(folder, plan, policy, "--dry-run", "--json").stdout)
    assert (known["requests_per_second"]["value"], known["requests_per_second"]["basis"]) == (0.1, "measured")
    shares = [1.0, 0.01, 0.05, 0.25, 0.5, 1.0]
    assert [step["name"] for step in known["steps"]] == ["shadow", "1 %", "5 %", "25 %", "50 %", "100 %"]
    assert [step["seconds"] for step in known["steps"]] == [
        pytest.approx(max(60.0, step["candidate_requests"] / (0.1 * share)))
        for step, share in zip(known["steps"], shares, strict=True)
    ]
    assert "all steps together, if nothing holds them: " in start(folder, plan, policy, "--dry-run").stdout
    assert not Desk(folder).states.path.exists()


@pytest.mark.parametrize("verb", ["pause", "resume", "abort"])
def test_an_order_without_a_cutover_is_refused(folder: GatewayFolder, verb: str) -> None:
    with pytest.raises(TrafficError, match=r"no cutover is under way \(none was started\)"):
        run(folder, "cutover", verb)


def test_an_abort_to_a_cold_engine_is_refused_and_not_left_for_the_controller_that_runs(
    folder: GatewayFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GatewayLogs, "candidate_is_down", lambda logs: False)
    monkeypatch.setattr(desks, "ABORT_SECONDS", 0.1)
    folder.change_routes(lambda there: replace(there, weights={"local": 50, "cloud": 50}), fence=1)
    half, desk = Division(candidate=50), Desk(folder)
    state = State(
        id="a",
        plan=str(folder.path / "plan.yaml"),
        policy="canary.yaml",
        baseline="local",
        candidate="cloud",
        generation=1,
        holder=Holder.this("cutover start"),
        step=4,
        before=half,
        intended=half,
        serial=5,
        entered_at=1000.0,
    )
    desk.states.save(state)
    alive = desk.alive
    assert alive.take()
    refused = run(folder, "cutover", "abort", "--json")
    assert (refused.exit_code, json.loads(refused.stdout)["result"]) == (3, "refused")
    assert desk.states.load() == state
    assert folder.read_routes().weights["local"] == 50
    alive.release()


def test_the_status_says_where_traffic_is_without_a_cutover_or_an_envoy(folder: GatewayFolder) -> None:
    found: dict[str, Any] = json.loads(run(folder, "cutover", "status", "--json").stdout)
    assert (found["candidate_percent"], found["state"], found["controller_alive"]) == (0, None, False)
    assert "does not answer" in found["envoy"]


def test_which_gateway_is_asked_where_there_are_several(folder: GatewayFolder, tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name in ("components", "build/dev/local/gateway", "build/prod/local/gateway"):
        (project / name).mkdir(parents=True)
    (project / "Pulumi.yaml").touch()
    done = CliRunner().invoke(app, ["rollback", "--project", str(project)])
    assert "There is several: " in str(done.exception)
    assert "--gateway DIR" in str(done.exception)


@pytest.mark.parametrize("arn", ["x", "arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/app/a/b"])
def test_what_is_no_listener_is_refused(folder: GatewayFolder, arn: str) -> None:
    with pytest.raises(InvalidField, match="is not the ARN of an application load balancer's listener"):
        run(folder, "cutover", "pause", "--listener", arn)


def test_the_cutovers_of_a_listener_are_remembered_apart(folder: GatewayFolder) -> None:
    desks = [Desk(folder), *(Desk(folder, BehindListener(arn, None, None)) for arn in ("one", "another"))]
    assert len({desk.states.path for desk in desks}) == 3
    assert len({desk.states.lock for desk in desks}) == 3


def test_the_table_has_both_sides_and_the_decision() -> None:
    told = Told(
        step="5 %",
        division=Division(candidate=5),
        elapsed_seconds=75.0,
        action="hold",
        reason="25 requests are missing",
        figures={"baseline.requests": 1900, "candidate.requests": 100, "ttft.candidate.p99": 41.25, "ttft.unit": "ms"},
    )
    console = Console(width=100)
    with console.capture() as shown:
        console.print(table(told))
    text = shown.get()
    assert "1,900" in text
    assert "41.25 ms" in text
    assert "hold: 25 requests are missing" in text


def test_elsewhere_a_line_is_said_when_something_changes(capsys: pytest.CaptureFixture[str]) -> None:
    def told(action: str, elapsed: float) -> Told:
        return Told(step="5 %", division=Division(candidate=5), elapsed_seconds=elapsed, action=action, reason="why")

    with Progress(quiet=False) as progress:
        for action, elapsed in (("enter", 0), ("hold", 1), ("hold", 2), ("hold", 40), ("advance", 41)):
            progress(told(action, elapsed))
    said = capsys.readouterr().err.splitlines()
    assert said == ["5 %: enter: why", "5 %: hold: why", "5 %: hold: why", "5 %: advance: why"]


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0.4 s"), (60, "60 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations_have_a_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text
