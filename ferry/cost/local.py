"""What the site costs a month today, which part of it serving causes, and what of that ends when serving moves.

A lifetime spreads a purchase evenly: price x (1 - residual share) / lifetime. NVMe and cooling are purchases over the
servers' lifetime without residual value. What the site did not state stays unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from ferry.artefacts import Assessment, CostLine, Figure, Money
from ferry.cost.money import HOURS_PER_MONTH, assumed_money, unknown_money

Ends = Literal["at once", "with the servers", "with the people", "never"]


@dataclass(frozen=True)
class LocalItem:
    """One cost of the whole site: `serving` is the serving nodes' part of it, `ends` is when that part stops."""

    line: CostLine
    serving: Decimal
    ends: Ends

    @property
    def serving_amount(self) -> Decimal | None:
        """The serving nodes' part; None when the cost is unknown."""
        amount = self.line.amount.amount
        return None if amount is None else amount * self.serving


def serving_nodes(assessment: Assessment) -> int:
    """Nodes that no training job uses: these become free. 0 when training uses them all."""
    training = sum(job.nodes for job in assessment.training)
    return max(0, assessment.cluster.nodes - training)


def end_of_life(assessment: Assessment) -> date | None:
    """When the servers' lifetime ends; None when purchase or lifetime is unknown."""
    purchased, months = assessment.cluster.purchased, assessment.costs.server_lifetime_months.value
    if purchased is None or months is None:
        return None
    start = date.fromisoformat(purchased)
    years, month = divmod(start.month - 1 + round(months), 12)
    return date(start.year + years, month + 1, min(start.day, 28))


def local_items(assessment: Assessment) -> list[LocalItem]:
    """The site's monthly costs, item by item. `serving` is the share of nodes that training leaves free."""
    share = Decimal(serving_nodes(assessment)) / Decimal(assessment.cluster.nodes)
    return [
        LocalItem(_servers(assessment), share, "with the servers"),
        LocalItem(_purchase(assessment, "NVMe array", assessment.costs.nvme_array), Decimal(0), "never"),
        LocalItem(_purchase(assessment, "cooling", assessment.costs.cooling), Decimal(0), "never"),
        LocalItem(_power(assessment), share, "at once"),
        LocalItem(_staff(assessment), share, "with the people"),
    ]


def _servers(assessment: Assessment) -> CostLine:
    costs = assessment.costs
    count, price = costs.server_count, costs.server_price_each.amount
    months, residual = costs.server_lifetime_months.value, costs.server_residual_share.value
    if count is None or price is None or months is None:
        return _unknown("servers", costs.currency, "state costs.servers: count, price_each, lifetime_months")
    kept = 0.0 if residual is None else residual
    amount = count * price * (1 - _decimal(kept)) / _decimal(months)
    detail = f"{count} x {price:,} less {kept:.0%}{' (none stated)' if residual is None else ''} over {months:g} months"
    return _line("servers", amount, costs.currency, detail)


def _purchase(assessment: Assessment, item: str, price: Money) -> CostLine:
    months = assessment.costs.server_lifetime_months.value
    if price.amount is None or months is None:
        return _unknown(item, assessment.costs.currency, "not stated, or no lifetime to spread it over")
    detail = f"{price.amount:,} over the servers' {months:g} months"
    return _line(item, price.amount / _decimal(months), assessment.costs.currency, detail)


def _power(assessment: Assessment) -> CostLine:
    """Idle power plus the rest by utilisation, times PUE, times 730 h, times the tariff."""
    costs = assessment.costs
    full, idle, tariff = costs.power_kw_full_load.value, costs.power_kw_idle.value, costs.power_price_per_kwh.amount
    if full is None or tariff is None:
        return _unknown("power", costs.currency, "state costs.power: kw_full_load, price_per_kwh")
    utilization, said = _utilization(assessment.cluster.gpu_utilization)
    base = 0.0 if idle is None else idle
    effectiveness = costs.power_usage_effectiveness.value
    drawn = _decimal(base) + _decimal(full - base) * _decimal(utilization)
    factor = Decimal(1) if effectiveness is None else _decimal(effectiveness)
    notes = [
        f"{drawn:.1f} kW at {said}",
        f"PUE {factor:g}" if effectiveness is not None else "no PUE stated: 1 taken",
        f"{tariff} a kWh",
    ]
    return _line("power", drawn * factor * HOURS_PER_MONTH * tariff, costs.currency, ", ".join(notes))


def _utilization(figure: Figure) -> tuple[float, str]:
    """An unknown utilisation counts as idle: the local bill is then too low, never too high."""
    if figure.value is None:
        return 0.0, "unknown GPU utilisation, taken as idle"
    return figure.value / 100, f"{figure.value:.0f} % GPU utilisation"


def _staff(assessment: Assessment) -> CostLine:
    costs = assessment.costs
    people, price = costs.staff_people.value, costs.staff_price_per_person_year.amount
    if people is None or price is None:
        return _unknown("staff", costs.currency, "state costs.staff: people, price_per_person_year")
    return _line("staff", _decimal(people) * price / 12, costs.currency, f"{people:g} people at {price:,} a year")


def _line(item: str, amount: Decimal, currency: str, detail: str) -> CostLine:
    return CostLine(item=item, amount=assumed_money(amount, currency, "stated in site.yaml"), detail=detail)


def _unknown(item: str, currency: str, remedy: str) -> CostLine:
    return CostLine(item=item, amount=unknown_money(currency, "not stated in site.yaml"), detail=remedy)


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value))
