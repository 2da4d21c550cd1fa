"""Target tracking: the two alarms that AWS makes for it, and the capacity that it asks for.

Source: Amazon EC2 Auto Scaling User Guide, "Target tracking scaling policies". What it leaves open is taken from the
alarms that groups show (`CPUUtilization > 40 for 3 datapoints within 3 minutes`, `< 28 for 15 datapoints within 15
minutes` for a target of 40; 52.5 for 75; 14 for 20 on a custom metric): the low alarm stands at 70 % of the target. The
90 % that are often named are Application Auto Scaling's, for ECS and others.
"""

from __future__ import annotations

import math
from decimal import Decimal

from ferry.simulation.compiled import helper
from ferry.simulation.scaling_spec import AlarmSpec, TargetTracking

LOW_SHARE = Decimal("0.7")
"""Threshold of the low alarm, as a share of the target: observed, not documented."""
ROUNDING = 1e-9
"""3 instances at 0.6 for a target of 0.6 are 3, not 3.0000000000000004 rounded up."""


def high_alarm(policy: TargetTracking) -> AlarmSpec:
    """Above the target, 3 of 3 minutes."""
    return AlarmSpec(
        threshold=policy.target, comparison="GreaterThanThreshold", evaluation_periods=3, datapoints_to_alarm=3
    )


def low_alarm(policy: TargetTracking) -> AlarmSpec:
    """Below 70 % of the target, 15 of 15 minutes.

    Missing data is not breaching, so that the policy "does not scale in … when the specified metric has insufficient
    data": fourteen old datapoints and a silence would raise an alarm that takes missing data as missing.
    """
    return AlarmSpec(
        threshold=float(Decimal(str(policy.target)) * LOW_SHARE),
        comparison="LessThanThreshold",
        evaluation_periods=15,
        datapoints_to_alarm=15,
        treat_missing_data="notBreaching",
    )


@helper
def capacity_out(value: float, target: float, desired: int, warm: int) -> int:
    """In proportion to the metric, rounded up ("adding 1.5 instances … we round up and add two instances").

    `value` is the newest datapoint: "scales out proportionally to the metric as fast as it can". Instances that are
    warming up are no part of the current capacity, and count towards the desired one.
    """
    return max(desired, math.ceil(warm * value / target - ROUNDING))


@helper
def capacity_in(value: float, target: float, desired: int, warm: int, warming: int, terminating: int) -> int:
    """In proportion to the metric, rounded up ("removing 1.5 instances … we remove just one instance").

    `value` is the highest datapoint that the low alarm evaluated: the documentation says no more than that it "scales
    in more gradually", and this is the reading that removes the fewest. Blocked while instances warm up, and those
    that are terminating count, as in step scaling.
    """
    if warming > 0:
        return desired
    return min(desired, math.ceil((warm + terminating) * value / target - ROUNDING))
