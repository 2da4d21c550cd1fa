"""From an assessment and a trace to a plan: what is written, and what is refused before anything is."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from ferry.artefacts import Assessment, Constraints, Plan, Slo, Sweep, read
from ferry.cli import app
from ferry.errors import CatalogError, FerryError, InvalidField, PlanError, UnreadableInput
from ferry.planning.replay import replay
from ferry.planning.sweep import workers
from ferry.planning.sweep.picture import picture
from ferry.planning.sweep.sweep import Swept, sweep
from ferry.planning.sweep.text import given_up
from stacks.settings import Settings
from tests.sweeps import requests

pytestmark = pytest.mark.xdist_group("simulation")

MIDNIGHT = datetime(2026, 11, 23, 9, 0, 0, 1000)  # noqa: DTZ001  (as the trace writes it, without a zone)
GRID = {
    "schema": "ferry/grid/v1",
    "instance_types": ["g5.xlarge", "g6e.xlarge"],
    "quantizations": ["as-is", "awq"],
    "policies": ["plan", "schedule", "none"],
    "sizes": [[2, 2], [2, 4], [3, 3]],
}
PROMISE = Slo(ttft_p99_ms=1500, tpot_p99_ms=100)


@pytest.fixture(scope="session")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "trace.csv"
    asked = requests(2.0)
    rows = zip(asked.arrival_s, asked.input_tokens, asked.output_tokens, strict=True)
    lines = [f"{MIDNIGHT + timedelta(seconds=float(moment))},{before},{after}" for moment, before, after in rows]
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]) + "\n")
    return path


@pytest.fixture
def site(make: SimpleNamespace, tmp_path: Path) -> Callable[..., Path]:
    """An assessment's file; its folder gets the grid, too."""

    def build(slo: Slo = PROMISE, **changes: Any) -> Path:
        (tmp_path / "grid.yaml").write_text(yaml.safe_dump(GRID))
        facts: Assessment = make.assessment(slo=slo, requests=make.trace(2, 4), **changes)
        facts.write(tmp_path / "assessment.yaml")
        return tmp_path / "assessment.yaml"

    return build


@pytest.fixture
def swept(site: Callable[..., Path], trace: Path) -> Callable[..., Swept]:
    def build(slo: Slo = PROMISE, grid: dict[str, Any] | None = None, **options: Any) -> Swept:
        changes = {"constraints": options.pop("constraints")} if "constraints" in options else {}
        path = site(slo, **changes)
        if grid is not None:
            (path.parent / "grid.yaml").write_text(yaml.safe_dump({**GRID, **grid}))
        options = {"trace": trace, "grid_path": path.parent / "grid.yaml", "worker_count": 1} | options
        return sweep(path, environment="dev", **options)

    return build


def test_the_plan_provisions_what_was_replayed(swept: Callable[..., Swept], trace: Path, tmp_path: Path) -> None:
    """`ferry simulate` of the plan gives the figures that the sweep chose it for."""
    made = swept()
    chosen = made.sweep.chosen
    made.plan.write(tmp_path / "plan.yaml")
    simulation, _ = replay(tmp_path / "plan.yaml", names=["plan"], trace=trace, with_batch_limits=False)
    (outcome,) = simulation.outcomes
    assert outcome.ttft_ms.p99 == pytest.approx(chosen.ttft_p99_ms, abs=1e-3)
    assert outcome.cost_per_month == chosen.cost_per_month
    version = Settings.from_config(made.plan.config).model_versions[0]
    assert (version.fleet.min_size, version.fleet.max_size) == (chosen.min_size, chosen.max_size)
    assert version.fleet.spot_percentage == chosen.spot_percentage == 50
    assert version.engine.max_sequences == chosen.max_sequences
    (instances,) = [line for line in made.plan.cloud_monthly if line.item == "instances"]
    assert instances.amount.amount == pytest.approx(chosen.cost_per_month, abs=Decimal("0.01"))
    assert "as Spot at" in instances.detail
    assert made.plan.verdict != "go"
    assert any("Spot capacity of" in reason.text for reason in made.plan.reasons)


def test_a_schedule_is_provisioned_as_it_was_replayed(swept: Callable[..., Swept], tmp_path: Path, trace: Path) -> None:
    made = swept(grid={"policies": ["schedule"], "instance_types": ["g6e.xlarge"], "sizes": [[1, 3]]})
    fleet = Settings.from_config(made.plan.config).model_versions[0].fleet
    assert [(one.name, one.min_size, one.max_size, one.time_zone) for one in fleet.schedules] == [
        ("office-hours", 3, 3, "America/New_York"),
        ("rest", 1, 1, "America/New_York"),
    ]
    made.plan.write(tmp_path / "plan.yaml")
    simulation, _ = replay(tmp_path / "plan.yaml", names=["plan"], trace=trace, with_batch_limits=False)
    assert simulation.outcomes[0].ttft_ms.p99 == pytest.approx(made.sweep.chosen.ttft_p99_ms, abs=1e-3)


