"""A plan's fleet against requests: what each policy does, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ferry.artefacts import BatchPoint, Outcome, Plan, Simulation, Slo
from ferry.catalog import carbon
from ferry.errors import CatalogError, InvalidField, PlanError
from ferry.planning.replay import replay
from ferry.planning.replay.batch_limits import best
from ferry.planning.replay.plots import by_batch_limit, over_time

pytestmark = pytest.mark.xdist_group("simulation")

SECONDS = 7200
MIDNIGHT = datetime(2026, 11, 23, 0, 0, 0, 1000)  # noqa: DTZ001  (as the trace writes it, without a zone)


def write_trace(path: Path, per_second: float = 1.0, *, input_tokens: int = 500, output_tokens: int = 100) -> Path:
    """Two hours of requests at even distances, and a third of an hour in the middle at six times the rate."""
    lines = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    moment = 0.0
    while moment < SECONDS:
        lines.append(f"{MIDNIGHT + timedelta(seconds=moment)},{input_tokens},{output_tokens}")
        moment += (1 / 6 if 3000 <= moment < 4200 else 1.0) / per_second
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def plan_path(make: SimpleNamespace, planned: Callable[..., Plan], tmp_path: Path) -> Path:
    """Llama-3-8B on 2 to 4 g5.xlarge."""
    plan = planned(make.assessment(slo=Slo(ttft_p99_ms=9_000)))
    assert plan.chosen.instance_type == "g5.xlarge"
    plan.write(tmp_path / "plan.yaml")
    return tmp_path / "plan.yaml"


def run(plan_path: Path, **options: object) -> tuple[Simulation, dict[str, Outcome]]:
    options = {"trace": write_trace(plan_path.with_name("trace.csv")), "with_batch_limits": False} | options
    simulation, _ = replay(plan_path, **options)  # type: ignore[arg-type]
    return simulation, {outcome.policy: outcome for outcome in simulation.outcomes}


def test_every_policy_is_replayed_with_the_same_requests(plan_path: Path) -> None:
    simulation, outcomes = run(plan_path)
    assert list(outcomes) == ["plan", "article", "target-tracking", "schedule", "none"]
    assert {outcome.requests for outcome in simulation.outcomes} == {13_201}
    assert simulation.hours == pytest.approx(2.0, abs=0.001)
    assert outcomes["none"].instances_mean == pytest.approx(4.0)
    assert outcomes["none"].load < outcomes["plan"].load


def test_the_fleet_grows_for_the_rush_and_its_cost_follows_its_seconds(plan_path: Path) -> None:
    _, outcomes = run(plan_path, names=["plan", "none"])
    plan, fixed = outcomes["plan"], outcomes["none"]
    assert (plan.launched, plan.instances_max) == (4, 4)
    assert 2 < plan.instances_mean < 4
    # 4 x 2 h x 1.006 USD, and the seconds until the last answer
    assert fixed.cost == pytest.approx(Decimal("8.05"), abs=Decimal("0.02"))
    # 4 x 150 W x 1.38 x 2 h at a fifth to all of it, times the PUE of us-east-1
    assert 0.2 * 1.656 < fixed.kwh / 1.15 < 1.656
    assert fixed.gco2e / fixed.kwh == pytest.approx(carbon.find("us-east-1").gco2e_per_kwh)
    assert fixed.cost_per_month == pytest.approx(Decimal("2937.52"), abs=Decimal("0.01"))
    assert plan.cost == pytest.approx(fixed.cost * Decimal(plan.instances_mean / 4), abs=Decimal("0.02"))


def test_a_promise_is_kept_or_broken_by_the_99th_percentiles(plan_path: Path) -> None:
    _, outcomes = run(plan_path, names=["plan", "none"])
    for outcome in outcomes.values():
        assert outcome.keeps_promise == (outcome.ttft_ms.p99 <= 9_000)
    assert outcomes["none"].keeps_promise
    assert not outcomes["plan"].keeps_promise


def test_more_load_and_less_stretch_are_the_same_number_of_requests_per_second_apart(plan_path: Path) -> None:
    plain, _ = run(plan_path, names=["none"])
    double, _ = run(plan_path, names=["none"], load=2.0)
    half, _ = run(plan_path, names=["none"], stretch=2.0)
    assert double.requests_per_s == pytest.approx(2 * plain.requests_per_s, rel=0.001)
    assert half.requests_per_s == pytest.approx(plain.requests_per_s / 2, rel=0.001)
    assert "2 times the trace's requests; copies shifted by up to a minute, seed 0" in double.assumptions
    assert "arrivals 2 times as far apart as in the trace" in half.assumptions


def test_spot_costs_its_own_price(plan_path: Path) -> None:
    _, dear = run(plan_path, names=["none"])
    simulation, cheap = run(plan_path, names=["none"], spot_share=1.0)
    # 0.37222 of 1.006 USD an hour
    assert cheap["none"].cost / dear["none"].cost == pytest.approx(Decimal("0.37"), abs=Decimal("0.001"))
    assert "no Spot Instance is taken back: no rate is known of g5" in simulation.assumptions


def test_requests_longer_than_the_engine_takes_are_counted(plan_path: Path, tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "long.csv", per_second=0.01, input_tokens=9000)
    trace.write_text(trace.read_text() + f"{MIDNIGHT + timedelta(hours=3)},100,10\n")
    _, outcomes = run(plan_path, names=["plan"], trace=trace)
    assert outcomes["plan"].refused == outcomes["plan"].requests - 1


def test_a_policy_of_a_file_is_compared_by_the_name_of_the_file(plan_path: Path, tmp_path: Path) -> None:
    policy = tmp_path / "mine.yaml"
    policy.write_text("schema: ferry/scaling/v1\nmin_size: 3\nmax_size: 3\n")
    _, outcomes = run(plan_path, names=[str(policy)])
    assert outcomes[str(policy)].description == "mine.yaml"
    assert outcomes[str(policy)].instances_mean == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"names": ["articel"]}, InvalidField, "policy is 'articel', allowed are .* did you mean article"),
        ({"load": 0.0}, InvalidField, "load cannot be scaled by 0.0"),
        ({"stretch": -1.0}, InvalidField, "cannot be stretched by -1.0"),
        ({"initial": 99}, InvalidField, "desired_capacity is 99, allowed is 2 to 4"),
        ({"trace": None}, PlanError, r"the trace trace.csv is not there any more: name it with --trace FILE"),
    ],
)
def test_what_cannot_be_replayed_is_an_error(
    plan_path: Path, options: dict[str, object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        run(plan_path, **options)


def test_spot_without_a_price_is_an_error(
    make: SimpleNamespace, planned: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(make.assessment())
    plan.write(tmp_path / "plan.yaml")

    def none(instance_type: str, region: str) -> None:
        raise CatalogError(f"no Spot price of {instance_type} in {region}")

    monkeypatch.setattr("ferry.catalog.prices.spot", none)
    with pytest.raises(CatalogError, match=r"no Spot price of g5\.xlarge in us-east-1"):
        run(tmp_path / "plan.yaml", spot_share=0.5)


def point(limit: int, rate: float, pace: float = 10.0) -> BatchPoint:
    return BatchPoint(
        max_sequences=limit,
        requests_per_s=rate,
        output_tokens_per_s=rate,
        tpot_p99_ms=pace,
        running_mean=limit,
        preemptions=0,
    )


@pytest.mark.parametrize(
    ("rates", "paces", "slo", "expected"),
    [
        ((1, 2, 4, 4.3), (10, 10, 10, 10), None, 4),
        ((1, 2, 4, 4.4), (10, 10, 10, 10), None, 8),
        ((1, 2, 4, 8), (10, 20, 30, 40), 25.0, 2),
        ((1, 2, 4, 8), (30, 30, 30, 40), 25.0, 1),
    ],
)
def test_the_best_batch_limit_serves_a_tenth_more_than_half_of_it_and_keeps_the_pace(
    rates: tuple[float, ...], paces: tuple[float, ...], slo: float | None, expected: int
) -> None:
    points = [point(2**step, rate, pace) for step, (rate, pace) in enumerate(zip(rates, paces, strict=True))]
    assert best(points, slo) == expected


def test_batch_limits_serve_more_until_the_cache_is_full(plan_path: Path) -> None:
    simulation, _ = run(plan_path, names=["plan"], with_batch_limits=True)
    assert [one.max_sequences for one in simulation.batch_limits] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    rates = [one.requests_per_s for one in simulation.batch_limits]
    assert rates[:6] == sorted(rates[:6])
    # 24,918 tokens of cache hold 41 sequences of 600
    assert max(one.running_mean for one in simulation.batch_limits) < 50
    assert simulation.best_batch_limit == 32


def test_pictures_are_svg_and_equal_for_equal_data(plan_path: Path) -> None:
    trace = write_trace(plan_path.with_name("trace.csv"), per_second=0.1)
    simulation, results = replay(plan_path, names=["plan", "none"], trace=trace)
    first, second = (over_time(simulation, results) for _ in range(2))
    assert first == second
    assert b"<svg" in first
    assert b"target-tracking" not in first
    assert by_batch_limit(simulation).count(b"batch limit") == 1


def test_long_runs_are_thinned_without_losing_their_mean() -> None:
    from ferry.planning.replay.plots import MOST_POINTS, _thin

    values = np.arange(20_160, dtype=np.float64)
    thinned = _thin(values)
    assert len(thinned) <= MOST_POINTS
    assert thinned.mean() == pytest.approx(values.mean())


def test_spot_instances_are_taken_back_as_recorded(plan_path: Path, tmp_path: Path) -> None:
    recording = tmp_path / "recording.json"
    # Ten-minute ticks over two days: four are there, then two for a tick.
    recording.write_text(json.dumps({"metadata": {"gap_seconds": 600}, "data": [4, 4, 4, 2] + [4] * 284}))
    simulation, outcomes = run(plan_path, names=["none"], spot_share=1.0, spot_recording=recording)
    assert "Spot Instances are taken back as recording.json recorded: 2 notices" in simulation.assumptions
    assert outcomes["none"].launched == 6
