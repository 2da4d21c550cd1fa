"""The ways to buy the instances of a fleet, and what each costs over a horizon."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

from ferry.cost.horizon import Horizon
from ferry.cost.inputs import Inputs
from ferry.cost.money import HOURS_PER_MONTH

Purchase = Literal["on-demand", "spot", "savings-1yr", "savings-3yr"]
PURCHASES: tuple[Purchase, ...] = get_args(Purchase)
_TERMS = {"savings-1yr": 12, "savings-3yr": 36}


@dataclass(frozen=True)
class Fleet:
    """What the instances cost over the horizon; None: the catalogue has no price for this way."""

    purchase: Purchase
    amount: Decimal | None
    detail: str


def fleet(inputs: Inputs, horizon: Horizon, purchase: Purchase) -> Fleet:
    """The fleet's cost, bought in one way.

    `spot`: what the fleet keeps at all times is on demand, the rest is Spot at the price of its date; what
    interruptions cost is not in it. `savings-*`: what the fleet keeps at all times is committed for whole terms, used
    or not, and the rest is on demand.
    """
    hours = HOURS_PER_MONTH * horizon.monthly()
    base = min(inputs.least_instances, inputs.mean_instances)
    above = inputs.mean_instances - base
    kind = inputs.instance_type
    if purchase == "on-demand":
        amount = inputs.mean_instances * inputs.on_demand_per_hour * hours
        return Fleet(
            purchase, amount, f"{inputs.mean_instances:.2f} x {kind} at {inputs.on_demand_per_hour:.4f} an hour"
        )
    if purchase == "spot":
        if inputs.spot_per_hour is None:
            return Fleet(purchase, None, _missing("Spot price", inputs))
        amount = (base * inputs.on_demand_per_hour + above * inputs.spot_per_hour) * hours
        return Fleet(
            purchase,
            amount,
            f"{base:.2f} x {kind} on demand, {above:.2f} on Spot at {inputs.spot_per_hour:.4f} an hour",
        )
    rate = inputs.savings_1yr_per_hour if purchase == "savings-1yr" else inputs.savings_3yr_per_hour
    term = _TERMS[purchase]
    if rate is None:
        return Fleet(purchase, None, _missing(f"{term // 12}-year savings-plan rate", inputs))
    committed = -(-horizon.months // term) * term
    amount = base * rate * HOURS_PER_MONTH * horizon.monthly(committed) + above * inputs.on_demand_per_hour * hours
    return Fleet(
        purchase,
        amount,
        f"{base:.2f} x {kind} committed for {committed} months at {rate:.4f} an hour, {above:.2f} on demand",
    )


def _missing(what: str, inputs: Inputs) -> str:
    return (
        f"the catalogue has no {what} of {inputs.instance_type} in {inputs.region}; "
        "ferry catalog refresh gets one where AWS has one"
    )
