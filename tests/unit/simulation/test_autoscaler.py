"""The autoscaler as a whole: what holds whatever the policies and the datapoints, and compiled as in plain Python."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from ferry.simulation.policies import Sizes, shipped
from ferry.simulation.scaling_spec import (
    Policy,
    ScalingSpec,
    ScheduledAction,
    SimplePolicy,
    TargetTracking,
)
from tests.unit.simulation.scaling import alarm, run, steps

START = datetime(2024, 1, 1, 7, 50, tzinfo=UTC)
OFFICE = ScheduledAction(name="office", recurrence="0 8 * * *", time_zone="Etc/UTC", min_size=3, max_size=8)


@st.composite
def policies(draw: st.DrawFn) -> tuple[Policy, ...]:
    m = draw(st.integers(1, 3))
    n = draw(st.integers(m, 4))
    missing = draw(st.sampled_from(["missing", "notBreaching", "breaching", "ignore"]))
    high = alarm("GreaterThanThreshold", 0.8, m=m, n=n, treat_missing_data=missing)
    low = alarm("LessThanOrEqualToThreshold", 0.3, m=m, n=n, treat_missing_data=missing)
    kind = draw(st.sampled_from(["ChangeInCapacity", "PercentChangeInCapacity"]))
    found: list[Policy] = [
        steps(high, (0, 0.2, draw(st.integers(0, 60))), (0.2, None, draw(st.integers(1, 90))), kind=kind),
        steps(low, (-0.1, 0, -1), (None, -0.1, -draw(st.integers(1, 90))), kind=kind),
    ]
    if draw(st.booleans()):
        found.append(SimplePolicy(alarm=high, adjustment=draw(st.integers(1, 9)), cooldown_seconds=120))
    if draw(st.booleans()):
        found.append(TargetTracking(target=draw(st.floats(0.1, 1.0)), disable_scale_in=draw(st.booleans())))
    return tuple(draw(st.permutations(found)))


@st.composite
def specs(draw: st.DrawFn) -> ScalingSpec:
    low = draw(st.integers(0, 4))
    high = draw(st.integers(low, 12))
    return ScalingSpec(
        min_size=low,
        max_size=high,
        initial=draw(st.integers(low, high)),
        policies=draw(policies()),
        schedules=draw(st.sampled_from([(), (OFFICE,)])),
        warmup_seconds=draw(st.sampled_from([0, 90, 300])),
    )


datapoints = st.lists(st.one_of(st.none(), st.floats(0, 3)), max_size=40)
times = st.integers(0, 5)


@settings(max_examples=50)
@given(specs(), datapoints, times, times)
def test_the_size_is_always_within_the_limits_of_its_time(
    spec: ScalingSpec, values: list[float | None], start_minutes: int, drain_minutes: int
) -> None:
    given_ = {"start_minutes": start_minutes, "drain_minutes": drain_minutes, "start": START}
    found = run(spec, values, **given_)
    # With the schedule its sizes hold from the start: it ran the day before.
    limits: ScalingSpec | ScheduledAction = OFFICE if spec.schedules else spec
    assert all(limits.min_size <= desired <= limits.max_size for desired in found)
    assert run(spec, values, **given_) == found


@settings(max_examples=30)
@given(specs(), st.integers(1, 40))
def test_nothing_changes_while_there_is_no_data(spec: ScalingSpec, minutes: int) -> None:
    """Simple policies need no value: theirs are left out, where missing data is breaching."""
    kept = tuple(policy for policy in spec.policies if not isinstance(policy, SimplePolicy))
    quiet = ScalingSpec(
        min_size=spec.min_size, max_size=spec.max_size, initial=spec.initial, policies=kept, warmup_seconds=0
    )
    assert run(quiet, [None] * minutes) == [spec.initial] * minutes


@given(st.integers(2, 5), st.lists(st.sampled_from([0.5, 0.9]), max_size=20))
def test_a_rule_acts_only_after_all_its_datapoints_breach_in_a_row(m: int, values: list[float]) -> None:
    up = steps(alarm("GreaterThanThreshold", 0.8, m=m), (0, None, 1))
    down = steps(alarm("LessThanThreshold", 0.3, m=m), (None, 0, -1))
    spec = ScalingSpec(min_size=1, max_size=99, initial=1, policies=(up, down), warmup_seconds=0)
    expected, size = [], 1
    for end in range(1, len(values) + 1):
        size += end >= m and all(value == 0.9 for value in values[end - m : end])
        expected.append(size)
    assert run(spec, values) == expected


def test_compiled_it_decides_as_in_plain_python() -> None:
    values = [0.9, 1.4, None, 0.9, 0.9, 0.9, 0.5, *[0.1] * 25, None, None, 0.2, 0.9, 0.9]
    simple = SimplePolicy(alarm=alarm("GreaterThanThreshold", 1.2), adjustment=3, cooldown_seconds=120)
    article = shipped("article", Sizes(min_size=1, max_size=30, initial=4))
    spec = ScalingSpec(
        min_size=1,
        max_size=30,
        initial=4,
        policies=(*article.policies, TargetTracking(target=0.6), simple),
        schedules=(OFFICE,),
        warmup_seconds=120,
    )
    for chosen in (spec, article, shipped("none", Sizes(min_size=1, max_size=3, initial=2))):
        plain = run(chosen, values, start_minutes=2, drain_minutes=3, start=START)
        assert run(chosen, values, start_minutes=2, drain_minutes=3, start=START, compiled=True) == plain
    assert len(set(run(spec, values, start_minutes=2, drain_minutes=3, start=START))) > 3
