"""The shipped policies, those of stacks, and those of a file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from ferry.errors import InvalidField, UnreadableInput
from ferry.simulation.policies import SHIPPED, Sizes, from_stack, shipped, step_policies
from ferry.simulation.policy_file import read
from ferry.simulation.scaling_spec import (
    AlarmSpec,
    ScalingSpec,
    SimplePolicy,
    StepAdjustment,
    StepPolicy,
    TargetTracking,
)
from stacks.settings import ScalingSettings, Settings
from tests.unit.simulation.scaling import alarm, run, steps

STACKS = Path(__file__).parents[3] / "stacks"
SIZES = Sizes(min_size=1, max_size=9, initial=3)

Write = Callable[..., Path]


def article_rule(out: int = 2, in_: int = 10) -> tuple[StepPolicy, StepPolicy]:
    def when(comparison: Any, threshold: float, datapoints: int) -> AlarmSpec:
        return AlarmSpec(
            threshold=threshold,
            comparison=comparison,
            evaluation_periods=datapoints,
            datapoints_to_alarm=datapoints,
            treat_missing_data="notBreaching",
        )

    return (
        StepPolicy(
            alarm=when("GreaterThanThreshold", 0.8, out),
            steps=(StepAdjustment(lower_bound=0, upper_bound=None, adjustment=2),),
        ),
        StepPolicy(
            alarm=when("LessThanThreshold", 0.3, in_),
            steps=(StepAdjustment(lower_bound=None, upper_bound=0, adjustment=-1),),
        ),
    )


def test_the_articles_policy_adds_two_above_eight_tenths_and_removes_one_below_three_tenths() -> None:
    assert shipped("article", SIZES).policies == article_rule()
    assert run(shipped("article", SIZES), [0.81, 0.81, 0.5] + [0.29] * 10) == [3, 5] + [5] * 10 + [4]


@pytest.mark.parametrize("stack", ["staging", "prod", "prod-cn"])
def test_the_shipped_stacks_have_the_articles_rule(stack: str) -> None:
    for version in Settings.load(STACKS / f"Pulumi.{stack}.yaml").model_versions:
        spec = from_stack(version.fleet)
        assert spec.policies == article_rule()
        assert (spec.min_size, spec.max_size, spec.initial) == (
            version.fleet.min_size, version.fleet.max_size, version.fleet.min_size,
        )  # fmt: skip


def test_a_stack_with_other_numbers_is_simulated_with_those() -> None:
    dev = from_stack(Settings.load(STACKS / "Pulumi.dev.yaml").model_versions[0].fleet, initial=2)
    up, down = dev.policies
    assert isinstance(up, StepPolicy)
    assert isinstance(down, StepPolicy)
    assert (up.steps[0].adjustment, down.alarm.evaluation_periods, dev.initial) == (1, 5, 2)


def test_the_schedules_of_a_stack_are_simulated_too() -> None:
    prod = from_stack(Settings.load(STACKS / "Pulumi.prod.yaml").model_versions[0].fleet)
    assert [(one.name, one.recurrence, one.time_zone, one.min_size, one.max_size) for one in prod.schedules] == [
        ("office-hours", "30 7 * * MON-FRI", "America/New_York", 6, 12),
        ("night", "0 20 * * MON-FRI", "America/New_York", 3, 12),
    ]
    monday = datetime(2024, 1, 8, 12, 28, tzinfo=UTC)  # 7:28 in New York; since Friday night the minimum is 3
    assert run(prod, [0.5] * 3, start=monday) == [3, 6, 6]


def test_office_hours_are_the_largest_size_and_the_rest_the_smallest() -> None:
    friday = datetime(2024, 1, 5, 19, 58, tzinfo=UTC)
    assert run(shipped("schedule", SIZES), [0.5] * 3, start=friday) == [9, 1, 1]


def test_target_tracking_follows_a_load_of_six_tenths() -> None:
    assert shipped("target-tracking", SIZES).policies == (TargetTracking(target=0.6),)
    assert run(shipped("target-tracking", SIZES), [0.9] * 3) == [3, 3, 5]


def test_none_keeps_the_size() -> None:
    assert run(shipped("none", SIZES), [9.0] * 20 + [0.0] * 20) == [3] * 40


def test_a_policy_that_is_not_shipped_is_named_with_those_that_are() -> None:
    with pytest.raises(
        InvalidField, match=r"'artikle', allowed are article, target-tracking, schedule, none.*mean article"
    ):
        shipped("artikle", SIZES)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_policy_stands_for_the_smallest_and_the_largest_fleet(name: str) -> None:
    for low, high in ((0, 1), (1, 1), (1, 1000)):
        assert shipped(name, Sizes(min_size=low, max_size=high, initial=low)).max_size == high


UP = steps(alarm("GreaterThanThreshold", 0.8), (0, None, 1))
DOWN = steps(alarm("LessThanThreshold", 0.3), (None, 0, -1))


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        ((UP,), "nothing ever removes one"),
        ((TargetTracking(target=0.5, disable_scale_in=True),), "nothing ever removes one"),
        ((UP, steps(alarm("LessThanThreshold", 0.3), (None, 0, 0))), "nothing ever removes one"),
        ((UP, steps(alarm("LessThanThreshold", 0.9), (None, 0, -1))), "scale_out_above is 0.8, allowed is more than"),
        ((UP, SimplePolicy(alarm=alarm("LessThanThreshold", 0.8), adjustment=-1)), "scale_out_above is 0.8"),
        ((TargetTracking(target=0.5), TargetTracking(target=0.6)), "two target-tracking policies on one metric"),
    ],
)
def test_a_policy_that_cannot_shrink_or_does_both_at_once_is_refused(policies: Any, message: str) -> None:
    with pytest.raises(InvalidField, match=message):
        ScalingSpec(min_size=1, max_size=4, initial=1, policies=policies)


def test_one_size_with_a_policy_is_a_warning_because_aws_takes_it() -> None:
    spec = ScalingSpec(min_size=4, max_size=4, initial=4, policies=(UP, DOWN))
    assert spec.warnings == ("min_size and max_size are both 4: no policy can change the size of the group",)
    assert ScalingSpec(min_size=1, max_size=4, initial=4, policies=(UP, DOWN)).warnings == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"datapoints_to_alarm": 4}, "datapoints_to_alarm is 4, allowed is 1 to evaluation_periods, which is 3"),
        ({"period_seconds": 90}, "period is 90 s"),
        ({"period_seconds": 30}, "stored once a minute"),
        ({"period_seconds": 3540, "evaluation_periods": 25}, "25 periods of 3540 s are more than a day"),
    ],
)
def test_an_alarm_that_cloudwatch_refuses_is_refused(changes: dict[str, Any], message: str) -> None:
    given = {"threshold": 1.0, "comparison": "LessThanThreshold", "evaluation_periods": 3, "datapoints_to_alarm": 3}
    with pytest.raises(InvalidField, match=message):
        AlarmSpec(**{**given, **changes})


def test_steps_with_a_gap_are_refused() -> None:
    with pytest.raises(InvalidField, match="let each step begin where the one before it ends"):
        steps(alarm("GreaterThanThreshold", 0.8), (0, 0.1, 1), (0.2, None, 2))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(**changes: Any) -> Path:
        document = {"schema": "ferry/scaling/v1", "min_size": 1, "max_size": 9, **changes}
        path = tmp_path / "policy.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in document.items() if value is not None}))
        return path

    return written


def test_a_file_has_the_keys_of_a_stack(write: Write) -> None:
    spec = read(write(scaling={"scale_out_add": 3, "warmup_seconds": 900}, initial=2))
    assert spec.policies == step_policies(ScalingSettings(scale_out_add=3))
    assert (spec.initial, spec.warmup_seconds, spec.metric) == (2, 900, "load")


def test_a_file_can_say_what_a_stack_cannot(write: Write) -> None:
    spec = read(
        write(
            metric="kv_use",
            warmup_seconds=60,
            target_tracking={"target": 0.7},
            step_policies=[
                {
                    "alarm": {
                        "threshold": 0.9,
                        "comparison": "GreaterThanThreshold",
                        "evaluation_periods": 3,
                        "datapoints_to_alarm": 2,
                    },
                    "steps": [{"lower_bound": 0, "adjustment": 50}],
                    "adjustment_type": "PercentChangeInCapacity",
                    "min_adjustment_magnitude": 2,
                }
            ],
            simple_policies=[
                {
                    "alarm": {"threshold": 0.1, "comparison": "LessThanThreshold", "evaluation_periods": 5},
                    "adjustment": -1,
                    "cooldown_seconds": 600,
                }
            ],
        )
    )
    assert spec == ScalingSpec(
        min_size=1,
        max_size=9,
        initial=1,
        metric="kv_use",
        warmup_seconds=60,
        policies=(
            TargetTracking(target=0.7),
            steps(alarm("GreaterThanThreshold", 0.9, m=2, n=3), (0, None, 50), kind="PercentChangeInCapacity", least=2),
            SimplePolicy(alarm=alarm("LessThanThreshold", 0.1, m=5), adjustment=-1, cooldown_seconds=600),
        ),
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scaling": {"scale_out_abov": 0.8}}, r"policy\.yaml: scaling\.scale_out_abov: Extra inputs"),
        ({"cooldown": 300}, r"policy\.yaml: cooldown: Extra inputs are not permitted, given 300"),
        ({"scaling": {"scale_in_remove": 0}}, r"scaling\.scale_in_remove: .*greater than or equal to 1, given 0"),
        ({"scaling": {"scale_in_below": 0.9}}, "scale_out_above is 0.8, allowed is more than scale_in_below"),
        ({"target_tracking": {"target": 0}}, "target is 0.0, allowed is a number above 0"),
        ({"min_size": 10}, "min_size is 10, allowed is at most max_size, which is 9"),
        ({"min_size": None}, "min_size: Field required"),
        ({"initial": 12}, "desired_capacity is 12, allowed is 1 to 9"),
        ({"schema": "ferry/scaling/v2"}, "schema: Input should be 'ferry/scaling/v1', given 'ferry/scaling/v2'"),
        ({"scaling": {}, "warmup_seconds": 5}, "write it in scaling only"),
        (
            {
                "schedules": [
                    {"name": "day", "recurrence": "0 25 * * *", "time_zone": "UTC", "min_size": 1, "max_size": 2}
                ]
            },
            "its hour is '25', allowed is 0 to 23",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_said_on_one_line(write: Write, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidField, match=message) as caught:
        read(write(**changes))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_yaml_mapping_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    for text in ("[", "- 1\n", ""):
        path.write_text(text)
        with pytest.raises(UnreadableInput, match=r"policy\.yaml"):
            read(path)
