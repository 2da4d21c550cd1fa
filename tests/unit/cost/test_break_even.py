"""Where owning and renting cost the same."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferry.catalog import accelerators
from ferry.cost.break_even import Steady, work_ratio
from ferry.cost.by_month import ByMonth, by_month
from ferry.cost.horizon import Horizon
from ferry.cost.inputs import Inputs
from ferry.cost.tco import tco


def curve(**changes: int) -> Steady:
    values = {"owned_idle": 1000, "power_span": 200, "rented_busy": 2200, "services": 200, "least": 0}
    return Steady(**{name: Decimal(value) for name, value in {**values, **changes}.items()})


def test_the_lines_cross_where_both_cost_the_same() -> None:
    found = curve().break_even
    assert found == Decimal("0.4")  # (1,000 - 200) / (2,200 - 200)
    assert curve().owned(found) == curve().rented(found) == 1080


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"least": 900}, Decimal(0)),  # the smallest fleet already costs more than the servers
        ({"least": 700}, Decimal("0.4")),  # a floor below the crossing does not move it
        ({"rented_busy": 700}, None),  # cheaper to rent even at full load
        ({"rented_busy": 150}, None),  # renting rises more slowly than power does
        ({"owned_idle": 0}, Decimal(0)),
    ],
)
def test_there_may_be_no_crossing(changes: dict[str, int], expected: Decimal | None) -> None:
    assert curve(**changes).break_even == expected


@given(
    owned=st.integers(0, 10_000),
    span=st.integers(0, 2_000),
    rented=st.integers(0, 20_000),
    services=st.integers(0, 1_000),
    least=st.integers(0, 3_000),
)
def test_below_it_renting_is_cheaper_and_above_it_owning(
    owned: int, span: int, rented: int, services: int, least: int
) -> None:
    one = curve(owned_idle=owned, power_span=span, rented_busy=rented, services=services, least=least)
    even = one.break_even
    if even is None:
        assert one.rented(Decimal(1)) <= one.owned(Decimal(1))
    else:
        above = (even + 1) / 2
        assert one.owned(above) <= one.rented(above) or even == 0
        if even > 0:
            assert one.rented(even / 2) <= one.owned(even / 2)


def test_work_is_compared_by_the_scarcer_of_arithmetic_and_bandwidth() -> None:
    a100, a10g, h200 = (accelerators.find(name) for name in ("A100-80GB", "A10G", "H200"))
    assert work_ratio(a100, a10g) == Decimal(repr(312 / 70))
    assert work_ratio(a100, h200) == Decimal(repr(2039 / 4800))


def months(local: list[int], cloud: list[int]) -> ByMonth:
    return ByMonth({"local": [Decimal(one) for one in local], "cloud": [Decimal(one) for one in cloud], "hybrid": []})


@pytest.mark.parametrize(
    ("cloud", "break_even", "lead_ends"),
    [
        ([1, 1, 1, 1], 1, None),
        ([9, 9, 1, 1], 3, None),
        ([1, 9, 1, 1], 3, None),
        ([1, 1, 9, 9], None, 3),
        ([9, 9, 9, 9], None, None),
        ([5, 5, 5, 5], None, None),  # the same is not cheaper
    ],
)
def test_the_month_from_which_one_stays_cheaper(
    cloud: list[int], break_even: int | None, lead_ends: int | None
) -> None:
    found = months([5, 5, 5, 5], cloud)
    assert (found.break_even, found.lead_ends) == (break_even, lead_ends)


def test_each_month_is_the_total_over_a_horizon_that_ends_there(inputs: Callable[..., Inputs]) -> None:
    found = by_month(inputs(), Horizon(36), "spot")
    assert {len(totals) for totals in found.totals.values()} == {36}
    assert found.totals["cloud"][11] == tco(inputs(), Horizon(12), "spot").total("cloud")
