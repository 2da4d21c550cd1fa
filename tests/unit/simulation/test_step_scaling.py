"""Step scaling, against the examples of AWS's documentation ("Step and simple scaling policies")."""

from __future__ import annotations

import pytest

from ferry.errors import InvalidField
from ferry.simulation.scaling_spec import ScalingSpec, SimplePolicy
from ferry.simulation.step_scaling import CHANGE, EXACT, PERCENT, change
from tests.unit.simulation.scaling import alarm, run, steps

OUT = steps(
    alarm("GreaterThanOrEqualToThreshold", 50), (0, 10, 0), (10, 20, 10), (20, None, 30), kind="PercentChangeInCapacity"
)
IN = steps(
    alarm("LessThanOrEqualToThreshold", 50),
    (-10, 0, 0),
    (-20, -10, -10),
    (None, -20, -30),
    kind="PercentChangeInCapacity",
)


def example(**changes: int) -> ScalingSpec:
    """The documentation's group of 10 with a threshold of 50 and steps at 60 and 70, at 40 and 30."""
    sizes = {"min_size": 1, "max_size": 100, "initial": 10, "warmup_seconds": 0, **changes}
    return ScalingSpec(policies=(OUT, IN), **sizes)


def test_the_documented_group_goes_from_10_to_11_to_14_to_13_to_10() -> None:
    """At 60, 70, 40 and 30, each once the change before is complete."""
    assert run(example(), [55, 60, 70, 45, 40, 30, 41]) == [10, 11, 14, 14, 13, 10, 10]


def test_while_an_instance_warms_up_a_breach_of_the_same_step_adds_nothing_and_a_higher_one_the_difference() -> None:
    """'The metric gets to 60, and then to 62 while the new instance is warming up … If the metric gets to 70: 13.'"""
    assert run(example(warmup_seconds=600), [60, 62, 70, 70]) == [11, 11, 13, 13]
    assert run(example(), [60, 62, 70], start_minutes=10) == [11, 11, 13]


def test_a_warmed_up_instance_is_part_of_the_current_capacity() -> None:
    """30 percent of 11 is 3: 14. In service in minute 2, where its warm-up of two minutes begins."""
    spec = example(warmup_seconds=120)
    assert run(spec, [60, 55, 70], start_minutes=1) == [11, 11, 13]
    assert run(spec, [60, 55, 55, 70], start_minutes=1) == [11, 11, 11, 14]


def test_nothing_is_removed_while_instances_start_or_warm_up() -> None:
    assert run(example(warmup_seconds=120), [60, 30, 30, 30], start_minutes=1) == [11, 11, 11, 8]


def test_a_terminating_instance_counts_so_that_the_same_step_removes_nothing_more() -> None:
    """'While an instance is already terminating, a breach in the range of the same step: no action is taken.'"""
    assert run(example(initial=14), [40, 40, 40, 40, 40], drain_minutes=3) == [13, 13, 13, 12, 12]


def test_a_lower_step_removes_the_difference_while_an_instance_is_terminating() -> None:
    """30 percent of the 14 that still run are 4."""
    assert run(example(initial=14), [40, 30], drain_minutes=3) == [13, 10]


def test_the_alarm_acts_in_each_minute_in_which_it_stays_in_alarm() -> None:
    rule = steps(alarm("GreaterThanThreshold", 0.8, m=2), (0, None, 2))
    down = steps(alarm("LessThanThreshold", 0.3, m=3), (None, 0, -1))
    spec = ScalingSpec(min_size=1, max_size=20, initial=1, policies=(rule, down), warmup_seconds=0)
    assert run(spec, [0.9] * 5 + [0.5] + [0.2] * 5) == [1, 3, 5, 7, 9, 9, 9, 9, 8, 7, 6]


def test_on_the_threshold_of_the_articles_rule_nothing_happens() -> None:
    rule = steps(alarm("GreaterThanThreshold", 0.8), (0, None, 2))
    down = steps(alarm("LessThanThreshold", 0.3), (None, 0, -1))
    spec = ScalingSpec(min_size=1, max_size=9, initial=4, policies=(rule, down), warmup_seconds=0)
    assert run(spec, [0.8, 0.3, 0.80000001, 0.29999999]) == [4, 4, 6, 5]


