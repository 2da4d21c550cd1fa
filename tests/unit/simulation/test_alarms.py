"""CloudWatch's alarms, against the tables of "Configuring how CloudWatch alarms treat missing data"."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferry.simulation.alarms import (
    ALARM,
    BREACHING,
    EXTRA_PERIODS,
    GREATER,
    GREATER_OR_EQUAL,
    IGNORE,
    INSUFFICIENT_DATA,
    LESS,
    LESS_OR_EQUAL,
    MISSING,
    NOT_BREACHING,
    OK,
    breaches,
    datapoint,
    evaluate,
)

TREATMENTS = (MISSING, IGNORE, BREACHING, NOT_BREACHING)
KEPT = -1
"""'Retain current state'."""

THREE_OF_THREE = [
    ("0-X-X", (OK, OK, OK, OK)),
    ("0----", (OK, OK, OK, OK)),
    ("-----", (INSUFFICIENT_DATA, KEPT, ALARM, OK)),
    ("0XX-X", (ALARM, ALARM, ALARM, ALARM)),
    ("--X--", (ALARM, KEPT, ALARM, OK)),
]
TWO_OF_THREE = [
    ("0-X-X", (ALARM, ALARM, ALARM, ALARM)),
    ("00X0X", (ALARM, ALARM, ALARM, ALARM)),
    ("0-X--", (OK, OK, ALARM, OK)),
    ("----0", (OK, OK, ALARM, OK)),
    ("---X-", (ALARM, KEPT, ALARM, OK)),
]
VALUES = {"0": 0.0, "X": 9.0, "-": math.nan}


def state_of(
    points: str, *, m: int, n: int = 3, missing: int = NOT_BREACHING, before: int = OK, period: int = 1
) -> int:
    samples = np.array([VALUES[point] for point in points])
    return evaluate(3.0, GREATER, period, n, m, missing, samples, len(samples), before)[0]


@pytest.mark.parametrize("before", [OK, ALARM, INSUFFICIENT_DATA])
@pytest.mark.parametrize(
    ("points", "states", "m"),
    [(*row, 3) for row in THREE_OF_THREE] + [(*row, 2) for row in TWO_OF_THREE],
)
def test_each_row_of_the_documented_tables_has_its_state(
    points: str, states: tuple[int, ...], m: int, before: int
) -> None:
    found = tuple(state_of(points, m=m, missing=treatment, before=before) for treatment in TREATMENTS)
    assert found == tuple(before if state == KEPT else state for state in states)


def test_the_figure_of_the_documentation_alarms_in_the_fifth_period_and_not_in_the_sixth_or_ninth() -> None:
    """Threshold 3, three of three: breaching in periods 3 to 5, below in 6, breaching once more in 9."""
    points = "00XXX000X0"
    assert [state_of(points[:end], m=3) for end in range(1, 11)] == [OK] * 4 + [ALARM] + [OK] * 5


def test_one_breaching_datapoint_after_a_silence_is_too_little_to_alarm() -> None:
    """'- - - - X' and '- - - X -', with three datapoints to alarm."""
    assert state_of("----X", m=3, missing=MISSING) == INSUFFICIENT_DATA
    assert state_of("---X-", m=3, missing=MISSING) == INSUFFICIENT_DATA
    assert state_of("----X", m=3, missing=IGNORE, before=OK) == OK


def test_datapoints_beyond_the_evaluation_range_are_forgotten() -> None:
    """The second row of the first table, one evaluation later."""
    assert state_of("0-----", m=3, missing=BREACHING) == ALARM


def test_a_period_of_five_minutes_slides_by_one_minute() -> None:
    """'At the end of minute 5 the alarm evaluates based on minutes 1 to 5, at the end of minute 6 on 2 to 6.'"""
    samples = np.array([0.0, 5.0, 5.0, 5.0, 5.0, 5.0])
    assert datapoint(samples[:5], 5, 0, 5) == 4.0
    assert datapoint(samples, 6, 0, 5) == 5.0
    assert evaluate(4.5, GREATER, 5, 1, 1, MISSING, samples[:5], 5, OK)[0] == OK
    assert evaluate(4.5, GREATER, 5, 1, 1, MISSING, samples, 6, OK)[0] == ALARM


def test_a_period_is_the_mean_of_the_minutes_that_have_a_value() -> None:
    assert datapoint(np.array([math.nan, 2.0, 4.0]), 3, 0, 3) == 3.0
    assert math.isnan(datapoint(np.array([math.nan, math.nan]), 2, 0, 2))


def test_an_old_sample_is_overwritten_in_the_ring() -> None:
    ring = np.array([4.0, 2.0, 3.0])  # minute 4 stands where minute 1 stood
    assert [datapoint(ring, 4, age, 1) for age in range(3)] == [4.0, 3.0, 2.0]


@pytest.mark.parametrize(
    ("comparison", "below", "on", "above"),
    [
        (GREATER, False, False, True),
        (GREATER_OR_EQUAL, False, True, True),
        (LESS, True, False, False),
        (LESS_OR_EQUAL, True, True, False),
    ],
)
def test_each_comparison_breaches_on_its_side_and_never_without_a_value(
    comparison: int, below: bool, on: bool, above: bool
) -> None:
    assert [breaches(value, comparison, 1.0) for value in (0.5, 1.0, 1.5)] == [below, on, above]
    assert not breaches(math.nan, comparison, 1.0)


def test_the_evaluated_datapoints_are_summed_up_newest_mean_lowest_highest() -> None:
    samples = np.array([100.0, 100.0, 6.0, math.nan, 4.0, 5.0])
    state, *found = evaluate(3.0, GREATER, 1, 3, 3, MISSING, samples, 6, OK)
    assert (state, found) == (ALARM, [5.0, 5.0, 4.0, 6.0])


alarms = st.integers(1, 6).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n)))
points = st.lists(st.sampled_from([0.0, 9.0, math.nan]), min_size=1, max_size=12)


@given(points, alarms, st.sampled_from([NOT_BREACHING, MISSING, IGNORE]), st.sampled_from([OK, INSUFFICIENT_DATA]))
def test_an_alarm_needs_as_many_breaching_datapoints_as_it_says(
    values: list[float], m_of_n: tuple[int, int], missing: int, before: int
) -> None:
    """Fewer do only where all that is known is breaching, and has been so for as long ('premature alarm state')."""
    m, n = m_of_n
    state = evaluate(3.0, GREATER, 1, n, m, missing, np.array(values), len(values), before)[0]
    known = [(age, value) for age, value in enumerate(reversed(values)) if age < n + EXTRA_PERIODS and value == value]
    breaching = [age for age, value in known[:n] if value > 3]
    if state == ALARM and len(breaching) < m:
        assert missing == MISSING
        assert len(breaching) == len(known) < n
        assert max(breaching) + 1 >= m


@given(points, alarms)
def test_missing_data_raises_no_alarm_that_real_data_would_not(values: list[float], m_of_n: tuple[int, int]) -> None:
    m, n = m_of_n
    without = np.array([0.0 if math.isnan(value) else value for value in values])
    if not any(value > 3 for value in without):
        assert evaluate(3.0, GREATER, 1, n, m, NOT_BREACHING, np.array(values), len(values), OK)[0] == OK
        assert evaluate(3.0, GREATER, 1, n, m, MISSING, np.array(values), len(values), OK)[0] != ALARM
