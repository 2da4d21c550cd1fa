"""InnerDoor: how what runs in the VPC reaches the load balancer of the model versions, without the internet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

TCP_IDLE_SECONDS = range(60, 6001)
"""What AWS allows: docs.aws.amazon.com/elasticloadbalancing/latest/network/update-idle-timeout.html"""


@dataclass(frozen=True, kw_only=True)
class InnerDoorArgs:
    """Arguments of `InnerDoor`."""

    domain_name: str
    """Of the load balancer's certificate; inside the VPC it leads through this door."""
    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[str]]
    """Private ones."""
    load_balancer_arn: pulumi.Input[str]
    load_balancer_security_group_id: pulumi.Input[str]
    listener_arn: pulumi.Input[str]
    """Has to be there before its load balancer can be a target."""
    idle_timeout_seconds: int
    deletion_protection: bool
    tags: Mapping[str, str]


class InnerDoor(pulumi.ComponentResource):
    """An internal network load balancer with the application load balancer as its target, and a private name for it.

    The load balancer of the model versions faces the internet, so its name resolves to public addresses, which nodes
    without NAT do not reach. The door passes TCP through: TLS ends at the load balancer, by the one certificate. With
    the private zone, Envoy's configuration is the same as at home, names and all. The zone has the one name in it.
    """

    load_balancer_arn: pulumi.Output[str]
    security_group_id: pulumi.Output[str]
    """What wants to go through needs a way out to it, and gets a way in by `admit`."""

    def __init__(self, name: str, args: InnerDoorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ferry:components:InnerDoor", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self.security_group_id = self._make_security_group()
        load_balancer = self._make_load_balancer()
        self._make_name(load_balancer)
        self.load_balancer_arn = load_balancer.arn
        self.register_outputs(
            {"load_balancer_arn": self.load_balancer_arn, "security_group_id": self.security_group_id}
        )

    def admit(self, what: str, security_group_id: pulumi.Input[str]) -> None:
        """Let what has this security group come in."""
        aws.vpc.SecurityGroupIngressRule(
            f"{self._name}-from-{what}",
            security_group_id=self.security_group_id,
            description=f"Requests of {what}",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            referenced_security_group_id=security_group_id,
            tags=self._tags(f"from-{what}"),
            opts=self._child,
        )

    def _make_security_group(self) -> pulumi.Output[str]:
        name, args = self._name, self._args
        group = aws.ec2.SecurityGroup(
            name,
            vpc_id=args.vpc_id,
            description="Door to the load balancer from inside the VPC",
            tags=self._tags("door"),
            opts=self._child,
        )
        aws.vpc.SecurityGroupEgressRule(
            f"{name}-out",
            security_group_id=group.id,
            description="To the load balancer",
            referenced_security_group_id=args.load_balancer_security_group_id,
            tags=self._tags("out"),
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            opts=self._child,
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-into-load-balancer",
            security_group_id=args.load_balancer_security_group_id,
            description="HTTPS from inside the VPC",
            referenced_security_group_id=group.id,
            tags=self._tags("into-load-balancer"),
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            opts=self._child,
        )
        return group.id

    def _make_load_balancer(self) -> aws.lb.LoadBalancer:
        name, args = self._name, self._args
        load_balancer = aws.lb.LoadBalancer(
            name,
            load_balancer_type="network",
            internal=True,
            subnets=args.subnet_ids,
            security_groups=[self.security_group_id],
            enable_cross_zone_load_balancing=True,
            enable_deletion_protection=args.deletion_protection,
            tags=self._tags("door"),
            opts=self._child,
        )
        target_group = aws.lb.TargetGroup(
            name,
            name_prefix="ferry-",
            vpc_id=args.vpc_id,
            target_type="alb",
            protocol="TCP",
            port=443,
            # It asks whether the load balancer is there, not whether an engine is: any answer will do.
            health_check={"enabled": True, "protocol": "HTTPS", "path": "/health", "matcher": "200-599"},
            tags=self._tags("door"),
            opts=self._child,
        )
        aws.lb.TargetGroupAttachment(
            name,
            target_group_arn=target_group.arn,
            target_id=pulumi.Output.all(args.load_balancer_arn, args.listener_arn).apply(lambda arns: str(arns[0])),
            port=443,
            opts=self._child,
        )
        aws.lb.Listener(
            name,
            load_balancer_arn=load_balancer.arn,
            port=443,
            protocol="TCP",
            # Never shorter than the load balancer's own, else a long answer would be cut here.
            tcp_idle_timeout_seconds=max(args.idle_timeout_seconds, TCP_IDLE_SECONDS.start),
            default_actions=[{"type": "forward", "target_group_arn": target_group.arn}],
            tags=self._tags("door"),
            opts=self._child,
        )
        return load_balancer

    def _make_name(self, load_balancer: aws.lb.LoadBalancer) -> None:
        name, args = self._name, self._args
        zone = aws.route53.Zone(
            name,
            name=args.domain_name,
            comment="The load balancer, from inside the VPC",
            vpcs=[{"vpc_id": args.vpc_id}],
            tags=self._tags("door"),
            opts=self._child,
        )
        aws.route53.Record(
            name,
            zone_id=zone.zone_id,
            name=args.domain_name,
            type="A",
            aliases=[
                {
                    "name": load_balancer.dns_name,
                    "zone_id": load_balancer.zone_id,
                    "evaluate_target_health": False,
                }
            ],
            opts=self._child,
        )

    def _tags(self, what: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._name}-{what}"}
