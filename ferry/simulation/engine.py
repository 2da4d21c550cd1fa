"""Simulates a fleet of engines: the entry of the compiled simulation."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np

from ferry.errors import InvalidField
from ferry.simulation.autoscaler import decide
from ferry.simulation.batching import compose, end_segment
from ferry.simulation.compiled import entry, part, sources_hash
from ferry.simulation.fleet import FleetSettings
from ferry.simulation.lifecycle import (
    assign,
    assign_waiting,
    change_phases,
    end_instance,
    next_change,
    reach_desired,
)
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.result import Instances, Periods, Result
from ferry.simulation.sampling import METRICS, PERIOD_S, sample, service_times
from ferry.simulation.state import (
    EMPTY,
    FLEET,
    IN_SERVICE,
    LAUNCHED,
    NEVER,
    NOBODY,
    PERIOD,
    Engine,
    Records,
    Requests,
    Rows,
    Settings,
    doubled,
    rows,
)
from ferry.simulation.tournament import update
from ferry.simulation.workload import Floats, Workload

DONE, NEEDS_ROOM, DESERTED = 0, 1, 2
"""How the compiled loop ends: a result; with a full array, to be called again with a larger one; without instances."""

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
    room = max(1, fleet.initial_instances)
    state = rows(1 << (room - 1).bit_length(), replica.max_sequences, replica.block_tokens)
    instances = np.zeros(room, LAUNCHED)
    periods = np.zeros(int(workload.arrival_s[-1] / PERIOD_S) + 60, PERIOD)
    counters = np.zeros(1, FLEET)
    counters["last_routed"] = NOBODY
    counters["desired"] = fleet.initial_instances
    counters["open_requests"] = len(workload)
    engine, settings = _engine(replica), _settings(fleet)
    parameters, policy_state, metric = np.empty(0), np.empty(0), 0
    if policy is not None:
        parameters, policy_state = policy.parameters(), policy.initial_state()
        metric = METRICS.index(policy.metric)
    while True:
        outcome = _run(
            requests, engine, settings, counters, state, instances, periods, parameters, policy_state, metric
        )
        if outcome != NEEDS_ROOM:
            break
        counted = counters[0]
        if counted["periods"] == len(periods):
            periods = np.concatenate([periods, np.zeros_like(periods)])
        if counted["launched"] == len(instances):
            instances = np.concatenate([instances, np.zeros_like(instances)])
        if counted["in_service"] + counted["pending"] + counted["draining"] == len(state.state):
            state = doubled(state)
    if outcome == DESERTED:
        raise InvalidField(
            f"fleet: {counters[0]['waiting']} requests wait at the gateway, no instance is left, and the policy "
            f"launched none in {PATIENCE_PERIODS // 1440} days after the last arrival; let its minimum be at least 1"
        )
    return Result(
        workload=workload,
        first_token_s=requests.first_token_s,
        last_token_s=requests.last_token_s,
        instance=requests.instance,
        retries=requests.retries,
        end_s=float(counters[0]["end_s"]),
        periods=Periods(**_columns(periods[: counters[0]["periods"]])),
        instances=Instances(**_columns(instances[: counters[0]["launched"]])),
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
    time = replica.iteration_time
    return Engine(
        fixed=float(time.fixed),
        weights=float(time.weights),
        per_token=float(time.per_token),
        per_sequence=float(time.per_sequence),
        per_cached_token=float(time.per_cached_token),
        per_attention_pair=float(time.per_attention_pair),
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
        notice_slots=fleet.spot_interruption_slots,
    )


@part
def _loop(
    requests: Requests,
    engine: Engine,
    settings: Settings,
    counters: Records,
    rows: Rows,
    instances: Records,
    periods: Records,
    parameters: Floats,
    policy_state: Floats,
    metric: int,
) -> int:
    fleet = counters[0]
    count = len(requests.arrival_s)
    while fleet.open_requests > 0:
        if fleet.in_service + fleet.pending != fleet.desired:
            if not reach_desired(fleet.now_s, fleet, rows, instances, settings):
                return NEEDS_ROOM
            fleet.change_s = next_change(fleet, rows, settings)
            assign_waiting(fleet.now_s, fleet, rows, requests, engine, settings)
        # At one time: ends of iterations, changes of instances, the end of a period, arrivals, starts of iterations.
        period_end_s = PERIOD_S * (fleet.periods + 1)
        now_s = min(period_end_s, fleet.change_s)
        is_arrival = fleet.upcoming < count and requests.arrival_s[fleet.upcoming] < now_s
        if is_arrival:
            now_s = requests.arrival_s[fleet.upcoming]
        fleet.now_s = now_s
        while True:
            index = rows.due_row[1]
            due_s = rows.due_key[1]
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
                    fleet.open_requests -= finished
                    fleet.end_s = due_s
                    if row.phase == IN_SERVICE:
                        update(rows.route_key, rows.route_row, index, (row.outstanding << 32) | row.instance)
                    elif row.outstanding == 0:
                        end_instance(index, due_s, fleet, rows, instances)
                        continue
                if due_s == now_s:
                    row.starting = 1
                    update(rows.due_key, rows.due_row, index, np.nextafter(due_s, NEVER))
                    continue
            fleet.preemptions += compose(
                row, rows.finishing[index], rows.prompts[index], rows.residues[index], requests, engine, due_s
            )
            update(rows.due_key, rows.due_row, index, row.end_s)
        if is_arrival:
            request = fleet.upcoming
            fleet.upcoming += 1
            if requests.input_tokens[request] + requests.output_tokens[request] > engine.longest:
                requests.first_token_s[request] = np.nan
                requests.last_token_s[request] = np.nan
                requests.instance[request] = NOBODY
                fleet.open_requests -= 1
            else:
                assign(request, now_s, fleet, rows, requests, engine, settings)
        elif fleet.open_requests == 0:
            break
        elif now_s == fleet.change_s:
            change_phases(now_s, fleet, rows, requests, instances, engine, settings)
            fleet.change_s = next_change(fleet, rows, settings)
        else:
            if fleet.periods == len(periods):
                return NEEDS_ROOM
            period = periods[fleet.periods]
            fleet.periods += 1
            sample(period, now_s, fleet, rows, requests, engine)
            if len(parameters) > 0:
                fleet.desired = decide(
                    parameters,
                    policy_state,
                    now_s,
                    period.load if metric == 0 else period.kv_use if metric == 1 else period.utilisation,
                    fleet.desired,
                    rows.scratch_s[: service_times(rows.scratch_s, rows, instances)],
                    fleet.draining,
                )
            period.desired = fleet.desired
            if fleet.upcoming == count and fleet.in_service + fleet.pending + fleet.draining == 0:
                fleet.deserted_periods += 1
                if fleet.deserted_periods > PATIENCE_PERIODS:
                    return DESERTED
    for index in range(len(rows.state)):
        if rows.state[index].phase != EMPTY:
            end_instance(index, fleet.end_s, fleet, rows, instances)
    return DONE


def _compiled_under(sources: str) -> Any:
    """The entry, in a cache that a change of any of this package's sources makes void."""

    @entry
    def run(
        requests: Requests,
        engine: Engine,
        settings: Settings,
        fleet: Records,
        rows: Rows,
        instances: Records,
        periods: Records,
        parameters: Floats,
        policy_state: Floats,
        metric: int,
    ) -> int:
        sources  # noqa: B018  (a variable of the outer function is part of numba's key)
        return _loop(requests, engine, settings, fleet, rows, instances, periods, parameters, policy_state, metric)

    return run


_run = _compiled_under(sources_hash())
