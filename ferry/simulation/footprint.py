"""What a simulated fleet costs, how much energy it takes, and what that emits."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from ferry.catalog import carbon, prices
from ferry.catalog.instance_types import InstanceType
from ferry.simulation.result import Result
from ferry.simulation.workload import Floats

LEAST_BILLED_S = 60.0
"""EC2 bills Linux instances by the second, at least a minute (EC2 User Guide, "On-Demand Instances")."""

SERVER_WATTS = 1.38
"""Watts of a server at full load for each watt that its accelerators are rated at. A node of eight H100 (5.6 kW) took
76 % of its rated 10.2 kW under the heaviest of the measured loads (arXiv:2506.14551)."""

IDLE_SHARE = 0.2
"""Assumed: power without work, as a share of that at full load, with the model loaded."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Of the whole simulated time: instances only, no storage, transfer or gateway.

    cost:       in `currency`, on-demand and Spot at the catalogue's prices
    kwh:        of the data centre: watts between idle and full load by the share of time in iterations, times PUE
    gco2e:      by the grid of the region (`co2_only`: CO2 alone); nothing of the hardware's making
    assumed:    what rests on no measurement, a sentence each
    """

    cost: Decimal
    currency: str
    on_demand_hours: float
    spot_hours: float
    kwh: float
    gco2e: float
    assumed: tuple[str, ...]
    prices: tuple[prices.Price, ...]


def footprint(result: Result, instance_type: InstanceType, region: str) -> Footprint:
    """Price and energy of a result. Raises CatalogError when a price or the region's carbon figures are missing."""
    grid = carbon.find(region)
    instances = result.instances
    lifetime_s = instances.ended_s - instances.launched_s
    billed_s = np.maximum(lifetime_s, LEAST_BILLED_S)
    hours = {spot: float(billed_s[instances.is_spot == spot].sum()) / 3600 for spot in (False, True)}
    cost, used = Decimal(0), []
    for spot, find in ((False, prices.on_demand), (True, prices.spot)):
        if hours[spot]:
            price = find(instance_type.name, region)
            cost += Decimal(repr(hours[spot])) * price.per_hour
            used.append(price)
    kwh = kilowatt_hours(lifetime_s, instances.busy_s, instance_type) * grid.pue
    assumed = [f"an idle server takes {IDLE_SHARE:.0%} of its full power"]
    if grid.pue_assumed:
        assumed.append(f"the PUE of {region} is the operator's global average, {grid.pue}")
    if grid.co2_only:
        assumed.append(f"the grid's figure of {region} is of CO2 alone, not to be compared with other regions")
    return Footprint(
        cost=cost,
        currency=used[0].currency,
        on_demand_hours=hours[False],
        spot_hours=hours[True],
        kwh=kwh,
        gco2e=kwh * grid.gco2e_per_kwh,
        assumed=tuple(assumed),
        prices=tuple(used),
    )


def kilowatt_hours(lifetime_s: Floats, busy_s: Floats, instance_type: InstanceType) -> float:
    """Energy of the servers, before PUE: idle power from launch to end, and the rest while iterations run."""
    full_kw = SERVER_WATTS * instance_type.accelerators * instance_type.accelerator.watts / 1000
    weighted_s = IDLE_SHARE * lifetime_s.sum() + (1 - IDLE_SHARE) * busy_s.sum()
    return full_kw * float(weighted_s) / 3600
