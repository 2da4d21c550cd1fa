"""Where owning and renting cost the same: the steady utilisation, and the month.

Owning costs the same whatever the GPUs do, but for the power. Renting follows the work. So at a low utilisation renting
is cheaper, at a high one owning is, and one line crosses the other at

    u = (owned, idle - services) / (rented, all busy - power from idle to full load)

where "rented, all busy" is the price of as many accelerators as do the work of the owned ones at full use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from ferry.artefacts import Assessment
from ferry.catalog import accelerators
from ferry.catalog.accelerators import Accelerator
from ferry.catalog.instance_types import InstanceType
from ferry.cost.local import LocalItem, power_per_month, serving_nodes
from ferry.cost.money import HOURS_PER_MONTH


@dataclass(frozen=True, kw_only=True)
class Steady:
    """What serving costs a month at a steady utilisation u of the owned GPUs, 0 to 1. One currency.

    `owned_idle` is purchase, space, staff and idle power of the serving nodes; `power_span` what power adds at full
    load. `rented_busy` is what the work of all of them costs on AWS, `services` what AWS costs beside instances, and
    `least` the price of the smallest fleet, which is paid at any load.
    """

    owned_idle: Decimal
    power_span: Decimal
    rented_busy: Decimal
    services: Decimal
    least: Decimal

    def owned(self, utilization: Decimal) -> Decimal:
        """What owning costs a month."""
        return self.owned_idle + self.power_span * utilization

    def rented(self, utilization: Decimal) -> Decimal:
        """What renting the same work costs a month."""
        return self.services + max(self.least, self.rented_busy * utilization)

    @property
    def break_even(self) -> Decimal | None:
        """The utilisation from which owning is cheaper: 0 where it always is, None where it never is up to 1."""
        if self.owned(Decimal(0)) <= self.rented(Decimal(0)):
            return Decimal(0)
        slope = self.rented_busy - self.power_span
        if slope <= 0:
            return None
        even = (self.owned_idle - self.services) / slope
        return even if even <= 1 else None


def work_ratio(owned: Accelerator, rented: Accelerator) -> Decimal:
    """How many rented accelerators do the work of an owned one: by the scarcer of arithmetic and memory bandwidth."""
    return Decimal(
        repr(
            max(
                owned.fp16_dense_tflops / rented.fp16_dense_tflops,
                owned.memory_bandwidth_gb_s / rented.memory_bandwidth_gb_s,
            )
        )
    )


def owned_accelerator(assessment: Assessment) -> Accelerator | None:
    """What the servers have, as seen or else as stated; None when the catalogue does not know it."""
    cluster = assessment.cluster
    return accelerators.recognise(cluster.accelerator_seen or "") or accelerators.recognise(cluster.accelerator)


def steady(
    assessment: Assessment,
    local: Sequence[LocalItem],
    instance: InstanceType,
    *,
    per_hour: Decimal,
    services: Decimal,
    factor: Decimal = Decimal(1),
) -> Steady | None:
    """Owning against renting, like for like. None where the accelerator is unknown or nothing of the cost is known.

    At a steady load a fleet has the size of the load, so none is the smallest. `local` are the site's monthly items,
    whose serving parts count; `per_hour` and `services` are in the region's currency, which `factor` turns into the
    items'.
    """
    owned = owned_accelerator(assessment)
    gpus = serving_nodes(assessment) * assessment.cluster.gpus_per_node
    whole = sum((item.serving_amount or Decimal(0) for item in local), Decimal(0))
    if owned is None or not gpus or not whole:
        return None
    span, now = _power(assessment, local)
    each = per_hour * factor * HOURS_PER_MONTH / instance.accelerators
    return Steady(
        owned_idle=whole - now,
        power_span=span,
        rented_busy=gpus * work_ratio(owned, instance.accelerator) * each,
        services=services * factor,
        least=Decimal(0),
    )


def _power(assessment: Assessment, local: Sequence[LocalItem]) -> tuple[Decimal, Decimal]:
    """What the serving nodes' power costs more at full load than idle, and more now than idle, a month."""
    costs = assessment.costs
    full, tariff = costs.power_kw_full_load.value, costs.power_price_per_kwh.amount
    share = next((item.serving for item in local if item.line.item == "power"), Decimal(0))
    if full is None or tariff is None:
        return Decimal(0), Decimal(0)
    idle, pue = costs.power_kw_idle.value or 0.0, costs.power_usage_effectiveness.value or 1.0
    at_full, resting = (
        share
        * power_per_month(
            full_kw=Decimal(repr(full)),
            idle_kw=Decimal(repr(idle)),
            busy=Decimal(busy),
            pue=Decimal(repr(pue)),
            tariff=tariff,
        )
        for busy in (1, 0)
    )
    used = Decimal(repr(assessment.cluster.gpu_utilization.value or 0.0)) / 100
    return at_full - resting, (at_full - resting) * used
