"""The total cost of each choice by the length of the horizon, and the month in which one overtakes another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ferry.cost.horizon import Horizon
from ferry.cost.inputs import Inputs
from ferry.cost.purchase import Purchase
from ferry.cost.tco import CHOICES, Choice, tco


@dataclass(frozen=True)
class ByMonth:
    """Totals for horizons of 1, 2, … months, value of the servers at their end included."""

    totals: Mapping[Choice, Sequence[Decimal]]

    @property
    def break_even(self) -> int | None:
        """The month from which `cloud` stays cheaper than `local`: 1 from the start, None if it is not at the end."""
        cheaper = [cloud < local for local, cloud in zip(self.totals["local"], self.totals["cloud"], strict=True)]
        if not cheaper[-1]:
            return None
        return len(cheaper) - cheaper[::-1].index(False) + 1 if False in cheaper else 1

    @property
    def lead_ends(self) -> int | None:
        """The month from which `cloud` is no longer cheaper though it was before; None where that does not happen."""
        cheaper = [cloud < local for local, cloud in zip(self.totals["local"], self.totals["cloud"], strict=True)]
        if cheaper[-1] or True not in cheaper:
            return None
        return len(cheaper) - cheaper[::-1].index(True) + 1


def by_month(inputs: Inputs, horizon: Horizon, purchase: Purchase) -> ByMonth:
    """Totals at every month up to the horizon."""
    found: dict[Choice, list[Decimal]] = {choice: [] for choice in CHOICES}
    for month in range(1, horizon.months + 1):
        result = tco(inputs, Horizon(month, horizon.discount_rate), purchase)
        for choice in CHOICES:
            found[choice].append(result.total(choice))
    return ByMonth(found)
