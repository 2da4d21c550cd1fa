"""What a fleet's scaling is: alarms, policies, scheduled actions and sizes, in AWS's own words.

Metric values are those of `ScalingSpec.metric`; bounds of a step are distances from its alarm's threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ferry.errors import InvalidField
from stacks import fleet_rules, scaling_rules

Comparison = Literal[
    "GreaterThanThreshold", "GreaterThanOrEqualToThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold"
]
MissingData = Literal["missing", "notBreaching", "breaching", "ignore"]
AdjustmentType = Literal["ChangeInCapacity", "PercentChangeInCapacity", "ExactCapacity"]
Aggregation = Literal["Average", "Minimum", "Maximum"]
Metric = Literal["load", "kv_use", "utilisation"]

DEFAULT_COOLDOWN_SECONDS = 300
"""`DefaultCooldown` of a group when none is given (Amazon EC2 Auto Scaling, Scaling cooldowns)."""


@dataclass(frozen=True, kw_only=True)
class AlarmSpec:
    """A CloudWatch alarm: breaching in `datapoints_to_alarm` of the last `evaluation_periods` periods.

    Raises InvalidField for what CloudWatch refuses, for a period that is no multiple of 60 s (the simulation samples
    once a minute), and for more than a day of datapoints (CloudWatch evaluates such an alarm once an hour only).
    """

    threshold: float
    comparison: Comparison
    evaluation_periods: int
    datapoints_to_alarm: int
    period_seconds: int = 60
    treat_missing_data: MissingData = "missing"

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            raise InvalidField(f"alarm: threshold is {self.threshold!r}, allowed is a finite number")
        if not 1 <= self.datapoints_to_alarm <= self.evaluation_periods:
            raise InvalidField(
                f"alarm: datapoints_to_alarm is {self.datapoints_to_alarm}, allowed is 1 to evaluation_periods, which "
                f"is {self.evaluation_periods}"
            )
        if self.period_seconds * self.evaluation_periods > scaling_rules.DAY_SECONDS:
            raise InvalidField(
                f"alarm: {self.evaluation_periods} periods of {self.period_seconds} s are more than a day, which is "
                "not simulated; lower the evaluation periods or the period"
            )
        _check(
            "alarm",
            scaling_rules.alarm_period(period_seconds=self.period_seconds),
            scaling_rules.alarm_resolution(period_seconds=self.period_seconds, high_resolution=False),
        )


@dataclass(frozen=True, kw_only=True)
class StepAdjustment:
    """What is done between two distances from the threshold; None is open. `adjustment` in instances or percent."""

    lower_bound: float | None
    upper_bound: float | None
    adjustment: int


@dataclass(frozen=True, kw_only=True)
class StepPolicy:
    """A step-scaling policy and the alarm that invokes it. Raises InvalidField for what AWS refuses."""

    alarm: AlarmSpec
    steps: tuple[StepAdjustment, ...]
    adjustment_type: AdjustmentType = "ChangeInCapacity"
    min_adjustment_magnitude: int = 0
    metric_aggregation: Aggregation = "Average"

    def __post_init__(self) -> None:
        _check_adjustments(
            self.adjustment_type, [step.adjustment for step in self.steps], self.min_adjustment_magnitude
        )
        bounds = [(step.lower_bound, step.upper_bound, step.adjustment) for step in self.steps]
        _check("step policy", scaling_rules.step_adjustments(steps=bounds))


@dataclass(frozen=True, kw_only=True)
class SimplePolicy:
    """A simple-scaling policy: one adjustment, then a cooldown in which no simple policy acts."""

    alarm: AlarmSpec
    adjustment: int
    adjustment_type: AdjustmentType = "ChangeInCapacity"
    min_adjustment_magnitude: int = 0
    cooldown_seconds: int = DEFAULT_COOLDOWN_SECONDS

    def __post_init__(self) -> None:
        _check_adjustments(self.adjustment_type, [self.adjustment], self.min_adjustment_magnitude)
        if self.cooldown_seconds < 0:
            raise InvalidField(f"simple policy: cooldown_seconds is {self.cooldown_seconds}, allowed is 0 or more")


@dataclass(frozen=True, kw_only=True)
class TargetTracking:
    """A target-tracking policy; AWS makes its two alarms. Raises InvalidField when the target is not above 0."""

    target: float
    disable_scale_in: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.target) and self.target > 0):
            raise InvalidField(f"target tracking: target is {self.target!r}, allowed is a number above 0")


Policy = StepPolicy | SimplePolicy | TargetTracking


@dataclass(frozen=True, kw_only=True)
class ScheduledAction:
    """Sizes that a group takes whenever `recurrence` (five fields of cron) comes round in `time_zone`."""

    name: str
    recurrence: str
    time_zone: str
    min_size: int
    max_size: int
    desired_capacity: int | None = None

    def __post_init__(self) -> None:
        _check(
            f"schedule {self.name}",
            scaling_rules.schedule_recurrence(recurrence=self.recurrence),
            scaling_rules.schedule_time_zone(time_zone=self.time_zone),
            fleet_rules.group_sizes(
                min_size=self.min_size, max_size=self.max_size, desired_capacity=self.desired_capacity
            ),
        )


@dataclass(frozen=True, kw_only=True)
class ScalingSpec:
    """All that decides how many instances a group wants.

    `warmup_seconds` holds for every policy. AWS lets each policy have its own; a group has one default instance warmup,
    and Ferry's stacks give all policies the same. `initial` is the desired capacity at the start.
    Raises InvalidField for what AWS refuses, and for what it accepts and can only be a mistake: a fleet that grows and
    never shrinks, or one that would grow and shrink at the same load.
    """

    min_size: int
    max_size: int
    initial: int
    policies: tuple[Policy, ...] = ()
    schedules: tuple[ScheduledAction, ...] = ()
    warmup_seconds: int = 300
    metric: Metric = "load"

    def __post_init__(self) -> None:
        _check(
            "scaling",
            fleet_rules.group_sizes(min_size=self.min_size, max_size=self.max_size, desired_capacity=self.initial),
            scaling_rules.schedule_names(names=[action.name for action in self.schedules]),
        )
        if self.min_size < 0 or self.warmup_seconds < 0:
            raise InvalidField(
                f"scaling: min_size is {self.min_size} and warmup_seconds {self.warmup_seconds}, allowed is 0 or more"
            )
        if sum(isinstance(policy, TargetTracking) for policy in self.policies) > 1:
            # "provided that each of them uses a different metric" (Target tracking scaling policies); here is one.
            raise InvalidField("scaling: two target-tracking policies on one metric; AWS takes one, remove the other")
        self._check_thresholds()
        if self._grows and not self._shrinks:
            raise InvalidField(
                "scaling: policies add instances and nothing ever removes one; add a step that removes "
                "(scale_in_remove of 1 or more), leave disable_scale_in out, or schedule a smaller size"
            )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What AWS accepts and somebody should know."""
        if self.policies and self.min_size == self.max_size and not self.schedules:
            return (f"min_size and max_size are both {self.min_size}: no policy can change the size of the group",)
        return ()

    def _check_thresholds(self) -> None:
        out: list[float] = []
        in_: list[float] = []
        for policy in self.policies:
            if isinstance(policy, TargetTracking) or _exact(policy):
                continue
            for low, high, adjustment in _reach(policy):
                if adjustment > 0:
                    out.append(low)
                elif adjustment < 0:
                    in_.append(high)
        if out and in_:
            _check("scaling", scaling_rules.scaling_thresholds(scale_out_above=min(out), scale_in_below=max(in_)))

    @property
    def _grows(self) -> bool:
        return any(isinstance(p, TargetTracking) or _exact(p) or max(_adjustments(p)) > 0 for p in self.policies)

    @property
    def _shrinks(self) -> bool:
        scheduled = any(a.max_size < self.max_size or a.desired_capacity is not None for a in self.schedules)
        return scheduled or any(
            not p.disable_scale_in if isinstance(p, TargetTracking) else _exact(p) or min(_adjustments(p)) < 0
            for p in self.policies
        )


