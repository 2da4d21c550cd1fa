from __future__ import annotations

from itertools import pairwise

import pytest

from ferry.traffic.gate import looks, statistics
from ferry.traffic.gate.policy import CanaryPolicy

POLICY = CanaryPolicy.model_validate({"schema": "ferry/canary/v1"})


def policy(**fields: object) -> CanaryPolicy:
    return CanaryPolicy.model_validate({"schema": "ferry/canary/v1", **fields})


def test_alpha_is_divided_among_steps_and_tests() -> None:
    assert looks.alpha_per_test(POLICY) == pytest.approx(0.05 / (6 * 9))
    with_limits = policy(steps=[50, 100], slo={"error_rate": 0.1, "ttft_p99_ms": 100, "tpot_p99_ms": 10})
    assert looks.alpha_per_test(with_limits) == pytest.approx(0.05 / (2 * 12))


def test_all_rounds_and_all_looks_spend_no_more_than_alpha() -> None:
    rounds = [looks.alpha_of_round(POLICY, number) for number in range(60)]
    assert rounds[0] == pytest.approx(0.9 * looks.alpha_per_test(POLICY))
    assert sum(rounds) == pytest.approx(looks.alpha_per_test(POLICY))
    spent = [0.0, *(statistics.spent(level, 1.0) for level in looks.levels(7192))]
    assert sum(after - before for before, after in pairwise(spent)) == pytest.approx(1.0)
    assert sum(looks.open_share(number) for number in range(1, 100_000)) == pytest.approx(1.0, abs=1e-4)


def test_looks_stand_a_quarter_apart_from_the_fourth_request_on() -> None:
    assert looks.levels(8) == pytest.approx([1.25**-4, 1.25**-3, 1.25**-2, 0.8, 1.0])
    assert looks.levels(3) == (1.0,)
    assert len(looks.levels(7192)) == 35


def test_looks_at_open_requests_stand_half_as_much_apart_again() -> None:
    assert [looks.open_looks(seconds) for seconds in (0.0, 0.9, 1.0, 1.4, 1.5, 2.25, 60.0)] == [0, 0, 1, 1, 2, 3, 11]


def test_what_each_step_takes_is_known_before_it_begins() -> None:
    found = {step.name: looks.required(POLICY, step) for step in POLICY.steps}
    assert {name: need.candidate for name, need in found.items()} == {
        "shadow": 7192, "1 %": 3521, "5 %": 3672, "25 %": 4748, "50 %": 7192, "100 %": 7192,
    }  # fmt: skip
    assert found["50 %"].candidate_latencies == 2345
    assert found["25 %"].baseline == round(3 * 4748 * 0.9)
    assert found["1 %"].seconds(500) == pytest.approx(3521 / 5)
    assert found["50 %"].seconds(500) == 60.0


def test_with_fewer_requests_asked_for_latencies_are_asked_for_in_proportion() -> None:
    (step,) = policy(steps=[{"percent": 50, "minimum_requests": 60, "minimum_seconds": 1}]).steps
    need = looks.required(policy(steps=[step]), step)
    assert (need.candidate, need.baseline, need.candidate_latencies, need.minimum_seconds) == (60, 54, 20, 1.0)


def test_more_power_takes_more_requests() -> None:
    step = POLICY.steps[4]
    assert looks.required(policy(gate={"power": 0.99}), step).candidate > 7192
    assert looks.required(policy(gate={"alpha": 0.01}), step).candidate > 7192
    assert looks.required(policy(gate={"error_ratio": 3}), step).candidate < 7192


def test_what_is_recorded_for_the_last_step_is_what_the_step_before_left() -> None:
    # After 90 %, there are a ninth as many requests of the baseline: more are needed of the candidate.
    steep = policy(steps=[50, 90, 100])
    last = looks.required(steep, steep.steps[-1])
    assert last.candidate == looks.required(steep, steep.steps[-2]).candidate
    assert last.candidate > 7192
