"""How far a step-scaling or simple-scaling policy changes a group, when its alarm is in ALARM.

Source: Amazon EC2 Auto Scaling User Guide, "Step and simple scaling policies", sections "Step adjustments", "Scaling
adjustment types" and "Instance warmup".
"""

from __future__ import annotations

import math

from ferry.simulation.compiled import helper
from ferry.simulation.workload import Floats

CHANGE, PERCENT, EXACT = 0, 1, 2


@helper
def step_of(value: float, threshold: float, alarm_is_low: bool, steps: Floats) -> int:
    """Row of the step for a metric value, -1 when none covers it. `steps` (S, 3): from, to, adjustment.

    "If the metric value is above the breach threshold, the lower bound is inclusive and the upper bound is exclusive.
    If the metric value is below the breach threshold, the lower bound is exclusive and the upper bound is inclusive."
    On the threshold itself, the alarm's direction decides. A value that no step covers changes nothing: ExecutePolicy
    refuses such a value.
    """
    below = value < threshold or (value == threshold and alarm_is_low)
    for row in range(len(steps)):
        start = steps[row, 0]
        end = steps[row, 1]
        if (start < value <= end) if below else (start <= value < end):
            return row
    return -1


@helper
def change(kind: int, adjustment: float, magnitude: float, capacity: int) -> int:
    """Instances to add (or remove, below 0) to a current capacity; for ExactCapacity, up to that.

    Percentages: "Values greater than 1 are rounded down", "between 0 and 1 are rounded to 1", "between 0 and -1 are
    rounded to -1", "less than -1 are rounded up"; then at least MinAdjustmentMagnitude.
    """
    if kind == CHANGE:
        return int(adjustment)
    if kind == EXACT:
        return int(adjustment) - capacity
    exact = capacity * adjustment / 100
    rounded = math.floor(exact) if exact > 1 else math.ceil(exact)
    if -1 < exact < 0:
        rounded = -1
    if adjustment > 0:
        return int(max(rounded, magnitude))
    return int(min(rounded, -magnitude)) if adjustment < 0 else 0


@helper
def capacity_after(
    kind: int, adjustment: float, magnitude: float, desired: int, warm: int, warming: int, terminating: int
) -> int:
    """The desired capacity that a step asks for; `desired` when it asks for nothing.

    * Scale out: from the instances that have warmed up. Those that are warming up count towards the new desired
      capacity, so that a second breach within the same step adds nothing, and a higher step only the difference.
    * Scale in: blocked while instances warm up. Then from all instances, those that are terminating too, so that a
      second breach within the same step removes nothing.
    """
    out = warm + change(kind, adjustment, magnitude, warm)
    if out > desired and (adjustment > 0 or kind == EXACT):
        return out
    if warming > 0 or (adjustment >= 0 and kind != EXACT):
        return desired
    capacity = warm + terminating
    return max(0, min(desired, capacity + change(kind, adjustment, magnitude, capacity)))
