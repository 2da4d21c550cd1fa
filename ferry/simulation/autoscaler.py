"""AWS's scaling of a fleet, minute by minute: alarms, policies and schedules in, desired capacity out.

    program = compile_spec(spec, start=..., horizon_s=...)   # a policy as `ferry.simulation.engine.simulate` takes it
    state = program.initial_state()                          # fresh for each run
    desired = program.initial_instances                      # at t = 0
    at t = 60, 120, 180, …, none left out:
        desired = decide(program.parameters(), state, t, datapoint, desired, service_from_s, terminating)

`decide.py_func` is the same in plain Python.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import get_args

import numpy as np

from ferry.errors import InvalidField
from ferry.simulation import alarms, schedule, step_scaling, target_tracking
from ferry.simulation.compiled import helper, inner
from ferry.simulation.scaling_spec import (
    AdjustmentType,
    Aggregation,
    AlarmSpec,
    Comparison,
    Metric,
    MissingData,
    Policy,
    ScalingSpec,
    SimplePolicy,
    TargetTracking,
)
from ferry.simulation.workload import Floats

MINUTE_S = 60

# Layout of the parameters: this header, then the rows of alarms, policies, steps and scheduled actions.
_MIN, _MAX, _WARMUP_S, _ALARMS, _POLICIES, _STEPS, _ACTIONS, _SAMPLES, _HEADER = range(9)
# A row of an alarm.
_THRESHOLD, _COMPARISON, _PERIOD, _EVALUATION_PERIODS, _DATAPOINTS, _MISSING_DATA, _ALARM_WIDTH = range(7)
# A row of a policy. A target-tracking policy has two, one for each of its alarms.
(
    _KIND,
    _ALARM,
    _FIRST_STEP,
    _END_STEP,
    _ADJUSTMENT_TYPE,
    _MAGNITUDE,
    _AGGREGATION,
    _COOLDOWN_S,
    _TARGET,
    _POLICY_WIDTH,
) = range(10)
_STEP, _SIMPLE, _TRACK_OUT, _TRACK_IN = range(4)
_STEP_WIDTH = 3  # from, to, adjustment
_ACTION_WIDTH = 4  # time, min, max, desired or -1
# Layout of the state: this header, then the states of the alarms and the ring of samples.
_NOW_MIN, _NOW_MAX, _NEXT_ACTION, _SEEN, _SIMPLE_RUNS, _COOLDOWN_UNTIL, _STATE_HEADER = range(7)


@dataclass(frozen=True, eq=False)
class ScalingProgram:
    """A `ScalingSpec` for one run. `initial_instances` is the desired capacity at t = 0."""

    metric: Metric
    initial_instances: int
    _parameters: Floats
    _state: Floats

    def parameters(self) -> Floats:
        """float64[any], never changed."""
        return self._parameters

    def initial_state(self) -> Floats:
        """float64[any]: a fresh copy; no datapoint has been seen."""
        return self._state.copy()

    def alarm_states(self, state: Floats) -> list[int]:
        """OK, ALARM or INSUFFICIENT_DATA (ferry.simulation.alarms) of each alarm, in the order of the policies."""
        count = int(self._parameters[_ALARMS])
        return [int(value) for value in state[_STATE_HEADER : _STATE_HEADER + count]]


def compile_spec(spec: ScalingSpec, *, start: datetime | None = None, horizon_s: float = 0.0) -> ScalingProgram:
    """Make arrays of a spec.

    `start` is the moment of t = 0, with a time zone, and `horizon_s` how long the run may last; only schedules need
    them. The sizes at t = 0 are those of the action that ran last before it, as in a group that has been there.
    Raises InvalidField when there are schedules and no `start`, or one without a time zone.
    """
    low, high, desired, actions = spec.min_size, spec.max_size, spec.initial, []
    if spec.schedules:
        if start is None or start.tzinfo is None:
            raise InvalidField(f"scaling: schedules need the start of the run with its time zone, given is {start}")
        if latest := schedule.latest_before(spec.schedules, start):
            low, high = latest.min_size, latest.max_size
            desired = spec.initial if latest.desired_capacity is None else latest.desired_capacity
            desired = min(max(desired, low), high)
        runs = schedule.occurrences(
            spec.schedules, start + timedelta(microseconds=1), start + timedelta(seconds=horizon_s)
        )
        actions = [
            [
                (time - start).total_seconds(),
                a.min_size,
                a.max_size,
                -1 if a.desired_capacity is None else a.desired_capacity,
            ]
            for time, a in runs
        ]
    alarm_rows: list[list[float]] = []
    policy_rows: list[list[float]] = []
    step_rows: list[list[float]] = []
    for policy in spec.policies:
        _add(policy, alarm_rows, policy_rows, step_rows)
    kept = max(((row[_EVALUATION_PERIODS] + alarms.EXTRA_PERIODS) * row[_PERIOD] for row in alarm_rows), default=1)
    header = [low, high, spec.warmup_seconds, len(alarm_rows), len(policy_rows), len(step_rows), len(actions), kept]
    rows = [*alarm_rows, *policy_rows, *step_rows, *actions]
    parameters = np.array([*header, *(value for row in rows for value in row)], dtype=np.float64)
    state = np.array([low, high, 0, 0, 0, 0, *(alarms.INSUFFICIENT_DATA for _ in alarm_rows)], dtype=np.float64)
    state = np.concatenate([state, np.full(int(kept), math.nan)])
    return ScalingProgram(spec.metric, desired, parameters, state)


@inner
def decide(
    parameters: Floats,
    state: Floats,
    now_s: float,
    datapoint: float,
    desired: int,
    service_from_s: Floats,
    terminating: int,
) -> int:
    """Desired capacity after the evaluation at `now_s` = 60, 120, …; `state` is changed.

    * `datapoint`: what CloudWatch has for the minute that ends now, the mean of the metric over the instances in
      service; NaN when none reported.
    * `desired`: what the last call returned.
    * `service_from_s`: of each instance that is pending or in service, when it comes or came into service; any order.
      An instance is pending until then, and warming up for `warmup_seconds` from then; the initial ones are warm.
    * `terminating`: instances that drain, whatever the reason; they are not in `service_from_s`.

    When several policies act in one minute, the largest capacity wins, "for both scale out and scale in" (Dynamic
    scaling, "Multiple scaling policies"). While an alarm is in ALARM it invokes its policy again every minute
    (CloudWatch User Guide, "Alarm actions"). The result is within the group's sizes of now.
    """
    pending, warming = 0, 0
    for since in service_from_s:
        if since > now_s:
            pending += 1
        elif since > 0 and since + parameters[_WARMUP_S] > now_s:
            warming += 1
    warm = len(service_from_s) - pending - warming

    desired = _run_schedule(parameters, state, now_s, desired)
    pending = max(pending, desired - warm - warming)  # those that the schedule has just asked for, too
    alarm_count = int(parameters[_ALARMS])
    samples = state[_STATE_HEADER + alarm_count :]
    seen = int(state[_SEEN]) + 1
    state[_SEEN] = seen
    samples[(seen - 1) % len(samples)] = datapoint

    if state[_SIMPLE_RUNS] == 1 and pending == 0 and terminating == 0:
        # "The cooldown period takes effect starting when the last instance finishes launching or terminating."
        state[_SIMPLE_RUNS] = 0
        state[_COOLDOWN_UNTIL] += now_s
    first_alarm = _HEADER
    first_policy = first_alarm + alarm_count * _ALARM_WIDTH
    policies = int(parameters[_POLICIES])
    first_step = first_policy + policies * _POLICY_WIDTH
    steps = parameters[first_step : first_step + int(parameters[_STEPS]) * _STEP_WIDTH].reshape(-1, _STEP_WIDTH)
    largest = -1
    simple_cooldown = -1.0
    for number in range(policies):
        policy = parameters[first_policy + number * _POLICY_WIDTH : first_policy + (number + 1) * _POLICY_WIDTH]
        alarm_number = int(policy[_ALARM])
        alarm = parameters[first_alarm + alarm_number * _ALARM_WIDTH : first_alarm + (alarm_number + 1) * _ALARM_WIDTH]
        alarm_state, newest, mean, lowest, highest = alarms.evaluate(
            alarm[_THRESHOLD],
            int(alarm[_COMPARISON]),
            int(alarm[_PERIOD]),
            int(alarm[_EVALUATION_PERIODS]),
            int(alarm[_DATAPOINTS]),
            int(alarm[_MISSING_DATA]),
            samples,
            seen,
            int(state[_STATE_HEADER + alarm_number]),
        )
        state[_STATE_HEADER + alarm_number] = alarm_state
        if alarm_state != alarms.ALARM:
            continue
        wanted = desired
        if policy[_KIND] == _SIMPLE:
            if state[_SIMPLE_RUNS] == 1 or now_s < state[_COOLDOWN_UNTIL]:
                continue
            row = int(policy[_FIRST_STEP])
            wanted += step_scaling.change(int(policy[_ADJUSTMENT_TYPE]), steps[row, 2], policy[_MAGNITUDE], desired)
        elif math.isnan(newest):
            continue  # ALARM for want of data: there is no value to choose a step or a proportion by
        elif policy[_KIND] == _STEP:
            value = mean if policy[_AGGREGATION] == 0 else lowest if policy[_AGGREGATION] == 1 else highest
            own = steps[int(policy[_FIRST_STEP]) : int(policy[_END_STEP])]
            row = step_scaling.step_of(value, alarm[_THRESHOLD], alarm[_COMPARISON] >= alarms.LESS, own)
            if row >= 0:
                wanted = step_scaling.capacity_after(
                    int(policy[_ADJUSTMENT_TYPE]),
                    own[row, 2],
                    policy[_MAGNITUDE],
                    desired,
                    warm,
                    warming + pending,
                    terminating,
                )
        elif policy[_KIND] == _TRACK_OUT:
            wanted = target_tracking.capacity_out(newest, policy[_TARGET], desired, warm)
        else:
            wanted = target_tracking.capacity_in(
                highest, policy[_TARGET], desired, warm, warming + pending, terminating
            )
        wanted = min(max(wanted, int(state[_NOW_MIN])), int(state[_NOW_MAX]))
        if wanted > largest:
            largest = wanted
            simple_cooldown = policy[_COOLDOWN_S] if policy[_KIND] == _SIMPLE else -1.0
    if largest < 0 or largest == desired:
        return desired
    if simple_cooldown >= 0:
        state[_SIMPLE_RUNS] = 1
        state[_COOLDOWN_UNTIL] = simple_cooldown
    return largest


@helper
def _run_schedule(parameters: Floats, state: Floats, now_s: float, desired: int) -> int:
    """Do the scheduled actions that are due: sizes become theirs at that moment, and desired moves between them."""
    count = int(parameters[_ACTIONS])
    first = len(parameters) - count * _ACTION_WIDTH
    while state[_NEXT_ACTION] < count and parameters[first + int(state[_NEXT_ACTION]) * _ACTION_WIDTH] <= now_s:
        row = first + int(state[_NEXT_ACTION]) * _ACTION_WIDTH
        state[_NOW_MIN] = parameters[row + 1]
        state[_NOW_MAX] = parameters[row + 2]
        if parameters[row + 3] >= 0:
            desired = int(parameters[row + 3])
        state[_NEXT_ACTION] += 1
    return min(max(desired, int(state[_NOW_MIN])), int(state[_NOW_MAX]))


def _add(
    policy: Policy, alarm_rows: list[list[float]], policy_rows: list[list[float]], steps: list[list[float]]
) -> None:
    if isinstance(policy, TargetTracking):
        pairs = [(_TRACK_OUT, target_tracking.high_alarm(policy))]
        if not policy.disable_scale_in:
            pairs.append((_TRACK_IN, target_tracking.low_alarm(policy)))
        for kind, alarm in pairs:
            policy_rows.append([kind, len(alarm_rows), 0, 0, 0, 0, 0, 0, policy.target])
            alarm_rows.append(_alarm_row(alarm))
        return
    kind_of_change = get_args(AdjustmentType).index(policy.adjustment_type)
    first = len(steps)
    if isinstance(policy, SimplePolicy):
        steps.append([-math.inf, math.inf, policy.adjustment])
        kind, aggregation, cooldown = _SIMPLE, 0, policy.cooldown_seconds
    else:
        threshold = Decimal(str(policy.alarm.threshold))
        for step in policy.steps:
            # In decimals: as floats, 0.3 - 0.1 is below 0.2, which would then miss its step.
            bounds = (
                (step.lower_bound, -math.inf),
                (step.upper_bound, math.inf),
            )
            steps.append(
                [
                    *(other if at is None else float(threshold + Decimal(str(at))) for at, other in bounds),
                    step.adjustment,
                ]
            )
        kind, aggregation, cooldown = _STEP, get_args(Aggregation).index(policy.metric_aggregation), 0
    magnitude = policy.min_adjustment_magnitude
    policy_rows.append([kind, len(alarm_rows), first, len(steps), kind_of_change, magnitude, aggregation, cooldown, 0])
    alarm_rows.append(_alarm_row(policy.alarm))


def _alarm_row(alarm: AlarmSpec) -> list[float]:
    return [
        alarm.threshold,
        get_args(Comparison).index(alarm.comparison),
        alarm.period_seconds // MINUTE_S,
        alarm.evaluation_periods,
        alarm.datapoints_to_alarm,
        get_args(MissingData).index(alarm.treat_missing_data),
    ]