def _adjustments(policy: StepPolicy | SimplePolicy) -> list[int]:
    if isinstance(policy, SimplePolicy):
        return [policy.adjustment]
    return [step.adjustment for step in policy.steps]


def _reach(policy: StepPolicy | SimplePolicy) -> list[tuple[float, float, int]]:
    """Metric values from and to which each adjustment is made."""
    threshold = policy.alarm.threshold
    if isinstance(policy, SimplePolicy):
        return [(threshold, threshold, policy.adjustment)]
    return [
        (
            -math.inf if step.lower_bound is None else threshold + step.lower_bound,
            math.inf if step.upper_bound is None else threshold + step.upper_bound,
            step.adjustment,
        )
        for step in policy.steps
    ]


def _exact(policy: StepPolicy | SimplePolicy) -> bool:
    return policy.adjustment_type == "ExactCapacity"


def _check_adjustments(kind: AdjustmentType, adjustments: list[int], magnitude: int) -> None:
    if kind == "ExactCapacity" and min(adjustments, default=0) < 0:
        raise InvalidField(f"ExactCapacity is {min(adjustments)}, allowed is 0 or more")
    if magnitude and kind != "PercentChangeInCapacity":
        raise InvalidField(
            f"min_adjustment_magnitude is {magnitude} with {kind}, allowed is PercentChangeInCapacity: leave it out"
        )


def _check(what: str, *broken: str | None) -> None:
    if messages := [message for message in broken if message]:
        raise InvalidField(f"{what}: {'; '.join(messages)}")
