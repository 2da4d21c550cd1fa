"""A seeded sample of simulated canaries; bench/gate.py has a thousand of each."""

from __future__ import annotations

import numpy as np

from ferry.traffic.gate.gate import Gate
from ferry.traffic.gate.measures import MEASURES, Known, Measured
from ferry.traffic.gate.policy import CanaryPolicy

POLICY = CanaryPolicy.model_validate({"schema": "ferry/canary/v1"})
STEP = POLICY.steps[4]
RATE = 250.0
"""Requests of each side a second."""


def side(random: np.random.Generator, *, errors: float = 0.01, scale: float = 1.0, seconds: float = 66.0) -> Measured:
    count = int(RATE * seconds)
    measures = {name: Known(np.empty(0, dtype=np.int64), np.empty(0)) for name in MEASURES}
    bad = random.random(count) < errors
    measures["errors"] = Known(np.flatnonzero(bad), np.ones(int(bad.sum())))
    streams = np.flatnonzero(~bad & (random.random(count) < 1 / 3))
    measures["ttft"] = Known(streams, scale * random.lognormal(5, 0.5, len(streams)))
    return Measured(np.arange(count) / RATE, measures)


def actions(count: int, **candidate: float) -> list[str]:
    found = []
    for seed in range(count):
        random = np.random.default_rng(seed)
        decision = Gate(POLICY, STEP).take(side(random), side(random, **candidate))
        found.append("hold" if decision is None else decision.action)
    return found


def test_candidates_of_equal_quality_pass() -> None:
    found = actions(40)
    assert found.count("advance") >= 39  # two are rolled back once in 200 samples, at most


def test_a_doubled_error_rate_is_found_with_the_power_that_was_asked_for() -> None:
    assert actions(40, errors=0.02).count("roll back") >= 35  # of 38 expected; fewer once in 70 samples


def test_a_doubled_p99_is_found() -> None:
    assert actions(20, scale=2.0) == ["roll back"] * 20


def test_a_better_candidate_passes() -> None:
    assert actions(10, errors=0.0, scale=0.5) == ["advance"] * 10
