"""CloudWatch's evaluation of an alarm, once a minute.

Sources: CloudWatch User Guide, "Alarm evaluation" [1] and "Configuring how CloudWatch alarms treat missing data" [2].

* With a period of a minute or longer an alarm is evaluated every minute, over the window that ends then [1].
* It looks at more periods than it needs, the evaluation range [2]. How many is documented by example only: 5 for 3.
  Here it is `EXTRA_PERIODS` more than the evaluation periods, whatever those are.
* Datapoints are there at once; CloudWatch may take a minute or more to have them.
"""

from __future__ import annotations

import math

from ferry.simulation.compiled import helper
from ferry.simulation.workload import Floats

OK, ALARM, INSUFFICIENT_DATA = 0, 1, 2
GREATER, GREATER_OR_EQUAL, LESS, LESS_OR_EQUAL = 0, 1, 2, 3
MISSING, NOT_BREACHING, BREACHING, IGNORE = 0, 1, 2, 3

EXTRA_PERIODS = 2


@helper
def breaches(value: float, comparison: int, threshold: float) -> bool:
    """Whether a datapoint is outside the threshold; NaN never is."""
    if comparison == GREATER:
        return value > threshold
    if comparison == GREATER_OR_EQUAL:
        return value >= threshold
    if comparison == LESS:
        return value < threshold
    return value <= threshold


@helper
def datapoint(samples: Floats, seen: int, age: int, period_minutes: int) -> float:
    """Mean of the samples in the period that ended `age` periods ago; NaN when there is none.

    `samples` is a ring: that of minute m (1, 2, 3, …) stands at (m - 1) % len(samples); `seen` is the last minute.
    """
    total = 0.0
    count = 0
    for back in range(age * period_minutes, (age + 1) * period_minutes):
        if back < seen:
            sample = samples[(seen - 1 - back) % len(samples)]
            if not math.isnan(sample):
                total += sample
                count += 1
    return total / count if count else math.nan


@helper
def evaluate(
    threshold: float,
    comparison: int,
    period_minutes: int,
    evaluation_periods: int,
    datapoints_to_alarm: int,
    treat_missing: int,
    samples: Floats,
    seen: int,
    state: int,
) -> tuple[int, float, float, float, float]:
    """State of the alarm now, and of the datapoints that it evaluated: the newest, mean, lowest and highest (or NaN).

    The rules are those of [2], "How alarm state is evaluated when data is missing" and "Avoiding premature transitions
    to alarm state"; `state` is that of the minute before.
    """
    found = 0
    evaluated = 0
    breaching = 0
    breaching_in_range = 0
    oldest_breach = 0
    newest = math.nan
    total = 0.0
    lowest = math.inf
    highest = -math.inf
    for age in range(evaluation_periods + EXTRA_PERIODS):
        value = datapoint(samples, seen, age, period_minutes)
        if math.isnan(value):
            continue
        breach = breaches(value, comparison, threshold)
        found += 1
        if breach:
            breaching_in_range += 1
            oldest_breach = age + 1
        if evaluated == evaluation_periods:
            continue  # enough real datapoints: older ones are not needed
        if evaluated == 0:
            newest = value
        evaluated += 1
        breaching += 1 if breach else 0
        total += value
        lowest = min(lowest, value)
        highest = max(highest, value)
    if evaluated == 0:
        return _without_data(treat_missing, state), math.nan, math.nan, math.nan, math.nan
    filled = evaluation_periods - evaluated
    if filled > 0 and treat_missing == BREACHING:
        breaching += filled
    if breaching >= datapoints_to_alarm:
        state = ALARM
    elif filled > 0 and treat_missing in (MISSING, IGNORE) and breaching_in_range == found:
        # Nothing but breaching datapoints, too few of them: ALARM when the oldest is as old as M, however few there
        # are. Younger ones have no state of their own in [2]; they are taken for too little data.
        if treat_missing == MISSING:
            state = ALARM if oldest_breach >= datapoints_to_alarm else INSUFFICIENT_DATA
    else:
        state = OK
    return state, newest, total / evaluated, lowest, highest


@helper
def _without_data(treat_missing: int, state: int) -> int:
    if treat_missing == MISSING:
        return INSUFFICIENT_DATA
    if treat_missing == BREACHING:
        return ALARM
    return OK if treat_missing == NOT_BREACHING else state
