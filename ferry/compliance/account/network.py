"""The VPC: subnets, routes, security groups, flow logs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from ferry.compliance.account.calls import Account
from ferry.compliance.resource import Resource
from ferry.compliance.rules.network import EGRESS, INGRESS


def read(account: Account) -> Iterator[Resource]:
    """What of the network is the stack's own; elastic addresses and NAT gateways of the whole region."""
    vpcs = [*account.pages("ec2", "describe_vpcs", "Vpcs", Filters=account.tagged)]
    for vpc in vpcs:
        yield Resource("aws:ec2/vpc:Vpc", vpc["VpcId"], {"tags": account.tags(vpc["Tags"])}, id=vpc["VpcId"])
    yield from _within(account)
    yield from _routes(account)
    yield from _groups(account, {vpc["VpcId"] for vpc in vpcs})
    for address in account.of("ec2").describe_addresses()["Addresses"]:
        yield Resource("aws:ec2/eip:Eip", address["AllocationId"], {"publicIp": address["PublicIp"]})
    for gateway in account.pages("ec2", "describe_nat_gateways", "NatGateways", Filter=account.tagged):
        if gateway["State"] not in ("deleted", "deleting"):
            yield Resource("aws:ec2/natGateway:NatGateway", gateway["NatGatewayId"], {"subnetId": gateway["SubnetId"]})


def _within(account: Account) -> Iterator[Resource]:
    for log in account.pages("ec2", "describe_flow_logs", "FlowLogs", Filters=account.tagged):
        if log["FlowLogStatus"] == "ACTIVE":
            properties = {"vpcId": log["ResourceId"], "trafficType": log["TrafficType"]}
            yield Resource("aws:ec2/flowLog:FlowLog", log["FlowLogId"], properties)
    for subnet in account.pages("ec2", "describe_subnets", "Subnets", Filters=account.tagged):
        properties = {
            "vpcId": subnet["VpcId"],
            "availabilityZone": subnet["AvailabilityZone"],
            "mapPublicIpOnLaunch": subnet["MapPublicIpOnLaunch"],
            "tags": account.tags(subnet["Tags"]),
        }
        yield Resource("aws:ec2/subnet:Subnet", subnet["SubnetId"], properties, id=subnet["SubnetId"])
    for endpoint in account.pages("ec2", "describe_vpc_endpoints", "VpcEndpoints", Filters=account.tagged):
        properties = {"policy": endpoint.get("PolicyDocument"), "tags": account.tags(endpoint["Tags"])}
        yield Resource("aws:ec2/vpcEndpoint:VpcEndpoint", endpoint["VpcEndpointId"], properties)


def _routes(account: Account) -> Iterator[Resource]:
    for table in account.pages("ec2", "describe_route_tables", "RouteTables", Filters=account.tagged):
        id_ = table["RouteTableId"]
        yield Resource("aws:ec2/routeTable:RouteTable", id_, {"tags": account.tags(table["Tags"])}, id=id_)
        for route in table["Routes"]:
            gateway = route.get("GatewayId", "")
            properties = {
                "routeTableId": id_,
                "destinationCidrBlock": route.get("DestinationCidrBlock"),
                "gatewayId": gateway if gateway.startswith("igw-") else None,  # not `local`, nor an endpoint
                "natGatewayId": route.get("NatGatewayId"),
                "egressOnlyGatewayId": route.get("EgressOnlyInternetGatewayId"),
            }
            yield Resource("aws:ec2/route:Route", f"{id_} {route.get('DestinationCidrBlock')}", properties)
        for one in table["Associations"]:
            if one.get("SubnetId"):
                yield Resource(
                    "aws:ec2/routeTableAssociation:RouteTableAssociation",
                    one["RouteTableAssociationId"],
                    {"routeTableId": id_, "subnetId": one["SubnetId"]},
                )


def _groups(account: Account, vpcs: Collection[str]) -> Iterator[Resource]:
    named: list[str] = []
    for group in account.pages("ec2", "describe_security_groups", "SecurityGroups"):
        if account.owns(group.get("Tags")):
            named.append(group["GroupId"])
            properties = {"vpcId": group["VpcId"], "tags": account.tags(group["Tags"])}
            if group["GroupName"] != "default":
                yield Resource("aws:ec2/securityGroup:SecurityGroup", group["GroupId"], properties, id=group["GroupId"])
        if group["GroupName"] == "default" and group.get("VpcId") in vpcs:
            rules = {"ingress": group["IpPermissions"], "egress": group["IpPermissionsEgress"]}
            yield Resource("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", group["GroupId"], rules)
    if named:
        of_these = [{"Name": "group-id", "Values": named}]
        for rule in account.pages("ec2", "describe_security_group_rules", "SecurityGroupRules", Filters=of_these):
            yield _rule(account, rule)


def _rule(account: Account, rule: dict[str, Any]) -> Resource:
    every = rule["IpProtocol"] == "-1"
    properties = {
        "securityGroupId": rule["GroupId"],
        "ipProtocol": rule["IpProtocol"],
        "fromPort": 0 if every else rule["FromPort"],
        "toPort": 65535 if every else rule["ToPort"],
        "cidrIpv4": rule.get("CidrIpv4"),
        "cidrIpv6": rule.get("CidrIpv6"),
        "prefixListId": rule.get("PrefixListId"),
        "referencedSecurityGroupId": (rule.get("ReferencedGroupInfo") or {}).get("GroupId"),
    }
    # Exceptions go by the name that the program gave, which stands in the rule's tag.
    name = account.tags(rule.get("Tags")).get("Name", rule["SecurityGroupRuleId"])
    given = {key: value for key, value in properties.items() if value is not None}
    return Resource(EGRESS if rule["IsEgress"] else INGRESS, name, given)
