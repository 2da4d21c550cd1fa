"""Nodes: no credentials within a container's reach, no way in but the service's, no address of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ferry.compliance.resource import Context, Resource, Seen, is_true, of_type
from ferry.compliance.rule import rule, stack_rule
from ferry.compliance.secrets import decoded, kinds_in

TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
INSTANCE = "aws:ec2/instance:Instance"


@rule(
    "imdsv2-one-hop",
    zh="节点仅允许 IMDSv2，跳数限制为 1",
    clauses=["8.1.4.4"],
    types=[TEMPLATE, INSTANCE],
    remedy="set metadataOptions.httpTokens to required and httpPutResponseHopLimit to 1",
)
def imdsv2_one_hop(node: Resource, context: Context) -> Iterator[Seen]:
    """Nodes answer for their credentials by IMDSv2 only, and to nobody behind a container's bridge."""
    yield node.seen("metadataOptions.httpTokens", node.get("metadataOptions.httpTokens") == "required")
    hops = node.get("metadataOptions.httpPutResponseHopLimit")
    yield node.seen("metadataOptions.httpPutResponseHopLimit", hops is not None and int(hops) == 1)


@rule(
    "no-public-address",
    zh="节点与子网不分配公网地址",
    clauses=["8.1.2.1 c/d"],
    types=[TEMPLATE, INSTANCE, "aws:ec2/subnet:Subnet"],
    remedy="set associatePublicIpAddress, or mapPublicIpOnLaunch, to false",
)
def no_public_address(holder: Resource, context: Context) -> Iterator[Seen]:
    """Nodes get no public address, and no subnet hands one out."""
    if holder.type == "aws:ec2/subnet:Subnet":
        yield holder.seen("mapPublicIpOnLaunch", not holder.get("mapPublicIpOnLaunch"))
    elif holder.type == INSTANCE:
        yield holder.seen("associatePublicIpAddress", not holder.get("associatePublicIpAddress"))
    else:
        for index, card in enumerate(holder.get("networkInterfaces", [])):
            given = card.get("associatePublicIpAddress")
            path = f"networkInterfaces[{index}].associatePublicIpAddress"
            yield holder.seen(path, not is_true(given), str(given))


@rule(
    "no-elastic-address",
    zh="不使用弹性公网 IP 与 NAT 网关",
    clauses=["8.1.2.1 c/d", "8.1.3.1"],
    types=["aws:ec2/eip:Eip", "aws:ec2/eipAssociation:EipAssociation", "aws:ec2/natGateway:NatGateway"],
    remedy="take it out: nodes reach AWS by VPC endpoints and have no way to the internet",
    refuses=True,
)
def no_elastic_address(address: Resource, context: Context) -> Iterator[Seen]:
    """There is no elastic address and no NAT gateway: nodes have no way to the internet."""
    yield address.seen("type", False, address.type)


@stack_rule(
    "nodes-in-private-subnets",
    zh="推理节点只位于没有互联网路由的子网",
    clauses=["8.1.2.1 c/d", "8.1.3.1"],
    remedy="give the group subnets whose route table has no route to an internet gateway",
)
def nodes_in_private_subnets(resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    """Auto-scaling groups stand in subnets without a route to the internet."""
    ways_out = {
        one.get("routeTableId")
        for one in of_type(resources, "aws:ec2/route:Route")
        if one.get("gatewayId") or one.get("natGatewayId") or one.get("egressOnlyGatewayId")
    }
    public = {
        one.get("subnetId")
        for one in of_type(resources, "aws:ec2/routeTableAssociation:RouteTableAssociation")
        if one.get("routeTableId") in ways_out
    }
    if not any(of_type(resources, "aws:ec2/subnet:Subnet")):
        return  # the network is not the stack's own: nothing here shows its routes
    for group in of_type(resources, "aws:autoscaling/group:Group"):
        subnets = list(group.get("vpcZoneIdentifiers", []))
        yield group.seen("vpcZoneIdentifiers", bool(subnets) and not public & set(subnets))


@rule(
    "no-ssh-key",
    zh="节点不登记 SSH 密钥",
    clauses=["8.1.4.1 c", "8.1.4.4"],
    types=[TEMPLATE, INSTANCE],
    remedy="leave keyName out: Session Manager opens a shell with short-lived credentials",
)
def no_ssh_key(node: Resource, context: Context) -> Iterator[Seen]:
    """Nodes are launched without an SSH key."""
    yield node.seen("keyName", not node.get("keyName"))


@rule(
    "no-secret-in-user-data",
    zh="启动数据中不含密钥或口令",
    clauses=["8.1.4.1 c", "8.1.4.8 b"],
    types=[TEMPLATE, INSTANCE],
    remedy="take it out: a node gets what it needs with its role",
)
def no_secret_in_user_data(node: Resource, context: Context) -> Iterator[Seen]:
    """First-boot data holds no access key, private key or token."""
    given = node.get("userData") or node.get("userDataBase64")
    if given is not None:
        found = kinds_in(decoded(given))
        yield node.seen("userData", not found, ", ".join(found) or "no secret found")
