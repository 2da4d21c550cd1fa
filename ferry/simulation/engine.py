"""Simulates a fleet of engines: the entry of the compiled simulation."""

from __future__ import annotations

import math
from dataclasses import astuple
from typing import Any, Literal, Protocol

import numpy as np

from ferry.errors import InvalidField
from ferry.simulation.autoscaler import decide
from ferry.simulation.batching import compose, end_segment
from ferry.simulation.compiled import entry, inner, sources_hash
from ferry.simulation.fleet import FleetSettings
from ferry.simulation.lifecycle import (
    FLEET,
    Settings,
    assign,
    assign_waiting,
    change_phases,
    end_instance,
    launch,
    next_change,
    reach_desired,
)
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.result import Instances, Periods, Result
from ferry.simulation.sampling import METRICS, PERIOD_S, sample, service_times
from ferry.simulation.state import (
    EMPTY,
    IN_SERVICE,
    LAUNCHED,
    NEVER,
    NOBODY,
    PERIOD,
    Engine,
    Requests,
    empty_rows,
)
from ferry.simulation.tournament import seed, update
from ferry.simulation.workload import Floats, Workload

PATIENCE_PERIODS = 14 * 24 * 60
"""Minutes that requests wait without any instance, after the last arrival, before the simulation gives up."""


class Policy(Protocol):
    """What the engine needs of a policy, see `ferry.simulation.autoscaler`."""

    @property
    def metric(self) -> Literal["load", "kv_use", "utilisation"]:
        """What the datapoint of each minute is the mean of, over the instances in service."""

    def parameters(self) -> Floats:
        """float64[any]: as `decide` reads them."""

    def initial_state(self) -> Floats:
        """float64[any]: what `decide` changes from minute to minute."""


def simulate(
    workload: Workload, replica: ReplicaSettings, fleet: FleetSettings, policy: Policy | None = None
) -> Result:
    """Replay the workload until its last request is finished. Nothing is random: equal inputs give equal results.

    Without a policy the number of instances stays as it is (a lost Spot instance is replaced).
    Raises InvalidField when no instance is left, and none will come, for requests that wait.
    """
    if policy is None and fleet.initial_instances == 0:
        raise InvalidField("fleet: initial_instances is 0 and there is no scaling policy; give at least 1 instance")
    requests = _requests(workload)
    rows = empty_rows(
        1 << math.ceil(math.log2(max(1, fleet.initial_instances))), replica.max_sequences, replica.block_tokens
    )
    counters = np.zeros(1, FLEET)
    nothing = np.empty(0)
    instances, periods = _run(
        requests,
        _engine(replica),
        _settings(fleet),
        counters,
        rows,
        fleet.initial_instances,
        nothing if policy is None else policy.parameters(),
        nothing if policy is None else policy.initial_state(),
        METRICS.index("load" if policy is None else policy.metric),
    )
    if counters[0]["waiting"]:
        raise InvalidField(
            f"fleet: {counters[0]['waiting']} requests wait at the gateway, no instance is left, and the policy launched "
            f"none in {PATIENCE_PERIODS // 1440} days after the last arrival; let its minimum be at least 1"
        )
    return Result(
        workload=workload,
        first_token_s=requests.first_token_s,
        last_token_s=requests.last_token_s,
        instance=requests.instance,
        retries=requests.retries,
        end_s=float(counters[0]["end_s"]),
        periods=Periods(**_columns(periods)),
        instances=Instances(**_columns(instances)),
        preemptions=int(counters[0]["preemptions"]),
        iterations=int(counters[0]["iterations"]),
    )


