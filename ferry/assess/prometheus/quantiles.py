"""`histogram_quantile`: the quantile of a classic histogram, exactly as Prometheus computes it."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

SMALL_DELTA = 1e-12
"""Counts that differ by less, relative to their sum, are taken as equal (promql/quantile.go, smallDeltaTolerance)."""
_SMALLEST_NORMAL = sys.float_info.min


@dataclass(frozen=True)
class Quantile:
    """`value` is NaN without observations. `above_highest`: it lies above `value`, the highest finite bound."""

    value: float
    above_highest: bool = False


def histogram_quantile(q: float, buckets: Mapping[float, float]) -> Quantile:
    """The q-quantile of cumulative counts by upper bound (`BucketQuantile` of promql/quantile.go).

    Linear within a bucket; the lowest begins at 0, unless its bound is 0 or less: then the answer is that bound. A
    count below the one before it is lifted to it. Above the highest finite bound Prometheus answers with that bound.
    """
    if math.isnan(q):
        return Quantile(math.nan)
    if not 0 <= q <= 1:
        return Quantile(math.copysign(math.inf, q))
    bounds = sorted(buckets)
    if not bounds or bounds[-1] != math.inf:
        return Quantile(math.nan)
    counts = repaired([buckets[bound] for bound in bounds])
    if len(bounds) < 2 or not counts[-1] > 0:
        return Quantile(math.nan)
    rank = q * counts[-1]
    at = next((index for index, count in enumerate(counts[:-1]) if count >= rank), len(counts) - 1)
    if at == len(counts) - 1:
        return Quantile(bounds[-2], above_highest=True)
    if at == 0 and bounds[0] <= 0:
        return Quantile(bounds[0])
    start, below = (bounds[at - 1], counts[at - 1]) if at else (0.0, 0.0)
    inside = counts[at] - below
    return Quantile(start + (bounds[at] - start) * ((rank - below) / inside) if inside else math.nan)


def repaired(counts: list[float]) -> list[float]:
    """Counts that never fall (`ensureMonotonicAndIgnoreSmallDeltas` of promql/quantile.go)."""
    result = counts[:1]
    for count in counts[1:]:
        result.append(result[-1] if count < result[-1] or _almost_equal(count, result[-1]) else count)
    return result


def falls(buckets: Mapping[float, float]) -> bool:
    """Whether a count is below the one before it by more than rounding: the buckets are not of one moment."""
    counts = [buckets[bound] for bound in sorted(buckets)]
    return any(after < before and not _almost_equal(after, before) for before, after in pairwise(counts))


def _almost_equal(one: float, other: float) -> bool:
    """util/almost/almost.go."""
    if one == other:
        return True
    total = abs(one) + abs(other)
    if one == 0 or other == 0 or total < _SMALLEST_NORMAL:
        return abs(one - other) < SMALL_DELTA * _SMALLEST_NORMAL
    return abs(one - other) / min(total, sys.float_info.max) < SMALL_DELTA
