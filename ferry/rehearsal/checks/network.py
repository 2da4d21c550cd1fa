"""What has to be true of the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ferry.rehearsal.checks import Seen, Stack, check
from ferry.rehearsal.handlers import Account

NODE_SERVICES = ("autoscaling", "ec2", "ecr.api", "ecr.dkr", "kms", "logs", "monitoring", "ssm", "ssmmessages", "sts")

# As `aws ec2 describe-vpc-endpoint-services` names them in cn-north-1 and cn-northwest-1.
CHINA_PREFIXED = ("autoscaling", "ec2", "ecr.api", "ecr.dkr", "monitoring", "sts")

NOT_OURS = "left to the owner of the existing VPC"


@check
def the_network_spans_the_zones_of_the_stack(account: Account, stack: Stack) -> Iterator[Seen]:
    """Public and private subnets each lie in as many zones as the stack asks for, in two at the least."""
    network = stack.settings.network
    for kind in ("public", "private"):
        subnets = _subnets(account, stack, kind)
        wanted = 2 if network.existing else network.zone_count
        zones = {subnet["AvailabilityZone"] for subnet in subnets}
        found = min(len(zones), wanted) if network.existing else len(zones)
        yield Seen(f"{kind} subnets", f"{wanted} zones", f"{found} zones")


@check
def nodes_have_no_route_to_the_internet(account: Account, stack: Stack) -> Iterator[Seen]:
    """The route table of each private subnet leads nowhere but to the VPC itself and to gateway endpoints."""
    for subnet in stack.outputs["private_subnet_ids"]:
        ways = sorted(
            route.get("DestinationCidrBlock", "?")
            for route in _routes(account, stack, subnet)
            if route.get("GatewayId") != "local" and not route.get("GatewayId", "").startswith("vpce-")
        )
        yield Seen(subnet, "no way out", ", ".join(ways) or "no way out")


@check
def the_load_balancers_subnets_reach_the_internet(account: Account, stack: Stack) -> Iterator[Seen]:
    """The route table of each public subnet has a default route to an internet gateway."""
    for subnet in stack.outputs["public_subnet_ids"]:
        if stack.settings.network.existing:
            yield Seen(subnet, NOT_OURS, NOT_OURS)
            continue
        gateways = [
            route.get("GatewayId", "")
            for route in _routes(account, stack, subnet)
            if route.get("DestinationCidrBlock") == "0.0.0.0/0"
        ]
        yield Seen(subnet, "igw", gateways[0].split("-")[0] if gateways else "no default route")


@check
def no_subnet_hands_out_public_addresses(account: Account, stack: Stack) -> Iterator[Seen]:
    """The load balancer brings its own, nodes have none."""
    for kind in ("public", "private"):
        for subnet in _subnets(account, stack, kind):
            yield Seen(subnet["SubnetId"], "False", str(subnet["MapPublicIpOnLaunch"]))


@check
def nodes_reach_the_services_that_they_call(account: Account, stack: Stack) -> Iterator[Seen]:
    """An interface endpoint for each, in the private subnets, under the service's usual DNS name."""
    endpoints = {one["ServiceName"]: one for one in _endpoints(account, stack, "Interface")}
    subnets = " ".join(sorted(stack.outputs["private_subnet_ids"]))
    for service in NODE_SERVICES:
        in_china = stack.settings.partition == "aws-cn" and service in CHINA_PREFIXED
        name = f"{'cn.' if in_china else ''}com.amazonaws.{stack.settings.region}.{service}"
        yield Seen(name, f"private DNS in {subnets}", _reach(endpoints[name]) if name in endpoints else "no endpoint")


@check
def nodes_reach_s3(account: Account, stack: Stack) -> Iterator[Seen]:
    """Through a gateway endpoint in the route table of each private subnet."""
    name = f"com.amazonaws.{stack.settings.region}.s3"
    tables = {
        table
        for one in _endpoints(account, stack, "Gateway")
        if one["ServiceName"] == name
        for table in one["RouteTableIds"]
    }
    existing = stack.settings.network.existing
    wanted = (
        existing.private_route_table_ids
        if existing
        else sorted({_table(account, stack, subnet)["RouteTableId"] for subnet in stack.outputs["private_subnet_ids"]})
    )
    for table in wanted:
        yield Seen(table, name, name if table in tables else "no endpoint")


