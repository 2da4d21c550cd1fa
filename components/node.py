"""What every node of a group has, whether an engine or a gateway runs on it: log group, instance role, launch template.

The functions make resources for a component, under its name and as its children.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import fleet_policies, policies
from components.identity import Identity

METADATA_HOPS = 1
"""A container behind Docker's bridge is one hop further away: what runs in it cannot take the role's credentials."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The component whose nodes these are: its name, which the resources' names begin with, and what they get of it."""

    name: str
    group_name: str
    """Of the auto-scaling group that the nodes belong to."""
    tags: Mapping[str, str]
    component: pulumi.ComponentResource

    @property
    def child(self) -> pulumi.ResourceOptions:
        """Options of a resource that belongs to the component."""
        return pulumi.ResourceOptions(parent=self.component)

    def named(self, what: str) -> dict[str, str]:
        """Tags of one of its resources."""
        return {**self.tags, "Name": f"{self.name}-{what}"}


def log_group(owner: Owner, identity: Identity, description: str, retention_days: int) -> aws.cloudwatch.LogGroup:
    """A log group under a key of its own."""
    name = f"{owner.name}-logs"
    key = aws.kms.Key(
        name,
        description=description,
        enable_key_rotation=True,
        policy=policies.log_group_key(identity, name),
        tags=owner.named("logs"),
        opts=owner.child,
    )
    return aws.cloudwatch.LogGroup(
        name,
        retention_in_days=retention_days,
        kms_key_id=key.arn,
        tags=owner.named("logs"),
        opts=owner.child,
    )


def instance_profile(owner: Owner, rights: pulumi.Input[str]) -> aws.iam.InstanceProfile:
    """The profile of a role with these rights and no others."""
    role = aws.iam.Role(
        owner.name,
        description=f"Nodes of {owner.group_name}",
        assume_role_policy=fleet_policies.NODE_TRUST,
        tags=owner.named("role"),
        opts=owner.child,
    )
    aws.iam.RolePolicy(owner.name, role=role.name, policy=rights, opts=owner.child)
    return aws.iam.InstanceProfile(owner.name, role=role.name, tags=owner.named("profile"), opts=owner.child)


def launch_template(
    owner: Owner,
    *,
    region: str,
    ami_parameter: str,
    instance_type: str,
    profile: aws.iam.InstanceProfile,
    security_group_id: pulumi.Input[str],
    volume_gib: int,
    throughput_mibps: int | None = None,
    confidential: bool = False,
    user_data: pulumi.Output[str],
) -> aws.ec2.LaunchTemplate:
    """A template of nodes without key and public address, with IMDSv2 only and an encrypted root volume.

    `region`: where the image is looked up. `throughput_mibps`: None leaves gp3's baseline. `confidential`: AMD SEV-SNP,
    which is set at launch and never after; the image has to boot by UEFI. `user_data`: the document, which is encoded
    here.
    """
    invoke = pulumi.InvokeOutputOptions(parent=owner.component)
    image_id = aws.ssm.get_parameter_output(name=ami_parameter, region=region, opts=invoke).value
    # The root device's name differs between distributions, and a wrong one would add a second volume.
    image = aws.ec2.get_ami_output(
        filters=image_id.apply(lambda id_: [aws.ec2.GetAmiFilterArgs(name="image-id", values=[id_])]),
        region=region,
        opts=invoke,
    )
    volume: aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgsDict = {
        "encrypted": "true",
        "volume_type": "gp3",
        "volume_size": volume_gib,
        "delete_on_termination": "true",
    }
    if throughput_mibps is not None:
        volume["throughput"] = throughput_mibps
    return aws.ec2.LaunchTemplate(
        owner.name,
        description=f"Nodes of {owner.group_name}",
        update_default_version=True,
        image_id=image.id,
        instance_type=instance_type,
        cpu_options={"amd_sev_snp": "enabled"} if confidential else None,
        iam_instance_profile={"arn": profile.arn},
        metadata_options={
            "http_endpoint": "enabled",
            "http_tokens": "required",
            "http_put_response_hop_limit": METADATA_HOPS,
        },
        block_device_mappings=[{"device_name": image.root_device_name, "ebs": volume}],
        network_interfaces=[
            {
                "device_index": 0,
                "associate_public_ip_address": "false",
                "security_groups": [security_group_id],
                "delete_on_termination": "true",
            }
        ],
        tag_specifications=[
            {"resource_type": kind, "tags": {**owner.tags, "Name": owner.group_name}}
            for kind in ("instance", "volume", "network-interface")
        ],
        user_data=user_data.apply(lambda document: base64.b64encode(document.encode()).decode()),
        tags=owner.named("node"),
        opts=owner.child,
    )


def registry(identity: Identity) -> str:
    """The account's own image registry in the stack's region."""
    return f"{identity.account_id}.dkr.ecr.{identity.region}.{identity.dns_suffix}"


def propagated_tags(tags: Mapping[str, str], group_name: str) -> list[aws.autoscaling.GroupTagArgsDict]:
    """Tags of an auto-scaling group, which its nodes get, too."""
    return [
        {"key": key, "value": value, "propagate_at_launch": True} for key, value in {**tags, "Name": group_name}.items()
    ]
