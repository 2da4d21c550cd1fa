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
        *([LocalItem(_racks(assessment), share, "with the servers")] if _states_racks(assessment) else []),
    ]


def power_per_month(*, full_kw: Decimal, idle_kw: Decimal, busy: Decimal, pue: Decimal, tariff: Decimal) -> Decimal:
    """Idle power plus the rest by utilisation (`busy`, 0 to 1), times PUE, times 730 h, times the tariff."""
    return (idle_kw + (full_kw - idle_kw) * busy) * pue * HOURS_PER_MONTH * tariff


def staff_per_month(people: Decimal, price_per_year: Decimal) -> Decimal:
    """A twelfth of what the people cost a year."""
    return people * price_per_year / 12


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
    costs = assessment.costs
    full, idle, tariff = costs.power_kw_full_load.value, costs.power_kw_idle.value, costs.power_price_per_kwh.amount
    if full is None or tariff is None:
        return _unknown("power", costs.currency, "state costs.power: kw_full_load, price_per_kwh")
    utilization, said = _utilization(assessment.cluster.gpu_utilization)
    base = 0.0 if idle is None else idle
    effectiveness = costs.power_usage_effectiveness.value
    factor = Decimal(1) if effectiveness is None else _decimal(effectiveness)
    busy = _decimal(utilization)
    amount = power_per_month(full_kw=_decimal(full), idle_kw=_decimal(base), busy=busy, pue=factor, tariff=tariff)
    drawn = _decimal(base) + _decimal(full - base) * busy
    notes = [
        f"{drawn:.1f} kW at {said}",
        f"PUE {factor:g}" if effectiveness is not None else "no PUE stated: 1 taken",
        f"{tariff} a kWh",
    ]
    return _line("power", amount, costs.currency, ", ".join(notes))


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
    amount = staff_per_month(_decimal(people), price)
    return _line("staff", amount, costs.currency, f"{people:g} people at {price:,} a year")


def _states_racks(assessment: Assessment) -> bool:
    """Whether the site counts space at all: most own it, and then nothing is missing from the bill."""
    return assessment.costs.further.racks is not None or assessment.costs.further.rack_price_per_month is not None


def _racks(assessment: Assessment) -> CostLine:
    further = assessment.costs.further
    count = further.racks.value if further.racks else None
    price = further.rack_price_per_month.amount if further.rack_price_per_month else None
    if count is None or price is None:
        return _unknown("racks", assessment.costs.currency, "state costs.racks: count, price_per_month")
    detail = f"{count:g} racks at {price:,} a month"
    return _line("racks", _decimal(count) * price, assessment.costs.currency, detail)


def _line(item: str, amount: Decimal, currency: str, detail: str) -> CostLine:
    return CostLine(item=item, amount=assumed_money(amount, currency, "stated in site.yaml"), detail=detail)


def _unknown(item: str, currency: str, remedy: str) -> CostLine:
    return CostLine(item=item, amount=unknown_money(currency, "not stated in site.yaml"), detail=remedy)


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value))
