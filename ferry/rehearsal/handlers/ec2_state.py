"""EC2, what is there: changing, reading and deleting what `ec2` creates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.rehearsal.handlers import Absent, Account, Inputs, State, deleted_by, deletes, first, reads, updates
from ferry.rehearsal.handlers.ec2 import INTERNET_GATEWAY, ROUTE, SUBNET, TABLE, VPC, VPC_ENDPOINT
from ferry.rehearsal.handlers.tagging import as_map

ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"
FLOW_LOG = "aws:ec2/flowLog:FlowLog"

deleted_by(VPC, "ec2", "delete_vpc", VpcId="id")
deleted_by(TABLE, "ec2", "delete_route_table", RouteTableId="id")
deleted_by(SUBNET, "ec2", "delete_subnet", SubnetId="id")
deleted_by(ASSOCIATION, "ec2", "disassociate_route_table", AssociationId="id")
deleted_by(ROUTE, "ec2", "delete_route", RouteTableId="routeTableId", DestinationCidrBlock="destinationCidrBlock")


@updates(VPC, "enableDnsSupport", "enableDnsHostnames")
def vpc_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """One attribute a call."""
    ec2 = account.client("ec2", old.region)
    ec2.modify_vpc_attribute(VpcId=old.id, EnableDnsSupport={"Value": new.take("enableDnsSupport", True)})
    ec2.modify_vpc_attribute(VpcId=old.id, EnableDnsHostnames={"Value": new.take("enableDnsHostnames", False)})
    return {}


@reads(VPC)
def read_vpc(account: Account, state: State) -> Mapping[str, Any]:
    """The VPC and its two DNS attributes."""
    ec2 = account.client("ec2", state.region)
    found = ec2.describe_vpcs(VpcIds=[state.id])["Vpcs"][0]

    def attribute(name: str, answered: str) -> Any:
        return ec2.describe_vpc_attribute(VpcId=state.id, Attribute=name)[answered]["Value"]

    return {
        "cidrBlock": found["CidrBlock"],
        "instanceTenancy": found["InstanceTenancy"],
        "enableDnsSupport": attribute("enableDnsSupport", "EnableDnsSupport"),
        "enableDnsHostnames": attribute("enableDnsHostnames", "EnableDnsHostnames"),
        "tags": as_map(found.get("Tags")),
    }


@updates(INTERNET_GATEWAY, "vpcId")
def gateway_moved(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """Off the one VPC, onto the other."""
    ec2 = account.client("ec2", old.region)
    if had := old.inputs.get("vpcId"):
        ec2.detach_internet_gateway(InternetGatewayId=old.id, VpcId=had)
    if attached_to := new.take("vpcId"):
        ec2.attach_internet_gateway(InternetGatewayId=old.id, VpcId=attached_to)
    return {}


@reads(INTERNET_GATEWAY)
def read_gateway(account: Account, state: State) -> Mapping[str, Any]:
    """Where it is attached."""
    ec2 = account.client("ec2", state.region)
    found = ec2.describe_internet_gateways(InternetGatewayIds=[state.id])["InternetGateways"][0]
    attached = [one["VpcId"] for one in found["Attachments"]]
    return {"vpcId": attached[0] if attached else None, "tags": as_map(found.get("Tags"))}


@deletes(INTERNET_GATEWAY)
def delete_gateway(account: Account, state: State) -> None:
    """Detached first: AWS deletes none that a VPC uses."""
    ec2 = account.client("ec2", state.region)
    if attached_to := state.get("vpcId"):
        ec2.detach_internet_gateway(InternetGatewayId=state.id, VpcId=attached_to)
    ec2.delete_internet_gateway(InternetGatewayId=state.id)


@reads(TABLE)
def read_table(account: Account, state: State) -> Mapping[str, Any]:
    """The table itself; its routes are resources of their own."""
    ec2 = account.client("ec2", state.region)
    found = ec2.describe_route_tables(RouteTableIds=[state.id])["RouteTables"][0]
    return {"vpcId": found["VpcId"], "tags": as_map(found.get("Tags"))}


@updates(ROUTE, "gatewayId")
def route_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """`ReplaceRoute`."""
    account.client("ec2", old.region).replace_route(
        RouteTableId=new.take("routeTableId"),
        DestinationCidrBlock=new.take("destinationCidrBlock"),
        GatewayId=new.take("gatewayId"),
    )
    return {}


@reads(ROUTE)
def read_route(account: Account, state: State) -> Mapping[str, Any]:
    """The table's route to this destination."""
    table = account.client("ec2", state.region).describe_route_tables(RouteTableIds=[state.get("routeTableId")])
    for found in table["RouteTables"][0]["Routes"]:
        if found.get("DestinationCidrBlock") == state.get("destinationCidrBlock"):
            return {"gatewayId": found.get("GatewayId")}
    raise Absent


