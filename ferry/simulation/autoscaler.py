"""AWS's scaling of a fleet, minute by minute: alarms, policies and schedules in, desired capacity out.

How the engine calls it, all within compiled code but the first line, which is Python:

    encoded = encode(spec, start=..., horizon_s=...)        # arrays only, a NamedTuple
    state = initial_state(encoded)                          # one fresh state for each run
    desired = state.group[DESIRED]                          # at t = 0, a schedule that had begun before counts
    for minute in 1, 2, 3, …:                               # every minute, none left out, at t = 60 * minute
        desired = evaluate(encoded, state, minute, datapoint, in_service, warming, pending, terminating)

`evaluate.py_func` is the same in plain Python.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.typing import NDArray

from ferry.simulation.scaling_spec import ScalingSpec

DESIRED, MIN_SIZE, MAX_SIZE, NEXT_ACTION, SAMPLES_SEEN, SIMPLE_ACTIVE, SIMPLE_COOLDOWN_UNTIL = range(7)
"""Fields of `State.group`."""


class Encoded(NamedTuple):
    """A `ScalingSpec` as arrays, read only. Rows are alarms (A), policies (P), steps (S), scheduled actions (K)."""

    limits: NDArray[np.int64]  # desired, min, max at the start; minutes of samples that are kept
    thresholds: NDArray[np.float64]  # (A,)
    alarms: NDArray[np.int64]  # (A, 5): comparison, period in minutes, evaluation periods, datapoints, missing data
    policies: NDArray[np.int64]  # (P, 8): kind, alarm, first step, end of steps, type, magnitude, aggregation, cooldown
    targets: NDArray[np.float64]  # (P,): of target tracking, else 0
    steps: NDArray[np.float64]  # (S, 3): metric values from and to, adjustment
    actions: NDArray[np.int64]  # (K, 4): minute, min, max, desired or -1; by minute


class State(NamedTuple):
    """What one run changes; nothing else is kept between calls."""

    group: NDArray[np.int64]  # fields above
    alarms: NDArray[np.int64]  # (A,): OK, ALARM or INSUFFICIENT_DATA
    samples: NDArray[np.float64]  # ring of the last minutes' datapoints, NaN where there was none


def encode(spec: ScalingSpec, *, start: datetime | None = None, horizon_s: float = 0.0) -> Encoded:
    """Arrays for the compiled functions.

    `start` is the moment of t = 0 (with a time zone) and `horizon_s` the length of the run: both only serve the
    schedules. Raises InvalidField when there are schedules and no `start`, or one without a time zone.
    """
    raise NotImplementedError


@register_jitable  # type: ignore[untyped-decorator]
def initial_state(encoded: Encoded) -> State:
    """The state at t = 0: no datapoint has been seen, all instances of `desired` count as warm."""
    raise NotImplementedError


@njit(cache=True)  # type: ignore[untyped-decorator]
def evaluate(
    encoded: Encoded,
    state: State,
    minute: int,
    datapoint: float,
    in_service: int,
    warming: int,
    pending: int,
    terminating: int,
) -> int:
    """Desired capacity after this minute's evaluation; `state` is changed.

    * `minute`: 1, 2, 3, …; t = 60 * minute.
    * `datapoint`: what CloudWatch has for the minute that ends now, the average of the metric over the instances in
      service; NaN when nothing reported.
    * `in_service`: instances InService (spot and on-demand), those that are warming among them.
    * `warming`: how many of those are InService for less than `warmup_seconds`.
    * `pending`: launched and not InService yet (booting, loading the model), replacements too.
    * `terminating`: draining, whatever the reason; they are in none of the other numbers.

    The caller launches or drains the difference between the result and `in_service + pending`.
    """
    return 0
