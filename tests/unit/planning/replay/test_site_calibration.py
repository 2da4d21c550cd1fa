"""How the site's own engine differs from its hardware's figures, by its metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ferry.artefacts import EngineMetrics, Plan, Quantiles, measured, unknown
from ferry.planning.replay.case import BLOCK_TOKENS
from ferry.planning.replay.site_calibration import SiteCalibration, _at_rate, _site_replica, calibrate_to_site
from ferry.simulation.engine import simulate
from ferry.simulation.fleet import FleetSettings
from ferry.simulation.iteration_time import IterationTime
from ferry.simulation.workload import Floats, Workload

pytestmark = pytest.mark.xdist_group("simulation")
RATE = 4.0
STEP = {"tokens": 4.0, "sequences": 4.0, "cached_tokens": 4800.0, "attention_pairs": 0.0}


def requests() -> Workload:
    random = np.random.default_rng(7)
    return Workload(
        arrival_s=np.cumsum(random.exponential(1.0, 600)),
        input_tokens=random.integers(200, 2000, 600),
        output_tokens=random.integers(20, 300, 600),
    )


def quantiles(seconds: Floats) -> Quantiles:
    def at(value: float) -> Any:
        return measured(float(value) * 1000, "ms", "metrics.txt")

    p50, p95, p99 = np.percentile(seconds, (50, 95, 99))
    return Quantiles(mean=at(seconds.mean()), p50=at(p50), p95=at(p95), p99=at(p99))


def metrics(ttft: Quantiles, tpot: Quantiles, latency: Quantiles, rate: float | None = RATE) -> EngineMetrics:
    return EngineMetrics(
        source="metrics.txt",
        engine="vllm",
        ttft_ms=ttft,
        tpot_ms=tpot,
        latency_ms=latency,
        running=unknown("requests"),
        waiting=unknown("requests"),
        kv_cache_use=unknown("share"),
        requests_per_s=None if rate is None else measured(rate, "requests/s", "metrics.txt"),
    )


def calibrated(plan: Plan, found: EngineMetrics | None) -> SiteCalibration:
    serving = plan.serving_facts.model_copy(update={"metrics": found})
    return calibrate_to_site(serving, plan.cluster, requests(), BLOCK_TOKENS)


def as_slow_as(plan: Plan, factor: float) -> EngineMetrics:
    """What an engine measures whose iterations take `factor` times what the site's hardware says."""
    assert plan.cluster is not None
    replica = _site_replica(plan.serving_facts, plan.cluster, BLOCK_TOKENS)
    assert replica is not None
    times = {name: value * factor for name, value in asdict(replica.iteration_time).items()}
    slow = replace(replica, iteration_time=IterationTime(**times))
    result = simulate(_at_rate(requests(), RATE, replica), slow, FleetSettings(initial_instances=1))
    return metrics(*(quantiles(times) for times in (result.ttft_s, result.tpot_s, result.latency_s)))


@pytest.fixture
def plan(make: SimpleNamespace, planned: Callable[..., Plan]) -> Plan:
    return planned(make.assessment())


@pytest.mark.parametrize("factor", [0.7, 1.6])
def test_an_engine_that_is_slower_or_faster_by_a_factor_is_found_to_be(plan: Plan, factor: float) -> None:
    found = calibrated(plan, as_slow_as(plan, factor))
    assert found.calibration is not None
    assert max(abs(error.relative) for error in found.calibration.errors) < 0.03
    # A step of decoding is known; which of its parts is the slow one, few requests at once cannot tell.
    assert plan.cluster is not None
    replica = _site_replica(plan.serving_facts, plan.cluster, BLOCK_TOKENS)
    assert replica is not None
    before, after = (one.iteration_time.seconds(**STEP) for one in (replica, found.applied(replica)))
    assert after / before == pytest.approx(factor, rel=0.03)
    assert found.notes[0].startswith(
        "iterations are calibrated to metrics.txt, at 4.00 requests/s on one engine: host "
    )


def test_the_factors_scale_the_iterations_of_the_plans_hardware(plan: Plan) -> None:
    found = calibrated(plan, as_slow_as(plan, 1.6))
    assert plan.cluster is not None
    replica = _site_replica(plan.serving_facts, plan.cluster, BLOCK_TOKENS)
    assert replica is not None
    scaled = found.applied(replica).iteration_time
    assert scaled.weights == pytest.approx(replica.iteration_time.weights * found.factors[1])
    assert scaled.per_token == pytest.approx(replica.iteration_time.per_token * found.factors[2])


def test_metrics_of_another_model_are_not_calibrated_to(plan: Plan) -> None:
    found = calibrated(plan, as_slow_as(plan, 30))
    assert found.factors == (1.0,) * 6
    assert "so they are of another model or of other hardware" in found.notes[0]


def nothing() -> Quantiles:
    none = unknown("ms")
    return Quantiles(mean=none, p50=none, p95=none, p99=none)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "it has no engine metrics (serving.metrics in site.yaml)"),
        (metrics(nothing(), nothing(), nothing()), "no times of its engine is known"),
        (metrics(quantiles(np.ones(3)), nothing(), nothing(), rate=None), "no rate of its engine is known"),
    ],
)
def test_without_what_it_needs_nothing_is_calibrated_and_a_note_says_so(
    plan: Plan, found: EngineMetrics | None, says: str
) -> None:
    without = calibrated(plan, found)
    assert without.calibration is None
    assert without.factors == (1.0,) * 6
    assert says in without.notes[0]
