"""`ferry models plan-transfer`: whether one uplink moves the models in the days that are wanted, and what else would.

A pure function from numbers to a plan. What AWS offers beyond an uplink stands here as data, with its source and date.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ferry.artefacts import Figure, Money
from ferry.artefacts.figures import assumed, unknown
from ferry.catalog import services
from ferry.cost import money
from ferry.errors import CatalogError, InvalidField

SECONDS_PER_DAY = 86_400
BITS_PER_BYTE = 8
MEGA, GIGA = 10**6, 10**9

PACKET_BYTES, WIRE_BYTES = 1448, 1538
"""TCP's payload of a 1500-byte packet, and what that is on Ethernet: IPv4 20, TCP 20 and its timestamps 12 (RFC 9293,
7323); Ethernet's header, check sum, preamble and gap 38 (IEEE 802.3)."""
RECORD_BYTES, SEALED_BYTES = 16_384, 16_406
"""A TLS 1.3 record's content, and with header 5, content type 1 and tag 16: RFC 8446, section 5."""
EFFICIENCY = PACKET_BYTES / WIRE_BYTES * RECORD_BYTES / SEALED_BYTES
"""Share of a line's bits that are content: 0.940. Headers of HTTP are below a thousandth of a part of 8 MiB."""
DEFAULT_SHARE = 0.5
"""Of the uplink, for the models: the other half stays with the users of the site. Ferry's own assumption."""

TERMINAL_MBPS = 100_000
SNOWBALL_TB = 80
"""The smaller of the two storage-optimized devices: aws.amazon.com/snowball/faqs."""
SNOWBALL_PREPARING_DAYS = 28
SNOWBALL_TRANSIT_DAYS = (1, 7)
"""One way, the fastest and the slowest that AWS names: US next day, EU standard and India up to a week."""

SNOWBALL_SOURCES = (
    "https://docs.aws.amazon.com/snowball/latest/developer-guide/shipping.html",
    "https://docs.aws.amazon.com/snowball/latest/api-reference/API_ShippingDetails.html",
    "https://docs.amazonaws.cn/en_us/snowball/latest/developer-guide/importtype.html",
)
TERMINAL_SOURCES = (
    "https://docs.aws.amazon.com/datatransferterminal/latest/userguide/what-is-dtt.html",
    "https://aws.amazon.com/blogs/migration-and-modernization/optimize-transfer-performance-with-aws-data-transfer-terminal",
)
DATA_SYNC_SOURCES = ("https://docs.aws.amazon.com/datasync/latest/userguide/what-is-datasync.html",)
READ_ON = "2026-11-24"
"""When these pages were read."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to move the models. Days are a range where AWS gives one; `unknown` parts are named in `note`."""

    name: str
    days: Figure
    days_at_most: Figure | None = None
    available: str
    note: str
    sources: tuple[str, ...] = ()

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "days": self.days.model_dump(),
            "days_at_most": None if self.days_at_most is None else self.days_at_most.model_dump(),
            "available": self.available,
            "note": self.note,
            "sources": list(self.sources),
        }


@dataclass(frozen=True, kw_only=True)
class TransferPlan:
    """What one uplink does, whether that is soon enough, and the other ways."""

    size: Figure
    uplink: Figure
    share: float
    efficiency: float
    wanted_days: float
    kept: bool
    needed_mbps: float
    """Of the whole uplink, at the same share, for the wanted days."""
    ways: tuple[Way, ...]
    """The uplink first."""
    costs: tuple[tuple[str, Money], ...]

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "size": self.size.model_dump(),
            "uplink": self.uplink.model_dump(),
            "share": self.share,
            "efficiency": round(self.efficiency, 4),
            "wanted_days": self.wanted_days,
            "kept": self.kept,
            "needed_mbps": round(self.needed_mbps, 1),
            "ways": [way.dump() for way in self.ways],
            "costs": [{"item": item, **amount.model_dump(mode="json")} for item, amount in self.costs],
        }


def days_on(size_bytes: float, mbps: float, share: float) -> float:
    """Days that a line takes: bits over what of the line is content and is given to them. 1 Mbit/s is 10^6 bit/s."""
    return size_bytes * BITS_PER_BYTE / (mbps * MEGA * share * EFFICIENCY) / SECONDS_PER_DAY


def plan_transfer(
    size: Figure, uplink: Figure, *, wanted_days: float, share: float = DEFAULT_SHARE, region: str | None = None
) -> TransferPlan:
    """Plan a transfer of `size` bytes over an uplink in Mbit/s.

    Raises InvalidField for what is unknown, or not positive, or a share beyond 1.
    """
    if size.value is None or size.value <= 0:
        raise InvalidField("the size of the models is unknown; name it with --size-gb, or point `model` at the weights")
    if uplink.value is None or uplink.value <= 0:
        raise InvalidField("the uplink is unknown; set location.uplink_mbps in site.yaml, in Mbit/s upwards")
    if not wanted_days > 0:
        raise InvalidField(f"--days {wanted_days}: allowed is more than 0")
    if not 0 < share <= 1:
        raise InvalidField(f"--share {share}: allowed is more than 0, up to 1; it is the part of the uplink to use")
    days = days_on(size.value, uplink.value, share)
    return TransferPlan(
        size=size,
        uplink=uplink,
        share=share,
        efficiency=EFFICIENCY,
        wanted_days=wanted_days,
        kept=days <= wanted_days,
        needed_mbps=uplink.value * days / wanted_days,
        ways=(_uplink(days, share), _data_sync(days, share), _terminal(size.value), _snowball(size.value, region)),
        costs=_costs(size.value, region),
    )


