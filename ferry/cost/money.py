"""Sums of money that keep their currency, what they rest on, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from ferry.artefacts import CostLine, Money

HOURS_PER_MONTH = Decimal(730)
"""8,760 hours a year over twelve months, as AWS's own estimates count."""
CENT = Decimal("0.01")


@dataclass(frozen=True)
class Total:
    """The known amounts, by currency, and the lines that have none: with one of those a total is a lower bound."""

    amounts: dict[str, Decimal]
    unknown: list[str]

    def of(self, currency: str) -> Decimal:
        """The amount in one currency; nothing is converted."""
        return self.amounts.get(currency, Decimal(0))

    @property
    def complete(self) -> bool:
        """Whether every line has an amount."""
        return not self.unknown


def total(lines: Iterable[CostLine]) -> Total:
    """Add lines up, each currency for itself."""
    amounts: dict[str, Decimal] = {}
    unknown: list[str] = []
    for line in lines:
        if line.amount.amount is None:
            unknown.append(line.item)
        else:
            amounts[line.amount.currency] = amounts.get(line.amount.currency, Decimal(0)) + line.amount.amount
    return Total(amounts, unknown)


def assumed_money(amount: Decimal | float, currency: str, source: str) -> Money:
    """An amount, rounded to cents, that rests on a published price or on a statement."""
    return Money(amount=cents(amount), currency=currency, basis="assumed", source=source)


def unknown_money(currency: str, source: str) -> Money:
    """An amount that nobody gave."""
    return Money(currency=currency, basis="unknown", source=source)


def cents(amount: Decimal | float) -> Decimal:
    """Rounded to the cent, half to even."""
    exact = amount if isinstance(amount, Decimal) else Decimal(repr(amount))
    return exact.quantize(CENT, rounding=ROUND_HALF_EVEN)


def show(amount: Decimal, currency: str) -> str:
    """As people read it: `12,345 USD`."""
    return f"{amount:,.0f} {currency}"
