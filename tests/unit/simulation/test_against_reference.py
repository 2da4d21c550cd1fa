"""The compiled engine against the slow reference, which was written from the same description by someone else."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry.simulation.autoscaler import ScalingProgram, compile_spec, decide
from ferry.simulation.engine import simulate
from ferry.simulation.fleet import FleetSettings
from ferry.simulation.iteration_time import IterationTime
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.result import Result
from ferry.simulation.scaling_spec import AlarmSpec, ScalingSpec, StepAdjustment, StepPolicy
from ferry.simulation.workload import Workload
from tests import simulation_reference as reference

LLAMA = IterationTime(
    fixed=2e-3,
    weights=12e-3,
    per_token=45e-6,
    per_sequence=5e-6,
    per_cached_token=1e-7,
    per_attention_pair=2e-9,
)
SLOW = IterationTime(**{name: 4 * seconds for name, seconds in asdict(LLAMA).items()})
"""So that fleets have enough to do with few iterations, which the reference makes one by one."""


@dataclass(frozen=True)
class Case:
    """What is simulated twice."""

    workload: Workload
    replica: ReplicaSettings
    fleet: FleetSettings = field(default_factory=lambda: FleetSettings(initial_instances=1))
    spec: ScalingSpec | None = None

    def fast(self) -> Result:
        policy = compile_spec(self.spec) if self.spec else None
        return simulate(self.workload, self.replica, self.fleet, policy)

    def slow(self) -> reference.Result:
        engine = {name: value for name, value in asdict(self.replica).items() if name != "iteration_time"}
        fleet = {name: getattr(self.fleet, name) for name in FleetSettings.__dataclass_fields__}
        if self.spec:
            fleet |= {"decide": as_python(compile_spec(self.spec)), "metric": self.spec.metric}
        return reference.simulate(
            self.workload.arrival_s,
            self.workload.input_tokens,
            self.workload.output_tokens,
            cached_tokens=self.workload.cached_tokens,
            engine=reference.Engine(**engine),
            time=reference.IterationTime(**asdict(self.replica.iteration_time)),
            fleet=reference.Fleet(**fleet),
        )


def as_python(program: ScalingProgram) -> reference.Decide:
    """The autoscaler, whose rules have tests of their own, for the reference."""
    parameters, state = program.parameters(), program.initial_state()
    function: Any = getattr(decide, "py_func", decide)

    def call(now: float, datapoint: float | None, desired: int, since: list[float], terminating: int) -> int:
        value = math.nan if datapoint is None else datapoint
        return int(function(parameters, state, now, value, desired, np.array(since, dtype=np.float64), terminating))

    return call


def requests(
    count: int, seconds: float, *, seed: int, input_mean: float = 500, output_mean: float = 80, cached: bool = False
) -> Workload:
    """Poisson arrivals with lengths as skewed as in chats."""
    random = np.random.default_rng(seed)
    inputs = np.maximum(1, random.lognormal(math.log(input_mean), 0.9, count)).astype(np.int32)
    return Workload(
        arrival_s=np.sort(random.uniform(0, seconds, count)),
        input_tokens=inputs,
        output_tokens=np.maximum(1, random.exponential(output_mean, count)).astype(np.int32),
        cached_tokens=(inputs * random.uniform(0, 0.9, count)).astype(np.int32) if cached else None,
    )


def replica(**changes: Any) -> ReplicaSettings:
    values: dict[str, Any] = {
        "iteration_time": LLAMA,
        "max_sequences": 32,
        "max_batched_tokens": 1024,
        "kv_blocks": 20_000,
    }
    return ReplicaSettings(**values | changes)


def scaling(**changes: Any) -> ScalingSpec:
    alarm = AlarmSpec(threshold=0.8, comparison="GreaterThanThreshold", evaluation_periods=2, datapoints_to_alarm=2)
    low = replace(alarm, threshold=0.3, comparison="LessThanThreshold")
    values: dict[str, Any] = {
        "min_size": 1,
        "max_size": 6,
        "initial": 2,
        "warmup_seconds": 60,
        "policies": (
            StepPolicy(alarm=alarm, steps=(StepAdjustment(lower_bound=0, upper_bound=None, adjustment=2),)),
            StepPolicy(alarm=low, steps=(StepAdjustment(lower_bound=None, upper_bound=0, adjustment=-1),)),
        ),
    }
    return ScalingSpec(**values | changes)


def rush(count: int, seed: int) -> Workload:
    """Quiet, then a rush, then quiet."""
    random = np.random.default_rng(seed)
    arrival = np.concatenate([random.uniform(0, 1200, count // 4), random.uniform(200, 500, count - count // 4)])
    return replace(requests(count, 1.0, seed=seed, input_mean=300, output_mean=400), arrival_s=np.sort(arrival))


FLEET = FleetSettings(initial_instances=3)
CASES = {
    "prompts in chunks": Case(requests(150, 10, seed=1, input_mean=1500), replica(max_batched_tokens=256)),
    "the old way of scheduling": Case(requests(150, 10, seed=2), replica(lookahead_iterations=0)),
    "hits in a prefix cache": Case(requests(150, 10, seed=3, cached=True), replica()),
    "a full KV cache with preemption": Case(requests(150, 10, seed=4, output_mean=200), replica(kv_blocks=900)),
    "preemption with the old way of scheduling": Case(
        requests(120, 10, seed=5, output_mean=200), replica(kv_blocks=700, lookahead_iterations=0)
    ),
    "a KV cache of one request": Case(
        requests(60, 10, seed=6, input_mean=200, output_mean=60), replica(kv_blocks=90, max_batched_tokens=64)
    ),
    "one sequence at a time": Case(requests(60, 60, seed=7, output_mean=20), replica(max_sequences=1)),
    "some are refused": Case(requests(120, 20, seed=8), replica(max_model_len=700)),
    "the queue shortest in requests": Case(requests(200, 10, seed=9), replica(max_sequences=8), FLEET),
    "one after the other": Case(
        requests(200, 10, seed=10), replica(max_sequences=8), replace(FLEET, routing="round_robin")
    ),
    "scaling out and in": Case(
        rush(350, seed=11),
        replica(iteration_time=SLOW, max_sequences=8),
        FleetSettings(initial_instances=2, start_s=95, deregistration_delay_s=5),
        scaling(),
    ),
    "scaling by KV cache with a warm pool": Case(
        rush(350, seed=12),
        replica(iteration_time=SLOW, max_sequences=16, kv_blocks=400),
        FleetSettings(initial_instances=2, start_s=200, warm_pool_size=1, warm_start_s=30, deregistration_delay_s=2),
        scaling(metric="kv_use"),
    ),
    "scaling by utilisation": Case(
        rush(350, seed=13),
        replica(iteration_time=SLOW, max_sequences=8),
        FleetSettings(initial_instances=2, start_s=40, routing="round_robin"),
        scaling(metric="utilisation"),
    ),
    "Spot instances are lost": Case(
        requests(200, 400, seed=14, output_mean=900),
        replica(iteration_time=SLOW, max_sequences=8),
        FleetSettings(
            initial_instances=3,
            start_s=100,
            on_demand_base=1,
            spot_share=1,
            spot_interruptions_s=np.array([50.0, 60.0, 60.0, 200.0, 201.0]),
            spot_interruption_slots=np.array([1, 0, 5, 0, 1]),
        ),
    ),
    "all instances are lost": Case(
        requests(200, 200, seed=15, output_mean=600),
        replica(iteration_time=SLOW, max_sequences=8),
        FleetSettings(initial_instances=2, start_s=300, spot_share=1, spot_interruptions_s=np.array([30.0, 40.0])),
    ),
}


@cache
def both(name: str) -> tuple[Result, reference.Result]:
    return CASES[name].fast(), CASES[name].slow()


def differences(fast: Result, slow: reference.Result) -> dict[str, float]:
    """Largest relative difference of each time, over all requests."""
    np.testing.assert_array_equal(fast.refused, slow.refused)
    served = ~slow.refused
    return {
        name: float(np.abs(getattr(fast, name) / getattr(slow, name) - 1)[served].max(initial=0))
        for name in ("first_token_s", "last_token_s")
    }


@pytest.mark.parametrize("name", CASES)
def test_each_request_has_its_tokens_when_the_reference_says(name: str) -> None:
    assert differences(*both(name)) == pytest.approx({"first_token_s": 0, "last_token_s": 0}, abs=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_the_fleet_looks_as_the_reference_says(name: str) -> None:
    fast, slow = both(name)
    np.testing.assert_array_equal(fast.instance, slow.replica)
    np.testing.assert_array_equal(fast.retries, slow.retries)
    assert (fast.preemptions, fast.iterations) == (slow.preemptions, slow.iterations)
    assert fast.end_s == pytest.approx(slow.end_s, rel=1e-12)
    assert fast.instance_seconds(spot=True) == pytest.approx(slow.instance_seconds["spot"], rel=1e-9)
    assert fast.instance_seconds(spot=False) == pytest.approx(slow.instance_seconds["on-demand"], rel=1e-9)
    assert fast.instances.busy_s.sum() == pytest.approx(slow.busy_s, rel=1e-9)
    for name_ in ("in_service", "pending", "draining", "desired", "running", "waiting", "gateway"):
        np.testing.assert_array_equal(getattr(fast.periods, name_), [getattr(one, name_) for one in slow.minutes])
    for name_ in ("load", "kv_use", "utilisation"):
        expected = [np.nan if (value := getattr(one, name_)) is None else value for one in slow.minutes]
        np.testing.assert_allclose(getattr(fast.periods, name_), expected, rtol=1e-9, atol=1e-12)


def test_the_cases_contain_what_they_are_named_after() -> None:
    slow = {name: both(name)[1] for name in CASES}
    assert slow["a full KV cache with preemption"].preemptions > 20
    assert slow["preemption with the old way of scheduling"].preemptions > 20
    assert slow["a KV cache of one request"].preemptions > 5
    assert 0 < slow["some are refused"].refused.sum() < 100
    for name in ("scaling out and in", "scaling by KV cache with a warm pool", "scaling by utilisation"):
        sizes = [one.in_service for one in slow[name].minutes]
        assert sizes[0] < max(sizes) > sizes[-1]
    assert slow["scaling out and in"].retries.sum() > 0
    assert slow["Spot instances are lost"].retries.sum() > 0
    assert max(one.gateway for one in slow["all instances are lost"].minutes) > 10


lengths = st.integers(1, 40)
request_lists = st.lists(st.tuples(st.floats(0, 5, width=32), lengths, st.integers(1, 25)), min_size=1, max_size=25)


@settings(max_examples=120)
@given(
    rows=request_lists,
    max_sequences=st.integers(1, 5),
    extra_tokens=st.integers(0, 20),
    kv_blocks=st.integers(1, 12),
    block_tokens=st.sampled_from([1, 4, 16]),
    lookahead=st.sampled_from([0, 1]),
    instances=st.integers(1, 3),
    routing=st.sampled_from(["least_outstanding_requests", "round_robin"]),
)
def test_small_engines_of_any_settings_agree_with_the_reference(
    rows: list[tuple[float, int, int]],
    max_sequences: int,
    extra_tokens: int,
    kv_blocks: int,
    block_tokens: int,
    lookahead: int,
    instances: int,
    routing: Any,
) -> None:
    arrival, inputs, outputs = (np.array(column) for column in zip(*sorted(rows), strict=True))
    case = Case(
        Workload(arrival_s=arrival, input_tokens=inputs, output_tokens=outputs),
        replica(
            iteration_time=IterationTime(fixed=0.03, per_token=0.007, per_cached_token=0.001, per_sequence=0.002),
            max_sequences=max_sequences,
            max_batched_tokens=max_sequences + extra_tokens,
            kv_blocks=kv_blocks,
            block_tokens=block_tokens,
            lookahead_iterations=lookahead,
        ),
        FleetSettings(initial_instances=instances, routing=routing),
    )
    assert differences(case.fast(), case.slow()) == pytest.approx({"first_token_s": 0, "last_token_s": 0}, abs=1e-9)
