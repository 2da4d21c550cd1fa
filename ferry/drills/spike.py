"""spike: more requests are in flight than the fleet has room for, and its own alarms and policies have to see to it.

The load is the alarms' own: requests in flight over nodes in service and batch. The requests wait for their answers, so
their number stays. Each minute, the alarms and step policies that the account has are evaluated by the simulation's
`ferry.simulation.autoscaler`; new nodes come from the warm pool as far as it goes, and then from nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from ferry.artefacts import Drill
from ferry.drills import boots
from ferry.drills.boots import Boot, Supply
from ferry.drills.provisioned import Fleet, LoadAlarm, Provisioned
from ferry.drills.replacement import served, slowest, told
from ferry.drills.scene import Scene
from ferry.drills.timeline import Timeline
from ferry.drills.timings import Duration
from ferry.errors import InvalidField
from ferry.simulation import alarms
from ferry.simulation.autoscaler import MINUTE_S, ScalingProgram, compile_spec, decide
from ferry.simulation.scaling_spec import AlarmSpec, ScalingSpec, StepAdjustment, StepPolicy

NAME = "spike"
LOAD = 1.1
"""A tenth more requests than all nodes' batches hold: the least that a fleet does not carry. Chosen."""
LOAD_BEFORE = 0.5
PATIENCE_S = 2 * 3600


def drill(scene: Scene) -> Drill:
    """Of each fleet that has a node to be asked."""
    fleets = [fleet for fleet in Provisioned(scene).fleets if fleet.desired]
    if not fleets:
        return scene.skipped(NAME, "no fleet has a node: the groups' desired capacity is 0, and load wakes nobody")
    return slowest([loaded(scene, fleet) for fleet in fleets])


def loaded(scene: Scene, fleet: Fleet) -> Drill:
    """Of one fleet."""
    in_flight = LOAD * fleet.batch * fleet.desired

    def story(supply: Supply) -> Timeline:
        fault = f"{in_flight:.0f} requests in flight: the {fleet.desired} nodes of {fleet.group} hold "
        timeline = Timeline(NAME, fault + str(fleet.batch * fleet.desired), scene.target_s)
        scaling = _scaling(fleet)
        if isinstance(scaling, str):
            timeline.missing.append(scaling)
        elif problem := boots.problem(fleet, supply.cold):
            timeline.missing.append(problem)
        else:
            _tell(timeline, scene, fleet, scaling, _Course(scene, fleet, scaling, supply, in_flight))
        return timeline

    return told(scene, fleet, _launches(fleet), story)


@dataclass(frozen=True)
class _Scaling:
    program: ScalingProgram
    out: LoadAlarm
    """The alarm with the lowest threshold of those that add nodes: below it the spike is over."""
    out_index: int


@dataclass
class _Launch:
    at_s: float
    boot: Boot
    serves_s: float