@pytest.mark.parametrize(
    ("value", "desired"), [(0.85, 11), (0.9, 12), (0.95, 12), (1.0, 15), (0.25, 9), (0.2, 8), (0.15, 8), (0.1, 5)]
)
def test_a_bound_belongs_to_the_step_further_from_the_threshold(value: float, desired: int) -> None:
    """0.3 - 0.1 is below 0.2 in binary floating point; as AWS's decimals they are equal."""
    out = steps(alarm("GreaterThanThreshold", 0.8), (0, 0.1, 1), (0.1, 0.2, 2), (0.2, None, 5))
    in_ = steps(alarm("LessThanThreshold", 0.3), (-0.1, 0, -1), (-0.2, -0.1, -2), (None, -0.2, -5))
    spec = ScalingSpec(min_size=1, max_size=20, initial=10, policies=(out, in_), warmup_seconds=0)
    assert run(spec, [value]) == [desired]


def test_on_its_threshold_a_low_alarm_takes_the_step_below_and_a_high_one_the_step_above() -> None:
    up = steps(alarm("GreaterThanOrEqualToThreshold", 0.8), (None, 0, 9), (0, None, 1))
    down = steps(alarm("LessThanOrEqualToThreshold", 0.3), (None, 0, -1), (0, None, 0))
    assert run(ScalingSpec(min_size=1, max_size=20, initial=5, policies=(down,), warmup_seconds=0), [0.3]) == [4]
    with pytest.raises(InvalidField, match="scale_out_above is -inf"):
        ScalingSpec(min_size=1, max_size=20, initial=5, policies=(up, down))
    above = steps(alarm("GreaterThanOrEqualToThreshold", 0.8), (None, 0, 0), (0, None, 1))
    assert run(ScalingSpec(min_size=1, max_size=20, initial=5, policies=(above, down), warmup_seconds=0), [0.8]) == [6]


def test_the_mean_of_the_evaluated_datapoints_chooses_the_step() -> None:
    out = steps(alarm("GreaterThanThreshold", 0.8, m=2), (0, 0.2, 1), (0.2, None, 5))
    down = steps(alarm("LessThanThreshold", 0.3), (None, 0, -1))
    spec = ScalingSpec(min_size=1, max_size=20, initial=10, policies=(out, down), warmup_seconds=0)
    assert run(spec, [0.85, 1.1]) == [10, 11]
    assert run(spec, [0.9, 1.1]) == [10, 15]


def test_a_mean_that_no_step_covers_changes_nothing() -> None:
    """Two of three breach, and all three average below the threshold."""
    out = steps(alarm("GreaterThanThreshold", 0.8, m=2, n=3), (0, None, 1))
    down = steps(alarm("LessThanThreshold", 0.3, m=3), (None, 0, -1))
    spec = ScalingSpec(min_size=1, max_size=20, initial=10, policies=(out, down), warmup_seconds=0)
    assert run(spec, [0.9, 0.4, 0.9]) == [10, 10, 10]
    assert run(spec, [0.9, 0.7, 0.9]) == [10, 10, 11]


@pytest.mark.parametrize(
    ("kind", "adjustment", "magnitude", "capacity", "expected"),
    [
        (CHANGE, 5, 0, 3, 5),
        (EXACT, 5, 0, 3, 2),
        (PERCENT, 10, 0, 10, 1),
        (PERCENT, 127, 0, 10, 12),  # 12.7
        (PERCENT, 67, 0, 1, 1),  # 0.67
        (PERCENT, -58, 0, 1, -1),  # -0.58
        (PERCENT, -667, 0, 1, -6),  # -6.67
        (PERCENT, 25, 2, 4, 2),  # 25 percent of 4 is 1, at least 2
        (PERCENT, -25, 2, 4, -2),
        (PERCENT, 0, 2, 4, 0),
        (PERCENT, 50, 0, 0, 0),
    ],
)
def test_adjustments_are_rounded_as_documented(
    kind: int, adjustment: float, magnitude: float, capacity: int, expected: int
) -> None:
    assert change(kind, adjustment, magnitude, capacity) == expected