@reads(ASSOCIATION)
def read_association(account: Account, state: State) -> Mapping[str, Any]:
    """The association of this id, among those of its table."""
    ec2 = account.client("ec2", state.region)
    for table in ec2.describe_route_tables(RouteTableIds=[state.get("routeTableId")])["RouteTables"]:
        for found in table["Associations"]:
            if found["RouteTableAssociationId"] == state.id:
                return {"routeTableId": found["RouteTableId"], "subnetId": found.get("SubnetId")}
    raise Absent


@updates(SUBNET, "mapPublicIpOnLaunch")
def subnet_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """`ModifySubnetAttribute`."""
    account.client("ec2", old.region).modify_subnet_attribute(
        SubnetId=old.id, MapPublicIpOnLaunch={"Value": new.take("mapPublicIpOnLaunch", False)}
    )
    return {}


@reads(SUBNET)
def read_subnet(account: Account, state: State) -> Mapping[str, Any]:
    """`DescribeSubnets` of one id."""
    found = account.client("ec2", state.region).describe_subnets(SubnetIds=[state.id])["Subnets"][0]
    return {
        "vpcId": found["VpcId"],
        "cidrBlock": found["CidrBlock"],
        "availabilityZone": found["AvailabilityZone"],
        "mapPublicIpOnLaunch": found["MapPublicIpOnLaunch"],
        "tags": as_map(found.get("Tags")),
    }


@updates(VPC_ENDPOINT, "policy", "routeTableIds", "subnetIds", "securityGroupIds")
def endpoint_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """`ModifyVpcEndpoint`, which takes what to add and what to remove."""
    sent: dict[str, Any] = {}
    for given, name in (
        ("routeTableIds", "RouteTableIds"),
        ("subnetIds", "SubnetIds"),
        ("securityGroupIds", "SecurityGroupIds"),
    ):
        had, wanted = old.inputs.get(given) or [], new.take(given, [])
        if added := [one for one in wanted if one not in had]:
            sent[f"Add{name}"] = added
        if removed := [one for one in had if one not in wanted]:
            sent[f"Remove{name}"] = removed
    if policy := new.take("policy"):
        sent["PolicyDocument"] = policy
    account.client("ec2", old.region).modify_vpc_endpoint(VpcEndpointId=old.id, **sent)
    return {}


@reads(VPC_ENDPOINT)
def read_endpoint(account: Account, state: State) -> Mapping[str, Any]:
    """`DescribeVpcEndpoints` of one id."""
    found = account.client("ec2", state.region).describe_vpc_endpoints(VpcEndpointIds=[state.id])["VpcEndpoints"][0]
    return {
        "vpcId": found["VpcId"],
        "serviceName": found["ServiceName"],
        "vpcEndpointType": found["VpcEndpointType"],
        "policy": found.get("PolicyDocument"),
        "routeTableIds": found.get("RouteTableIds", []),
        "subnetIds": found.get("SubnetIds", []),
        "securityGroupIds": [group["GroupId"] for group in found.get("Groups", [])],
        "tags": as_map(found.get("Tags")),
    }


@deletes(VPC_ENDPOINT)
def delete_endpoint(account: Account, state: State) -> None:
    """`DeleteVpcEndpoints`."""
    account.client("ec2", state.region).delete_vpc_endpoints(VpcEndpointIds=[state.id])


@reads(FLOW_LOG)
def read_flow_log(account: Account, state: State) -> Mapping[str, Any]:
    """`DescribeFlowLogs` of one id."""
    found = first(account.client("ec2", state.region).describe_flow_logs(FlowLogIds=[state.id])["FlowLogs"])
    return {
        "vpcId": found["ResourceId"],
        "trafficType": found["TrafficType"],
        "logDestinationType": found["LogDestinationType"],
        "tags": as_map(found.get("Tags")),
    }


@deletes(FLOW_LOG)
def delete_flow_log(account: Account, state: State) -> None:
    """`DeleteFlowLogs`."""
    account.client("ec2", state.region).delete_flow_logs(FlowLogIds=[state.id])