@check
def endpoints_take_https_from_the_vpc_only(account: Account, stack: Stack) -> Iterator[Seen]:
    """Rules of the interface endpoints' security groups, in and out."""
    ec2 = account.client("ec2")
    cidr = ec2.describe_vpcs(VpcIds=[stack.outputs["vpc_id"]])["Vpcs"][0]["CidrBlock"]
    groups = {group["GroupId"] for one in _endpoints(account, stack, "Interface") for group in one["Groups"]}
    for group in sorted(groups):
        rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
        found = sorted(_rule(one) for one in rules["SecurityGroupRules"])
        yield Seen(group, f"in tcp 443-443 {cidr}", "; ".join(found) or "no rules")


@check
def flow_logs_record_all_traffic(account: Account, stack: Stack) -> Iterator[Seen]:
    """What is accepted and what is rejected, for the whole VPC."""
    vpc = stack.outputs["vpc_id"]
    if stack.settings.network.existing:
        yield Seen(vpc, NOT_OURS, NOT_OURS)
        return
    logs = _flow_logs(account, stack)
    found = " ".join(sorted(f"{log['TrafficType']} {log['FlowLogStatus']}" for log in logs))
    yield Seen(vpc, "ALL ACTIVE", found or "no flow logs")


@check
def flow_logs_are_encrypted_and_kept(account: Account, stack: Stack) -> Iterator[Seen]:
    """Their log group has a key and the stack's retention."""
    if stack.settings.network.existing:
        yield Seen(stack.outputs["vpc_id"], NOT_OURS, NOT_OURS)
        return
    for log in _flow_logs(account, stack):
        name = log["LogDestination"].split(":log-group:")[1]
        groups = account.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        for group in groups:
            key = "encrypted" if group.get("kmsKeyId") else "not encrypted"
            yield Seen(
                name,
                f"encrypted, {stack.settings.network.flow_log_retention_days} days",
                f"{key}, {group.get('retentionInDays', 'unlimited')} days",
            )


@check
def the_default_security_group_lets_nothing_through(account: Account, stack: Stack) -> Iterator[Seen]:
    """What forgets to name a group can talk to nobody."""
    vpc = stack.outputs["vpc_id"]
    if stack.settings.network.existing:
        yield Seen(vpc, NOT_OURS, NOT_OURS)
        return
    ec2 = account.client("ec2")
    groups = ec2.describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"]
    for group in groups:
        rules = len(group["IpPermissions"]) + len(group["IpPermissionsEgress"])
        yield Seen(group["GroupId"], "0 rules", f"{rules} rules")


def _subnets(account: Account, stack: Stack, kind: str) -> list[dict[str, Any]]:
    ids = stack.outputs[f"{kind}_subnet_ids"]
    found: list[dict[str, Any]] = account.client("ec2").describe_subnets(SubnetIds=ids)["Subnets"]
    return found


def _routes(account: Account, stack: Stack, subnet: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _table(account, stack, subnet)["Routes"]
    return found


def _table(account: Account, stack: Stack, subnet: str) -> dict[str, Any]:
    """The route table that the subnet is associated with, or else the VPC's main one."""
    tables: list[dict[str, Any]] = account.client("ec2").describe_route_tables(
        Filters=[{"Name": "vpc-id", "Values": [stack.outputs["vpc_id"]]}]
    )["RouteTables"]

    def has(table: Mapping[str, Any], key: str, value: Any) -> bool:
        return any(one.get(key) == value for one in table["Associations"])

    own = [table for table in tables if has(table, "SubnetId", subnet)]
    return (own or [table for table in tables if has(table, "Main", True)])[0]


def _endpoints(account: Account, stack: Stack, kind: str) -> list[dict[str, Any]]:
    found = account.client("ec2").describe_vpc_endpoints(
        Filters=[{"Name": "vpc-id", "Values": [stack.outputs["vpc_id"]]}]
    )["VpcEndpoints"]
    return [one for one in found if one["VpcEndpointType"] == kind and one["State"] == "available"]


def _reach(endpoint: Mapping[str, Any]) -> str:
    names = "private" if endpoint["PrivateDnsEnabled"] else "public"
    return f"{names} DNS in {' '.join(sorted(endpoint['SubnetIds']))}"


def _flow_logs(account: Account, stack: Stack) -> list[dict[str, Any]]:
    found = account.client("ec2").describe_flow_logs()["FlowLogs"]
    return [log for log in found if log["ResourceId"] == stack.outputs["vpc_id"]]


def _rule(rule: Mapping[str, Any]) -> str:
    way = "out" if rule["IsEgress"] else "in"
    peer = rule.get("CidrIpv4") or rule.get("CidrIpv6") or rule.get("PrefixListId") or "another group"
    return f"{way} {rule['IpProtocol']} {rule.get('FromPort')}-{rule.get('ToPort')} {peer}"
