"""What an instance type costs an hour in a region, in the currency that the region bills in.

On demand, as Spot, and with a commitment of one or three years without upfront payment: the rate of an EC2 Instance
Savings Plan, which is that of a Standard Reserved Instance. Prices from before a cut of the on-demand price are no
prices any more: P4 and P5 have no commitment rates here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

from ferry.catalog import instance_types, regions, table
from ferry.errors import CatalogError

STALE_AFTER_DAYS = 90
FILE = "prices.csv"
COLUMNS = (
    "instance_type",
    "region",
    "currency",
    "on_demand_per_hour",
    "spot_per_hour",
    "on_demand_as_of",
    "on_demand_source",
    "spot_as_of",
    "spot_source",
    "savings_1yr_per_hour",
    "savings_3yr_per_hour",
    "savings_as_of",
    "savings_source",
)


@dataclass(frozen=True)
class Price:
    """Price an hour of one instance in one region, with where and when it was read."""

    per_hour: Decimal
    currency: str
    as_of: date
    source: str


def on_demand(instance_type: str, region: str) -> Price:
    """On-demand price. Raises CatalogError naming the regions that have one."""
    price = _find(instance_type, region, "on_demand")
    if price is None:
        raise CatalogError(_missing("on-demand price", instance_type, region, "on_demand"))
    return price


def spot(instance_type: str, region: str) -> Price:
    """Spot price as it was on its date. Raises CatalogError naming the regions that have one."""
    price = _find(instance_type, region, "spot")
    if price is None:
        raise CatalogError(_missing("Spot price", instance_type, region, "spot"))
    return price


def savings_plan(instance_type: str, region: str, years: int) -> Price:
    """Rate of a commitment of 1 or 3 years, nothing paid upfront. Raises CatalogError naming where there is one."""
    kind = f"savings_{years}yr"
    price = _find(instance_type, region, kind)
    if price is None:
        raise CatalogError(_missing(f"{years}-year savings-plan rate", instance_type, region, kind))
    return price


def dated(sources: str) -> Iterator[tuple[str, date]]:
    """Source and date of each price behind a cost line, from how the line names them: `a list, 2026-07-20; …`."""
    for found in re.finditer(r"(?P<source>[^;]+), (?P<as_of>\d{4}-\d\d-\d\d)(?:; |$)", sources):
        yield found["source"].strip(), date.fromisoformat(found["as_of"])


def regions_with(instance_type: str, kind: str = "on_demand") -> list[str]:
    """The regions in which the catalogue has a price of the type."""
    return sorted(
        region for name, region in _by_key() if name == instance_type and _find(name, region, kind) is not None
    )


def stale_sources(used: Iterable[tuple[str, date]], today: date) -> list[str]:
    """One sentence for each source and date that is older than 90 days, oldest first."""
    old = sorted({(as_of, source) for source, as_of in used if (today - as_of).days > STALE_AFTER_DAYS})
    return [
        f"prices from {source} are of {as_of.isoformat()}, {(today - as_of).days} days old: check them"
        for as_of, source in old
    ]


def _find(instance_type: str, region: str, kind: str) -> Price | None:
    instance_types.find(instance_type)
    regions.find(region)
    row = _by_key().get((instance_type, region))
    if row is None or not row[f"{kind}_per_hour"]:
        return None
    # One day and one list stand behind the rates of both terms.
    origin = "savings" if kind.startswith("savings") else kind
    return Price(
        per_hour=Decimal(row[f"{kind}_per_hour"]),
        currency=row["currency"],
        as_of=date.fromisoformat(row[f"{origin}_as_of"]),
        source=row[f"{origin}_source"],
    )


def _missing(what: str, instance_type: str, region: str, kind: str) -> str:
    here = sorted(name for name, where in _by_key() if where == region and _find(name, where, kind) is not None)
    elsewhere = regions_with(instance_type, kind)
    return (
        f"no {what} of {instance_type} in {region}; the type has one in {', '.join(elsewhere) or 'no region'}; "
        f"of the region's own types {table.nearest(instance_type, here)}"
    )


def _by_key() -> dict[tuple[str, str], dict[str, str]]:
    return _merged(table.refreshed())


@cache
def _merged(folder: Path | None) -> dict[tuple[str, str], dict[str, str]]:
    """The shipped rows, with what a refresh found in their place: each kind of price for itself."""
    shipped = {(row["instance_type"], row["region"]): row for row in table.rows("prices")}
    if folder is None:
        return shipped
    found = dict(shipped)
    for row in table.rows_of(folder / FILE, COLUMNS):
        key = (row["instance_type"], row["region"])
        found[key] = {
            **found.get(key, dict.fromkeys(COLUMNS, "")),
            **{name: cell for name, cell in row.items() if cell},
        }
    return found
