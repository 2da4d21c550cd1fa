"""The scaling policies that Ferry ships, and those of a stack."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from ferry.errors import InvalidField
from ferry.simulation.scaling_spec import (
    AlarmSpec,
    Comparison,
    ScalingSpec,
    ScheduledAction,
    StepAdjustment,
    StepPolicy,
    TargetTracking,
)
from stacks.settings import FleetSettings, ScalingSettings
from stacks.settings import ScheduledAction as StackAction

TRACKED_LOAD = 0.6
"""Target of the shipped `target-tracking`: its low alarm then stands at 0.42, between the article's 0.3 and 0.8."""
OFFICE_HOURS = ("0 8 * * MON-FRI", "0 20 * * MON-FRI")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Smallest, largest and first size of a group, and the time zone of its schedules."""

    min_size: int
    max_size: int
    initial: int
    time_zone: str = "Etc/UTC"


def article(sizes: Sizes) -> ScalingSpec:
    """The source article's rule, as Ferry's stacks provision it by default: above 0.8 add 2, below 0.3 remove 1."""
    scaling = ScalingSettings()
    return ScalingSpec(
        min_size=sizes.min_size,
        max_size=sizes.max_size,
        initial=sizes.initial,
        policies=step_policies(scaling),
        warmup_seconds=scaling.warmup_seconds,
    )


def target_tracking(sizes: Sizes) -> ScalingSpec:
    """AWS's target tracking on a load of 0.6."""
    return ScalingSpec(
        min_size=sizes.min_size,
        max_size=sizes.max_size,
        initial=sizes.initial,
        policies=(TargetTracking(target=TRACKED_LOAD),),
    )


def office_hours(sizes: Sizes) -> ScalingSpec:
    """The largest size from Monday to Friday, 8:00 to 20:00, else the smallest; no metric is looked at."""
    work, rest = OFFICE_HOURS
    largest, smallest = sizes.max_size, sizes.min_size
    return ScalingSpec(
        min_size=smallest,
        max_size=largest,
        initial=sizes.initial,
        schedules=(
            _action("office-hours", work, sizes.time_zone, smallest, largest, largest),
            _action("rest", rest, sizes.time_zone, smallest, largest, smallest),
        ),
    )


def fixed(sizes: Sizes) -> ScalingSpec:
    """The first size, always."""
    return ScalingSpec(min_size=sizes.min_size, max_size=sizes.max_size, initial=sizes.initial)


SHIPPED: dict[str, Callable[[Sizes], ScalingSpec]] = {
    "article": article,
    "target-tracking": target_tracking,
    "schedule": office_hours,
    "none": fixed,
}
"""By the name that a person gives."""


def shipped(name: str, sizes: Sizes) -> ScalingSpec:
    """The shipped policy of that name, for a group of these sizes. Raises InvalidField."""
    try:
        make = SHIPPED[name]
    except KeyError:
        near = difflib.get_close_matches(name, SHIPPED, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InvalidField(f"policy is {name!r}, allowed are {', '.join(SHIPPED)}, or a YAML file{hint}") from None
    return make(sizes)


def from_stack(fleet: FleetSettings, *, initial: int | None = None) -> ScalingSpec:
    """What a stack provisions for this fleet. The group starts with `initial` instances, else with `min_size`."""
    return ScalingSpec(
        min_size=fleet.min_size,
        max_size=fleet.max_size,
        initial=fleet.min_size if initial is None else initial,
        policies=step_policies(fleet.scaling),
        schedules=tuple(from_stack_action(action) for action in fleet.schedules),
        warmup_seconds=fleet.scaling.warmup_seconds,
    )


def step_policies(scaling: ScalingSettings) -> tuple[StepPolicy, StepPolicy]:
    """The two policies and alarms of `components.fleet_scaling`: one step each, missing data is not breaching."""
    return (
        StepPolicy(
            alarm=_alarm(scaling, "GreaterThanThreshold", scaling.scale_out_above, scaling.scale_out_datapoints),
            steps=(StepAdjustment(lower_bound=0, upper_bound=None, adjustment=scaling.scale_out_add),),
        ),
        StepPolicy(
            alarm=_alarm(scaling, "LessThanThreshold", scaling.scale_in_below, scaling.scale_in_datapoints),
            steps=(StepAdjustment(lower_bound=None, upper_bound=0, adjustment=-scaling.scale_in_remove),),
        ),
    )


def from_stack_action(action: StackAction) -> ScheduledAction:
    """A scheduled action of a stack file."""
    return _action(
        action.name, action.recurrence, action.time_zone, action.min_size, action.max_size, action.desired_capacity
    )


def _alarm(scaling: ScalingSettings, comparison: Comparison, threshold: float, datapoints: int) -> AlarmSpec:
    return AlarmSpec(
        threshold=threshold,
        comparison=comparison,
        evaluation_periods=datapoints,
        datapoints_to_alarm=datapoints,
        period_seconds=scaling.period_seconds,
        treat_missing_data="notBreaching",
    )


def _action(
    name: str, recurrence: str, time_zone: str, min_size: int, max_size: int, desired: int | None
) -> ScheduledAction:
    return ScheduledAction(
        name=name,
        recurrence=recurrence,
        time_zone=time_zone,
        min_size=min_size,
        max_size=max_size,
        desired_capacity=desired,
    )
