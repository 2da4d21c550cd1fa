"""GatewayNode: what every gateway in the cloud is, as a launch template: image, role, volume, network, first boot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import fleet_policies, node
from components.identity import Identity
from stacks.settings import GatewayTierSettings
from templates.gateway_node import PORT, GatewayBoot, user_data

LOG_RETENTION_DAYS = 365


@dataclass(frozen=True, kw_only=True)
class GatewayNodeArgs:
    """Arguments of `GatewayNode`."""

    identity: Identity
    tier: GatewayTierSettings
    group_name: str
    vpc_id: pulumi.Input[str]
    front_security_group_id: pulumi.Input[str]
    """Of the load balancer that clients reach: the only source of requests."""
    back_security_group_id: pulumi.Input[str]
    """Of the way to the load balancer of the model versions."""
    endpoint_security_group_id: pulumi.Input[str]
    s3_prefix_list_id: pulumi.Input[str]
    model_bucket_name: pulumi.Input[str]
    model_bucket_arn: pulumi.Input[str]
    model_key_arn: pulumi.Input[str]
    archive_bucket_arn: pulumi.Input[str]
    archive_key_arn: pulumi.Input[str]
    bundle_key: pulumi.Input[str | None]
    verification_key: str | None
    """PEM of the public keys, of which one has signed the bundle. Without it a node refuses to boot."""
    patch_buckets: Sequence[str]
    """AWS's own buckets that a scan for missing patches reads."""
    tags: Mapping[str, str]


class GatewayNode(pulumi.ComponentResource):
    """A launch template, and what it names: instance role, security group, log group. No key, no public address."""

    launch_template_id: pulumi.Output[str]
    launch_template_version: pulumi.Output[str]
    security_group_id: pulumi.Output[str]

    def __init__(self, name: str, args: GatewayNodeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ferry:components:GatewayNode", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._owner = node.Owner(name=name, group_name=args.group_name, tags=args.tags, component=self)

        log_group = node.log_group(self._owner, args.identity, "Logs of gateways in the cloud", LOG_RETENTION_DAYS)
        profile = node.instance_profile(self._owner, self._rights(log_group))
        self.security_group_id = self._make_security_group()
        template = node.launch_template(
            self._owner,
            region=args.identity.region,
            ami_parameter=args.tier.ami_parameter,
            instance_type=args.tier.instance_type,
            profile=profile,
            security_group_id=self.security_group_id,
            volume_gib=args.tier.root_volume_gib,
            confidential=args.tier.confidential,
            user_data=self._user_data(log_group),
        )

        self.launch_template_id = template.id
        self.launch_template_version = template.latest_version.apply(str)
        self.register_outputs(
            {
                "launch_template_id": self.launch_template_id,
                "launch_template_version": self.launch_template_version,
                "security_group_id": self.security_group_id,
            }
        )

    def _rights(self, log_group: aws.cloudwatch.LogGroup) -> pulumi.Output[str]:
        args = self._args
        return pulumi.Output.all(
            bucket_arn=args.model_bucket_arn,
            key_arn=args.model_key_arn,
            log_group_arn=log_group.arn,
            archive_bucket_arn=args.archive_bucket_arn,
            archive_key_arn=args.archive_key_arn,
        ).apply(
            lambda arns: fleet_policies.gateway_rights(
                args.identity, image=args.tier.image, patch_buckets=args.patch_buckets, **arns
            )
        )

    def _make_security_group(self) -> pulumi.Output[str]:
        """In: requests from the load balancer in front. Out: HTTPS to the endpoints, S3, the load balancer behind."""
        name, args = self._name, self._args
        group = aws.ec2.SecurityGroup(
            name,
            vpc_id=args.vpc_id,
            description="Gateways: requests from their load balancer in, HTTPS to S3, endpoints and engines out",
            tags=self._owner.named("node"),
            opts=self._child,
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-from-front",
            security_group_id=group.id,
            description="Requests and health checks",
            ip_protocol="tcp",
            from_port=PORT,
            to_port=PORT,
            referenced_security_group_id=args.front_security_group_id,
            tags=self._owner.named("from-front"),
            opts=self._child,
        )
        ways: dict[str, dict[str, pulumi.Input[str]]] = {
            "endpoints": {"referenced_security_group_id": args.endpoint_security_group_id},
            "s3": {"prefix_list_id": args.s3_prefix_list_id},
            "back": {"referenced_security_group_id": args.back_security_group_id},
        }
        for what, peer in ways.items():
            self._let_out(group, what, 443, peer)
        if args.tier.home_engine is not None:
            host, _, port = args.tier.home_engine.rpartition(":")
            self._let_out(group, "home", int(port), {"cidr_ipv4": f"{host}/32"})
        return group.id

    def _let_out(
        self, group: aws.ec2.SecurityGroup, what: str, port: int, peer: Mapping[str, pulumi.Input[str]]
    ) -> None:
        aws.vpc.SecurityGroupEgressRule(
            f"{self._name}-to-{what}",
            security_group_id=group.id,
            description=f"To {what}",
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            tags=self._owner.named(f"to-{what}"),
            opts=self._child,
            **peer,
        )

    def _user_data(self, log_group: aws.cloudwatch.LogGroup) -> pulumi.Output[str]:
        args, identity = self._args, self._args.identity

        def rendered(bucket: str, bundle_key: str | None, log_group_name: str) -> str:
            return user_data(
                GatewayBoot(
                    region=identity.region,
                    group_name=args.group_name,
                    bucket=bucket,
                    bundle_key=bundle_key,
                    verification_key=args.verification_key,
                    registry=node.registry(identity),
                    image=args.tier.image,
                    log_group=log_group_name,
                    confidential=args.tier.confidential,
                )
            )

        return pulumi.Output.all(
            bucket=args.model_bucket_name, bundle_key=args.bundle_key, log_group_name=log_group.name
        ).apply(lambda known: rendered(**known))
