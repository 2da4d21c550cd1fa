"""What matters, and how sure the result is: one input at a time (tornado), and all at once (Monte Carlo)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from ferry.cost.horizon import Horizon
from ferry.cost.inputs import Inputs
from ferry.cost.purchase import Purchase
from ferry.cost.ranges import Range
from ferry.cost.tco import CHOICES, Choice, tco

DRAWS = 2000
SEED = 1
QUANTILES = (10, 50, 90)


@dataclass(frozen=True)
class Swing:
    """What moving to AWS saves over the horizon with one input at either end of its range, the others as known."""

    range: Range
    at_low: Decimal
    at_high: Decimal

    @property
    def width(self) -> Decimal:
        """How far the result moves."""
        return abs(self.at_high - self.at_low)

    @property
    def decides(self) -> bool:
        """Whether this input alone turns the answer round."""
        return (self.at_low > 0) != (self.at_high > 0)


@dataclass(frozen=True)
class Spread:
    """P10, P50 and P90 of a sum of money over all draws."""

    p10: Decimal
    p50: Decimal
    p90: Decimal


@dataclass(frozen=True)
class MonteCarlo:
    """All inputs drawn at once, each from a triangle over its range with its peak at the known value, independently.

    `cloud_cheaper` is the share of the draws in which moving costs less; `savings` are what it saves, sorted.
    """

    seed: int
    draws: int
    totals: dict[Choice, Spread]
    saving: Spread
    cloud_cheaper: Decimal
    savings: tuple[Decimal, ...]


def tornado(inputs: Inputs, ranges: Sequence[Range], horizon: Horizon, purchase: Purchase) -> list[Swing]:
    """One input at a time, the one that moves the result most first; those that do not move it are left out."""
    swings = [
        Swing(
            one,
            *(tco(_with(inputs, {one.name: value}), horizon, purchase).saving for value in (one.low, one.high)),
        )
        for one in ranges
    ]
    return sorted((swing for swing in swings if swing.width), key=lambda swing: (-swing.width, swing.range.name))


def monte_carlo(
    inputs: Inputs,
    ranges: Sequence[Range],
    horizon: Horizon,
    purchase: Purchase,
    *,
    seed: int = SEED,
    draws: int = DRAWS,
    progress: Callable[[int], None] | None = None,
) -> MonteCarlo:
    """Draw all inputs `draws` times with numpy's default generator (PCG64) of `seed`; `progress` is told each draw."""
    generator = np.random.default_rng(seed)
    ranges = [one for one in ranges if one.drawn]
    columns = [generator.triangular(float(one.low), float(one.base), float(one.high), draws).tolist() for one in ranges]
    names = [one.name for one in ranges]
    totals: dict[Choice, list[Decimal]] = {choice: [] for choice in CHOICES}
    savings: list[Decimal] = []
    for number, row in enumerate(zip(*columns, strict=True) if columns else [()] * draws, start=1):
        values = {name: Decimal(repr(value)) for name, value in zip(names, row, strict=True)}
        result = tco(_with(inputs, values), horizon, purchase)
        for choice in CHOICES:
            totals[choice].append(result.total(choice))
        savings.append(totals["local"][-1] - totals["cloud"][-1])
        if progress is not None:
            progress(number)
    savings.sort()
    return MonteCarlo(
        seed=seed,
        draws=draws,
        totals={choice: _spread(sorted(amounts)) for choice, amounts in totals.items()},
        saving=_spread(savings),
        cloud_cheaper=Decimal(sum(saving > 0 for saving in savings)) / draws,
        savings=tuple(savings),
    )


def _with(inputs: Inputs, values: dict[str, Decimal]) -> Inputs:
    return replace(inputs, **values)  # type: ignore[arg-type]  # the names are those of Decimal fields


def _spread(ordered: Sequence[Decimal]) -> Spread:
    """Quantiles by the nearest rank."""
    last = len(ordered)
    return Spread(*(ordered[max(0, -(-last * percent // 100) - 1)] for percent in QUANTILES))
