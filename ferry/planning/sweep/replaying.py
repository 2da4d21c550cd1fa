"""One replay of a sweep: what a worker is given, and the few figures that it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferry.planning.horizon import horizon_s
from ferry.planning.quantile import quantile
from ferry.simulation import spot
from ferry.simulation.autoscaler import compile_spec
from ferry.simulation.engine import simulate
from ferry.simulation.fleet import FleetSettings
from ferry.simulation.iteration_time import IterationTime
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.scaling_spec import ScalingSpec
from ferry.simulation.workload import Workload

Arrays = tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32] | None]


@dataclass(frozen=True, kw_only=True)
class Task:
    """All that decides the times of a fleet; candidates with equal tasks differ in price only.

    `start_s` is 0 where no instance is ever launched. `interrupted_per_hour` is the rate of one Spot Instance.
    """

    replica: ReplicaSettings
    spec: ScalingSpec
    start_s: float
    spot_percentage: int
    interrupted_per_hour: float
    started_at: datetime
    seed: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a replay gives. Times in seconds, instances over time, purchased and computing instance-seconds."""

    ttft_p99_s: float
    tpot_p99_s: float
    latency_p99_s: float
    refused: int
    retried: int
    on_demand_s: float
    spot_s: float
    end_s: float
    instances_mean: float
    instances_max: int
    utilization: float
    busy_s: float


def arrays_of(workload: Workload) -> Arrays:
    """The workload as joblib shares it: plain arrays, which it keeps in one file or sends once."""
    return workload.arrival_s, workload.input_tokens, workload.output_tokens, workload.cached_tokens


def replay_all(arrays: Arrays, tasks: Sequence[Task]) -> list[Measured]:
    """Replay the workload once for each task."""
    workload = _workload(arrays)
    return [measure(workload, task) for task in tasks]


def measure(workload: Workload, task: Task) -> Measured:
    """Replay the whole workload against one fleet."""
    until_s = horizon_s(float(workload.arrival_s[-1]))
    program = compile_spec(task.spec, start=task.started_at, horizon_s=until_s)
    interruptions = spot.Interruptions(np.empty(0), np.empty(0, dtype=np.int32))
    if task.interrupted_per_hour and task.spot_percentage:
        interruptions = spot.poisson(
            per_hour=task.interrupted_per_hour, instances=task.spec.max_size, horizon_s=until_s, seed=task.seed
        )
    fleet = FleetSettings(
        initial_instances=program.initial_instances,
        start_s=task.start_s,
        spot_share=task.spot_percentage / 100,
        spot_interruptions_s=interruptions.time_s,
        spot_interruption_slots=interruptions.slot,
    )
    result = simulate(workload, task.replica, fleet, program)
    served = ~result.refused
    gaps = result.tpot_s[np.isfinite(result.tpot_s)]
    lifetimes = result.instances.ended_s - result.instances.launched_s
    return Measured(
        ttft_p99_s=quantile(result.ttft_s[served], 0.99),
        tpot_p99_s=quantile(gaps, 0.99) if len(gaps) else 0.0,
        latency_p99_s=quantile(result.latency_s[served], 0.99),
        refused=int(result.refused.sum()),
        retried=int((result.retries > 0).sum()),
        on_demand_s=result.instance_seconds(spot=False),
        spot_s=result.instance_seconds(spot=True),
        end_s=result.end_s,
        instances_mean=float(lifetimes.sum()) / result.end_s,
        instances_max=int((result.periods.in_service + result.periods.pending).max(initial=program.initial_instances)),
        utilization=result.utilisation,
        busy_s=float(result.instances.busy_s.sum()),
    )


def warm_up() -> None:
    """Compile the simulation, into the cache that worker processes then load it from."""
    workload = Workload(arrival_s=np.zeros(1), input_tokens=np.ones(1, np.int32), output_tokens=np.ones(1, np.int32))
    time = IterationTime(fixed=1.0)
    replica = ReplicaSettings(iteration_time=time, max_sequences=1, max_batched_tokens=1, kv_blocks=1)
    simulate(workload, replica, FleetSettings(initial_instances=1))


def _workload(arrays: Arrays) -> Workload:
    """Arrays of exactly the kind that the simulation is compiled for: a mapped or a received one may be another."""
    arrival, inputs, outputs, cached = arrays
    return Workload(
        arrival_s=_plain(arrival),
        input_tokens=_plain(inputs),
        output_tokens=_plain(outputs),
        cached_tokens=None if cached is None else _plain(cached),
    )


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.require(array, requirements=["C", "A", "W"]))
