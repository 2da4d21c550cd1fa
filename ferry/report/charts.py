"""The figures behind the report's pictures: what is drawn is computed here, the template only places it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ferry.artefacts import CostLine, Plan

BAR_WIDTH = 560.0
"""Width of the longest bar, in SVG user units."""


@dataclass(frozen=True)
class Segment:
    """One cost line of a bar: where it starts and how wide it is, in SVG user units."""

    item: str
    amount: Decimal
    x: float
    width: float
    tone: int


@dataclass(frozen=True)
class Bar:
    """One choice: what a month of it costs. `unknown` names the lines that have no amount and so are not in it."""

    name: str
    currency: str
    total: Decimal
    segments: list[Segment]
    unknown: list[str]


def monthly_bars(plan: Plan) -> list[Bar]:
    """Local, cloud and hybrid side by side, one bar for each currency that a choice has costs in.

    Bars are to scale only within one currency: amounts of different currencies are never added or compared.
    """
    choices = (("today", plan.local_monthly), ("serving on AWS", plan.cloud_monthly), ("hybrid", plan.hybrid_monthly))
    totals = {
        (name, currency): sum((line.amount.amount or Decimal(0) for line in _in(lines, currency)), Decimal(0))
        for name, lines in choices
        for currency in sorted({line.amount.currency for line in lines})
    }
    longest: dict[str, Decimal] = {}
    for (_, currency), total in totals.items():
        longest[currency] = max(longest.get(currency, Decimal(0)), total)
    lines_of = dict(choices)
    return [
        _bar(name, currency, _in(lines_of[name], currency), total, longest[currency])
        for (name, currency), total in totals.items()
    ]


def _in(lines: list[CostLine], currency: str) -> list[CostLine]:
    return [line for line in lines if line.amount.currency == currency]


def _bar(name: str, currency: str, lines: list[CostLine], total: Decimal, longest: Decimal) -> Bar:
    scale = BAR_WIDTH / float(longest) if longest else 0.0
    segments, x = [], 0.0
    for tone, line in enumerate(line for line in lines if line.amount.amount):
        amount = line.amount.amount or Decimal(0)
        width = float(amount) * scale
        segments.append(Segment(line.item, amount, round(x, 2), round(width, 2), tone % 8))
        x += width
    return Bar(name, currency, total, segments, [line.item for line in lines if line.amount.amount is None])
