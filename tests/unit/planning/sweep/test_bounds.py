"""No replay is ever better than a bound, whatever the requests, the engine and the fleet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry.planning.quantile import quantile
from ferry.planning.sweep.bounds import Bounds
from ferry.planning.sweep.replaying import Task, measure
from ferry.simulation.iteration_time import IterationTime
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.scaling_spec import ScalingSpec, TargetTracking
from ferry.simulation.workload import Workload

pytestmark = pytest.mark.xdist_group("simulation")


def replica(**changes: Any) -> ReplicaSettings:
    time = {
        "fixed": 0.002,
        "weights": 0.02,
        "per_token": 1e-4,
        "per_sequence": 1e-5,
        "per_cached_token": 1e-7,
        "per_attention_pair": 1e-9,
    }
    engine = {"max_sequences": 8, "max_batched_tokens": 512, "kv_blocks": 2000}
    for name in list(changes):
        if name in time:
            time[name] = changes.pop(name)
    return ReplicaSettings(iteration_time=IterationTime(**time), **{**engine, **changes})


def workload(arrivals: list[float], inputs: list[int], outputs: list[int], cached: list[int] | None = None) -> Workload:
    return Workload(
        arrival_s=np.array(arrivals),
        input_tokens=np.array(inputs, np.int32),
        output_tokens=np.array(outputs, np.int32),
        cached_tokens=None if cached is None else np.array(cached, np.int32),
    )


def task(engine: ReplicaSettings, low: int, high: int, start_s: float = 300.0) -> Task:
    policies = (TargetTracking(target=0.6),) if low < high else ()
    return Task(
        replica=engine,
        spec=ScalingSpec(min_size=low, max_size=high, initial=low, policies=policies, warmup_seconds=60),
        start_s=start_s,
        spot_percentage=0,
        interrupted_per_hour=0.0,
        started_at=datetime(2026, 11, 23, tzinfo=UTC),
        seed=0,
    )


def test_a_request_alone_takes_exactly_what_the_bound_says() -> None:
    alone = workload([0.0], [1000], [5], [100])
    known = Bounds(alone, replica())
    # 900 tokens in two chunks: 2 x (2 ms + 10 us), 90 ms of matrices, attention over 900 tokens after 100.
    assert known.ttft_p99_s == pytest.approx(2 * 0.00201 + 0.09 + 1e-9 * (900 * 100 + 900 * 901 / 2))
    measured = measure(alone, task(replica(), 1, 1))
    assert measured.ttft_p99_s >= known.ttft_p99_s
    assert measured.ttft_p99_s == pytest.approx(known.ttft_p99_s, rel=1e-9)
    assert known.tpot_p99_s == pytest.approx(0.02201)
    assert measured.tpot_p99_s == pytest.approx(0.02201 + 1002.5e-7)


def test_a_short_prompt_takes_the_time_of_reading_the_weights() -> None:
    assert Bounds(workload([0.0], [10], [1]), replica()).ttft_p99_s == pytest.approx(0.02201 + 55e-9)


def test_what_is_refused_is_exact_and_does_not_count_for_the_times() -> None:
    known = Bounds(workload([0.0, 1.0], [10, 40_000], [1, 1]), replica())
    assert known.refused_share == 0.5
    assert known.ttft_p99_s == pytest.approx(0.02201 + 55e-9)


def test_a_quantile_is_the_nearest_rank() -> None:
    values = np.arange(1.0, 201.0)
    assert [quantile(values, share) for share in (0.99, 0.5, 0.001)] == [198, 100, 1]
    assert quantile(values, 0.99) == np.quantile(values, 0.99, method="inverted_cdf")


def test_a_burst_needs_as_many_instances_as_its_work() -> None:
    """800 at once, 100 tokens in and out: in a batch of 8, each takes 100 x 21 ms / 8 = 0.26 s of an engine.

    8 may be late and 8 an instance unfinished: (792 - 8 n) 0.26 s <= n 10 s from n = 17.3 on.
    """
    burst = workload([0.0] * 800, [100] * 800, [100] * 800)
    known = Bounds(burst, replica())
    least = known.least_instances(10.0)
    assert least == 18
    assert measure(burst, task(replica(), least - 1, least - 1)).ttft_p99_s > 10.0


engines = st.builds(
    replica,
    weights=st.sampled_from([0.0, 0.005, 0.03]),
    per_token=st.sampled_from([0.0, 1e-5, 2e-4]),
    per_cached_token=st.sampled_from([0.0, 1e-7, 5e-6]),
    per_attention_pair=st.sampled_from([0.0, 1e-9, 1e-7]),
    max_sequences=st.sampled_from([1, 4, 16]),
    max_batched_tokens=st.sampled_from([16, 64, 512]),
    kv_blocks=st.sampled_from([40, 80, 1000]),
    lookahead_iterations=st.sampled_from([0, 1]),
)


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    count = draw(st.integers(1, 300))
    seconds = draw(st.sampled_from([1.0, 60.0, 600.0]))
    inputs = random.integers(2, draw(st.sampled_from([10, 300, 600])), count)
    cached = (inputs * random.uniform(0, 0.9, count)).astype(int) if draw(st.booleans()) else None
    return workload(
        sorted(random.uniform(0, seconds, count)),
        list(inputs),
        list(random.integers(1, draw(st.sampled_from([2, 40, 300])), count)),
        None if cached is None else list(cached),
    )


@settings(max_examples=150)
@given(requested=workloads(), engine=engines, low=st.integers(1, 4), more=st.integers(0, 3))
def test_no_replay_is_faster_than_the_idle_bounds(
    requested: Workload, engine: ReplicaSettings, low: int, more: int
) -> None:
    known = Bounds(requested, engine)
    if not known.served.any():
        return
    measured = measure(requested, task(engine, low, low + more))
    slack = 1 + 1e-9
    assert measured.refused == round(known.refused_share * len(requested))
    assert measured.ttft_p99_s * slack >= known.ttft_p99_s
    assert measured.tpot_p99_s * slack >= known.tpot_p99_s
    assert measured.latency_p99_s * slack >= known.latency_p99_s


@settings(max_examples=150)
@given(
    requested=workloads(),
    engine=engines,
    slo_s=st.sampled_from([0.5, 3.0, 20.0]),
    low=st.integers(1, 4),
    data=st.data(),
)
def test_no_fleet_of_fewer_instances_than_the_bound_keeps_the_promise(
    requested: Workload, engine: ReplicaSettings, slo_s: float, low: int, data: st.DataObject
) -> None:
    known = Bounds(requested, engine)
    least = known.least_instances(slo_s)
    assert known.holds_for(300.0)
    if not known.served.any() or least <= 1:
        return
    high = data.draw(st.integers(max(1, least - 2), least - 1))
    assert measure(requested, task(engine, min(low, high), high)).ttft_p99_s > slo_s


def test_the_bound_on_instances_is_left_out_where_successors_start_before_the_drain_ends() -> None:
    known = Bounds(workload([0.0], [10], [1]), replica())
    assert [known.holds_for(start_s) for start_s in (299.0, 300.0)] == [False, True]
