"""A scaling policy as a YAML file, format `ferry/scaling/v1`.

    schema: ferry/scaling/v1
    min_size: 2
    max_size: 12
    scaling: {scale_out_above: 0.8, scale_out_add: 2, scale_in_below: 0.3, scale_in_remove: 1}

`scaling` and `schedules` have the keys of a stack file's fleet. What a stack cannot say stands beside them:
`target_tracking`, `step_policies` and `simple_policies`. Unknown keys are errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ferry.artefacts import first_problem, read_yaml
from ferry.errors import InvalidField
from ferry.simulation.policies import from_stack_action, step_policies
from ferry.simulation.scaling_spec import (
    DEFAULT_COOLDOWN_SECONDS,
    AdjustmentType,
    Aggregation,
    AlarmSpec,
    Comparison,
    Metric,
    MissingData,
    Policy,
    ScalingSpec,
    SimplePolicy,
    StepAdjustment,
    StepPolicy,
    TargetTracking,
)
from stacks.settings import ScalingSettings, ScheduledAction


class Part(BaseModel):
    """A part of the file: frozen, closed to unknown keys, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AlarmPart(Part):
    """A CloudWatch alarm, with the names of PutMetricAlarm."""

    threshold: float
    comparison: Comparison
    evaluation_periods: int
    datapoints_to_alarm: int | None = None
    period_seconds: int = 60
    treat_missing_data: MissingData = "missing"

    def spec(self) -> AlarmSpec:
        """As the simulation takes it; all datapoints unless the file says how many."""
        needed = self.evaluation_periods if self.datapoints_to_alarm is None else self.datapoints_to_alarm
        return AlarmSpec(**{**self.model_dump(), "datapoints_to_alarm": needed})


class StepPart(Part):
    """A step adjustment; a bound that is left out is open."""

    lower_bound: float | None = None
    upper_bound: float | None = None
    adjustment: int


class StepPolicyPart(Part):
    """A step-scaling policy, with the names of PutScalingPolicy."""

    alarm: AlarmPart
    steps: list[StepPart] = Field(min_length=1, max_length=20)
    adjustment_type: AdjustmentType = "ChangeInCapacity"
    min_adjustment_magnitude: int = Field(default=0, ge=0)
    metric_aggregation: Aggregation = "Average"

    def spec(self) -> StepPolicy:
        """As the simulation takes it."""
        return StepPolicy(
            alarm=self.alarm.spec(),
            steps=tuple(StepAdjustment(**step.model_dump()) for step in self.steps),
            adjustment_type=self.adjustment_type,
            min_adjustment_magnitude=self.min_adjustment_magnitude,
            metric_aggregation=self.metric_aggregation,
        )


class SimplePolicyPart(Part):
    """A simple-scaling policy."""

    alarm: AlarmPart
    adjustment: int
    adjustment_type: AdjustmentType = "ChangeInCapacity"
    min_adjustment_magnitude: int = Field(default=0, ge=0)
    cooldown_seconds: int = Field(default=DEFAULT_COOLDOWN_SECONDS, ge=0)

    def spec(self) -> SimplePolicy:
        """As the simulation takes it."""
        return SimplePolicy(**{**self.model_dump(), "alarm": self.alarm.spec()})


class TargetTrackingPart(Part):
    """A target-tracking policy."""

    target: float
    disable_scale_in: bool = False


class PolicyFile(Part):
    """The file as a whole."""

    schema_: Literal["ferry/scaling/v1"] = Field(alias="schema")
    min_size: int = Field(ge=0)
    max_size: int = Field(ge=1)
    initial: int | None = Field(default=None, ge=0)
    metric: Metric = "load"
    warmup_seconds: int | None = Field(default=None, ge=0)
    scaling: ScalingSettings | None = None
    target_tracking: TargetTrackingPart | None = None
    step_policies: list[StepPolicyPart] = []
    simple_policies: list[SimplePolicyPart] = []
    schedules: list[ScheduledAction] = []

    def spec(self) -> ScalingSpec:
        """As the simulation takes it. The group starts with `initial` instances, else with `min_size`."""
        if self.scaling and self.warmup_seconds is not None:
            raise InvalidField("warmup_seconds stands beside scaling, which has its own: write it in scaling only")
        policies: list[Policy] = [*(step_policies(self.scaling) if self.scaling else ())]
        if self.target_tracking:
            policies.append(TargetTracking(**self.target_tracking.model_dump()))
        policies += [policy.spec() for policy in self.step_policies]
        policies += [policy.spec() for policy in self.simple_policies]
        warmup = (self.scaling or ScalingSettings()).warmup_seconds
        return ScalingSpec(
            min_size=self.min_size,
            max_size=self.max_size,
            initial=self.min_size if self.initial is None else self.initial,
            policies=tuple(policies),
            schedules=tuple(from_stack_action(action) for action in self.schedules),
            warmup_seconds=warmup if self.warmup_seconds is None else self.warmup_seconds,
            metric=self.metric,
        )


def read(path: Path) -> ScalingSpec:
    """The policy of a file. Raises UnreadableInput, or InvalidField naming the file and the field."""
    document = read_yaml(path)
    try:
        return PolicyFile.model_validate(document).spec()
    except ValidationError as error:
        raise InvalidField(f"{path}: {first_problem(error)}") from error
    except InvalidField as error:
        raise InvalidField(f"{path}: {error}") from error
