from __future__ import annotations

import re
from pathlib import Path

import pytest

from ferry.errors import InvalidField, UnreadableInput
from ferry.traffic.gate.policy import CanaryPolicy

ROOT = Path(__file__).parents[4]


@pytest.fixture
def load(tmp_path: Path):  # type: ignore[no-untyped-def]
    path = tmp_path / "canary.yaml"

    def of(text: str) -> CanaryPolicy:
        path.write_text(f"schema: ferry/canary/v1\n{text}")
        return CanaryPolicy.load(path)

    return of


def test_a_file_that_names_its_schema_is_enough(load) -> None:  # type: ignore[no-untyped-def]
    policy = load("")
    assert [step.name for step in policy.steps] == ["shadow", "1 %", "5 %", "25 %", "50 %", "100 %"]
    assert (policy.gate.alpha, policy.gate.power) == (0.05, 0.95)


def test_a_step_is_a_word_a_number_or_a_mapping(load) -> None:  # type: ignore[no-untyped-def]
    shadow, ten, all_ = load("steps: [{shadow: true, percent: 20}, {percent: 10, minimum_seconds: 5}, 100]").steps
    assert (shadow.name, shadow.percent, shadow.is_alone) == ("shadow", 20, False)
    assert (ten.name, ten.minimum_seconds, ten.is_alone) == ("10 %", 5.0, False)
    assert all_.is_alone


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: [5, 1, 100]", "steps: 1 % comes after 5 %; shares have to rise, such as"),
        ("steps: [5, 5, 100]", "steps: 5 % stands there twice; name each share once"),
        ("steps: [5, shadow, 100]", "steps: shadow comes first, and once"),
        ("steps: [shadow, shadow, 100]", "steps: shadow comes first, and once"),
        ("steps: [shadow]", "steps: shadow alone moves no traffic: add shares in percent"),
        ("steps: [100]", "steps: 100 % cannot come first"),
        ("steps: []", "steps: Tuple should have at least 1 item"),
        ("steps: [5, 101]", "steps.1.percent: Input should be less than or equal to 100, given 101"),
        ("steps: [0, 100]", "steps.0.percent: Input should be greater than or equal to 1, given 0"),
        (
            "steps: [half]",
            "steps.0: a step is shadow, a whole number of percent, or a mapping with",
        ),
        ("steps: [true, 100]", "steps.0: a step is shadow, a whole number of percent, or a mapping"),
        (
            "steps: [{percent: 5, minimum_requests: 0}]",
            "steps.0.minimum_requests: Input should be greater",
        ),
        (
            "steps: [{percent: 5, minimum_seconds: 0}]",
            "steps.0.minimum_seconds: Input should be greater than 0",
        ),
        ("steps: [{percent: 5, wait: 3}]", "steps.0.wait: Extra inputs are not permitted, given 3"),
        ("gate: null", "gate: traffic moves by evidence only: leave gate out for the default one"),
        ("gate: none", "gate: traffic moves by evidence only: leave gate out for the default one"),
        ("gate: {alpha: 0}", "gate.alpha: Input should be greater than 0, given 0"),
        ("gate: {alpha: 1}", "gate.alpha: Input should be less than 1, given 1"),
        ("gate: {alpha: .nan}", "gate.alpha: Input should be a finite number, given nan"),
        ("gate: {power: 1.0}", "gate.power: Input should be less than 1, given 1.0"),
        ("gate: {minimum_seconds: 0}", "gate.minimum_seconds: Input should be greater than 0, given 0"),
        (
            "gate: {error_rate: 0.4, error_ratio: 3}",
            "gate: error_rate 0.4 times error_ratio 3.0 is no rate",
        ),
        ("slo: {error_rate: 2}", "slo.error_rate: Input should be less than 1, given 2"),
        ("slo: {ttft_p99_ms: 0}", "slo.ttft_p99_ms: Input should be greater than 0, given 0"),
        ("stages: [5]", "stages: Extra inputs are not permitted, given [5]"),
    ],
)
def test_a_bad_policy_is_refused_by_field_and_value(load, text: str, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidField, match=re.escape(message)) as refused:
        load(text)
    assert "canary.yaml: " in str(refused.value)
    assert "\n" not in str(refused.value)


def test_another_version_and_another_kind_of_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "canary.yaml"
    path.write_text("schema: ferry/canary/v2\n")
    with pytest.raises(InvalidField, match="schema: Input should be 'ferry/canary/v1', given 'ferry/canary/v2'"):
        CanaryPolicy.load(path)
    path.write_text("schema: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(UnreadableInput, match="is not YAML"):
        CanaryPolicy.load(path)


def test_the_example_says_what_is_the_default_anyhow() -> None:
    assert CanaryPolicy.load(ROOT / "examples" / "canary.yaml") == CanaryPolicy.model_validate(
        {"schema": "ferry/canary/v1"}
    )
