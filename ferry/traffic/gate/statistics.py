"""Exact tests, intervals and sample sizes; nothing here assumes how latencies are distributed."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]

HSD_GAMMA = -4.0
"""Spends little early and most at the end, much as O'Brien and Fleming do; unlike theirs, it leaves an early look
enough to stop a release that fails at once."""
QUANTILE_POINTS = 17
"""Of the baseline's count of errors, over which `sample_size` averages the power."""


def fisher(candidate_events: int, candidate: int, baseline_events: int, baseline: int) -> float:
    """One-sided p-value of Fisher's exact test that the candidate's share of events is no larger than the baseline's.

    Fisher, The Design of Experiments (1935), sec. 21; given all events, the candidate's are hypergeometric.
    """
    if not candidate_events:
        return 1.0
    events = candidate_events + baseline_events
    return float(stats.hypergeom.sf(candidate_events - 1, candidate + baseline, events, candidate))


def exceedance(candidate_above: int, candidate: int, rank: int, baseline: int) -> float:
    """One-sided p-value that the candidate's values are no larger than the baseline's, whatever their distribution.

    `candidate_above` of the candidate's values lie above the baseline's `rank`-th largest. That many or more do exactly
    if they make up as many of the `rank + candidate_above - 1` largest of all, which is hypergeometric.
    Nelson, Journal of Quality Technology 18 (1986) 75; Balakrishnan and Ng, Precedence-Type Tests (2006), ch. 2.
    """
    if not candidate_above:
        return 1.0
    top = rank + candidate_above - 1
    return float(stats.hypergeom.sf(candidate_above - 1, candidate + baseline, top, candidate))


def binomial(events: int, count: int, limit: float) -> float:
    """One-sided p-value that the true share of events is no larger than `limit`."""
    return float(stats.binom.sf(events - 1, count, limit)) if events else 1.0


def rate_interval(events: int, count: int, confidence: float) -> tuple[float, float]:
    """Clopper and Pearson's interval for a share (Biometrika 26 (1934) 404). Of no requests: all of [0, 1]."""
    outside = (1 - confidence) / 2
    low = float(special.betaincinv(events, count - events + 1, outside)) if events else 0.0
    high = float(special.betainccinv(events + 1, count - events, outside)) if events < count else 1.0
    return low, high


def upper_rank(share: float, count: int) -> int:
    """Counted from the largest value, 1 first: the nearest-rank quantile of `count` values."""
    return count - max(1, math.ceil(share * count - 1e-9)) + 1


def largest(values: Floats, rank: int) -> float:
    """The value of that rank, the largest being 1."""
    return float(np.partition(values, len(values) - rank)[len(values) - rank])


def quantile_interval(values: Floats, share: float, confidence: float) -> tuple[float | None, float, float | None]:
    """Low end, nearest rank and high end of a quantile; an end that so few values cannot tell is None.

    From order statistics (David and Nagaraja, Order Statistics, 3rd ed., sec. 7.1): the number of values below the
    true quantile is binomial. `values` must not be empty.
    """
    count = len(values)
    outside = (1 - confidence) / 2
    low = int(stats.binom.ppf(outside, count, share))
    high = int(stats.binom.isf(outside, count, share)) + 1
    rank = count - upper_rank(share, count) + 1
    wanted = [k - 1 for k in (low, rank, high) if 1 <= k <= count]
    ordered = np.partition(values, wanted)
    return (
        float(ordered[low - 1]) if low >= 1 else None,
        float(ordered[rank - 1]),
        float(ordered[high - 1]) if high <= count else None,
    )


def spent(information: float, alpha: float) -> float:
    """How much of `alpha` may be spent when this share of the planned information is in.

    Hwang, Shih and DeCani, Statistics in Medicine 9 (1990) 1439, as a spending function of Lan and DeMets, Biometrika
    70 (1983) 659.
    """
    return alpha * math.expm1(-HSD_GAMMA * min(1.0, information)) / math.expm1(-HSD_GAMMA)


@lru_cache(maxsize=256)
def sample_size(p_baseline: float, p_candidate: float, ratio: float, alpha: float, power: float) -> int:
    """Candidate requests for Fisher's test, beside `ratio` times as many of the baseline, to find `p_candidate`.

    The power is computed exactly, averaged over quantiles of the baseline's count. Rounded up by at most 1 %.
    """
    # To begin with, where normal distributions of the rates would put it: Fleiss, Tytun, Ury, Biometrics 36 (1980) 343.
    pooled = (p_candidate + ratio * p_baseline) / (1 + ratio)
    under_null = math.sqrt((1 + 1 / ratio) * pooled * (1 - pooled))
    otherwise = math.sqrt(p_candidate * (1 - p_candidate) + p_baseline * (1 - p_baseline) / ratio)
    spread = stats.norm.isf(alpha) * under_null + stats.norm.ppf(power) * otherwise
    guess: int = max(2, math.ceil((spread / (p_candidate - p_baseline)) ** 2))
    low, high = guess, guess + max(1, guess // 8)
    while low and _power(low, p_baseline, p_candidate, ratio, alpha) >= power:
        low, high = low - max(1, low // 8), low
    while _power(high, p_baseline, p_candidate, ratio, alpha) < power:
        low, high = high, high + max(1, high // 8)
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        if _power(middle, p_baseline, p_candidate, ratio, alpha) < power:
            low = middle
        else:
            high = middle
    return high


def _power(candidate: int, p_baseline: float, p_candidate: float, ratio: float, alpha: float) -> float:
    baseline = max(1, round(ratio * candidate))
    points = (np.arange(QUANTILE_POINTS) + 0.5) / QUANTILE_POINTS
    baseline_events = stats.binom.ppf(points, baseline, p_baseline).astype(int)
    # The least count that is refused beside each of these; the p-value falls as the count grows.
    low, high = np.zeros(QUANTILE_POINTS, dtype=int), np.full(QUANTILE_POINTS, candidate + 1)
    while (high - low > 1).any():
        middle = (low + high) // 2
        refused = stats.hypergeom.sf(middle - 1, candidate + baseline, middle + baseline_events, candidate) <= alpha
        low, high = np.where(refused, low, middle), np.where(refused, middle, high)
    return float(stats.binom.sf(high - 1, candidate, p_candidate).mean())
