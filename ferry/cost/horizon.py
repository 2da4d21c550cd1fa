"""A number of months, and what an amount in them is worth today."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache


@dataclass(frozen=True)
class Horizon:
    """`months` from today. `discount_rate` is a year's, 0 to 1; 0 adds amounts as they are.

    Present value: an amount after t months is divided by (1 + rate)^(t / 12). What recurs is paid at a month's end.
    """

    months: int
    discount_rate: Decimal = Decimal(0)

    def at(self, month: Decimal | int) -> Decimal:
        """Worth today of one unit that is paid once, after `month` months."""
        if not self.discount_rate:
            return Decimal(1)
        return (1 + self.discount_rate) ** (-Decimal(month) / 12)

    def monthly(self, months: int | None = None) -> Decimal:
        """Worth today of one unit a month for `months` months (default: all of them)."""
        count = self.months if months is None else months
        return _annuity(count, self.discount_rate)


@cache
def _annuity(months: int, rate: Decimal) -> Decimal:
    if not rate or not months:
        return Decimal(months)
    return _annuity(months - 1, rate) + Horizon(months, rate).at(months)
