"""Flapping: a fleet that grows and shrinks, or shrinks and grows, within a quarter of an hour.

AWS calls it "an infinite loop of scaling in and scaling out" (Amazon EC2 Auto Scaling User Guide, "Step and simple
scaling policies", "Considerations"), without a number. 15 minutes are Ferry's: no longer than one start and one low
alarm of target tracking, so that the change came too soon to have been of use.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WITHIN_MINUTES = 15


def reversals(desired: NDArray[np.integer], *, within_minutes: int = WITHIN_MINUTES) -> int:
    """How often the desired capacity, one value a minute, turned: a change against the last one, soon after it."""
    steps = np.diff(np.asarray(desired, dtype=np.int64))
    minutes = np.flatnonzero(steps)
    turned = np.sign(steps[minutes[1:]]) != np.sign(steps[minutes[:-1]])
    return int(np.count_nonzero(turned & (np.diff(minutes) <= within_minutes)))
