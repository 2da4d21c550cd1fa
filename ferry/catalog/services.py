"""Unit prices of the services beside the instances: storage, endpoints, load balancer, keys, logs, transfer out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache

from ferry.catalog import regions, table
from ferry.errors import CatalogError

# The region whose price stands in where the catalogue lacks the region's own.
REFERENCE_REGION = "us-east-1"


@dataclass(frozen=True)
class ServicePrice:
    """Price of one unit. `region` is where it was read; it differs from the one asked for when it stands in."""

    item: str
    region: str
    unit: str
    price: Decimal
    currency: str
    as_of: date
    source: str


def price(item: str, region: str) -> ServicePrice:
    """Unit price of a service in a region; that of us-east-1 stands in where the region's own is missing.

    Nothing stands in across currencies. Raises CatalogError.
    """
    wanted = regions.find(region)
    by_key = _by_key()
    found = by_key.get((item, region))
    if found is None and wanted.currency == "USD":
        found = by_key.get((item, REFERENCE_REGION))
    if found is None:
        items = {name for name, _ in by_key}
        known = sorted(where for name, where in by_key if name == item)
        if not known:
            raise CatalogError(f"unknown service {item!r}; {table.nearest(item, items)}")
        raise CatalogError(f"no {wanted.currency} price of {item} in {region}; known in {', '.join(known)}")
    return found


@cache
def _by_key() -> dict[tuple[str, str], ServicePrice]:
    return {
        (row["item"], row["region"]): ServicePrice(
            item=row["item"],
            region=row["region"],
            unit=row["unit"],
            price=Decimal(row["price"]),
            currency=row["currency"],
            as_of=date.fromisoformat(row["as_of"]),
            source=row["source"],
        )
        for row in table.rows("services")
    }
