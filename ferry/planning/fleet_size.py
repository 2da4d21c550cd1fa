"""How many instances: least, most, and the mean over time that the bill follows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ferry.planning.roofline import Roofline

LOAD_TARGET = 0.8
"""Share of its sequences at which an instance is full: above it the fleet adds instances (ScalingSettings)."""
LOAD_RELEASE = 0.3
"""Share below which the fleet removes instances (ScalingSettings)."""
SCALE_OUT_STEP = 2
LEAST = 2
"""Two instances in two zones: one may fail."""
_STEPS = 1000


@dataclass(frozen=True, kw_only=True)
class FleetSize:
    """Instances. `requests_per_s` is what one serves at the load target."""

    requests_per_s: float
    min_size: int
    max_size: int
    mean_size: float


def size(roofline: Roofline, *, batch: int, mean_rps: float, peak_rps: float) -> FleetSize:
    """Sizes for a mean and a peak rate.

    `min_size` serves the mean at the load target, `max_size` the peak, with room for one scaling step.
    `mean_size` follows a load-duration curve through both rates, peak x u^(peak/mean - 1) for u in 0..1. Half of the
    time the load rises and the fleet is as small as the target allows; the other half it falls and instances stay
    until load is below the release threshold: scaling in is late, and that costs.
    """
    full = roofline.requests_per_second(LOAD_TARGET * batch)
    slack = roofline.requests_per_second(LOAD_RELEASE * batch)
    least = max(LEAST, instances(mean_rps, full))
    most = max(least, instances(peak_rps, full))
    exponent = peak_rps / mean_rps - 1 if mean_rps else 0.0
    total = 0.0
    for step in range(_STEPS):
        rate = peak_rps * ((step + 0.5) / _STEPS) ** exponent
        rising = max(least, instances(rate, full))
        falling = min(most, max(rising, instances(rate, slack)))
        total += (rising + falling) / 2
    return FleetSize(
        requests_per_s=full, min_size=least, max_size=max(most, least + SCALE_OUT_STEP), mean_size=total / _STEPS
    )


def instances(rate: float, each: float) -> int:
    """Whole instances for a rate."""
    return math.ceil(rate / each)
