"""GatewayTier: the gateway that also runs in the cloud, so that the room at home is no single point of failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.gateway_node import GatewayNode, GatewayNodeArgs
from components.identity import Identity
from components.inference_gateway import SSL_POLICY, admit_addresses, issued_certificate
from components.inner_door import InnerDoor, InnerDoorArgs
from components.node import propagated_tags
from stacks.patch_sources import patch_tags
from stacks.settings import GatewayRecord, GatewaySettings, GatewayTierSettings, gateway_group_name
from templates.gateway_node import PORT

CPU_PERCENT = 50
"""Average that the group holds. Envoy waits for engines most of the time: what it runs out of first is CPU for TLS
towards them, and one node of two that fails doubles the other's."""
BOOT_SECONDS = 300
"""Packages, bundle, image, Envoy; then its health counts."""
RECORD_TTL_SECONDS = 60
"""How long a client may keep an answer, and so how long a DNS step takes; that of an alias, too."""


@dataclass(frozen=True, kw_only=True)
class GatewayTierArgs:
    """Arguments of `GatewayTier`."""

    identity: Identity
    environment: str
    tier: GatewayTierSettings
    gateway: GatewaySettings
    """The load balancer of the model versions, towards which the tier sends."""
    vpc_id: pulumi.Input[str]
    public_subnet_ids: pulumi.Input[Sequence[str]]
    private_subnet_ids: pulumi.Input[Sequence[str]]
    endpoint_security_group_id: pulumi.Input[str]
    s3_prefix_list_id: pulumi.Input[str]
    load_balancer_arn: pulumi.Input[str]
    load_balancer_security_group_id: pulumi.Input[str]
    listener_arn: pulumi.Input[str]
    model_bucket_name: pulumi.Input[str]
    model_bucket_arn: pulumi.Input[str]
    model_key_arn: pulumi.Input[str]
    archive_bucket_arn: pulumi.Input[str]
    archive_key_arn: pulumi.Input[str]
    bundle_key: pulumi.Input[str | None]
    verification_key: str | None
    deletion_protection: bool
    patch_buckets: Sequence[str]
    """AWS's own buckets that a scan for missing patches reads."""
    tags: Mapping[str, str]


