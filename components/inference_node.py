"""InferenceNode: what every node of a fleet is, as a launch template: image, role, volume, network, first boot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import fleet_policies, node
from components.identity import Identity
from components.inference_gateway import ENGINE_PORT
from stacks.settings import ModelVersion
from templates.node import NodeBoot, user_data

ROOT_THROUGHPUT_MIBPS = 500
"""The start-up reads tens of GB of weights from this volume; gp3's baseline of 125 MiB/s would triple its time."""


@dataclass(frozen=True, kw_only=True)
class InferenceNodeArgs:
    """Arguments of `InferenceNode`."""

    identity: Identity
    environment: str
    version: ModelVersion
    group_name: str
    """Of the auto-scaling group that the node will belong to; rights and metrics are tied to it."""
    lifecycle_hook_name: str
    vpc_id: pulumi.Input[str]
    gateway_security_group_id: pulumi.Input[str]
    """The only source of requests."""
    endpoint_security_group_id: pulumi.Input[str]
    s3_prefix_list_id: pulumi.Input[str]
    model_bucket_name: pulumi.Input[str]
    model_bucket_arn: pulumi.Input[str]
    model_key_arn: pulumi.Input[str]
    node_bundle_key: pulumi.Input[str | None]
    verification_key: str | None
    """PEM of the keys that the bundle and the models may be signed with. Without it a node refuses to boot."""
    patch_buckets: Sequence[str]
    """AWS's own buckets that a scan for missing patches reads."""
    log_retention_days: int = 365
    tags: Mapping[str, str]


class InferenceNode(pulumi.ComponentResource):
    """A launch template, and what it names: instance role, security group, log group.

    The image is looked up when the program runs, and its id is written into the template. `resolve:ssm:` in the
    template would let EC2 look it up at each launch instead: nodes of one fleet would then differ without any change
    in the stack, no instance refresh would start when the image changes, and none could be rolled back
    (https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-rollback.html). So a new image shows in the
    preview as a new template version, and the group replaces its nodes by an instance refresh that can be undone.
    """

    launch_template_id: pulumi.Output[str]
    launch_template_version: pulumi.Output[str]
    """A number: `$Latest` could not be rolled back to."""
    security_group_id: pulumi.Output[str]
    log_group_name: pulumi.Output[str]

    def __init__(self, name: str, args: InferenceNodeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ferry:components:InferenceNode", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._owner = node.Owner(name=name, group_name=args.group_name, tags=args.tags, component=self)

        fleet = args.version.fleet
        log_group = node.log_group(self._owner, args.identity, "Logs of inference nodes", args.log_retention_days)
        profile = node.instance_profile(self._owner, self._rights(log_group))
        self.security_group_id = self._make_security_group()
        template = node.launch_template(
            self._owner,
            region=args.identity.region,
            ami_parameter=fleet.ami_parameter,
            instance_type=fleet.instance_types[0],
            profile=profile,
            security_group_id=self.security_group_id,
            volume_gib=fleet.root_volume_gib,
            throughput_mibps=ROOT_THROUGHPUT_MIBPS,
            user_data=self._user_data(log_group),
        )

        self.launch_template_id = template.id
        self.launch_template_version = template.latest_version.apply(str)
        self.log_group_name = log_group.name
        self.register_outputs(
            {
                "launch_template_id": self.launch_template_id,
                "launch_template_version": self.launch_template_version,
                "security_group_id": self.security_group_id,
                "log_group_name": self.log_group_name,
            }
        )

    def _rights(self, log_group: aws.cloudwatch.LogGroup) -> pulumi.Output[str]:
        args = self._args
        return pulumi.Output.all(
            bucket_arn=args.model_bucket_arn, key_arn=args.model_key_arn, log_group_arn=log_group.arn
        ).apply(
            lambda arns: fleet_policies.node_rights(
                args.identity,
                model=args.version.model,
                image=args.version.engine.image,
                group_name=args.group_name,
                patch_buckets=args.patch_buckets,
                **arns,
            )
        )

    def _make_security_group(self) -> pulumi.Output[str]:
        """In: requests from the gateway. Out: HTTPS to the interface endpoints and to S3.

        The VPC's own DNS, NTP and metadata addresses need no rule:
        https://docs.aws.amazon.com/vpc/latest/userguide/vpc-security-groups.html
        """
        name, args = self._name, self._args
        group = aws.ec2.SecurityGroup(
            name,
            vpc_id=args.vpc_id,
            description="Inference nodes: requests from the gateway in, HTTPS to S3 and the endpoints out",
            tags=self._owner.named("node"),
            opts=self._child,
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-from-gateway",
            security_group_id=group.id,
            description="Requests from the gateway",
            ip_protocol="tcp",
            from_port=ENGINE_PORT,
            to_port=ENGINE_PORT,
            referenced_security_group_id=args.gateway_security_group_id,
            tags=self._owner.named("from-gateway"),
            opts=self._child,
        )
        aws.vpc.SecurityGroupEgressRule(
            f"{name}-gateway-out",
            security_group_id=args.gateway_security_group_id,
            description=f"Requests and health checks to {args.group_name}",
            ip_protocol="tcp",
            from_port=ENGINE_PORT,
            to_port=ENGINE_PORT,
            referenced_security_group_id=group.id,
            tags=self._owner.named("gateway-out"),
            opts=self._child,
        )
        aws.vpc.SecurityGroupEgressRule(
            f"{name}-to-endpoints",
            security_group_id=group.id,
            description="HTTPS to the interface endpoints",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            referenced_security_group_id=args.endpoint_security_group_id,
            tags=self._owner.named("to-endpoints"),
            opts=self._child,
        )
        aws.vpc.SecurityGroupEgressRule(
            f"{name}-to-s3",
            security_group_id=group.id,
            description="HTTPS to S3",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            prefix_list_id=args.s3_prefix_list_id,
            tags=self._owner.named("to-s3"),
            opts=self._child,
        )
        return group.id

    def _user_data(self, log_group: aws.cloudwatch.LogGroup) -> pulumi.Output[str]:
        args, identity, version = self._args, self._args.identity, self._args.version

        def rendered(bucket: str, bundle_key: str | None, log_group_name: str) -> str:
            return user_data(  # refuses what is longer than EC2 takes
                NodeBoot(
                    environment=args.environment,
                    region=identity.region,
                    partition=identity.partition,
                    version_name=version.name,
                    group_name=args.group_name,
                    lifecycle_hook_name=args.lifecycle_hook_name,
                    model=version.model,
                    model_version=version.version,
                    bucket=bucket,
                    node_bundle_key=bundle_key,
                    verification_key=args.verification_key,
                    registry=node.registry(identity),
                    engine=version.engine,
                    log_group=log_group_name,
                    boot_timeout_seconds=version.fleet.boot_timeout_seconds,
                )
            )

        return pulumi.Output.all(
            bucket=args.model_bucket_name, bundle_key=args.node_bundle_key, log_group_name=log_group.name
        ).apply(lambda known: rendered(**known))
