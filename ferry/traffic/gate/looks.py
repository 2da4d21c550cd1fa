"""When the gate looks, and how much of alpha each look may spend.

A step is a group-sequential test (Lan and DeMets, Biometrika 70 (1983) 659; spending function of Hwang, Shih and
DeCani, Statistics in Medicine 9 (1990) 1439). Looks stand where the information (the share of the required requests, or
of the minimum time, whichever is less) has grown by a quarter, the last one where the step is complete. Every look has
an exact p-value of everything so far, and its own part of alpha; since the parts add up, no assumption about how the
looks depend on each other is needed, and further bad requests at the candidate only ever lower a p-value. That costs 5
to 7 % more requests than one look at the end; a mixture e-process with the same error takes about half as many more
until it has the same power (bench/gate.py compares them). Among metrics and steps alpha is divided equally: with a
rollback at the first rejection, Holm's procedure is Bonferroni's.

A step that is held after its end is watched by further tests of new requests, the j-th with LATER * alpha / 2^j.
"""

from __future__ import annotations

import math
from functools import lru_cache

from ferry.traffic.gate.decision import Required
from ferry.traffic.gate.limits import limits
from ferry.traffic.gate.metrics import P99, comparisons
from ferry.traffic.gate.policy import CanaryPolicy, Step
from ferry.traffic.gate.statistics import sample_size, spent

GROWTH = 1.25
FIRST_REQUESTS = 4
"""The first look is where the candidate has had about so many."""
LATER = 0.1
"""Of alpha, for the time after a step's end."""
RATIO_TOLERANCE = 0.9
"""Shares come out by chance: a baseline of a tenth less than its part costs next to no power, and is not waited for."""
FIRST_OPEN_SECONDS = 1.0
"""Open requests are looked at from then on, whenever the time has grown by OPEN_GROWTH."""
OPEN_GROWTH = 1.5


def alpha_per_test(policy: CanaryPolicy) -> float:
    """Bonferroni over all tests of all steps: those of the metrics, the limits, and the open requests."""
    tests = len(comparisons(policy)) + len(limits(policy)) + 1
    return policy.gate.alpha / (tests * len(policy.steps))


def alpha_of_round(policy: CanaryPolicy, number: int) -> float:
    """Of one test in the `number`-th round of a step, from 0."""
    share = 1 - LATER if number == 0 else LATER * 0.5**number
    return alpha_per_test(policy) * share


def levels(required: int) -> tuple[float, ...]:
    """The information at each look, the last being 1."""
    count = max(0, math.ceil(math.log(max(1.0, required / FIRST_REQUESTS), GROWTH)))
    return tuple(GROWTH**-k for k in range(count, -1, -1))


def open_share(number: int) -> float:
    """Of alpha, for the `number`-th look at open requests, from 1: these add up to 1."""
    return 1 / (number * (number + 1))


def open_looks(elapsed_s: float) -> int:
    """How many looks at open requests are due after so many seconds."""
    if elapsed_s < FIRST_OPEN_SECONDS:
        return 0
    return 1 + int(math.log(elapsed_s / FIRST_OPEN_SECONDS, OPEN_GROWTH) + 1e-9)


@lru_cache(maxsize=64)
def required(policy: CanaryPolicy, step: Step) -> Required:
    """What a step takes on each side, from the power of its last look alone."""
    gate = policy.gate
    last_look = alpha_of_round(policy, 0) - spent(1 / GROWTH, alpha_of_round(policy, 0))
    ratio = _baseline_by_candidate(policy, step)
    slow = 1 - P99
    rates = (gate.error_rate, gate.error_rate * gate.error_ratio), (slow, gate.slow_ratio * slow)
    candidate, latencies = (sample_size(*pair, ratio, last_look, gate.power) for pair in rates)
    if step.minimum_requests is not None:
        latencies = math.ceil(latencies * step.minimum_requests / candidate)
        candidate = step.minimum_requests
    return Required(
        baseline=max(1, round(ratio * candidate * RATIO_TOLERANCE)),
        candidate=candidate,
        baseline_latencies=max(1, round(ratio * latencies * RATIO_TOLERANCE)),
        candidate_latencies=latencies,
        minimum_seconds=step.minimum_seconds or gate.minimum_seconds,
        candidate_share=step.percent / 100,
    )


def _baseline_by_candidate(policy: CanaryPolicy, step: Step) -> float:
    """Requests of the baseline for each of the candidate's. At 100 %, they are those recorded in the step before."""
    if step.shadow:
        return 100 / step.percent
    if step.is_alone:
        before = policy.steps[policy.steps.index(step) - 1]
        return min(1.0, _baseline_by_candidate(policy, before))
    return (100 - step.percent) / step.percent
