"""The ten figures that the source article claims, each recomputed from what is known, and when it turns false."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from ferry.catalog import prices
from ferry.cost.article.claim import BootSeconds, Claim, Given
from ferry.cost.article.machines import latency, lead_time, recovery, synchronisation, utilization
from ferry.cost.article.money import advantage, energy, hardware_saving, server_price, yearly_cost

__all__ = ["BootSeconds", "Claim", "Given", "claims", "stale"]


def stale(found: Sequence[Claim], today: date) -> list[str]:
    """The old prices behind the claims, once per source and date."""
    used = (origin for claim in found for one in claim.inputs if one.is_price for origin in prices.dated(one.source))
    return prices.stale_sources(used, today)


def claims(boot_seconds: BootSeconds) -> list[Claim]:
    """All ten. `boot_seconds` says how long an instance takes to serve a model, as `ferry plan` estimates it."""
    return [
        advantage(),
        server_price(),
        energy(),
        hardware_saving(),
        latency(),
        lead_time(boot_seconds),
        yearly_cost(),
        utilization(),
        recovery(boot_seconds),
        synchronisation(),
    ]
