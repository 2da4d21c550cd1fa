"""InferenceNode: what every node of a fleet is, as a launch template: image, role, volume, network, first boot."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import fleet_policies, policies
from components.identity import Identity
from components.inference_gateway import ENGINE_PORT
from stacks.settings import ModelVersion
from templates.node import NodeBoot, user_data

METADATA_HOPS = 1
"""A container behind Docker's bridge is one hop further away: the engine cannot take the role's credentials."""

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

        log_group = self._make_log_group()
        profile = self._make_role(log_group)
        self.security_group_id = self._make_security_group()
        template = self._make_launch_template(profile, log_group)

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

    def _make_log_group(self) -> aws.cloudwatch.LogGroup:
        log_name = f"{self._name}-logs"
        key = aws.kms.Key(
            log_name,
            description="Logs of inference nodes",
            enable_key_rotation=True,
            policy=policies.log_group_key(self._args.identity, log_name),
            tags=self._tags("logs"),
            opts=self._child,
        )
        return aws.cloudwatch.LogGroup(
            log_name,
            retention_in_days=self._args.log_retention_days,
            kms_key_id=key.arn,
            tags=self._tags("logs"),
            opts=self._child,
        )

    def _make_role(self, log_group: aws.cloudwatch.LogGroup) -> aws.iam.InstanceProfile:
        name, args = self._name, self._args
        role = aws.iam.Role(
            name,
            description=f"Nodes of {args.group_name}",
            assume_role_policy=fleet_policies.NODE_TRUST,
            tags=self._tags("role"),
            opts=self._child,
        )
        aws.iam.RolePolicy(
            name,
            role=role.name,
            policy=pulumi.Output.all(
                bucket=args.model_bucket_arn, key=args.model_key_arn, log_group=log_group.arn
            ).apply(
                lambda known: fleet_policies.node_rights(
                    args.identity,
                    bucket_arn=known["bucket"],
                    key_arn=known["key"],
                    model=args.version.model,
                    image=args.version.engine.image,
                    group_name=args.group_name,
                    log_group_arn=known["log_group"],
                )
            ),
            opts=self._child,
        )
        return aws.iam.InstanceProfile(name, role=role.name, tags=self._tags("profile"), opts=self._child)

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
            tags=self._tags("node"),
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
            tags=self._tags("from-gateway"),
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
            tags=self._tags("gateway-out"),
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
            tags=self._tags("to-endpoints"),
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
            tags=self._tags("to-s3"),
            opts=self._child,
        )
        return group.id

    def _make_launch_template(
        self, profile: aws.iam.InstanceProfile, log_group: aws.cloudwatch.LogGroup
    ) -> aws.ec2.LaunchTemplate:
        name, fleet = self._name, self._args.version.fleet
        invoke = pulumi.InvokeOutputOptions(parent=self)
        image_id = aws.ssm.get_parameter_output(name=fleet.ami_parameter, opts=invoke).value
        # The root device's name differs between distributions, and a wrong one would add a second volume.
        image = aws.ec2.get_ami_output(
            filters=image_id.apply(lambda id_: [aws.ec2.GetAmiFilterArgs(name="image-id", values=[id_])]), opts=invoke
        )
        return aws.ec2.LaunchTemplate(
            name,
            description=f"Nodes of {self._args.group_name}",
            update_default_version=True,
            image_id=image.id,
            instance_type=fleet.instance_types[0],
            iam_instance_profile={"arn": profile.arn},
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                "http_put_response_hop_limit": METADATA_HOPS,
            },
            block_device_mappings=[
                {
                    "device_name": image.root_device_name,
                    "ebs": {
                        "encrypted": "true",
                        "volume_type": "gp3",
                        "volume_size": fleet.root_volume_gib,
                        "throughput": ROOT_THROUGHPUT_MIBPS,
                        "delete_on_termination": "true",
                    },
                }
            ],
            network_interfaces=[
                {
                    "device_index": 0,
                    "associate_public_ip_address": "false",
                    "security_groups": [self.security_group_id],
                    "delete_on_termination": "true",
                }
            ],
            tag_specifications=[
                {"resource_type": kind, "tags": {**self._args.tags, "Name": self._args.group_name}}
                for kind in ("instance", "volume", "network-interface")
            ],
            user_data=self._user_data(log_group),
            tags=self._tags("node"),
            opts=self._child,
        )

    def _user_data(self, log_group: aws.cloudwatch.LogGroup) -> pulumi.Output[str]:
        args, identity, version = self._args, self._args.identity, self._args.version

        def rendered(bucket: str, bundle_key: str | None, log_group_name: str) -> str:
            document = user_data(  # refuses what is longer than EC2 takes
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
                    registry=f"{identity.account_id}.dkr.ecr.{identity.region}.{identity.dns_suffix}",
                    engine=version.engine,
                    log_group=log_group_name,
                    boot_timeout_seconds=version.fleet.boot_timeout_seconds,
                )
            )
            return base64.b64encode(document.encode()).decode()

        return pulumi.Output.all(
            bucket=args.model_bucket_name, bundle_key=args.node_bundle_key, log_group_name=log_group.name
        ).apply(lambda known: rendered(**known))

    def _tags(self, what: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._name}-{what}"}
