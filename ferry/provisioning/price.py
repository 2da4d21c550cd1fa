"""What a stack costs a month by its resources, before a change and after it, from the catalogue's prices.

Instances at a group's smallest and largest size, capacity reservations, load balancers, alarms and keys have a price
that follows from the resource. What is billed by use (requests, bytes, log volume) or has no price in the catalogue is
named instead, never 0: `ferry cost` estimates the use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ferry.catalog import prices, services
from ferry.errors import CatalogError
from ferry.provisioning.preview import Step

HOURS_PER_MONTH = Decimal(730)
"""8760 / 12, AWS's own month: https://calculator.aws/#/"""

State = Mapping[str, Any]

GROUP = "aws:autoscaling/group:Group"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"

FREE = ("aws:iam/", "aws:autoscaling/", "aws:lb/listener", "aws:lb/targetGroup", "aws:s3/bucket", "aws:sns/topicPolicy")
FREE_TYPES = frozenset(
    {
        "aws:budgets/budget:Budget",
        "aws:cloudwatch/eventRule:EventRule",
        "aws:cloudwatch/eventTarget:EventTarget",
        "aws:datasync/nfsLocation:NfsLocation",
        "aws:datasync/s3Location:S3Location",
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
        "aws:ec2/internetGateway:InternetGateway",
        "aws:ec2/launchTemplate:LaunchTemplate",
        "aws:ec2/route:Route",
        "aws:ec2/routeTable:RouteTable",
        "aws:ec2/routeTableAssociation:RouteTableAssociation",
        "aws:ec2/securityGroup:SecurityGroup",
        "aws:ec2/subnet:Subnet",
        "aws:ec2/vpc:Vpc",
        "aws:rolesanywhere/profile:Profile",
        "aws:rolesanywhere/trustAnchor:TrustAnchor",
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    }
)
"""Types that AWS bills nothing for by themselves; what is stored or sent through them is billed by use."""


@dataclass
class Bill:
    """A month with every group at its smallest and at its largest size, in one currency."""

    least: Decimal = Decimal(0)
    most: Decimal = Decimal(0)
    currency: str = ""
    not_priced: Counter[str] = field(default_factory=Counter)
    """What has no price, with the reason, to how many there are of it."""


def bill(states: Iterable[State], region: str) -> Bill:
    """Add up the resources of a stack."""
    known = list(states)
    result = Bill()
    for state in known:
        kind = state["type"]
        if kind in FREE_TYPES or (kind.startswith(FREE) and kind != GROUP):
            continue
        try:
            least, most, result.currency = _priced(state, known, region)
        except CatalogError as error:
            result.not_priced[f"{kind}: {error}"] += 1
            continue
        result.least += least
        result.most += most
    return result


def difference(steps: Iterable[Step], region: str) -> tuple[Bill, Bill]:
    """The bill before a change and after it."""
    all_ = list(steps)
    before = [step.before for step in all_ if step.before and step.action not in ("create", "create-replacement")]
    after = [step.after for step in all_ if step.after and step.action not in ("delete", "delete-replaced", "replace")]
    return bill(before, region), bill(after, region)


def _priced(state: State, known: list[State], region: str) -> tuple[Decimal, Decimal, str]:
    """A month at the least and at the most, and the currency. Raises CatalogError where there is no price."""
    inputs = state.get("inputs", {})
    kind = state["type"]
    if kind == GROUP:
        price = prices.on_demand(_instance_type(inputs, known), inputs.get("region", region))
        month = price.per_hour * HOURS_PER_MONTH
        return month * int(inputs["minSize"]), month * int(inputs["maxSize"]), price.currency
    if kind == "aws:ec2/capacityReservation:CapacityReservation":
        price = prices.on_demand(inputs["instanceType"], inputs.get("region", region))
        month = price.per_hour * HOURS_PER_MONTH * int(inputs["instanceCount"])
        return month, month, price.currency
    if kind in MONTHLY:
        item, months = MONTHLY[kind]
        of_item = services.price(item, inputs.get("region", region))
        return of_item.price * months, of_item.price * months, of_item.currency
    raise CatalogError("billed by use, or not in the catalogue")


MONTHLY: dict[str, tuple[str, Decimal]] = {
    "aws:lb/loadBalancer:LoadBalancer": ("alb", HOURS_PER_MONTH),
    "aws:cloudwatch/metricAlarm:MetricAlarm": ("cloudwatch-alarm", Decimal(1)),
    "aws:kms/key:Key": ("kms-key", Decimal(1)),
}
"""Type to the catalogue's item and how many of its units a month has."""


def _instance_type(inputs: Mapping[str, Any], known: list[State]) -> str:
    """The first instance type of a group's list, else its launch template's."""
    mixed = inputs.get("mixedInstancesPolicy", {}).get("launchTemplate", {})
    for override in mixed.get("overrides", []):
        return str(override["instanceType"])
    wanted = inputs.get("launchTemplate", {}).get("id") or mixed.get("launchTemplateSpecification", {}).get(
        "launchTemplateId"
    )
    templates = [state for state in known if state["type"] == TEMPLATE]
    meant = [one for one in templates if one.get("id") == wanted]
    # An id is unknown while its template is only previewed: then what all templates of the group's region say is meant.
    meant = meant or [one for one in templates if one.get("inputs", {}).get("region") == inputs.get("region")]
    found = {state.get("inputs", {}).get("instanceType") for state in meant} - {None}
    if len(found) == 1:
        return str(*found)
    raise CatalogError("the group's instance type is not known before it is made")
