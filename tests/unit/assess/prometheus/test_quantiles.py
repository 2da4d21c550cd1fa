from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry.assess.prometheus.quantiles import histogram_quantile


# Worked by hand from promql/quantile.go; tests/integration/assess asks Prometheus itself.
@pytest.mark.parametrize(
    ("q", "buckets", "expected"),
    [
        (0.5, {1.0: 4, 2.0: 8, math.inf: 8}, (1.0, False)),
        (0.25, {1.0: 4, 2.0: 8, math.inf: 8}, (0.5, False)),
        (0.99, {15.0: 0, 20.0: 6, math.inf: 6}, (19.95, False)),
        (0.99, {1.0: 1, math.inf: 100}, (1.0, True)),
        (0.5, {-1.0: 5, 1.0: 5, math.inf: 5}, (-1.0, False)),
        (0.9, {1.0: 10, 2.0: 9, 3.0: 20, math.inf: 20}, (2.8, False)),
        (0.5, {0.0: 5, 1.0: 10, math.inf: 10}, (0.0, False)),
        (0.75, {-2.0: 0, -1.0: 8, 1.0: 8, math.inf: 8}, (-1.25, False)),
        (0.5, {1.0: 1e15, 2.0: 1e15 + 100, 4.0: 2e15, math.inf: 2e15}, (1.0, False)),
        (-0.1, {1.0: 1, math.inf: 1}, (-math.inf, False)),
        (1.1, {1.0: 1, math.inf: 1}, (math.inf, False)),
    ],
)
def test_quantiles_are_those_of_promql(q: float, buckets: dict[float, float], expected: tuple[float, bool]) -> None:
    quantile = histogram_quantile(q, buckets)
    assert (pytest.approx(quantile.value), quantile.above_highest) == expected


@pytest.mark.parametrize("buckets", [{}, {math.inf: 5}, {1.0: 5}, {1.0: 0, math.inf: 0}])
def test_no_quantile_without_observations_or_without_an_infinite_bucket(buckets: dict[float, float]) -> None:
    quantile = histogram_quantile(0.99, buckets)
    assert math.isnan(quantile.value)
    assert not quantile.above_highest


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(0, 1000), min_size=2, max_size=12),
    low=st.floats(0.01, 1),
    high=st.floats(0.01, 1),
)
def test_quantiles_grow_with_q_and_stay_within_the_bounds(counts: list[int], low: float, high: float) -> None:
    total, buckets = 0, {}
    for bound, count in enumerate(counts, 1):
        total += count
        buckets[math.inf if bound == len(counts) else float(bound)] = float(total)
    if not total:
        return
    first, second = (histogram_quantile(q, buckets).value for q in sorted((low, high)))
    assert 0 <= first <= second + 1e-9
    assert second <= len(counts)