def test_the_artefact_says_what_was_searched(swept: Callable[..., Swept], tmp_path: Path) -> None:
    made = swept()
    made.sweep.write(tmp_path / "sweep.yaml")
    known = read(Sweep, tmp_path / "sweep.yaml")
    # 2 types x 2 quantisations x 2 shares of Spot x (2 policies of one range + 2 fixed sizes); some types also have a
    # second batch limit.
    assert known.candidates == known.replayed + known.shared + sum(known.bounds.values()) >= 32
    assert sum(one.count for one in known.ruled_out) == sum(known.bounds.values())
    assert [Path(source.path).name for source in known.made_from] == ["assessment.yaml", "trace.csv", "grid.yaml"]
    assert (known.requests, known.by, known.currency) == (1800, "cost", "USD")
    assert [point.cost_per_month for point in known.front] == sorted(point.cost_per_month for point in known.front)
    assert given_up(known, known.chosen) == "chosen"
    fastest = known.front[-1]
    if fastest != known.chosen:
        assert given_up(known, fastest).endswith(" ms sooner")
    drawn = picture(known, made.found.answers)
    assert drawn.startswith(b"<?xml")
    assert b"TTFT P99, ms" in drawn
    assert drawn == picture(known, made.found.answers)


def test_more_load_asks_for_more(swept: Callable[..., Swept]) -> None:
    once, twice = swept(), swept(load=2.0)
    assert twice.sweep.requests == 2 * once.sweep.requests
    assert twice.sweep.chosen.cost_per_month >= once.sweep.chosen.cost_per_month
    assert twice.found.ruled_out != once.found.ruled_out
    assert "2 times the trace's requests; copies shifted by up to a minute, seed 0" in twice.sweep.assumptions


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"slo": Slo()}, PlanError, r"chat has promised nothing .* serving\.slo in site\.yaml"),
        ({"by": "price"}, PlanError, r"nothing is known by 'price'; search by cost, carbon, ttft, latency"),
        ({"worker_count": 0}, InvalidField, r"workers: 0 was given; allowed is 1 or more"),
        ({"worker_count": 2, "dask": "tcp://127.0.0.1:1"}, InvalidField, r"workers: 2 .* Dask cluster"),
        (
            {"worker_count": None, "dask": "127.0.0.1:1"},
            PlanError,
            r"no Dask scheduler answers at 127\.0\.0\.1:1: .*dask scheduler",
        ),
        ({"load": 0.0}, InvalidField, r"load cannot be scaled by 0"),
        ({"grid": {"instance_types": ["g5.xlrge"]}}, CatalogError, r"g5\.xlrge"),
        ({"grid": {"sizes": [[4, 2]]}}, InvalidField, r"grid\.yaml: sizes: least and most instances are 4 and 2"),
        ({"grid": {"colour": 1}}, InvalidField, r"grid\.yaml: colour: Extra inputs"),
        ({"grid": {"schema": "ferry/grid/v2"}}, UnreadableInput, r"schema is 'ferry/grid/v2', allowed is"),
        (
            {"grid": {"policies": ["steps"], "steps": [{"scale_in_remove": 0}]}},
            InvalidField,
            r"grid\.yaml: steps\.0\.scale_in_remove: .* greater than or equal to 1, given 0",
        ),
        (
            {"grid": {"policies": ["none"], "sizes": [[2, 4]]}},
            PlanError,
            r"chat: the grid has no candidate; name more policies, sizes or instance types",
        ),
        (
            {"grid": {"instance_types": ["g4dn.xlarge"], "quantizations": ["as-is"]}},
            PlanError,
            r"chat: none of 8 candidates holds .*; g4dn\.xlarge \(as-is\): T4 .* has no bfloat16",
        ),
        (
            {"slo": Slo(ttft_p99_ms=100), "grid": {"instance_types": ["g6e.xlarge"]}},
            PlanError,
            r"nearest is g6e\.xlarge \(as-is\): first tokens take \d+ ms .* promised are 100, \d\.\d\d times what is",
        ),
        (
            {"slo": Slo(ttft_p99_ms=1200), "grid": {"instance_types": ["g5.xlarge"], "sizes": [[2, 2]]}},
            PlanError,
            r"none of \d+ candidates holds what is promised; nearest is g5\.xlarge",
        ),
        (
            {"slo": Slo(tpot_p99_ms=40), "grid": {"instance_types": ["g5.xlarge"], "quantizations": ["as-is"]}},
            PlanError,
            r"nearest is g5\.xlarge \(as-is\) in us-east-1, .*: TPOT P99 \d+ ms, promised 40, 0 refused, \d\.\d\d",
        ),
        (
            {"grid": {"policies": ["target-tracking"], "instance_types": ["g6e.xlarge"]}},
            PlanError,
            r"target-tracking 0\.\d holds, but no component makes its policy",
        ),
        (
            {"constraints": Constraints(regions_allowed=["eu-south-1"]), "grid": {"instance_types": ["p5.48xlarge"]}},
            PlanError,
            r"p5\.48xlarge \(as-is\): the catalogue has no on-demand price in eu-south-1",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused(
    swept: Callable[..., Swept],
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    error: type[FerryError],
    message: str,
) -> None:
    monkeypatch.setattr(workers, "CONNECT_S", 0.3)
    with pytest.raises(error, match=message):
        swept(**options)


def test_without_a_trace_there_is_nothing_to_replay(make: SimpleNamespace, tmp_path: Path) -> None:
    facts = make.assessment(slo=PROMISE)
    serving = facts.serving[0].model_copy(update={"trace": None})
    facts.model_copy(update={"serving": [serving]}).write(tmp_path / "assessment.yaml")
    with pytest.raises(PlanError, match=r"chat has no request trace to replay: name one with --trace FILE"):
        sweep(tmp_path / "assessment.yaml", environment="dev")


def test_a_missing_dask_is_named_with_the_command_that_installs_it(
    swept: Callable[..., Swept], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(workers.importlib, "import_module", missing)
    with pytest.raises(PlanError, match=r"needs the package distributed: pip install ferry\[dask\]"):
        swept(worker_count=None, dask="tcp://127.0.0.1:1")


def ferry(path: Path, trace: Path, *more: str) -> Any:
    output = ["-o", str(path.with_name("plan.yaml"))]
    given = ["--grid", str(path.with_name("grid.yaml")), "--trace", str(trace), "--workers", "1"]
    return CliRunner().invoke(app, ["plan", str(path), "--env", "dev", *output, "--sweep", *given, *more])


def written(path: Path) -> set[str]:
    return {one.name for one in path.parent.iterdir()} - {"assessment.yaml", "grid.yaml"}


def test_the_verb_writes_a_plan_what_was_searched_and_a_picture(site: Callable[..., Path], trace: Path) -> None:
    path = site()
    done = ferry(path, trace)
    assert (done.exception, done.exit_code) == (None, 0)
    assert written(path) == {"plan.yaml", "sweep.yaml", "sweep.svg", "ledger.jsonl"}
    plan, known = read(Plan, path.with_name("plan.yaml")), read(Sweep, path.with_name("sweep.yaml"))
    assert plan.chosen.instance_type == known.chosen.instance_type
    assert f"{known.candidates} candidates, for the cheapest that holds TTFT P99 1500 ms" in done.stdout
    assert "what more money buys" in done.stdout
    assert f"searching: {known.candidates} of {known.candidates} candidates" in done.stderr


def test_with_json_there_is_nothing_but_json(site: Callable[..., Path], trace: Path) -> None:
    done = ferry(site(), trace, "--json")
    document = json.loads(done.stdout)
    assert document["schema"] == "ferry/plan/v1"
    assert document["sweep"]["schema"] == "ferry/sweep/v1"
    assert done.stderr == ""


@pytest.mark.parametrize("failure", [KeyboardInterrupt, PlanError("nothing holds")])
def test_what_is_interrupted_or_fails_leaves_no_file(
    site: Callable[..., Path], trace: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr("ferry.planning.sweep.search._settle", fail)
    path = site()
    done = ferry(path, trace)
    assert done.exit_code != 0
    assert written(path) == set()


@pytest.mark.parametrize("option", [["--by", "ttft"], ["--load", "2"], ["--workers", "2"], ["--dask", "tcp://x:1"]])
def test_an_option_of_the_sweep_without_it_is_a_mistake(site: Callable[..., Path], option: list[str]) -> None:
    path = site()
    done = CliRunner().invoke(app, ["plan", str(path), "--env", "dev", "-o", str(path.with_name("plan.yaml")), *option])
    assert done.exit_code == 2
    assert f"{option[0]} without --sweep says nothing" in " ".join(done.stderr.split())
    assert written(path) == set()
