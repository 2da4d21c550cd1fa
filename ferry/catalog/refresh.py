"""`ferry catalog refresh`: prices as AWS states them now, into a file that is read before the shipped ones.

On demand from the Price List (GetProducts), Spot from EC2's history of the last moment (mean of the zones), the rates
of EC2 Instance Savings Plans without upfront payment from DescribeSavingsPlansOfferingRates. The shipped file stays.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ferry.artefacts import write_whole
from ferry.catalog import instance_types, prices, regions, table
from ferry.catalog.aws import Clients, asking, price_list_region
from ferry.errors import CatalogError, InvalidField

_YEARS = {31_536_000: "savings_1yr_per_hour", 94_608_000: "savings_3yr_per_hour"}
_SOURCES = {
    "on_demand": "AWS Price List",
    "spot": "EC2 Spot price history, mean of the zones",
    "savings": "EC2 Instance Savings Plans, no upfront",
}
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Refreshed:
    """What was found: prices by kind, and what could not be had, each with its reason."""

    path: Path
    found: dict[str, int]
    missing: tuple[str, ...]

    def dump(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return {"path": str(self.path), "found": self.found, "missing": list(self.missing)}


def refresh(
    names: Sequence[str],
    folder: Path,
    *,
    clients: Clients | None = None,
    now: datetime | None = None,
    progress: Progress = lambda step: None,
) -> Refreshed:
    """Read the prices of the catalogue's instance types in some regions, and write them into `folder`.

    What the file has of other regions stays. Raises InvalidField without regions, CatalogError for an unknown region,
    without credentials, or where the on-demand prices cannot be read; what else cannot be had is named in the result.
    """
    if not names:
        raise InvalidField("name at least one region: ferry catalog refresh --region us-east-1")
    places = [regions.find(name) for name in names]
    asked = clients or Clients()
    moment = now or datetime.now(UTC)
    path = folder / prices.FILE
    rows = {(row["instance_type"], row["region"]): row for row in table.rows_of(path, prices.COLUMNS)}
    counts: dict[str, int] = defaultdict(int)
    missing: list[str] = []
    for place in places:
        region = place.name
        progress(f"{region}: on demand")
        with asking(f"on-demand prices of {region}"):
            cells = dict(on_demand(asked, region, place.currency))
        _put(rows, region, place.currency, "on_demand", cells, moment, counts)
        wanted = sorted(cells)
        for kind, read in (("spot", spot), ("savings", savings_plans)):
            progress(f"{region}: {kind}")
            try:
                with asking(f"{kind} prices of {region}"):
                    more = dict(read(asked, region, wanted, moment))
            except CatalogError as error:
                # An account may read the price list and nothing else; those prices are still worth having.
                missing.append(str(error))
                continue
            _put(rows, region, place.currency, kind, more, moment, counts)
    write_whole(path, _text(rows[key] for key in sorted(rows)))
    return Refreshed(path, dict(counts), tuple(missing))


def on_demand(clients: Clients, region: str, currency: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Instance type and cells of each on-demand price. Raises CatalogError for two prices of one type."""
    client = clients.client("pricing", price_list_region(region))
    fields = {
        "regionCode": region,
        "instanceFamily": "GPU instance",
        "operatingSystem": "Linux",
        "preInstalledSw": "NA",
        "tenancy": "Shared",
        "capacitystatus": "Used",
    }
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in fields.items()]
    known = {one.name for one in instance_types.all_types()}
    found: dict[str, str] = {}
    for page in client.get_paginator("get_products").paginate(ServiceCode="AmazonEC2", Filters=filters):
        for text in page["PriceList"]:
            product = json.loads(text)
            attributes = product["product"]["attributes"]
            name = attributes.get("instanceType", "")
            # Capacity Blocks are listed with a price of 0: they are paid when they are reserved.
            if name not in known or attributes.get("marketoption", "OnDemand") != "OnDemand":
                continue
            for price in _hourly(product, currency):
                if found.setdefault(name, price) != price:
                    raise CatalogError(f"{name} in {region}: the price list has {found[name]} and {price} {currency}")
    for name, price in found.items():
        yield name, {"on_demand_per_hour": price}


