"""When scheduled actions run: cron in a time zone, as times of a simulation.

Source: Amazon EC2 Auto Scaling User Guide, "Scheduled scaling": five fields of cron; "when you specify a time zone that
observes Daylight Saving Time, the action automatically adjusts for DST". Days follow cron(5): when both day fields are
restricted, either may match. A local time that a change of clocks skips is taken one hour later, one that comes twice
is taken the first time; AWS does not say. Actions run on time here; AWS may take up to two minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from ferry.errors import InvalidField
from ferry.simulation.scaling_spec import ScheduledAction

_NAMES = {
    name: str(number)
    for names, first in (
        ("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC", 1),
        ("SUN MON TUE WED THU FRI SAT", 0),
    )
    for number, name in enumerate(names.split(), start=first)
}
LOOK_BACK = timedelta(days=366)


def occurrences(
    actions: Sequence[ScheduledAction], start: datetime, end: datetime
) -> list[tuple[datetime, ScheduledAction]]:
    """Every run of every action with start <= time < end, in order of time; at one time, in the order given.

    Raises InvalidField for a recurrence with a range that runs backwards.
    """
    runs = [(time, number) for number, action in enumerate(actions) for time in _times(action, start, end)]
    return [(time, actions[number]) for time, number in sorted(runs)]


def latest_before(actions: Sequence[ScheduledAction], start: datetime) -> ScheduledAction | None:
    """The action that ran last at `start` or before it, within a year; None when none did."""
    reach = timedelta(days=1)
    while reach < 2 * LOOK_BACK:
        if runs := occurrences(actions, start - reach, start + timedelta(microseconds=1)):
            return runs[-1][1]
        reach *= 8
    return None


def _times(action: ScheduledAction, start: datetime, end: datetime) -> Iterator[datetime]:
    zone = ZoneInfo(action.time_zone)
    minutes, hours, days, months, weekdays = (
        _values(text, low, high)
        for text, low, high in zip(action.recurrence.upper().split(), (0, 0, 1, 1, 0), (59, 23, 31, 12, 7), strict=True)
    )
    any_day, any_weekday = (
        field.startswith("*") for field in (action.recurrence.split()[2], action.recurrence.split()[4])
    )
    weekdays = {weekday % 7 for weekday in weekdays}
    # A day more on each side: the zone's date may differ from that of `start`.
    day = start.astimezone(zone).date() - timedelta(days=1)
    last = end.astimezone(zone).date() + timedelta(days=1)
    while day <= last:
        if day.month in months and _day_matches(day, days, weekdays, any_day=any_day, any_weekday=any_weekday):
            for hour in sorted(hours):
                for minute in sorted(minutes):
                    time = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).astimezone(UTC)
                    if start <= time < end:
                        yield time
        day += timedelta(days=1)


def _day_matches(day: date, days: set[int], weekdays: set[int], *, any_day: bool, any_weekday: bool) -> bool:
    in_days, in_weekdays = day.day in days, day.isoweekday() % 7 in weekdays
    if any_day or any_weekday:
        return in_days and in_weekdays
    return in_days or in_weekdays


def _values(text: str, low: int, high: int) -> set[int]:
    """Values of one field: `*`, numbers and names, ranges, lists, steps."""
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if first == "*":
            begin, end = low, high
        else:
            begin = int(_NAMES.get(first, first))
            end = int(_NAMES.get(last, last)) if last else (high if step else begin)
        if end < begin:
            raise InvalidField(f"schedule: {text!r} runs backwards in {part!r}; write the smaller value first")
        found.update(range(begin, end + 1, int(step or 1)))
    return found