def _columns(records: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {name: np.ascontiguousarray(records[name]) for name in records.dtype.names or ()}


def _requests(workload: Workload) -> Requests:
    count = len(workload)
    cached = workload.cached_tokens
    return Requests(
        arrival_s=workload.arrival_s,
        input_tokens=workload.input_tokens,
        output_tokens=workload.output_tokens,
        # Memory that is only read while it is zero takes no place.
        cached_tokens=np.zeros(count, np.int32) if cached is None else cached.copy(),
        first_token_s=np.empty(count),
        last_token_s=np.empty(count),
        instance=np.empty(count, np.int32),
        retries=np.zeros(count, np.int16),
        following=np.empty(count, np.int32),
        admission=np.empty(count, np.int32),
        generated=np.zeros(count, np.int32),
    )


def _engine(replica: ReplicaSettings) -> Engine:
    capacity = replica.kv_blocks * replica.block_tokens
    return Engine(
        *(float(coefficient) for coefficient in astuple(replica.iteration_time)),
        max_sequences=replica.max_sequences,
        max_batched_tokens=replica.max_batched_tokens,
        kv_blocks=replica.kv_blocks,
        block_shift=replica.block_tokens.bit_length() - 1,
        longest=capacity if replica.max_model_len is None else min(capacity, replica.max_model_len),
        lookahead=replica.lookahead_iterations,
    )


def _settings(fleet: FleetSettings) -> Settings:
    return Settings(
        is_round_robin=fleet.routing == "round_robin",
        start_s=float(fleet.start_s),
        warm_start_s=float(fleet.warm_start_s),
        warm_ready_s=np.zeros(fleet.warm_pool_size),
        deregistration_delay_s=float(fleet.deregistration_delay_s),
        on_demand_base=fleet.on_demand_base,
        spot_share=float(fleet.spot_share),
        notices_s=fleet.spot_interruptions_s,
    )


@inner
def _loop(  # type: ignore[no-untyped-def]
    requests, engine, settings, counters, rows, initial, parameters, policy_state, metric
):
    fleet = counters[0]
    instances = np.empty(max(1, initial), dtype=LAUNCHED)
    periods = np.empty(64, dtype=PERIOD)
    seed(rows.due_key, rows.due_winner)
    seed(rows.route_key, rows.route_winner)
    fleet.desired = initial
    for _ in range(initial):
        rows, instances = launch(0.0, fleet, rows, instances, settings, True)
    count = len(requests.arrival_s)
    open_requests = count
    upcoming = 0
    period_count = 0
    without_instance = 0
    change_s = next_change(fleet, rows, settings)
    while open_requests > 0:
        period_end_s = PERIOD_S * (period_count + 1)
        now_s = min(period_end_s, change_s)
        if upcoming < count:
            now_s = min(now_s, requests.arrival_s[upcoming])
        # Engines, up to the end of the segments that end now. The next segments start after all else of this time.
        while True:
            index = rows.due_winner[1]
            due_s = rows.due_key[index]
            if due_s > now_s:
                break
            row = rows.state[index]
            if row.starting:
                row.starting = 0
                due_s = row.end_s
            else:
                fleet.iterations += row.iterations
                finished = end_segment(
                    row, rows.finishing[index], rows.prompts[index], rows.residues[index], requests, engine
                )
                if finished > 0:
                    open_requests -= finished
                    fleet.end_s = due_s
                    if row.phase == IN_SERVICE:
                        rows.route_key[index] -= finished << 32
                        update(rows.route_key, rows.route_winner, index)
                    elif row.outstanding == 0:
                        end_instance(index, due_s, fleet, rows, instances)
                        continue
                if due_s == now_s:
                    row.starting = 1
                    rows.due_key[index] = np.nextafter(due_s, NEVER)
                    update(rows.due_key, rows.due_winner, index)
                    continue
            fleet.preemptions += compose(
                row, rows.finishing[index], rows.prompts[index], rows.residues[index], requests, engine, due_s
            )
            rows.due_key[index] = row.end_s
            update(rows.due_key, rows.due_winner, index)
        if open_requests == 0:
            break
        if now_s == change_s:
            change_phases(now_s, fleet, rows, requests, instances, engine, settings)
            rows, instances = reach_desired(now_s, fleet, rows, instances, settings)
        if now_s == period_end_s:
            if period_count == len(periods):
                longer = np.empty(2 * period_count, dtype=PERIOD)
                longer[:period_count] = periods
                periods = longer
            period = periods[period_count]
            period_count += 1
            sample(period, now_s, fleet, rows, requests, engine)
            if len(parameters) > 0:
                datapoint = period.load if metric == 0 else period.kv_use if metric == 1 else period.utilisation
                fleet.desired = decide(
                    parameters,
                    policy_state,
                    now_s,
                    datapoint,
                    fleet.desired,
                    service_times(fleet, rows, instances),
                    fleet.draining,
                )
                rows, instances = reach_desired(now_s, fleet, rows, instances, settings)
            period.desired = fleet.desired
            is_deserted = upcoming == count and fleet.in_service + fleet.pending + fleet.draining == 0
            without_instance = without_instance + 1 if is_deserted else 0
            if without_instance > PATIENCE_PERIODS:
                return instances[: fleet.launched], periods[:period_count]
        if now_s == change_s or now_s == period_end_s:
            if fleet.waiting > 0:
                # Instances that need no time to start.
                assign_waiting(now_s, fleet, rows, requests, engine, settings)
            change_s = next_change(fleet, rows, settings)
        while upcoming < count and requests.arrival_s[upcoming] == now_s:
            if requests.input_tokens[upcoming] + requests.output_tokens[upcoming] > engine.longest:
                requests.first_token_s[upcoming] = np.nan
                requests.last_token_s[upcoming] = np.nan
                requests.instance[upcoming] = NOBODY
                open_requests -= 1
            else:
                assign(upcoming, now_s, fleet, rows, requests, engine, settings)
            upcoming += 1
    for index in range(len(rows.state)):
        row = rows.state[index]
        if row.phase != EMPTY:
            end_instance(index, fleet.end_s, fleet, rows, instances)
    return instances[: fleet.launched], periods[:period_count]


def _compiled_under(sources: str) -> Any:
    """The entry, in a cache that a change of any of this package's sources makes void."""

    @entry
    def run(  # type: ignore[no-untyped-def]
        requests, engine, settings, counters, rows, initial, parameters, policy_state, metric
    ):
        sources  # noqa: B018  (a variable of the outer function is part of numba's key)
        return _loop(requests, engine, settings, counters, rows, initial, parameters, policy_state, metric)

    return run


_run = _compiled_under(sources_hash())
