from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ferry.traffic.gate import statistics


def test_fishers_p_value_is_the_share_of_divisions_that_are_as_bad() -> None:
    # Of the 20 ways to give three errors to three of six requests, one gives all to the candidate.
    assert statistics.fisher(3, 3, 0, 3) == pytest.approx(1 / 20)
    assert statistics.fisher(0, 3, 0, 3) == 1.0


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_fishers_p_value_is_scipys(candidate: int, baseline: int, data: st.DataObject) -> None:
    bad, was = data.draw(st.integers(1, candidate)), data.draw(st.integers(0, baseline))
    table = [[bad, candidate - bad], [was, baseline - was]]
    assert statistics.fisher(bad, candidate, was, baseline) == pytest.approx(
        stats.fisher_exact(table, alternative="greater").pvalue, rel=1e-9
    )


@given(st.integers(1, 200), st.integers(0, 200), st.integers(1, 400), st.data())
def test_one_more_error_of_the_candidate_only_lowers_the_p_value(
    candidate: int, was: int, more: int, data: st.DataObject
) -> None:
    bad, baseline = data.draw(st.integers(0, candidate - 1)), was + more
    one_more = statistics.fisher(bad + 1, candidate, was, baseline)
    assert one_more <= statistics.fisher(bad, candidate, was, baseline) * (1 + 1e-9)


@pytest.mark.parametrize(("candidate", "baseline", "rank"), [(1, 1, 1), (3, 4, 2), (4, 3, 1), (2, 6, 3), (5, 4, 4)])
def test_the_exceedance_test_counts_the_orders_of_all_values(candidate: int, baseline: int, rank: int) -> None:
    orders = [set(each) for each in combinations(range(candidate + baseline), candidate)]
    for above in range(1, candidate + 1):
        # Places count from the largest value. The baseline's `rank`-th largest stands where `rank` places are not ours.
        as_bad = 0
        for ours in orders:
            limit = [place for place in range(candidate + baseline) if place not in ours][rank - 1]
            as_bad += sum(place < limit for place in ours) >= above
        assert statistics.exceedance(above, candidate, rank, baseline) == pytest.approx(as_bad / len(orders))
    assert statistics.exceedance(0, candidate, rank, baseline) == 1.0


@given(st.integers(1, 80), st.data(), st.floats(0.001, 0.999))
def test_limits_and_intervals_of_rates_are_scipys(count: int, data: st.DataObject, limit: float) -> None:
    events = data.draw(st.integers(0, count))
    reference = stats.binomtest(events, count, limit, alternative="greater")
    assert statistics.binomial(events, count, limit) == pytest.approx(reference.pvalue, rel=1e-6, abs=1e-12)
    interval = stats.binomtest(events, count, limit).proportion_ci(0.95, method="exact")
    assert statistics.rate_interval(events, count, 0.95) == pytest.approx((interval.low, interval.high), abs=1e-8)


def test_of_no_requests_every_rate_is_possible() -> None:
    assert statistics.rate_interval(0, 0, 0.95) == (0.0, 1.0)


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (99, 1), (100, 2), (101, 2), (200, 3), (1000, 11)])
def test_the_p99_is_the_nearest_rank(count: int, rank: int) -> None:
    assert statistics.upper_rank(0.99, count) == rank


def test_the_interval_of_a_quantile_is_of_order_statistics() -> None:
    # How many of 1,000 values lie below the true P99 is binomial: fewer than 983, more than 996, in 2.5 % each at most.
    values = np.random.default_rng(1).permutation(np.arange(1.0, 1001.0))
    assert statistics.quantile_interval(values, 0.99, 0.95) == (983.0, 990.0, 997.0)
    below = stats.binom(1000, 0.99)
    assert below.cdf(982) <= 0.025 < below.cdf(983)
    assert below.sf(996) <= 0.025 < below.sf(995)


def test_few_values_have_no_upper_end_of_a_p99() -> None:
    assert statistics.quantile_interval(np.arange(50.0), 0.99, 0.95) == (47.0, 49.0, None)
    assert statistics.quantile_interval(np.array([3.0]), 0.99, 0.95)[1:] == (3.0, None)


def test_what_may_be_spent_grows_to_alpha_and_is_small_at_first() -> None:
    assert statistics.spent(0.0, 0.05) == 0.0
    assert statistics.spent(0.5, 0.05) == pytest.approx(0.05 / (math.exp(2) + 1))
    assert statistics.spent(1.0, 0.05) == statistics.spent(1.7, 0.05) == pytest.approx(0.05)


def test_a_sample_size_has_its_power_and_hardly_more() -> None:
    # All divisions of 10 % against 50 %, three of the baseline for one of the candidate, summed one by one.
    size = statistics.sample_size(0.1, 0.5, 3.0, 0.01, 0.9)
    assert size == 23

    def power(candidate: int) -> float:
        baseline, total = 3 * candidate, 0.0
        for was in range(baseline + 1):
            for bad in range(candidate + 1):
                if statistics.fisher(bad, candidate, was, baseline) <= 0.01:
                    total += stats.binom.pmf(was, baseline, 0.1) * stats.binom.pmf(bad, candidate, 0.5)
        return float(total)

    assert power(size) > 0.89
    assert power(size - 3) < 0.89
