"""AWS regions: partition, city, country and time zone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from ferry.catalog import table
from ferry.errors import CatalogError


@dataclass(frozen=True)
class Region:
    """One region. `country` is ISO 3166-1 alpha-2; `currency` is what the partition bills in."""

    name: str
    partition: str
    city: str
    country: str
    time_zone: str

    @property
    def currency(self) -> str:
        """CNY in mainland China, USD elsewhere."""
        return "CNY" if self.partition == "aws-cn" else "USD"


def find(name: str) -> Region:
    """The region of that name. Raises CatalogError naming the nearest ones."""
    try:
        return _by_name()[name]
    except KeyError:
        raise CatalogError(f"unknown region {name!r}; {table.nearest(name, _by_name())}") from None


def known(name: str) -> bool:
    """Whether the catalogue has the region."""
    return name in _by_name()


def all_regions() -> tuple[Region, ...]:
    """Every region, by name."""
    return tuple(_by_name().values())


@cache
def _by_name() -> dict[str, Region]:
    return {
        row["region"]: Region(row["region"], row["partition"], row["city"], row["country"], row["time_zone"])
        for row in table.rows("regions")
    }
