"""What serving costs a month on AWS. A price that the catalogue lacks makes a line of unknown amount, never 0."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from ferry.artefacts import CostLine
from ferry.catalog import regions, services
from ferry.catalog.prices import Price
from ferry.cost.money import HOURS_PER_MONTH, assumed_money, unknown_money
from ferry.errors import CatalogError
from stacks.settings import AuditSettings

ENDPOINTS = 10
"""Interface endpoints of the network component, each in every zone; the S3 gateway endpoint is free."""
KEYS = 3
"""KMS keys: models, audit archive, notifications."""
ALARMS = 12
ROOT_THROUGHPUT_MIBPS = 500
"""Of the root volume; gp3 includes 125 of it (docs.aws.amazon.com, EBS general purpose volumes)."""
GP3_INCLUDED_MIBPS = 125

SECONDS_PER_MONTH = HOURS_PER_MONTH * 3600
# Assumptions about traffic, all on the high side.
BYTES_PER_INPUT_TOKEN = 5
BYTES_PER_OUTPUT_TOKEN = 250
"""A streamed token travels as a JSON chunk of its own."""
LOG_BYTES_PER_REQUEST = 2000
FLOW_LOG_GB_PER_INSTANCE = 5
BOOTS_PER_MONTH = 300
PART_BYTES = 64 * 1024 * 1024

# A load balancer capacity unit: 25 new connections a second, 3,000 active ones, or 1 GB an hour
# (aws.amazon.com/elasticloadbalancing/pricing).
LCU_NEW_PER_S = 25
LCU_ACTIVE = 3000
LCU_GB_PER_H = 1


@dataclass(frozen=True, kw_only=True)
class SpotUse:
    """Spot Instances over time, and their price as it was."""

    price: Price
    mean_size: float


@dataclass(frozen=True, kw_only=True)
class CloudUse:
    """What is used in a month. Rates in requests/s, tokens a request, `latency_s` of a request, sizes in GB or GiB.

    `mean_size` counts all instances, those of `spot` too.
    """

    region: str
    instance_type: str
    price: Price
    mean_size: float
    zones: int
    root_volume_gib: int
    weights_gb: float
    mean_rps: float
    input_tokens: float
    output_tokens: float
    latency_s: float
    audit_gb: float = 20
    spot: SpotUse | None = None


@dataclass
class _Bill:
    """Collects the lines of one region, and the dates of the prices that were used."""

    region: str
    lines: list[CostLine] = field(default_factory=list)
    used: list[tuple[str, date]] = field(default_factory=list)

    def add(self, item: str, amounts: dict[str, Decimal], detail: str) -> None:
        """One line from quantities of catalogue items; unknown as soon as one of their prices is."""
        currency = regions.find(self.region).currency
        try:
            found = [(services.price(name, self.region), quantity) for name, quantity in amounts.items()]
        except CatalogError as error:
            self.lines.append(CostLine(item=item, amount=unknown_money(currency, str(error)), detail=detail))
            return
        self.used += [(price.source, price.as_of) for price, _ in found]
        elsewhere = sorted({price.region for price, _ in found} - {self.region})
        source = "; ".join(sorted({f"{price.source}, {price.as_of}" for price, _ in found}))
        note = f"{detail}; price of {', '.join(elsewhere)}" if elsewhere else detail
        amount = sum((price.price * quantity for price, quantity in found), Decimal(0))
        self.lines.append(CostLine(item=item, amount=assumed_money(amount, currency, source), detail=note))


def cloud_lines(use: CloudUse) -> tuple[list[CostLine], list[tuple[str, date]]]:
    """The monthly bill, largest cause first, and source and date of each price in it."""
    bill = _Bill(use.region)
    instances = _decimal(use.mean_size)
    bill.lines.append(_instances(use))
    bill.used += [(price.source, price.as_of) for price in (use.price, *((use.spot.price,) if use.spot else ()))]
    bill.add(
        "root volumes",
        {
            "ebs-gp3": use.root_volume_gib * instances,
            "ebs-gp3-throughput": (ROOT_THROUGHPUT_MIBPS - GP3_INCLUDED_MIBPS) * instances,
        },
        f"gp3, {use.root_volume_gib} GiB at {ROOT_THROUGHPUT_MIBPS} MiB/s each",
    )
    units = _capacity_units(use)
    bill.add(
        "load balancer",
        {"alb": HOURS_PER_MONTH, "alb-lcu": HOURS_PER_MONTH * units},
        f"one ALB, {units:.2f} capacity units",
    )
    logs = _requests(use) * LOG_BYTES_PER_REQUEST / 10**9 + FLOW_LOG_GB_PER_INSTANCE * instances
    bill.add(
        "interface endpoints",
        {"vpc-endpoint": HOURS_PER_MONTH * ENDPOINTS * use.zones, "vpc-endpoint-data": logs},
        f"{ENDPOINTS} endpoints in {use.zones} zones instead of NAT, {logs:.0f} GB of logs through them",
    )
    bill.add("transfer out", {"transfer-out": _out_gb(use)}, f"{_out_gb(use):.0f} GB of answers, first price step")
    _storage(bill, use)
    bill.add(
        "logs and alarms",
        {"cloudwatch-logs-ingested": logs, "cloudwatch-alarm": Decimal(ALARMS)},
        f"CloudWatch, {logs:.0f} GB of logs and flow logs, {ALARMS} alarms; custom metrics are not in it",
    )
    bill.add("keys", {"kms-key": Decimal(KEYS), "kms-requests": Decimal(1)}, f"KMS, {KEYS} keys, bucket keys on")
    reads = _parts(use) * BOOTS_PER_MONTH
    bill.add(
        "requests",
        {"s3-get": reads / 1000, "s3-put": _parts(use) / 1000},
        f"S3, {BOOTS_PER_MONTH} model downloads and one upload in parts of {PART_BYTES // 2**20} MiB",
    )
    bill.add(
        "trail",
        {"cloudtrail-data-events": reads / 100_000},
        f"CloudTrail data events of {BOOTS_PER_MONTH} model downloads; the first copy of management events is free",
    )
    return bill.lines, bill.used


def _instances(use: CloudUse) -> CostLine:
    price, spot = use.price, use.spot
    on_demand = _decimal(use.mean_size) - (_decimal(spot.mean_size) if spot else 0)
    amount = price.per_hour * HOURS_PER_MONTH * on_demand
    source = f"{price.source}, {price.as_of}"
    detail = f"{on_demand:.2f} x {use.instance_type} on demand at {price.per_hour} {price.currency}/h"
    if spot is not None:
        amount += spot.price.per_hour * HOURS_PER_MONTH * _decimal(spot.mean_size)
        source += f"; {spot.price.source}, {spot.price.as_of}"
        detail += f", {spot.mean_size:.2f} as Spot at {spot.price.per_hour}"
    return CostLine(item="instances", amount=assumed_money(amount, price.currency, source), detail=detail)


def _storage(bill: _Bill, use: CloudUse) -> None:
    """Models in S3 Standard; audit records as the archive's own rule ages them, at a steady inflow."""
    audit = AuditSettings()
    young = Decimal(audit.glacier_days) / audit.retention_days
    records = _decimal(use.audit_gb)
    bill.add(
        "model and audit storage",
        {"s3-standard": _decimal(use.weights_gb) + records * young, "s3-glacier": records * (1 - young)},
        f"S3, {use.weights_gb:.0f} GB of models, {use.audit_gb:.0f} GB of audit records of which {young:.0%} in "
        f"Standard, the others in Glacier from day {audit.glacier_days}",
    )


def _parts(use: CloudUse) -> Decimal:
    return _decimal(use.weights_gb) * 10**9 / PART_BYTES


def _requests(use: CloudUse) -> Decimal:
    return _decimal(use.mean_rps) * SECONDS_PER_MONTH


def _out_gb(use: CloudUse) -> Decimal:
    return _requests(use) * _decimal(use.output_tokens) * BYTES_PER_OUTPUT_TOKEN / 10**9


def _capacity_units(use: CloudUse) -> Decimal:
    bytes_per_request = use.input_tokens * BYTES_PER_INPUT_TOKEN + use.output_tokens * BYTES_PER_OUTPUT_TOKEN
    gb_per_hour = use.mean_rps * 3600 * bytes_per_request / 1e9
    return _decimal(
        max(use.mean_rps / LCU_NEW_PER_S, use.mean_rps * use.latency_s / LCU_ACTIVE, gb_per_hour / LCU_GB_PER_H)
    )


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value))
