"""FleetScaling: when a fleet grows and shrinks.

Load = (Average(running) + Average(waiting)) / max_sequences, over the nodes that report; 1 is a full batch on each.
What happens when the metric is not what it should be:

* No data: neither alarm is in ALARM, so nothing is added and nothing removed. Missing data is `notBreaching`, because
  `ignore` would keep an alarm that is in ALARM there, and step scaling would go on removing nodes it cannot see.
  A fleet that should never be empty has a third alarm, which tells somebody.
* Zero nodes: no node reports, which is the case above. Load cannot wake an empty fleet; a schedule or a person does
  (`stacks.rules` refuses a fleet that could fall asleep for good).
* One stale node (its agent stopped): the average is over the others, so the fleet still scales on what they see. A sum
  over the number of instances would count the stale node as idle and shrink a fleet that is full.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from stacks.settings import EngineSettings, ScalingSettings
from templates.engine_metrics import DIMENSION, ENGINES, NAMESPACE

SILENCE_PERIOD_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class FleetScalingArgs:
    """Arguments of `FleetScaling`."""

    group_name: pulumi.Input[str]
    engine: EngineSettings
    scaling: ScalingSettings
    silent_after_seconds: int | None
    """When a fleet that reports nothing is a fault: longer than a boot takes. None where it may be empty."""
    alarm_topic_arn: pulumi.Input[str]
    tags: Mapping[str, str]


class FleetScaling(pulumi.ComponentResource):
    """Two step-scaling policies on one load, each with its alarm, and an alarm on silence."""

    scale_out_alarm_name: pulumi.Output[str]
    scale_in_alarm_name: pulumi.Output[str]

    def __init__(self, name: str, args: FleetScalingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ferry:components:FleetScaling", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        scaling = args.scaling

        # A step's bounds are distances from the alarm's threshold: all that lies above it, all that lies below it.
        scale_out = self._make_policy(
            "out", {"scaling_adjustment": scaling.scale_out_add, "metric_interval_lower_bound": "0"}
        )
        scale_in = self._make_policy(
            "in", {"scaling_adjustment": -scaling.scale_in_remove, "metric_interval_upper_bound": "0"}
        )
        self.scale_out_alarm_name = self._make_alarm(
            "out", scale_out, "GreaterThanThreshold", scaling.scale_out_above, scaling.scale_out_datapoints
        )
        self.scale_in_alarm_name = self._make_alarm(
            "in", scale_in, "LessThanThreshold", scaling.scale_in_below, scaling.scale_in_datapoints
        )
        if args.silent_after_seconds is not None:
            self._make_silence_alarm(args.silent_after_seconds)
        self.register_outputs(
            {
                "scale_out_alarm_name": self.scale_out_alarm_name,
                "scale_in_alarm_name": self.scale_in_alarm_name,
            }
        )

    def _make_policy(
        self, direction: str, step: aws.autoscaling.PolicyStepAdjustmentArgsDict
    ) -> aws.autoscaling.Policy:
        return aws.autoscaling.Policy(
            f"{self._name}-{direction}",
            autoscaling_group_name=self._args.group_name,
            policy_type="StepScaling",
            adjustment_type="ChangeInCapacity",
            metric_aggregation_type="Average",
            estimated_instance_warmup=self._args.scaling.warmup_seconds,
            step_adjustments=[step],
            opts=self._child,
        )

    def _make_alarm(
        self, direction: str, policy: aws.autoscaling.Policy, comparison: str, threshold: float, datapoints: int
    ) -> pulumi.Output[str]:
        args = self._args
        return aws.cloudwatch.MetricAlarm(
            f"{self._name}-{direction}",
            alarm_description=f"Load is {'above' if direction == 'out' else 'below'} {threshold:g}: scale {direction}",
            metric_queries=load_queries(args.group_name, args.engine, args.scaling.period_seconds),
            comparison_operator=comparison,
            threshold=threshold,
            evaluation_periods=datapoints,
            datapoints_to_alarm=datapoints,
            treat_missing_data="notBreaching",
            alarm_actions=[policy.arn],
            tags=self._tags(direction),
            opts=self._child,
        ).name

    def _make_silence_alarm(self, silent_after_seconds: int) -> None:
        periods = math.ceil(silent_after_seconds / SILENCE_PERIOD_SECONDS) + 1
        aws.cloudwatch.MetricAlarm(
            f"{self._name}-silent",
            alarm_description="No node has reported for longer than a boot may take: the fleet does not scale",
            namespace=NAMESPACE,
            metric_name=ENGINES[self._args.engine.name].running,
            dimensions={DIMENSION: self._args.group_name},
            statistic="SampleCount",
            period=SILENCE_PERIOD_SECONDS,
            comparison_operator="LessThanThreshold",
            threshold=1,
            evaluation_periods=periods,
            datapoints_to_alarm=periods,
            treat_missing_data="breaching",  # here the missing data is the fault
            alarm_actions=[self._args.alarm_topic_arn],
            ok_actions=[self._args.alarm_topic_arn],
            tags=self._tags("silent"),
            opts=self._child,
        )

    def _tags(self, what: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._name}-{what}"}


def load_expression(max_sequences: int) -> str:
    """Load of a node as metric math over the queries `running` and `waiting`; `max_sequences` is its capacity."""
    return f"(running + waiting) / {max_sequences}"


def load_queries(
    group_name: pulumi.Input[str], engine: EngineSettings, period_seconds: int
) -> Sequence[aws.cloudwatch.MetricAlarmMetricQueryArgsDict]:
    """What an alarm on load reads: two averages over the group's reporting nodes, and their sum over the capacity."""
    names = ENGINES[engine.name]
    averages: list[aws.cloudwatch.MetricAlarmMetricQueryArgsDict] = [
        {
            "id": query_id,
            "metric": {
                "namespace": NAMESPACE,
                "metric_name": metric_name,
                "dimensions": {DIMENSION: group_name},
                "period": period_seconds,
                "stat": "Average",
            },
            "return_data": False,
        }
        for query_id, metric_name in (("running", names.running), ("waiting", names.waiting))
    ]
    return [
        *averages,
        {
            "id": "load",
            "label": "Load",
            "expression": load_expression(engine.max_sequences),
            "return_data": True,
        },
    ]
