"""Target tracking, against what AWS documents and what its alarms show."""

from __future__ import annotations

import pytest

from ferry.simulation.scaling_spec import ScalingSpec, TargetTracking
from ferry.simulation.target_tracking import capacity_in, capacity_out, high_alarm, low_alarm
from tests.unit.simulation.scaling import alarm, run, steps


def tracking(target: float = 0.5, **changes: object) -> ScalingSpec:
    given = {"min_size": 1, "max_size": 100, "initial": 10, "warmup_seconds": 0, **changes}
    return ScalingSpec(policies=(TargetTracking(target=target),), **given)


@pytest.mark.parametrize(("target", "low"), [(40, 28), (50, 35), (75, 52.5), (20, 14)])
def test_the_alarms_are_those_that_groups_show(target: float, low: float) -> None:
    policy = TargetTracking(target=target)
    high, below = high_alarm(policy), low_alarm(policy)
    assert (high.comparison, high.threshold, high.datapoints_to_alarm, high.evaluation_periods) == (
        "GreaterThanThreshold", target, 3, 3,
    )  # fmt: skip
    assert (below.comparison, below.threshold, below.datapoints_to_alarm, below.evaluation_periods) == (
        "LessThanThreshold", low, 15, 15,
    )  # fmt: skip
    assert {high.period_seconds, below.period_seconds} == {60}


def test_it_grows_in_the_third_minute_in_proportion_and_rounded_up() -> None:
    """'Adding 1.5 instances … we round up and add two': 5 at 0.65 with a target of 0.5 are 6.5."""
    assert run(tracking(initial=5), [0.65, 0.65, 0.65]) == [5, 5, 7]


def test_it_shrinks_in_the_fifteenth_minute_and_removes_the_fewest() -> None:
    """'Removing 1.5 instances … we remove just one': 5 at 0.35 with a target of 0.5 are 3.5; but 0.35 is no breach."""
    assert capacity_in(0.35, 0.5, 5, 5, 0, 0) == 4
    assert run(tracking(), [0.2] * 15) == [10] * 14 + [4]
    assert run(tracking(), [0.35] * 20) == [10] * 20


def test_the_highest_of_the_fifteen_minutes_decides_how_far_it_shrinks() -> None:
    assert run(tracking(), [0.2] * 7 + [0.3] + [0.2] * 7)[-1] == 6


def test_a_minute_within_the_range_starts_the_fifteen_again() -> None:
    assert run(tracking(), [0.2] * 10 + [0.4] + [0.2] * 15) == [10] * 25 + [4]


def test_while_instances_warm_up_it_grows_from_the_warm_ones_and_shrinks_not_at_all() -> None:
    spec = tracking(warmup_seconds=3600)
    assert run(spec, [0.75] * 4 + [1.0], start_minutes=1) == [10, 10, 15, 15, 20]
    assert run(spec, [0.75] * 3 + [0.1] * 20) == [10, 10] + [15] * 21


def test_terminating_instances_count_when_it_shrinks() -> None:
    """10 at 0.2 are 4; while the six drain, ten at 0.2 are four still."""
    assert run(tracking(), [0.2] * 18, drain_minutes=10)[14:] == [4, 4, 4, 4]
    assert run(tracking(), [0.2] * 16)[14:] == [4, 2]


def test_without_data_it_does_not_shrink() -> None:
    """'Does not scale in your group when the specified metric has insufficient data.'"""
    assert run(tracking(), [None] * 40) == [10] * 40
    assert run(tracking(), [0.2] * 14 + [None] * 10)[-1] == 10


def test_a_group_that_is_exactly_on_its_target_is_left_as_it_is() -> None:
    """3 x 0.6 / 0.6 is 3.0000000000000004 in floating point."""
    assert capacity_out(0.6000000000000001, 0.6, 3, 3) == 3


def test_disable_scale_in_leaves_shrinking_to_another_policy() -> None:
    down = steps(alarm("LessThanThreshold", 0.2), (None, 0, -1))
    spec = ScalingSpec(
        min_size=1,
        max_size=100,
        initial=10,
        policies=(TargetTracking(target=0.5, disable_scale_in=True), down),
        warmup_seconds=0,
    )
    assert run(spec, [0.25] * 20) == [10] * 20
    assert run(spec, [0.1, 0.1]) == [9, 8]