def test_exact_capacity_sets_the_size_up_and_down() -> None:
    high = steps(alarm("GreaterThanThreshold", 0.8), (0, None, 8), kind="ExactCapacity")
    low = steps(alarm("LessThanThreshold", 0.3), (None, 0, 2), kind="ExactCapacity")
    spec = ScalingSpec(min_size=1, max_size=20, initial=5, policies=(high, low), warmup_seconds=0)
    assert run(spec, [0.9, 0.9, 0.1, 0.1]) == [8, 8, 2, 2]


def test_the_size_stays_within_minimum_and_maximum() -> None:
    """The documentation's: maximum 3, 2 instances, add 3; minimum 2, 3 instances, remove 2."""
    up = steps(alarm("GreaterThanThreshold", 0.8), (0, None, 3))
    down = steps(alarm("LessThanThreshold", 0.3), (None, 0, -2))
    spec = ScalingSpec(min_size=2, max_size=3, initial=2, policies=(up, down), warmup_seconds=0)
    assert run(spec, [0.9, 0.1]) == [3, 2]


def test_of_two_policies_the_one_with_the_larger_capacity_wins_out_and_in() -> None:
    """The documentation's: remove 3, and remove 25 percent, of 8: two are removed."""
    one = steps(alarm("GreaterThanThreshold", 0.8), (0, None, 1))
    two = steps(alarm("GreaterThanThreshold", 0.7), (0, None, 2))
    three_off = steps(alarm("LessThanThreshold", 0.3), (None, 0, -3))
    quarter_off = steps(alarm("LessThanThreshold", 0.3), (None, 0, -25), kind="PercentChangeInCapacity")
    spec = ScalingSpec(
        min_size=1, max_size=20, initial=8, policies=(one, two, three_off, quarter_off), warmup_seconds=0
    )
    assert run(spec, [0.9]) == [10]
    assert run(spec, [0.1]) == [6]


def test_without_data_nothing_is_added_or_removed_even_where_missing_data_raises_the_alarm() -> None:
    up = steps(alarm("GreaterThanThreshold", 0.8, treat_missing_data="breaching"), (0, None, 1))
    down = steps(alarm("LessThanThreshold", 0.3), (None, 0, -1))
    spec = ScalingSpec(min_size=1, max_size=20, initial=8, policies=(up, down), warmup_seconds=0)
    assert run(spec, [None] * 6) == [8] * 6


def test_a_simple_policy_waits_for_its_instances_and_then_for_its_cooldown() -> None:
    """Launched in minute 1, in service in minute 3, then 2 minutes: it acts again in minute 5."""
    up = SimplePolicy(alarm=alarm("GreaterThanThreshold", 0.8), adjustment=1, cooldown_seconds=120)
    down = SimplePolicy(alarm=alarm("LessThanThreshold", 0.3), adjustment=-1, cooldown_seconds=0)
    spec = ScalingSpec(min_size=1, max_size=20, initial=2, policies=(up, down), warmup_seconds=0)
    assert run(spec, [0.9] * 6, start_minutes=2) == [3, 3, 3, 3, 4, 4]
    assert run(spec, [0.1] * 4, drain_minutes=2) == [1, 1, 1, 1]
    assert run(spec, [0.9, 0.9, 0.1, 0.1, 0.1], start_minutes=0) == [3, 3, 3, 2, 1]


def test_a_step_policy_does_not_wait_for_the_cooldown_of_a_simple_one() -> None:
    simple = SimplePolicy(alarm=alarm("GreaterThanThreshold", 0.8), adjustment=1, cooldown_seconds=600)
    step = steps(alarm("GreaterThanThreshold", 0.9), (0, None, 1))
    down = steps(alarm("LessThanThreshold", 0.3), (None, 0, -1))
    spec = ScalingSpec(min_size=1, max_size=20, initial=2, policies=(simple, step, down), warmup_seconds=0)
    assert run(spec, [0.85, 0.85, 0.95]) == [3, 3, 4]
