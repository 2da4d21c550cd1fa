"""Whether an account may start what a plan needs: `ferry plan --check-account`.

Reads only: vCPU quotas, the zones that offer the instance type, and Spot placement scores. What runs in the account
already uses part of a quota, and is not subtracted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ferry.artefacts import Plan
from ferry.catalog import instance_types
from ferry.catalog.aws import Clients, asking
from ferry.errors import CatalogError

ZONES = 2
"""Zones that the network component spreads a fleet over."""
_OPEN_SCORE = 5
"""Of 1 to 10, from unlikely to very likely (EC2 User Guide, Spot placement score); where the line is, is assumed."""

# Quota codes are the same in each account and region (console, Service Quotas, Amazon EC2).
_ON_DEMAND = {
    "g": ("L-DB2E81BA", "Running On-Demand G and VT instances"),
    "p": ("L-417A185B", "Running On-Demand P instances"),
}
_SPOT = {
    "g": ("L-3819A6DF", "All G and VT Spot Instance Requests"),
    "p4": ("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests"),
    "p5": ("L-C4BD4855", "All P5 Spot Instance Requests"),
}


@dataclass(frozen=True)
class Line:
    """One thing that was looked at. `remedy` is the command that helps where it is `missing`."""

    what: str
    found: str
    state: Literal["ok", "missing", "unknown"]
    remedy: str = ""


@dataclass(frozen=True)
class AccountCheck:
    """What an account allows of a plan."""

    region: str
    lines: tuple[Line, ...]

    @property
    def ready(self) -> bool:
        """Whether nothing is missing."""
        return all(line.state != "missing" for line in self.lines)

    def dump(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return {"region": self.region, "ready": self.ready, "lines": [vars(line) for line in self.lines]}


def check_account(plan: Plan, clients: Clients | None = None) -> AccountCheck:
    """Look at the account for the largest fleet of a plan. Raises CatalogError without credentials.

    What the account does not let one read is `unknown`, with AWS's reason.
    """
    asked = clients or Clients()
    instance = instance_types.find(plan.chosen.instance_type)
    most = plan.chosen.max_size or 0
    vcpus = most * instance.vcpus
    family = instance.name[:2]
    lines = [
        _quota(asked, plan.region, _ON_DEMAND[family[0]], vcpus, f"{most} x {instance.name}"),
        _zones(asked, plan.region, instance.name),
    ]
    spot = _SPOT.get(family[0]) or _SPOT.get(family)
    if spot is not None:
        lines.append(_quota(asked, plan.region, spot, vcpus, f"{most} x {instance.name}, only if Spot is used"))
    lines.append(_scores(asked, plan.region, instance.name, most))
    return AccountCheck(plan.region, tuple(lines))


def describe(check: AccountCheck) -> str:
    """The check as plain text."""
    return "\n".join(_said(check))


def _said(check: AccountCheck) -> Iterator[str]:
    yield f"the account in {check.region}: " + ("nothing is missing" if check.ready else "something is missing")
    for line in check.lines:
        yield f"{line.state:8} {line.what}: {line.found}"
        if line.remedy:
            yield f"         {line.remedy}"


def _quota(clients: Clients, region: str, quota: tuple[str, str], vcpus: int, wanted: str) -> Line:
    code, name = quota
    what = f"quota {name} ({code})"
    try:
        with asking(what):
            client = clients.client("service-quotas", region)
            value = client.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]["Value"]
    except CatalogError as error:
        return _unreadable(what, error)
    found = f"{value:g} vCPU, {wanted} needs {vcpus}"
    if value >= vcpus:
        return Line(what, found, "ok")
    remedy = (
        f"aws service-quotas request-service-quota-increase --service-code ec2 --quota-code {code} "
        f"--desired-value {vcpus} --region {region}"
    )
    return Line(what, found, "unknown" if "only if" in wanted else "missing", remedy)


def _zones(clients: Clients, region: str, name: str) -> Line:
    what = f"zones that offer {name}"
    try:
        with asking(what):
            pages = clients.client("ec2", region).get_paginator("describe_instance_type_offerings")
            zones = sorted(
                offer["Location"]
                for page in pages.paginate(
                    LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": [name]}]
                )
                for offer in page["InstanceTypeOfferings"]
            )
    except CatalogError as error:
        return _unreadable(what, error)
    found = ", ".join(zones) or "none"
    if len(zones) >= ZONES:
        return Line(what, found, "ok")
    return Line(what, f"{found}; a fleet needs {ZONES}", "missing", "plan for another region with --region")


def _scores(clients: Clients, region: str, name: str, count: int) -> Line:
    what = f"Spot placement score of {count} x {name}"
    try:
        with asking(what):
            answer = clients.client("ec2", region).get_spot_placement_scores(
                InstanceTypes=[name], TargetCapacity=count, SingleAvailabilityZone=False, RegionNames=[region]
            )
    except CatalogError as error:
        return _unreadable(what, error)
    scores = [entry["Score"] for entry in answer["SpotPlacementScores"]]
    if not scores:
        return Line(what, "AWS gives none", "unknown")
    likely = "likely to be met" if max(scores) >= _OPEN_SCORE else "unlikely to be met: keep the fleet on demand"
    return Line(what, f"{max(scores)} of 10, {likely}", "ok")


def _unreadable(what: str, error: CatalogError) -> Line:
    if "no AWS credentials" in str(error):
        raise error
    return Line(what, str(error).removeprefix(f"{what}: "), "unknown")
