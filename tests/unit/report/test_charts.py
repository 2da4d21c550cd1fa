"""What the report's pictures show: bars to scale within a currency, and what is unknown named, not drawn."""

from __future__ import annotations

from decimal import Decimal

from ferry.artefacts import CostLine, Money
from ferry.report.charts import BAR_WIDTH, Bar, monthly_bars
from tests.plans import make_plan


def line(item: str, amount: str | None, currency: str = "USD") -> CostLine:
    basis = "unknown" if amount is None else "assumed"
    return CostLine(
        item=item, amount=Money(amount=None if amount is None else Decimal(amount), currency=currency, basis=basis)
    )


def bars(**bills: list[CostLine]) -> dict[tuple[str, str], Bar]:
    plan = make_plan(**{"local_monthly": [], "cloud_monthly": [], "hybrid_monthly": [], **bills})
    return {(bar.name, bar.currency): bar for bar in monthly_bars(plan)}


def test_bars_are_to_the_scale_of_the_dearest_choice() -> None:
    made = bars(local_monthly=[line("servers", "300"), line("power", "100")], cloud_monthly=[line("instances", "200")])
    local, cloud = made["today", "USD"], made["serving on AWS", "USD"]
    assert (local.total, cloud.total) == (Decimal(400), Decimal(200))
    assert [(one.x, one.width) for one in local.segments] == [(0.0, 0.75 * BAR_WIDTH), (0.75 * BAR_WIDTH, 140.0)]
    assert [one.width for one in cloud.segments] == [BAR_WIDTH / 2]


def test_an_unknown_amount_is_named_and_not_drawn() -> None:
    local = bars(local_monthly=[line("servers", "300"), line("cooling", None)])["today", "USD"]
    assert local.unknown == ["cooling"]
    assert [one.item for one in local.segments] == ["servers"]
    assert local.total == Decimal(300)


def test_two_currencies_are_two_bars_and_never_one_sum() -> None:
    made = bars(hybrid_monthly=[line("servers", "1000", "CNY"), line("instances", "50")])
    assert made["hybrid", "CNY"].total == Decimal(1000)
    assert made["hybrid", "USD"].total == Decimal(50)
    assert made["hybrid", "USD"].segments[0].width == BAR_WIDTH