def _uplink(days: float, share: float) -> Way:
    return Way(
        name="the uplink",
        days=assumed(days, "days", f"size over the uplink, {share:.0%} of it, {EFFICIENCY:.1%} of its bits content"),
        available="yes",
        note="`ferry models push`: resumes, sends nothing twice, and sends nothing that another version already has",
    )


def _data_sync(days: float, share: float) -> Way:
    return Way(
        name="AWS DataSync",
        days=assumed(days, "days", "the same uplink: an agent at home sends over it"),
        available="yes",
        note=f"schedules, verifies and limits itself to {share:.0%}; it does not go beyond the uplink. Rendered by "
        "`ferry:data_sync`; `ferry models push` signs afterwards",
        sources=DATA_SYNC_SOURCES,
    )


def _terminal(size_bytes: float) -> Way:
    upload = days_on(size_bytes, TERMINAL_MBPS, 1)
    return Way(
        name="AWS Data Transfer Terminal",
        days=unknown("days", "a reservation's lead time and the way there are the site's own", at_least=upload),
        available="to AWS Enterprise customers, where a terminal is in reach; the console shows the places",
        note="you bring the models on your own disks, and upload at up to 100 Gbit/s; copying to them, the way and "
        "the wait for a reservation come on top",
        sources=TERMINAL_SOURCES,
    )


def _snowball(size_bytes: float, region: str | None) -> Way:
    devices = math.ceil(size_bytes / (SNOWBALL_TB * 10**12))
    fastest, slowest = SNOWBALL_TRANSIT_DAYS
    china = region is not None and region.startswith("cn-")
    return Way(
        name="AWS Snowball Edge",
        days=unknown("days", "copying on site and the import are not stated", at_least=2 * fastest),
        days_at_most=assumed(
            SNOWBALL_PREPARING_DAYS + 2 * slowest,
            "days",
            "up to 4 weeks to prepare the device, up to a week of transit each way; copying and import come on top",
        ),
        available=(
            "no: not in the China regions"
            if china
            else "no, unless the account used it before 7 November 2025: closed to new customers since then"
        ),
        note=f"{devices} device{'s' if devices > 1 else ''} of {SNOWBALL_TB} TB by truck; an account may have 1 at a "
        "time unless AWS raises that",
        sources=SNOWBALL_SOURCES,
    )


def _costs(size_bytes: float, region: str | None) -> tuple[tuple[str, Money], ...]:
    if region is None:
        return ()
    gigabytes = Decimal(repr(size_bytes)) / GIGA
    try:
        storage = services.price("s3-standard", region)
    except CatalogError as error:
        kept = money.unknown_money("CNY" if region.startswith("cn-") else "USD", str(error))
    else:
        source = f"{storage.source}, {storage.as_of.isoformat()}, price of {storage.region}"
        kept = money.assumed_money(gigabytes * storage.price, storage.currency, source)
    currency = kept.currency
    missing = "the catalogue has no price of it"
    return (
        ("S3 storage of the models, a month", kept),
        ("AWS DataSync, by the GB", money.unknown_money(currency, missing)),
        ("AWS Data Transfer Terminal, by port and hour", money.unknown_money(currency, missing)),
        ("AWS Snowball Edge, by job, day and shipment", money.unknown_money(currency, missing)),
    )


def describe(plan: TransferPlan) -> str:
    """The plan in words."""
    lines = [
        f"{(plan.size.value or 0) / GIGA:,.1f} GB ({plan.size.basis}: {plan.size.source}) in {plan.wanted_days:g} days "
        f"over {plan.uplink.value:g} Mbit/s ({plan.uplink.basis}: {plan.uplink.source})",
        f"assumed: {plan.share:.0%} of the uplink, of which {plan.efficiency:.1%} is content (TCP/IP, Ethernet, TLS)",
    ]
    for way in plan.ways:
        lines.append(f"{way.name}: {_days(way)}; available: {way.available}")
        lines.append(f"  {way.note}")
        lines += [f"  {source} (read {READ_ON})" for source in way.sources]
    for item, amount in plan.costs:
        shown = "unknown" if amount.amount is None else f"{amount.amount:,.2f} {amount.currency}"
        lines.append(f"{item}: {shown} ({amount.basis}: {amount.source})")
    if plan.kept:
        lines.append("kept: the uplink is enough")
    else:
        lines.append(
            f"not kept: the uplink would need {plan.needed_mbps:,.0f} Mbit/s at this share (a hosted Direct Connect, "
            "for the time of the move, gives it), or more days, or a way that is not the uplink"
        )
    return "\n".join(lines)


def _days(way: Way) -> str:
    if way.days.value is not None:
        return f"{_time(way.days.value)} ({way.days.basis})"
    least = "" if way.days.at_least is None else f", at least {_time(way.days.at_least)}"
    most = "" if way.days_at_most is None else f", shipping at most {way.days_at_most.value:g} days"
    return f"days unknown{least}{most} ({way.days.source})"


def _time(days: float) -> str:
    return f"{days:,.1f} days" if days >= 1 else f"{days * 24:.2f} hours"
