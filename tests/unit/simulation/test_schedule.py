"""Scheduled actions: cron in a time zone, and what they do to a group."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ferry.errors import InvalidField
from ferry.simulation.scaling_spec import ScalingSpec, ScheduledAction
from ferry.simulation.schedule import latest_before, occurrences
from tests.unit.simulation.scaling import alarm, run, steps

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


def action(
    recurrence: str, zone: str = "Etc/UTC", *, low: int = 1, high: int = 9, desired: int | None = None, name: str = "it"
) -> ScheduledAction:
    return ScheduledAction(
        name=name, recurrence=recurrence, time_zone=zone, min_size=low, max_size=high, desired_capacity=desired
    )


def times(recurrence: str, zone: str = "Etc/UTC", *, start: datetime = MONDAY, days: int = 7) -> list[str]:
    found = occurrences([action(recurrence, zone)], start, start + timedelta(days=days))
    return [time.strftime("%d %H:%M") for time, _ in found]


@pytest.mark.parametrize(
    ("recurrence", "expected"),
    [
        ("30 6 * * 2", ["02 06:30"]),  # AWS's example: every Tuesday at 6:30
        ("0 18 * * 1-5", ["01 18:00", "02 18:00", "03 18:00", "04 18:00", "05 18:00"]),
        ("0 8 * * MON,wed", ["01 08:00", "03 08:00"]),
        ("0 8 * * 7", ["07 08:00"]),
        ("0 8 * * 0", ["07 08:00"]),
        ("0 */12 2 * *", ["02 00:00", "02 12:00"]),
        ("15-45/15 0 1 JAN *", ["01 00:15", "01 00:30", "01 00:45"]),
        ("0 22/1 1 1 *", ["01 22:00", "01 23:00"]),
        ("0 0 3 * 5", ["03 00:00", "05 00:00"]),  # both days restricted: either
        ("0 0 31 2 *", []),
    ],
)
def test_a_recurrence_comes_round_as_cron_says(recurrence: str, expected: list[str]) -> None:
    assert times(recurrence) == expected


def test_local_time_follows_summer_time() -> None:
    """AWS's example: 8:00 in New York, before and after 10 March 2024."""
    start = datetime(2024, 3, 9, tzinfo=UTC)
    assert times("0 8 * * *", "America/New_York", start=start, days=2) == ["09 13:00", "10 12:00"]


def test_an_hour_that_is_skipped_runs_an_hour_later_and_one_that_comes_twice_runs_once() -> None:
    spring, autumn = datetime(2024, 3, 10, tzinfo=UTC), datetime(2024, 11, 3, tzinfo=UTC)
    assert times("30 2 * * *", "America/New_York", start=spring, days=1) == ["10 07:30"]  # 3:30 local
    assert times("30 1 * * *", "America/New_York", start=autumn, days=1) == ["03 05:30"]


def test_a_run_begins_with_the_sizes_of_the_action_before_it() -> None:
    office, night = action("0 8 * * *", low=4), action("0 20 * * *", low=2)
    assert latest_before([office, night], MONDAY + timedelta(hours=12)) == office
    assert latest_before([office, night], MONDAY) == night
    assert latest_before([office], MONDAY + timedelta(hours=8)) == office
    assert latest_before([action("0 0 31 2 *")], MONDAY) is None


def test_a_range_that_runs_backwards_is_refused() -> None:
    with pytest.raises(InvalidField, match=r"'FRI-SUN' runs backwards in 'FRI-SUN'; write the smaller value first"):
        times("0 8 * * FRI-SUN")


def scheduled(*actions: ScheduledAction) -> ScalingSpec:
    """Three instances, since midnight 1 to 9, and a policy that removes one each minute below 0.3."""
    down = steps(alarm("LessThanThreshold", 0.3), (None, 0, -1))
    night = action("0 0 * * *", name="night")
    return ScalingSpec(
        min_size=1, max_size=9, initial=3, policies=(down,), schedules=(night, *actions), warmup_seconds=0
    )


START = MONDAY + timedelta(hours=7, minutes=58)


def test_an_action_sets_its_sizes_in_its_minute_and_they_hold_from_then_on() -> None:
    """At 8:00 six are wanted and at least five. They start, so nothing is removed; then one is, and no more."""
    spec = scheduled(action("0 8 * * *", low=5, desired=6))
    assert run(spec, [0.1, 0.1, 0.1, 0.1, 0.1], start=START) == [2, 6, 5, 5, 5]


def test_the_size_moves_into_the_new_limits() -> None:
    assert run(scheduled(action("0 8 * * *", low=5)), [0.5, 0.5, 0.5], start=START) == [3, 5, 5]
    assert run(scheduled(action("0 8 * * *", high=2)), [0.5, 0.5, 0.5], start=START) == [3, 2, 2]


def test_a_minimum_that_rises_waits_for_nothing() -> None:
    """Instances of one action still start when the next one runs."""
    spec = scheduled(action("59 7 * * *", low=5, name="one"), action("0 8 * * *", low=7, name="two"))
    assert run(spec, [0.5] * 3, start=START, start_minutes=10) == [5, 7, 7]


def test_schedules_need_to_know_when_the_run_starts() -> None:
    for start in (None, datetime(2024, 1, 1)):  # noqa: DTZ001
        with pytest.raises(InvalidField, match="schedules need the start of the run with its time zone"):
            run(scheduled(action("0 8 * * *")), [0.5], start=start)
