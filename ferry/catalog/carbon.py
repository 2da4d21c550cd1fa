"""What a kWh in a region emits, and how much of a data centre's energy does not reach its servers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache

from ferry.catalog import table
from ferry.errors import CatalogError


@dataclass(frozen=True)
class Carbon:
    """Yearly averages of a region.

    gco2e_per_kwh:  of the grid, by location, over the life cycle; of CO2 alone where `co2_only`, which is not to be
                    compared with the others
    pue:            power usage effectiveness: energy of the data centre for each kWh of its servers; the operator's
                    global average where `pue_assumed`
    """

    region: str
    gco2e_per_kwh: float
    grid_year: int
    co2_only: bool
    pue: float
    pue_assumed: bool
    as_of: date
    source: str


def find(region: str) -> Carbon:
    """The figures of a region. Raises CatalogError naming the nearest ones that it has."""
    try:
        return _by_region()[region]
    except KeyError:
        raise CatalogError(f"no carbon figures of region {region!r}; {table.nearest(region, _by_region())}") from None


@cache
def _by_region() -> dict[str, Carbon]:
    return {
        row["region"]: Carbon(
            region=row["region"],
            gco2e_per_kwh=float(row["grid_gco2e_per_kwh"]),
            grid_year=int(row["grid_year"]),
            co2_only=row["co2_only"] == "yes",
            pue=float(row["pue"]),
            pue_assumed=row["pue_assumed"] == "yes",
            as_of=date.fromisoformat(row["as_of"]),
            source=row["source"],
        )
        for row in table.rows("carbon")
    }