class _Course:
    """What happens minute by minute, in seconds after the fault."""

    def __init__(self, scene: Scene, fleet: Fleet, scaling: _Scaling, supply: Supply, in_flight: float) -> None:
        self.alarm_s: float | None = None
        self.decisions: list[tuple[float, int]] = []
        self.launches: list[_Launch] = []
        self.needed = _needed(scaling.out, in_flight)
        self.recovered: _Launch | None = None
        register_s = fleet.target.interval_s if fleet.target else 0
        program, state = scaling.program, scaling.program.initial_state()
        delay = -(-scene.timings.metric_delay.seconds // MINUTE_S) * MINUTE_S
        # Before the fault, so that the alarms have datapoints of a fleet at ease.
        before = (len(state) + 1) * MINUTE_S
        desired, pool = fleet.desired, supply.pool
        minute = -before
        while minute < PATIENCE_S and self.recovered is None:
            minute += MINUTE_S
            seen_at = minute - delay - MINUTE_S  # the beginning of the minute whose datapoint is there now
            nodes = fleet.desired + sum(one.serves_s <= seen_at for one in self.launches)
            requests = in_flight if seen_at >= 0 else LOAD_BEFORE * fleet.batch * fleet.desired
            since = np.array([*[0.0] * fleet.desired, *(one.serves_s + before for one in self.launches)])
            wanted = _decide(program, state, minute + before, requests / nodes, desired, since)
            if self.alarm_s is None and minute > 0 and program.alarm_states(state)[scaling.out_index] == alarms.ALARM:
                self.alarm_s = minute
            if wanted > desired:
                self.decisions.append((minute, wanted))
                count, warm = wanted - desired, min(pool, wanted - desired)
                pool -= warm
                for boot in [supply.warm] * warm + [supply.cold] * (count - warm):
                    self.launches.append(_Launch(minute, boot, minute + boot.seconds + register_s))
            desired = max(desired, wanted)
            enough = sorted(self.launches, key=lambda one: one.serves_s)[self.needed - fleet.desired - 1 :]
            if enough and enough[0].serves_s <= minute + MINUTE_S:
                self.recovered = enough[0]


def _decide(program: ScalingProgram, state: Any, now_s: float, load: float, desired: int, since: Any) -> int:
    plain: Any = getattr(decide, "py_func", decide)  # compiling it takes longer than a drill
    return int(plain(program.parameters(), state, now_s, load, desired, since, 0))


def _tell(timeline: Timeline, scene: Scene, fleet: Fleet, scaling: _Scaling, course: _Course) -> None:
    out = scaling.out
    if course.alarm_s is None:
        timeline.missing.append(
            f"{fleet.setting}.fleet.scaling.scale_out_above: {out.name} is never in ALARM: a load of "
            f"{LOAD * fleet.batch / out.batch:g} is not above {out.threshold:g}"
        )
        return
    delay = scene.timings.metric_delay
    window = f"{out.datapoints} of {out.evaluation_periods} x {out.period_s} s in the account; {delay.source}"
    timeline.waited(
        "detected",
        f"{out.name}: load {LOAD * fleet.batch / out.batch:.2f} is above {out.threshold:g}",
        Duration(course.alarm_s, delay.basis, window),
    )
    policy = out.policy["PolicyName"]
    if not course.decisions:
        if fleet.desired < fleet.max_size:
            why = f"scaling: {policy} has no step for a load of {LOAD * fleet.batch / out.batch:g}"
        else:
            why = f"max_size: {fleet.max_size}; {policy} may add nothing"
        timeline.missing.append(f"{fleet.setting}.fleet.{why}, and the load needs {course.needed} nodes")
        return
    for at_s, wanted in course.decisions:
        if course.recovered is not None and at_s > course.recovered.at_s:
            break
        # Between the first and a later one lie the boots and warm-ups that the policy waits for.
        source = f"{policy}, with the warm-up of {out.policy.get('EstimatedInstanceWarmup', 0)} s in the account"
        timeline.waited("decided", f"{wanted} nodes wanted", Duration(at_s - timeline.now_s, "assumed", source))
    if course.recovered is None:
        reached = course.decisions[-1][1]
        setting = "max_size" if reached >= fleet.max_size else "scaling.scale_out_add"
        given = fleet.max_size if setting == "max_size" else _steps(out)
        timeline.missing.append(
            f"{fleet.setting}.fleet.{setting}: {given}; the fleet stays at {reached} nodes, and the load needs "
            f"{course.needed}"
        )
        return
    nodes = f"{course.needed} nodes serve: load {LOAD * fleet.desired * fleet.batch / out.batch / course.needed:.2f}"
    served(timeline, fleet, course.recovered.boot, nodes)


def _scaling(fleet: Fleet) -> _Scaling | str:
    """What decides about the fleet's size, or what of it is missing."""
    outs = [alarm for alarm in fleet.load_alarms if _adds(alarm)]
    if not outs:
        unread = f" ({'; '.join(fleet.unread_alarms)})" if fleet.unread_alarms else ""
        return (
            f"{fleet.setting}.fleet.scaling: no alarm on the load of {fleet.group} runs a policy that adds nodes"
            f"{unread}; `pulumi up` makes it"
        )
    try:
        spec = ScalingSpec(
            min_size=fleet.min_size,
            max_size=fleet.max_size,
            initial=fleet.desired,
            policies=tuple(_policy(alarm) for alarm in fleet.load_alarms),
            warmup_seconds=max(alarm.policy.get("EstimatedInstanceWarmup", 0) for alarm in outs),
        )
        program = compile_spec(spec)
    except InvalidField as error:
        return f"{fleet.setting}.fleet.scaling: {error}"
    first = min(outs, key=lambda alarm: alarm.threshold * alarm.batch)
    return _Scaling(program, first, fleet.load_alarms.index(first))


def _policy(alarm: LoadAlarm) -> StepPolicy:
    """In requests a node instead of loads, since each alarm has a batch of its own to divide by."""
    batch = Decimal(str(alarm.batch))

    def requests(load: float | None) -> float | None:
        return None if load is None else float(Decimal(str(load)) * batch)

    comparison: Any = alarm.comparison
    treat_missing: Any = alarm.treat_missing
    return StepPolicy(
        alarm=AlarmSpec(
            threshold=requests(alarm.threshold) or 0.0,
            comparison=comparison,
            evaluation_periods=alarm.evaluation_periods,
            datapoints_to_alarm=alarm.datapoints,
            period_seconds=alarm.period_s,
            treat_missing_data=treat_missing,
        ),
        steps=tuple(
            StepAdjustment(
                lower_bound=requests(step.get("MetricIntervalLowerBound")),
                upper_bound=requests(step.get("MetricIntervalUpperBound")),
                adjustment=step["ScalingAdjustment"],
            )
            for step in alarm.policy["StepAdjustments"]
        ),
        adjustment_type=alarm.policy["AdjustmentType"],
        metric_aggregation=alarm.policy.get("MetricAggregationType", "Average"),
    )


def _adds(alarm: LoadAlarm) -> bool:
    return any(step["ScalingAdjustment"] > 0 for step in alarm.policy.get("StepAdjustments", []))


def _steps(alarm: LoadAlarm) -> str:
    return ", ".join(f"{step['ScalingAdjustment']:+d}" for step in alarm.policy["StepAdjustments"])


def _needed(alarm: LoadAlarm, in_flight: float) -> int:
    """The fewest nodes at which the alarm is not breached."""
    comparison = _COMPARISONS[alarm.comparison]
    nodes = 1
    while alarms.breaches(in_flight / nodes / alarm.batch, comparison, alarm.threshold):
        nodes += 1
    return nodes


def _launches(fleet: Fleet) -> int:
    """How many nodes a warm pool would have to hold for the first step."""
    adds = [
        step["ScalingAdjustment"]
        for alarm in fleet.load_alarms
        if _adds(alarm)
        for step in alarm.policy["StepAdjustments"]
    ]
    return max(1, min(max(adds, default=1), fleet.max_size - fleet.desired))


_COMPARISONS = {
    "GreaterThanThreshold": alarms.GREATER,
    "GreaterThanOrEqualToThreshold": alarms.GREATER_OR_EQUAL,
    "LessThanThreshold": alarms.LESS,
    "LessThanOrEqualToThreshold": alarms.LESS_OR_EQUAL,
}
