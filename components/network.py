"""Network: a VPC whose GPU nodes reach S3 and the AWS APIs they need, and nothing else."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pulumi
import pulumi_aws as aws

from components import endpoint_policies, policies
from components.identity import Identity
from stacks import rules
from stacks.settings import NetworkSettings

# What a node without NAT calls, besides S3.
ENDPOINT_SERVICES = (
    "autoscaling",
    "ec2",
    "ecr.api",
    "ecr.dkr",
    "kms",
    "logs",
    "monitoring",
    "ssm",
    "ssmmessages",
    "sts",
)

# Interface endpoints whose name starts with `cn.com.amazonaws` in cn-north-1 and cn-northwest-1; the others start with
# `com.amazonaws` there as well. As `aws ec2 describe-vpc-endpoint-services` lists them, kept by the AWS CDK in
# aws-ec2/lib/vpc-endpoint.ts (getDefaultEndpointPrefix).
CHINA_PREFIXED = frozenset({"autoscaling", "ec2", "ecr.api", "ecr.dkr", "monitoring", "sts"})


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """Arguments of `Network`."""

    identity: Identity
    network: NetworkSettings
    """The VPC to make, or the ids of an existing one."""
    patch_buckets: Sequence[str]
    """AWS's own buckets that a scan for missing patches reads."""
    tags: Mapping[str, str]


class Network(pulumi.ComponentResource):
    """A VPC over two or more zones, without NAT: public subnets for the load balancer, private ones for the nodes.

    An existing VPC gets the endpoints and their security group, nothing else.
    """

    vpc_id: pulumi.Output[str]
    public_subnet_ids: pulumi.Output[Sequence[str]]
    """One for each zone; only these have a route to the internet."""
    private_subnet_ids: pulumi.Output[Sequence[str]]
    """One for each zone."""
    endpoint_security_group_id: pulumi.Output[str]
    """Of the interface endpoints: it takes 443 from the VPC."""
    s3_prefix_list_id: pulumi.Output[str]
    """The addresses of S3 behind the gateway endpoint, for egress rules."""

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ferry:components:Network", name, None, opts)
        self._prefix, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)

        existing = args.network.existing
        if existing is None:
            private_route_tables = self._make_vpc()
        else:
            self.vpc_id = pulumi.Output.from_input(existing.vpc_id)
            self.public_subnet_ids = pulumi.Output.from_input(existing.public_subnet_ids)
            self.private_subnet_ids = pulumi.Output.from_input(existing.private_subnet_ids)
            self._cidr = aws.ec2.get_vpc_output(
                id=existing.vpc_id, region=args.identity.region, opts=pulumi.InvokeOutputOptions(parent=self)
            ).cidr_block
            private_route_tables = [pulumi.Output.from_input(id_) for id_ in existing.private_route_table_ids]
        self._make_endpoints(private_route_tables)

        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "public_subnet_ids": self.public_subnet_ids,
                "private_subnet_ids": self.private_subnet_ids,
                "endpoint_security_group_id": self.endpoint_security_group_id,
                "s3_prefix_list_id": self.s3_prefix_list_id,
            }
        )

    def _make_vpc(self) -> list[pulumi.Output[str]]:
        name, network = self._prefix, self._args.network
        public_cidrs, private_cidrs = subnet_cidrs(network.cidr, network.zone_count)
        vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=network.cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,  # private DNS names of the interface endpoints need both
            tags=self._tags("vpc"),
            opts=self._child,
        )
        self.vpc_id, self._cidr = vpc.id, vpc.cidr_block
        # Without rules, so that what forgets to name a security group can talk to nobody.
        aws.ec2.DefaultSecurityGroup(
            f"{name}-default", vpc_id=vpc.id, tags=self._tags("default-unused"), opts=self._child
        )
        gateway = aws.ec2.InternetGateway(
            f"{name}-internet", vpc_id=vpc.id, tags=self._tags("internet"), opts=self._child
        )
        public = aws.ec2.RouteTable(f"{name}-public", vpc_id=vpc.id, tags=self._tags("public"), opts=self._child)
        private = aws.ec2.RouteTable(f"{name}-private", vpc_id=vpc.id, tags=self._tags("private"), opts=self._child)
        aws.ec2.Route(
            f"{name}-public-internet",
            route_table_id=public.id,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=gateway.id,
            opts=self._child,
        )
        self.public_subnet_ids = self._make_subnets("public", public_cidrs, vpc, public)
        self.private_subnet_ids = self._make_subnets("private", private_cidrs, vpc, private)
        self._make_flow_logs(vpc)
        return [private.id]

    def _make_subnets(
        self, kind: str, cidrs: Sequence[str], vpc: aws.ec2.Vpc, routes: aws.ec2.RouteTable
    ) -> pulumi.Output[Sequence[str]]:
        zones = aws.get_availability_zones_output(
            state="available",
            region=self._args.identity.region,
            # Local and Wavelength Zones are opt-in, and lack what the nodes need.
            filters=[{"name": "opt-in-status", "values": ["opt-in-not-required"]}],
            opts=pulumi.InvokeOutputOptions(parent=self),
        ).names
        ids = []
        for index, cidr in enumerate(cidrs):
            subnet = aws.ec2.Subnet(
                f"{self._prefix}-{kind}-{index}",
                vpc_id=vpc.id,
                cidr_block=cidr,
                availability_zone=zones.apply(partial(zone, index=index)),
                map_public_ip_on_launch=False,  # the load balancer brings its own addresses
                tags=self._tags(f"{kind}-{index}"),
                opts=self._child,
            )
            aws.ec2.RouteTableAssociation(
                f"{self._prefix}-{kind}-{index}", subnet_id=subnet.id, route_table_id=routes.id, opts=self._child
            )
            ids.append(subnet.id)
        return pulumi.Output.all(*ids)

    def _make_flow_logs(self, vpc: aws.ec2.Vpc) -> None:
        identity, log_name = self._args.identity, f"{self._prefix}-flow-logs"
        key = aws.kms.Key(
            log_name,
            description="VPC flow logs",
            enable_key_rotation=True,
            policy=policies.log_group_key(identity, log_name),
            tags=self._tags("flow-logs"),
            opts=self._child,
        )
        group = aws.cloudwatch.LogGroup(
            log_name,
            retention_in_days=self._args.network.flow_log_retention_days,
            kms_key_id=key.arn,
            tags=self._tags("flow-logs"),
            opts=self._child,
        )
        role = aws.iam.Role(
            log_name,
            assume_role_policy=policies.flow_log_trust(identity),
            tags=self._tags("flow-logs"),
            opts=self._child,
        )
        delivery = aws.iam.RolePolicy(
            log_name, role=role.name, policy=group.arn.apply(policies.flow_log_delivery), opts=self._child
        )
        aws.ec2.FlowLog(
            log_name,
            vpc_id=vpc.id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            max_aggregation_interval=60,
            tags=self._tags("flow-logs"),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[delivery]),
        )

    def _make_endpoints(self, private_route_tables: Sequence[pulumi.Input[str]]) -> None:
        name, region = self._prefix, self._args.identity.region
        s3 = aws.ec2.VpcEndpoint(
            f"{name}-s3",
            vpc_id=self.vpc_id,
            service_name=f"com.amazonaws.{region}.s3",
            vpc_endpoint_type="Gateway",
            policy=endpoint_policies.s3_endpoint(self._args.identity, self._args.patch_buckets),
            route_table_ids=list(private_route_tables),
            tags=self._tags("s3"),
            opts=self._child,
        )
        self.s3_prefix_list_id = s3.prefix_list_id
        group = aws.ec2.SecurityGroup(
            f"{name}-endpoints",
            vpc_id=self.vpc_id,
            description="Interface endpoints: HTTPS from the VPC",
            tags=self._tags("endpoints"),
            opts=self._child,
        )
        self.endpoint_security_group_id = group.id
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-endpoints-https",
            security_group_id=group.id,
            description="HTTPS from the VPC",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            cidr_ipv4=self._cidr,
            tags=self._tags("endpoints-https"),
            opts=self._child,
        )
        for service in ENDPOINT_SERVICES:
            aws.ec2.VpcEndpoint(
                f"{name}-{service.replace('.', '-')}",
                vpc_id=self.vpc_id,
                service_name=endpoint_service(service, region),
                vpc_endpoint_type="Interface",
                policy=endpoint_policies.interface_endpoint(self._args.identity),
                private_dns_enabled=True,
                subnet_ids=self.private_subnet_ids,
                security_group_ids=[group.id],
                tags=self._tags(service),
                opts=self._child,
            )

    def _tags(self, what: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._prefix}-{what}"}


