"""The total over a horizon, line by line, worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferry.cost.horizon import Horizon
from ferry.cost.inputs import Inputs, Service
from ferry.cost.servers import Ownership
from ferry.cost.tco import Row, Tco, tco

Make = Callable[..., Inputs]


def rows(result: Tco) -> dict[str, tuple[Decimal | None, Decimal | None, Decimal | None]]:
    return {row.item: (row.local, row.cloud, row.hybrid) for row in result.rows}


def row(result: Tco, item: str) -> Row:
    return next(one for one in result.rows if one.item == item)


def amounts(*values: str | int) -> tuple[Decimal, ...]:
    return tuple(Decimal(value) for value in values)


def test_every_line_over_three_years(inputs: Make) -> None:
    found = rows(tco(inputs(), Horizon(36)))
    assert found == {
        # 40 months old in month 30: bought then for all nodes, or for the half that trains.
        "server purchases": amounts(400_000, 200_000, 400_000),
        # Old ones bring 80,000; the new are worth 400,000 x (1 - 0.8 x 6/40) = 352,000 at the end. In the cloud half of
        # that, and the freed half brings its residual 40,000 at once.
        "value of servers": amounts(-432_000, -256_000, -432_000),
        "NVMe array": amounts(40_000, 40_000, 40_000),
        "cooling": amounts(20_000, 20_000, 20_000),
        "racks": amounts(36_000, 18_000, 36_000),
        # (10 + 10 x 0.2) x 1.5 x 730 x 0.1 = 1,314 a month; half of it a month longer; idle 1,095 in the fallback.
        "power": amounts(47_304, 24_309, 43_362),
        "staff": amounts(432_000, 432_000, 432_000),
        # 1 % of 730 x 36 h; 0.01 %; both at once.
        "downtime": amounts(26_280, "262.8", "2.628"),
        "delay": amounts(252_000, 84_000, 84_000),
        "AWS: instances": amounts(0, 78_840, 78_840),
        "AWS: load balancer": amounts(0, 720, 720),
    }


def test_totals_add_the_known_rows_and_name_the_others(inputs: Make) -> None:
    result = tco(inputs(racks=None, price_per_hour_down=None), Horizon(36))
    assert result.unknown == ["racks", "downtime"]
    assert result.total("local") == 400_000 - 432_000 + 60_000 + 47_304 + 432_000 + 252_000
    assert result.saving == result.total("local") - result.total("cloud")


@pytest.mark.parametrize(
    ("missing", "item"),
    [
        ("server_price", "server purchases"),
        ("residual_share", "value of servers"),
        ("nvme_array", "NVMe array"),
        ("rack_price_per_month", "racks"),
        ("kw_idle", "power"),
        ("price_per_kwh", "power"),
        ("staff_people", "staff"),
        ("mtbf_hours", "downtime"),
        ("delays_per_year", "delay"),
        ("spot_per_hour", "AWS: instances"),
    ],
)
def test_what_is_not_known_is_unknown_for_all_three_and_never_zero(inputs: Make, missing: str, item: str) -> None:
    result = tco(inputs(**{missing: None}), Horizon(36), "spot")
    found = row(result, item)
    assert (found.local, found.cloud, found.hybrid, found.basis) == (None, None, None, "unknown")
    assert item in result.unknown


def test_freed_servers_bring_what_the_site_says_above_their_residual(inputs: Make) -> None:
    # Ten of forty months: 400,000 x (1 - 0.8 / 4) = 320,000 in the books; half of it serves.
    sold = row(tco(inputs(resale_share=Decimal(1)), Horizon(36)), "value of servers")
    assert sold.cloud == Decimal(-216_000) - 160_000


def test_freed_people_count_only_as_far_as_the_site_says(inputs: Make) -> None:
    staff = row(tco(inputs(staff_freed_share=Decimal("0.5")), Horizon(12)), "staff")
    assert (staff.local, staff.cloud, staff.hybrid) == amounts(144_000, 108_000, 144_000)


def test_servers_that_are_past_their_life_are_bought_at_once(inputs: Make) -> None:
    owned = Ownership(Decimal(100), Decimal("0.2"), Decimal(40), Decimal(55), Horizon(50))
    assert owned.purchase_months == [0, 40]
    assert owned.purchases() == 200
    assert owned.returns() == 20 + 20 + 80  # two old ones, and a quarter of the life of the third


def test_nothing_is_bought_in_the_month_in_which_the_horizon_ends(inputs: Make) -> None:
    owned = Ownership(Decimal(100), Decimal("0.2"), Decimal(40), Decimal(10), Horizon(30))
    assert owned.purchase_months == []
    assert owned.book_value_at_end() == 20


def test_a_discount_rate_makes_what_comes_later_cheaper() -> None:
    year = Horizon(24, Decimal("0.21"))
    assert round(year.at(12), 12) == round(1 / Decimal("1.21"), 12)
    assert round(year.at(6), 12) == round(1 / Decimal("1.1"), 12)
    assert year.monthly(2) == year.at(1) + year.at(2)
    assert Horizon(24).monthly() == 24


def test_an_unknown_price_of_a_service_is_named_and_left_out(inputs: Make) -> None:
    services = (Service("keys", None, "no CNY price of kms-key in cn-north-1", ""),)
    result = tco(inputs(services=services), Horizon(12))
    assert result.unknown == ["AWS: keys"]
    assert row(result, "AWS: keys").detail == "no CNY price of kms-key in cn-north-1"


@given(
    months=st.integers(1, 120),
    busy=st.decimals(0, 1, places=2),
    more=st.decimals(0, 1, places=2),
)
def test_more_use_never_makes_staying_cheaper(inputs: Make, months: int, busy: Decimal, more: Decimal) -> None:
    low, high = (tco(inputs(utilization=value), Horizon(months)) for value in (busy, min(Decimal(1), busy + more)))
    assert low.total("local") <= high.total("local")


@given(months=st.integers(1, 120), share=st.decimals(0, 1, places=2))
def test_a_warm_fallback_costs_more_than_selling_at_book_value(inputs: Make, months: int, share: Decimal) -> None:
    sold = inputs(
        resale_share=Decimal(1), price_per_hour_down=Decimal(0), parallel_months=Decimal(0), serving_share=share
    )
    result = tco(sold, Horizon(months))
    assert result.total("hybrid") >= result.total("cloud")
