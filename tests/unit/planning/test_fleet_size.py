"""Sizes from rates: exact where the load is steady, monotone everywhere."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferry.catalog import instance_types
from ferry.planning import fleet_size
from ferry.planning.roofline import Roofline, Tokens

TOKENS = Tokens(input_mean=1000, input_p99=4000, output_mean=200, output_p99=600)


def line(make: SimpleNamespace) -> Roofline:
    return Roofline(make.llama_3_8b(), instance_types.find("g6e.xlarge"), 1, TOKENS)


def test_a_small_load_takes_two_instances_and_room_for_one_step(make: SimpleNamespace) -> None:
    size = fleet_size.size(line(make), batch=64, mean_rps=0.1, peak_rps=0.2)
    assert (size.min_size, size.max_size, size.mean_size) == (2, 4, 2.0)


def test_sizes_hold_mean_and_peak_at_the_load_target(make: SimpleNamespace) -> None:
    full = line(make).requests_per_second(0.8 * 64)
    size = fleet_size.size(line(make), batch=64, mean_rps=10 * full, peak_rps=19.5 * full)
    assert size.requests_per_s == full
    assert (size.min_size, size.max_size) == (10, 20)
    assert 10 < size.mean_size < 20


def test_a_steady_load_is_billed_as_it_is(make: SimpleNamespace) -> None:
    full = line(make).requests_per_second(0.8 * 64)
    size = fleet_size.size(line(make), batch=64, mean_rps=9.5 * full, peak_rps=9.5 * full)
    assert (size.min_size, size.max_size, size.mean_size) == (10, 12, 10.0)


def test_late_scaling_in_is_billed(make: SimpleNamespace) -> None:
    """The load's own mean is below what the fleet keeps, because instances leave only below the release threshold."""
    full = line(make).requests_per_second(0.8 * 64)
    size = fleet_size.size(line(make), batch=64, mean_rps=10 * full, peak_rps=20 * full)
    rising_only = sum(max(10, fleet_size.instances(20 * full * (n + 0.5) / 1000, full)) for n in range(1000)) / 1000
    assert size.mean_size > rising_only + 1


@given(rate=st.floats(0.01, 500), more=st.floats(0, 500), burst=st.floats(1, 20))
def test_more_load_never_takes_fewer_instances(make: SimpleNamespace, rate: float, more: float, burst: float) -> None:
    less, greater = (
        fleet_size.size(line(make), batch=64, mean_rps=mean, peak_rps=mean * burst) for mean in (rate, rate + more)
    )
    assert less.min_size <= greater.min_size
    assert less.max_size <= greater.max_size
    assert less.mean_size <= greater.mean_size + 1e-9


@given(mean=st.floats(0.01, 500), burst=st.floats(1, 20))
def test_the_mean_lies_between_least_and_most(make: SimpleNamespace, mean: float, burst: float) -> None:
    size = fleet_size.size(line(make), batch=64, mean_rps=mean, peak_rps=mean * burst)
    assert 2 <= size.min_size <= size.mean_size <= size.max_size


@pytest.mark.parametrize(("rate", "expected"), [(0, 0), (1, 1), (1.01, 2), (2, 2)])
def test_instances_are_whole(rate: float, expected: int) -> None:
    assert fleet_size.instances(rate, 1.0) == expected