def spot(clients: Clients, region: str, wanted: Sequence[str], now: datetime) -> Iterator[tuple[str, dict[str, str]]]:
    """Instance type and cells of each Spot price of this moment, the mean of the zones that offer it."""
    client = clients.client("ec2", region)
    zones: dict[str, list[Decimal]] = defaultdict(list)
    pages = client.get_paginator("describe_spot_price_history").paginate(
        InstanceTypes=list(wanted), ProductDescriptions=["Linux/UNIX"], StartTime=now, EndTime=now
    )
    for page in pages:
        for entry in page["SpotPriceHistory"]:
            zones[entry["InstanceType"]].append(Decimal(entry["SpotPrice"]))
    for name, found in sorted(zones.items()):
        mean = sum(found, Decimal(0)) / len(found)
        yield name, {"spot_per_hour": f"{mean.quantize(Decimal('0.000001')).normalize():f}"}


def savings_plans(
    clients: Clients, region: str, wanted: Sequence[str], now: datetime
) -> Iterator[tuple[str, dict[str, str]]]:
    """Instance type and cells of each rate of an EC2 Instance Savings Plan, Linux, shared tenancy, no upfront."""
    home = price_list_region(region)
    client = clients.client("savingsplans", home)
    rates: dict[str, dict[str, str]] = defaultdict(dict)
    request: dict[str, Any] = {
        "savingsPlanTypes": ["EC2Instance"],
        "savingsPlanPaymentOptions": ["No Upfront"],
        "products": ["EC2"],
        "serviceCodes": ["AmazonEC2"],
        "filters": [
            {"name": "region", "values": [region]},
            {"name": "instanceType", "values": list(wanted)},
            {"name": "productDescription", "values": ["Linux/UNIX"]},
            {"name": "tenancy", "values": ["shared"]},
        ],
        "maxResults": 1000,
    }
    while True:
        # botocore has no paginator for this operation.
        page = client.describe_savings_plans_offering_rates(**request)
        for entry in page["searchResults"]:
            column = _YEARS.get(entry["savingsPlanOffering"]["durationSeconds"])
            name = next((one["value"] for one in entry["properties"] if one["name"] == "instanceType"), None)
            # Reserved capacity that is not used is billed, too, and listed as a usage type of its own.
            if column and name and entry["unit"] == "Hrs" and "BoxUsage" in entry["usageType"]:
                rates[name][column] = entry["rate"]
        if not page.get("nextToken"):
            break
        request["nextToken"] = page["nextToken"]
    yield from sorted(rates.items())


def _hourly(product: dict[str, Any], currency: str) -> Iterator[str]:
    for term in product["terms"].get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            price = dimension["pricePerUnit"].get(currency)
            if dimension["unit"] == "Hrs" and price is not None and Decimal(price) > 0:
                yield f"{Decimal(price).normalize():f}"


def _put(
    rows: dict[tuple[str, str], dict[str, str]],
    region: str,
    currency: str,
    kind: str,
    cells: dict[str, dict[str, str]],
    moment: datetime,
    counts: dict[str, int],
) -> None:
    for name, values in cells.items():
        row = rows.setdefault((name, region), dict.fromkeys(prices.COLUMNS, ""))
        row |= {"instance_type": name, "region": region, "currency": currency, **values}
        row |= {f"{kind}_as_of": moment.date().isoformat(), f"{kind}_source": _SOURCES[kind]}
        rows[name, region] = row
        counts[kind] += len(values)


def _text(rows: Iterator[dict[str, str]]) -> str:
    written = io.StringIO()
    writer = csv.DictWriter(written, prices.COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()
