"""Rules on when a fleet changes its size: alarms, steps, schedules."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

from stacks.rule import FERRY, rule

PUT_METRIC_ALARM = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html"
SCHEDULED = "https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutScheduledUpdateGroupAction.html"
STEPS = "https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-simple-step.html"

DAY_SECONDS = 86_400
WEEK_SECONDS = 7 * DAY_SECONDS
HOUR_SECONDS = 3_600

Step = tuple[float | None, float | None, int]
"""Lower bound, upper bound (distances from the threshold, None: open), change in capacity."""

_NAMES = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC|SUN|MON|TUE|WED|THU|FRI|SAT"
_VALUE = rf"(\d{{1,2}}|{_NAMES})"
_CRON_FIELD = re.compile(rf"(\*|{_VALUE}(-{_VALUE})?)(/\d{{1,2}})?(,{_VALUE}(-{_VALUE})?(/\d{{1,2}})?)*", re.IGNORECASE)
_CRON_LIMITS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))


@rule("alarm-period", PUT_METRIC_ALARM)
def alarm_period(*, period_seconds: int) -> str | None:
    """An alarm's period is 10, 20, 30 or a multiple of 60 seconds."""
    if period_seconds in (10, 20, 30) or (period_seconds > 0 and period_seconds % 60 == 0):
        return None
    return f"period is {period_seconds} s, allowed are 10, 20, 30 and multiples of 60: choose one of them"


@rule("alarm-resolution", PUT_METRIC_ALARM)
def alarm_resolution(*, period_seconds: int, high_resolution: bool) -> str | None:
    """An alarm with a period below 60 seconds reads a metric of high resolution; with any other it lacks data."""
    if period_seconds >= 60 or high_resolution:
        return None
    return (
        f"period is {period_seconds} s on a metric that is stored once a minute, allowed are multiples of 60: "
        "set it to 60 or more"
    )


@rule("alarm-range", PUT_METRIC_ALARM)
def alarm_range(*, period_seconds: int, datapoints: int) -> str | None:
    """An alarm looks back one day at most; seven days when its period is an hour or more."""
    limit = DAY_SECONDS if period_seconds < HOUR_SECONDS else WEEK_SECONDS
    if period_seconds * datapoints <= limit:
        return None
    return (
        f"{datapoints} datapoints of {period_seconds} s are {period_seconds * datapoints} s, allowed are {limit}: "
        "lower the datapoints or the period"
    )


@rule("scaling-thresholds", FERRY)
def scaling_thresholds(*, scale_out_above: float, scale_in_below: float) -> str | None:
    """The fleet grows above a higher load than it shrinks below, or it would do both at once."""
    if scale_out_above > scale_in_below:
        return None
    return (
        f"scale_out_above is {scale_out_above:g}, allowed is more than scale_in_below, which is {scale_in_below:g}: "
        "raise it, or lower scale_in_below"
    )


@rule("step-adjustments", STEPS)
def step_adjustments(*, steps: Sequence[Step]) -> str | None:
    """Steps neither overlap nor leave a gap, only the first may be open below, only the last above."""
    if not steps:
        return "no step adjustments, allowed is one or more: add one"
    ordered = sorted(steps, key=lambda step: float("-inf") if step[0] is None else step[0])
    for (_, upper, _), (lower, _, _) in pairwise(ordered):
        if upper is None or upper != lower:
            return (
                f"a step ends at {_bound(upper)} and the next begins at {_bound(lower)}, allowed is the same bound: "
                "let each step begin where the one before it ends"
            )
    first, last = ordered[0][0], ordered[-1][1]
    if first is not None and first < 0:
        return f"the lowest step begins at {first:g}, allowed below 0 is an open bound only: leave its lower bound out"
    if last is not None and last > 0:
        return f"the highest step ends at {last:g}, allowed above 0 is an open bound only: leave its upper bound out"
    return None


@rule("schedule-recurrence", SCHEDULED)
def schedule_recurrence(*, recurrence: str) -> str | None:
    """A recurrence has the five fields of cron: minute, hour, day of month, month, day of week."""
    fields = recurrence.split()
    allowed = "allowed are five: minute hour day-of-month month day-of-week, such as '0 8 * * 1-5'"
    if len(fields) != len(_CRON_LIMITS):
        return f"recurrence is {recurrence!r} with {len(fields)} fields, {allowed}: write all five"
    for text, (what, low, high) in zip(fields, _CRON_LIMITS, strict=True):
        values = [int(number) for number in re.findall(r"(?<!/)\b\d+", text)]
        if not _CRON_FIELD.fullmatch(text) or any(not low <= value <= high for value in values):
            return f"recurrence is {recurrence!r}, its {what} is {text!r}, allowed is {low} to {high}: correct it"
    return None


@rule("schedule-time-zone", SCHEDULED)
def schedule_time_zone(*, time_zone: str) -> str | None:
    """A time zone is a name of the IANA database."""
    if time_zone in time_zones():
        return None
    return f"time_zone is {time_zone!r}, allowed are IANA names such as Asia/Shanghai or Etc/UTC: use one"


@rule("schedule-names", SCHEDULED)
def schedule_names(*, names: Sequence[str]) -> str | None:
    """The scheduled actions of a group have different names."""
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"schedules named more than once: {', '.join(twice)}; give each its own name" if twice else None


@cache
def time_zones() -> set[str]:
    """Names of the IANA database. Looked up once: it walks the folders of the database."""
    return zoneinfo.available_timezones()


def _bound(value: float | None) -> str:
    return "an open bound" if value is None else f"{value:g}"
