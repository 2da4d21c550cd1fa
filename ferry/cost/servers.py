"""What owning servers costs over a horizon: purchases in it, what old ones bring, and what is left at its end.

Money that is spent already is in none of it: it is the same whatever is decided. Book value falls in a straight line
from the price to the residual over the lifetime; at its end the servers are sold for the residual and bought anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from ferry.cost.horizon import Horizon
from ferry.cost.inputs import Inputs


@dataclass(frozen=True)
class Ownership:
    """All servers of the site over a horizon. `price` and `residual_share` are of all of them together."""

    price: Decimal
    residual_share: Decimal
    lifetime_months: Decimal
    age_months: Decimal
    horizon: Horizon

    @property
    def purchase_months(self) -> list[Decimal]:
        """When they are bought anew, in months from today."""
        first = max(Decimal(0), self.lifetime_months - self.age_months)
        return list(_steps(first, self.lifetime_months, Decimal(self.horizon.months)))

    def purchases(self) -> Decimal:
        """Worth today of what is bought within the horizon."""
        return self.price * sum((self.horizon.at(month) for month in self.purchase_months), Decimal(0))

    def returns(self) -> Decimal:
        """Worth today of what replaced servers bring, and of the book value at the end."""
        sold = sum((self.horizon.at(month) for month in self.purchase_months), Decimal(0))
        return self.price * self.residual_share * sold + self.book_value_at_end() * self.horizon.at(self.horizon.months)

    def book_value_today(self) -> Decimal:
        """What the books say that they are worth now."""
        return self._book(self.age_months)

    def book_value_at_end(self) -> Decimal:
        """What the books say at the end of the horizon."""
        bought = self.purchase_months
        end = Decimal(self.horizon.months)
        return self._book(end - bought[-1] if bought else self.age_months + end)

    def _book(self, age: Decimal) -> Decimal:
        worn = min(age / self.lifetime_months, Decimal(1))
        return self.price * (1 - (1 - self.residual_share) * worn)


def lifetime_purchases(inputs: Inputs, price: Decimal, horizon: Horizon) -> Decimal | None:
    """Worth today of what is bought anew together with the servers and brings nothing when it is replaced."""
    if inputs.lifetime_months is None:
        return None
    age = inputs.age_months or Decimal(0)
    return Ownership(price, Decimal(0), inputs.lifetime_months, age, horizon).purchases()


def _steps(first: Decimal, step: Decimal, end: Decimal) -> Iterator[Decimal]:
    month = first
    while month < end:
        yield month
        month += step
