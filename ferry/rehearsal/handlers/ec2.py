"""EC2, the network part: VPC, subnets, routes, endpoints, flow logs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ferry.errors import RehearsalError
from ferry.rehearsal.handlers import Account, Created, Inputs, answers, creates

VPC = "aws:ec2/vpc:Vpc"
INTERNET_GATEWAY = "aws:ec2/internetGateway:InternetGateway"
TABLE = "aws:ec2/routeTable:RouteTable"
ROUTE = "aws:ec2/route:Route"
SUBNET = "aws:ec2/subnet:Subnet"
VPC_ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"


def tag_specifications(inputs: Inputs, resource_type: str) -> list[dict[str, Any]]:
    """The property `tags` as EC2 wants it; empty without tags, which EC2 refuses to be given as an empty list."""
    tags = inputs.tags()
    return [{"ResourceType": resource_type, "Tags": tags}] if tags else []


def arn(account: Account, resource: str, region: str | None = None) -> str:
    """ARN of an EC2 resource. moto 5.2.5 answers `arn:aws:` for subnets and security groups in every partition."""
    return f"arn:{account.partition}:ec2:{region or account.region}:{account.account_id}:{resource}"


@creates(VPC, fixed=("cidrBlock", "ipv4IpamPoolId", "ipv4NetmaskLength"))
def vpc(account: Account, inputs: Inputs) -> Created:
    """A VPC, with the DNS attributes that are set one by one."""
    region = inputs.region
    ec2 = account.client("ec2", region)
    made = ec2.create_vpc(
        CidrBlock=inputs.take("cidrBlock"),
        InstanceTenancy=inputs.take("instanceTenancy", "default"),
        TagSpecifications=tag_specifications(inputs, "vpc"),
    )["Vpc"]
    id_ = made["VpcId"]
    ec2.modify_vpc_attribute(VpcId=id_, EnableDnsSupport={"Value": inputs.take("enableDnsSupport", True)})
    ec2.modify_vpc_attribute(VpcId=id_, EnableDnsHostnames={"Value": inputs.take("enableDnsHostnames", False)})
    own = [{"Name": "vpc-id", "Values": [id_]}]
    default_group = ec2.describe_security_groups(Filters=[*own, {"Name": "group-name", "Values": ["default"]}])
    main_table = ec2.describe_route_tables(Filters=[*own, {"Name": "association.main", "Values": ["true"]}])
    return Created(
        id_,
        {
            "arn": arn(account, f"vpc/{id_}", region),
            "ownerId": account.account_id,
            "defaultSecurityGroupId": default_group["SecurityGroups"][0]["GroupId"],
            "mainRouteTableId": main_table["RouteTables"][0]["RouteTableId"],
        },
    )


@creates(INTERNET_GATEWAY)
def internet_gateway(account: Account, inputs: Inputs) -> Created:
    """An internet gateway, attached to its VPC."""
    region = inputs.region
    ec2 = account.client("ec2", region)
    id_ = ec2.create_internet_gateway(TagSpecifications=tag_specifications(inputs, "internet-gateway"))[
        "InternetGateway"
    ]["InternetGatewayId"]
    if attached_to := inputs.take("vpcId"):
        ec2.attach_internet_gateway(InternetGatewayId=id_, VpcId=attached_to)
    return Created(id_, {"arn": arn(account, f"internet-gateway/{id_}", region)})


@creates(TABLE, fixed=("vpcId",))
def route_table(account: Account, inputs: Inputs) -> Created:
    """A route table; its routes are resources of their own."""
    region = inputs.region
    id_ = account.client("ec2", region).create_route_table(
        VpcId=inputs.take("vpcId"), TagSpecifications=tag_specifications(inputs, "route-table")
    )["RouteTable"]["RouteTableId"]
    return Created(id_, {"arn": arn(account, f"route-table/{id_}", region)})


@creates(ROUTE, fixed=("routeTableId", "destinationCidrBlock", "destinationIpv6CidrBlock", "destinationPrefixListId"))
def route(account: Account, inputs: Inputs) -> Created:
    """A route to an internet gateway."""
    table, destination = inputs.take("routeTableId"), inputs.take("destinationCidrBlock")
    account.client("ec2", inputs.region).create_route(
        RouteTableId=table, DestinationCidrBlock=destination, GatewayId=inputs.take("gatewayId")
    )
    return Created(f"r-{table}-{destination}", {"state": "active", "origin": "CreateRoute"})


# Upstream, another table is an update which gives the association another id, and Pulumi's updates cannot: it replaces.
@creates("aws:ec2/routeTableAssociation:RouteTableAssociation", fixed=("subnetId", "gatewayId", "routeTableId"))
def route_table_association(account: Account, inputs: Inputs) -> Created:
    """A subnet takes its routes from a table."""
    id_ = account.client("ec2", inputs.region).associate_route_table(
        RouteTableId=inputs.take("routeTableId"), SubnetId=inputs.take("subnetId")
    )["AssociationId"]
    return Created(id_)


@creates(SUBNET, fixed=("vpcId", "cidrBlock", "availabilityZone", "availabilityZoneId"))
def subnet(account: Account, inputs: Inputs) -> Created:
    """A subnet in a named zone."""
    region = inputs.region
    ec2 = account.client("ec2", region)
    made = ec2.create_subnet(
        VpcId=inputs.take("vpcId"),
        CidrBlock=inputs.take("cidrBlock"),
        AvailabilityZone=inputs.take("availabilityZone"),
        TagSpecifications=tag_specifications(inputs, "subnet"),
    )["Subnet"]
    id_ = made["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=id_, MapPublicIpOnLaunch={"Value": inputs.take("mapPublicIpOnLaunch", False)})
    return Created(
        id_,
        {
            "arn": arn(account, f"subnet/{id_}", region),
            "availabilityZoneId": made["AvailabilityZoneId"],
            "ownerId": account.account_id,
        },
    )


@creates(VPC_ENDPOINT, fixed=("vpcId", "serviceName", "vpcEndpointType", "serviceRegion"))
def vpc_endpoint(account: Account, inputs: Inputs) -> Created:
    """A gateway or interface endpoint. For a gateway, the provider looks up the prefix list of its service as well."""
    region = inputs.region
    ec2 = account.client("ec2", region)
    kind, service = inputs.take("vpcEndpointType", "Gateway"), inputs.take("serviceName")
    request: dict[str, Any] = {
        "VpcId": inputs.take("vpcId"),
        "ServiceName": service,
        "VpcEndpointType": kind,
        "TagSpecifications": tag_specifications(inputs, "vpc-endpoint"),
    }
    if kind == "Gateway":
        request["RouteTableIds"] = inputs.take("routeTableIds", [])
    else:
        request["SubnetIds"] = inputs.take("subnetIds", [])
        request["SecurityGroupIds"] = inputs.take("securityGroupIds", [])
        request["PrivateDnsEnabled"] = inputs.take("privateDnsEnabled", False)
    if policy := inputs.take("policy"):
        request["PolicyDocument"] = policy
    made = ec2.create_vpc_endpoint(**request)["VpcEndpoint"]
    id_ = made["VpcEndpointId"]
    outputs: dict[str, Any] = {
        "arn": arn(account, f"vpc-endpoint/{id_}", region),
        "state": made["State"],
        "ownerId": account.account_id,
        "networkInterfaceIds": made["NetworkInterfaceIds"],
        "dnsEntries": [
            {"dnsName": entry["DnsName"], "hostedZoneId": entry["HostedZoneId"]} for entry in made["DnsEntries"]
        ],
    }
    if kind == "Gateway":
        lists = ec2.describe_prefix_lists(Filters=[{"Name": "prefix-list-name", "Values": [service]}])["PrefixLists"]
        outputs["prefixListId"] = next(one["PrefixListId"] for one in lists if one["PrefixListName"] == service)
    return Created(id_, outputs)


@creates(
    "aws:ec2/flowLog:FlowLog",
    fixed=("vpcId", "trafficType", "logDestinationType", "logDestination", "iamRoleArn", "maxAggregationInterval"),
)
def flow_log(account: Account, inputs: Inputs) -> Created:
    """Flow logs of a VPC, to a log group. The embedded network carries no traffic, so nothing is ever delivered."""
    region = inputs.region
    made = account.client("ec2", region).create_flow_logs(
        ResourceType="VPC",
        ResourceIds=[inputs.take("vpcId")],
        TrafficType=inputs.take("trafficType"),
        LogDestinationType=inputs.take("logDestinationType", "cloud-watch-logs"),
        LogDestination=inputs.take("logDestination"),
        DeliverLogsPermissionArn=inputs.take("iamRoleArn"),
        MaxAggregationInterval=inputs.take("maxAggregationInterval", 600),
        TagSpecifications=tag_specifications(inputs, "vpc-flow-log"),
    )
    if made["Unsuccessful"]:
        raise RehearsalError(f"{inputs.type} {inputs.name}: {json.dumps(made['Unsuccessful'])}")
    id_ = made["FlowLogIds"][0]
    return Created(id_, {"arn": arn(account, f"vpc-flow-log/{id_}", region)})


@answers("aws:index/getAvailabilityZones:getAvailabilityZones")
def availability_zones(account: Account, inputs: Inputs) -> Mapping[str, Any]:
    """The zones of a region, sorted by name."""
    region = inputs.region
    filters = [{"Name": one.take("name"), "Values": one.take("values")} for one in inputs.each("filters")]
    if state := inputs.take("state"):
        filters.append({"Name": "state", "Values": [state]})
    found = account.client("ec2", region).describe_availability_zones(Filters=filters)["AvailabilityZones"]
    zones = sorted(found, key=lambda one: str(one["ZoneName"]))
    return {
        "id": region or account.region,
        "region": region or account.region,
        "names": [one["ZoneName"] for one in zones],
        "zoneIds": [one["ZoneId"] for one in zones],
        "groupNames": sorted({one["GroupName"] for one in zones if "GroupName" in one}),
    }


@answers("aws:ec2/getVpc:getVpc")
def get_vpc(account: Account, inputs: Inputs) -> Mapping[str, Any]:
    """A VPC by its id."""
    region = inputs.region
    found = account.client("ec2", region).describe_vpcs(VpcIds=[inputs.take("id")])["Vpcs"][0]
    return {
        "id": found["VpcId"],
        "arn": arn(account, f"vpc/{found['VpcId']}", region),
        "region": region or account.region,
        "cidrBlock": found["CidrBlock"],
        "default": found["IsDefault"],
        "state": found["State"],
    }