def endpoint_service(service: str, region: str) -> str:
    """Name of an interface endpoint's service, as the region's partition names it."""
    prefix = "cn.com.amazonaws" if region.startswith("cn-") and service in CHINA_PREFIXED else "com.amazonaws"
    return f"{prefix}.{region}.{service}"


def zone(names: Sequence[str], index: int) -> str:
    """The zone of a subnet. Raises ValueError when the region has too few."""
    if index >= len(names):
        raise ValueError(
            f"network.zone_count is more than the {len(names)} zones of the region ({', '.join(names)}): lower it"
        )
    return names[index]


def subnet_cidrs(cidr: str, zone_count: int) -> tuple[list[str], list[str]]:
    """Public and private ranges for each zone: a 32nd of the VPC and an eighth of it.

    The private ranges fill the lower half, so that the upper one is left for what comes later. Raises ValueError when
    the VPC is too large for AWS, or too small for the subnets of a load balancer.
    """
    if refused := rules.vpc_size(cidr=cidr):
        raise ValueError(f"network.cidr: {refused}")
    vpc = ipaddress.IPv4Network(cidr)
    private = list(vpc.subnets(prefixlen_diff=3))[:zone_count]
    public = list(vpc.subnets(prefixlen_diff=5))[16 : 16 + zone_count]
    return [str(block) for block in public], [str(block) for block in private]