class GatewayTier(pulumi.ComponentResource):
    """An auto-scaling group of Envoys over the private subnets, behind a network load balancer that speaks TLS.

    TLS ends at the load balancer (listener TLS, not TCP): ACM then keeps and renews the private key, and no node,
    bundle or bucket ever holds it; passed through as TCP, Envoy would need the key on disk. Behind it is HTTP inside
    the VPC, as between the other load balancer and the engines. A network load balancer rather than a second
    application load balancer, since Envoy decides all that one would decide. Its TLS connections close when idle for
    350 s, which cannot be changed; Envoy's TCP keepalive (in the bundle) keeps a long answer's connection from being
    idle.
    A node is healthy when Envoy listens. Whether an engine answers is not asked: else an outage of the engines would
    make the group replace its gateways.
    """

    group_name: pulumi.Output[str]
    load_balancer_arn: pulumi.Output[str]
    dns_name: pulumi.Output[str]
    door_load_balancer_arn: pulumi.Output[str]
    """Of the way from the gateways to the load balancer of the model versions."""

    def __init__(self, name: str, args: GatewayTierArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ferry:components:GatewayTier", name, None, opts)
        self._name, self._args = name, args
        self._group_name = gateway_group_name(args.environment)
        self._child = pulumi.ResourceOptions(parent=self)

        front = self._make_front()
        door = self._make_door()
        node = self._make_node(front, door)
        load_balancer, target_group = self._make_load_balancer(front)
        group = self._make_group(node, target_group)
        if args.tier.record:
            self._make_records(args.tier.record, load_balancer)

        self.group_name = group.name
        self.load_balancer_arn, self.dns_name = load_balancer.arn, load_balancer.dns_name
        self.door_load_balancer_arn = door.load_balancer_arn
        self.register_outputs(
            {
                "group_name": self.group_name,
                "load_balancer_arn": self.load_balancer_arn,
                "dns_name": self.dns_name,
                "door_load_balancer_arn": self.door_load_balancer_arn,
            }
        )

    def _make_front(self) -> aws.ec2.SecurityGroup:
        name, args = self._name, self._args
        group = aws.ec2.SecurityGroup(
            f"{name}-front",
            vpc_id=args.vpc_id,
            description="Gateways' load balancer: TLS from the addresses that the stack names",
            tags=self._tags("front"),
            opts=self._child,
        )
        admit_addresses(name, group, args.tier.allowed_cidrs, protocol="TLS", tags=args.tags, parent=self)
        return group

    def _make_door(self) -> InnerDoor:
        args = self._args
        return InnerDoor(
            f"{self._name}-door",
            InnerDoorArgs(
                domain_name=args.gateway.domain_name,
                vpc_id=args.vpc_id,
                subnet_ids=args.private_subnet_ids,
                load_balancer_arn=args.load_balancer_arn,
                load_balancer_security_group_id=args.load_balancer_security_group_id,
                listener_arn=args.listener_arn,
                idle_timeout_seconds=args.gateway.idle_timeout_seconds,
                deletion_protection=args.deletion_protection,
                tags=args.tags,
            ),
            self._child,
        )

    def _make_node(self, front: aws.ec2.SecurityGroup, door: InnerDoor) -> GatewayNode:
        name, args = self._name, self._args
        node = GatewayNode(
            f"{name}-node",
            GatewayNodeArgs(
                identity=args.identity,
                tier=args.tier,
                group_name=self._group_name,
                vpc_id=args.vpc_id,
                front_security_group_id=front.id,
                back_security_group_id=door.security_group_id,
                endpoint_security_group_id=args.endpoint_security_group_id,
                s3_prefix_list_id=args.s3_prefix_list_id,
                model_bucket_name=args.model_bucket_name,
                model_bucket_arn=args.model_bucket_arn,
                model_key_arn=args.model_key_arn,
                archive_bucket_arn=args.archive_bucket_arn,
                archive_key_arn=args.archive_key_arn,
                bundle_key=args.bundle_key,
                verification_key=args.verification_key,
                patch_buckets=args.patch_buckets,
                tags=args.tags,
            ),
            self._child,
        )
        door.admit("gateways", node.security_group_id)
        aws.vpc.SecurityGroupEgressRule(
            f"{name}-front-out",
            security_group_id=front.id,
            description="Requests and health checks to the gateways",
            ip_protocol="tcp",
            from_port=PORT,
            to_port=PORT,
            referenced_security_group_id=node.security_group_id,
            tags=self._tags("front-out"),
            opts=self._child,
        )
        return node

    def _make_load_balancer(self, front: aws.ec2.SecurityGroup) -> tuple[aws.lb.LoadBalancer, aws.lb.TargetGroup]:
        name, args = self._name, self._args
        load_balancer = aws.lb.LoadBalancer(
            f"{name}-lb",
            load_balancer_type="network",
            internal=False,
            subnets=args.public_subnet_ids,
            security_groups=[front.id],
            # A gateway that is alone in its zone would else have half of the clients, and a zone without one none.
            enable_cross_zone_load_balancing=True,
            enable_deletion_protection=args.deletion_protection,
            tags=self._tags("lb"),
            opts=self._child,
        )
        target_group = aws.lb.TargetGroup(
            f"{name}-nodes",
            name_prefix="ferry-",
            vpc_id=args.vpc_id,
            target_type="instance",
            protocol="TCP",
            port=PORT,
            deregistration_delay=args.gateway.deregistration_delay_seconds,
            health_check={
                "enabled": True,
                "protocol": "TCP",
                "interval": 10,
                "timeout": 5,
                "healthy_threshold": 2,
                "unhealthy_threshold": 2,
            },
            tags=self._tags("nodes"),
            opts=self._child,
        )
        aws.lb.Listener(
            f"{name}-tls",
            load_balancer_arn=load_balancer.arn,
            port=443,
            protocol="TLS",
            ssl_policy=SSL_POLICY,
            certificate_arn=issued_certificate(
                args.tier.domain_name or args.gateway.domain_name, args.identity.region, self
            ),
            alpn_policy="HTTP2Preferred",  # Envoy tells HTTP/2 from HTTP/1.1 by its first bytes
            default_actions=[{"type": "forward", "target_group_arn": target_group.arn}],
            tags=self._tags("tls"),
            opts=self._child,
        )
        return load_balancer, target_group

    def _make_group(self, node: GatewayNode, target_group: aws.lb.TargetGroup) -> aws.autoscaling.Group:
        tier = self._args.tier
        group = aws.autoscaling.Group(
            f"{self._name}-group",
            name=self._group_name,
            min_size=tier.min_size,
            max_size=tier.max_size,
            desired_capacity=tier.min_size,
            vpc_zone_identifiers=self._args.private_subnet_ids,
            target_group_arns=[target_group.arn],
            launch_template={"id": node.launch_template_id, "version": node.launch_template_version},
            health_check_type="ELB",
            health_check_grace_period=BOOT_SECONDS,
            # A new bundle is a new template: gateways are replaced, a new one first.
            instance_refresh={
                "strategy": "Rolling",
                "preferences": {
                    "min_healthy_percentage": 100,
                    "max_healthy_percentage": 110,
                    "instance_warmup": str(BOOT_SECONDS),
                    "auto_rollback": True,
                    "skip_matching": True,
                },
            },
            wait_for_capacity_timeout="0",
            tags=propagated_tags(
                {**self._args.tags, **patch_tags(self._args.environment, self._args.tier.ami_parameter)},
                self._group_name,
            ),
            # A node that starts before its rights exist fails its boot.
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["desiredCapacity"], depends_on=[node]),
        )
        aws.autoscaling.Policy(
            f"{self._name}-cpu",
            autoscaling_group_name=group.name,
            policy_type="TargetTrackingScaling",
            estimated_instance_warmup=BOOT_SECONDS,
            target_tracking_configuration={
                "predefined_metric_specification": {"predefined_metric_type": "ASGAverageCPUUtilization"},
                "target_value": CPU_PERCENT,
            },
            opts=self._child,
        )
        return group

    def _make_records(self, record: GatewayRecord, load_balancer: aws.lb.LoadBalancer) -> None:
        """Two records of one name. A weight of 0 is never answered, as long as the other one's is not 0, too."""
        aws.route53.Record(
            f"{self._name}-record-home",
            zone_id=record.zone_id,
            name=record.name,
            type="A",
            set_identifier="home",
            ttl=RECORD_TTL_SECONDS,
            records=[record.home_address],
            weighted_routing_policies=[{"weight": 100 - record.weight}],
            opts=self._child,
        )
        aws.route53.Record(
            f"{self._name}-record-cloud",
            zone_id=record.zone_id,
            name=record.name,
            type="A",
            set_identifier="cloud",
            aliases=[
                {
                    "name": load_balancer.dns_name,
                    "zone_id": load_balancer.zone_id,
                    # Without one healthy gateway there is nobody in the cloud: all answers then name home.
                    "evaluate_target_health": True,
                }
            ],
            weighted_routing_policies=[{"weight": record.weight}],
            opts=self._child,
        )

    def _tags(self, what: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._name}-{what}"}
