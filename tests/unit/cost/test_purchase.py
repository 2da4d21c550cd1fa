"""The ways to buy a fleet."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from ferry.cost.horizon import Horizon
from ferry.cost.inputs import Inputs
from ferry.cost.purchase import Purchase, fleet

Make = Callable[..., Inputs]


@pytest.mark.parametrize(
    ("way", "amount"),
    [
        ("on-demand", 3 * 730 * 24),
        ("spot", Decimal("2.4") * 730 * 24),  # 2 x 1 + 1 x 0.4
        ("savings-1yr", (2 * Decimal("0.6") + 1) * 730 * 24),
        ("savings-3yr", 2 * Decimal("0.5") * 730 * 36 + 730 * 24),  # committed for three years, needed for two
    ],
)
def test_what_two_years_cost(inputs: Make, way: Purchase, amount: Decimal) -> None:
    assert fleet(inputs(), Horizon(24), way).amount == amount


def test_a_commitment_is_paid_for_whole_terms(inputs: Make) -> None:
    one, more = (fleet(inputs(), Horizon(months), "savings-1yr") for months in (12, 13))
    assert "committed for 12 months" in one.detail
    assert "committed for 24 months" in more.detail
    assert more.amount == 2 * Decimal("0.6") * 730 * 24 + 730 * 13


@pytest.mark.parametrize(
    ("way", "field", "said"),
    [
        ("spot", "spot_per_hour", "the catalogue has no Spot price of g5.xlarge in us-east-1"),
        ("savings-1yr", "savings_1yr_per_hour", "the catalogue has no 1-year savings-plan rate of g5.xlarge"),
        ("savings-3yr", "savings_3yr_per_hour", "the catalogue has no 3-year savings-plan rate of g5.xlarge"),
    ],
)
def test_a_way_without_a_price_is_unknown_and_says_so(inputs: Make, way: Purchase, field: str, said: str) -> None:
    found = fleet(inputs(**{field: None}), Horizon(12), way)
    assert found.amount is None
    assert said in found.detail


def test_a_fleet_that_is_smaller_than_its_least_commits_to_no_more_than_it_uses(inputs: Make) -> None:
    found = fleet(inputs(mean_instances=Decimal(1)), Horizon(12), "savings-1yr")
    assert found.amount == Decimal("0.6") * 730 * 12
