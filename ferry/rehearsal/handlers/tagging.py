"""Tags of what is there: each service has its own pair of calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ferry.rehearsal.handlers import Account, State

Tags = Mapping[str, str]
Tagging = tuple[str, Callable[[Any, State, list[dict[str, str]]], object], Callable[[Any, State, list[str]], object]]


def _ec2(client: Any, state: State, tags: list[dict[str, str]]) -> None:
    client.create_tags(Resources=[state.id], Tags=tags)


def _not_ec2(client: Any, state: State, keys: list[str]) -> None:
    client.delete_tags(Resources=[state.id], Tags=[{"Key": key} for key in keys])


EC2: Tagging = ("ec2", _ec2, _not_ec2)
ELBV2: Tagging = (
    "elbv2",
    lambda client, state, tags: client.add_tags(ResourceArns=[state.id], Tags=tags),
    lambda client, state, keys: client.remove_tags(ResourceArns=[state.id], TagKeys=keys),
)


def _by_arn(service: str, arn: str = "ResourceARN", tags: str = "Tags", keys: str = "TagKeys") -> Tagging:
    """Services with `TagResource` and `UntagResource`, which differ in how they spell their arguments."""
    return (
        service,
        lambda client, state, given: client.tag_resource(**{arn: state.get("arn"), tags: given}),
        lambda client, state, gone: client.untag_resource(**{arn: state.get("arn"), keys: gone}),
    )


def _ssm(kind: str) -> Tagging:
    return (
        "ssm",
        lambda client, state, tags: client.add_tags_to_resource(ResourceType=kind, ResourceId=state.id, Tags=tags),
        lambda client, state, keys: client.remove_tags_from_resource(
            ResourceType=kind, ResourceId=state.id, TagKeys=keys
        ),
    )


TAGGED: dict[str, Tagging] = {
    **{
        f"aws:ec2/{kind}": EC2
        for kind in (
            "defaultSecurityGroup:DefaultSecurityGroup",
            "flowLog:FlowLog",
            "internetGateway:InternetGateway",
            "launchTemplate:LaunchTemplate",
            "routeTable:RouteTable",
            "securityGroup:SecurityGroup",
            "subnet:Subnet",
            "vpc:Vpc",
            "vpcEndpoint:VpcEndpoint",
        )
    },
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": EC2,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": EC2,
    "aws:lb/loadBalancer:LoadBalancer": ELBV2,
    "aws:lb/targetGroup:TargetGroup": ELBV2,
    "aws:lb/listener:Listener": ELBV2,
    "aws:lb/listenerRule:ListenerRule": ELBV2,
    "aws:cloudwatch/metricAlarm:MetricAlarm": _by_arn("cloudwatch"),
    "aws:cloudwatch/eventRule:EventRule": _by_arn("events"),
    "aws:datasync/task:Task": _by_arn("datasync", "ResourceArn", keys="Keys"),
    "aws:sns/topic:Topic": _by_arn("sns", "ResourceArn"),
    "aws:iam/role:Role": (
        "iam",
        lambda client, state, tags: client.tag_role(RoleName=state.id, Tags=tags),
        lambda client, state, keys: client.untag_role(RoleName=state.id, TagKeys=keys),
    ),
    "aws:iam/instanceProfile:InstanceProfile": (
        "iam",
        lambda client, state, tags: client.tag_instance_profile(InstanceProfileName=state.id, Tags=tags),
        lambda client, state, keys: client.untag_instance_profile(InstanceProfileName=state.id, TagKeys=keys),
    ),
    "aws:cloudtrail/trail:Trail": (
        "cloudtrail",
        lambda client, state, tags: client.add_tags(ResourceId=state.get("arn"), TagsList=tags),
        lambda client, state, keys: client.remove_tags(
            ResourceId=state.get("arn"), TagsList=[{"Key": key} for key in keys]
        ),
    ),
    "aws:route53/zone:Zone": (
        "route53",
        lambda client, state, tags: client.change_tags_for_resource(
            ResourceType="hostedzone", ResourceId=state.id, AddTags=tags
        ),
        lambda client, state, keys: client.change_tags_for_resource(
            ResourceType="hostedzone", ResourceId=state.id, RemoveTagKeys=keys
        ),
    ),
    "aws:route53/healthCheck:HealthCheck": (
        "route53",
        lambda client, state, tags: client.change_tags_for_resource(
            ResourceType="healthcheck", ResourceId=state.id, AddTags=tags
        ),
        lambda client, state, keys: client.change_tags_for_resource(
            ResourceType="healthcheck", ResourceId=state.id, RemoveTagKeys=keys
        ),
    ),
    "aws:kms/key:Key": (
        "kms",
        lambda client, state, tags: client.tag_resource(
            KeyId=state.id, Tags=[{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in tags]
        ),
        lambda client, state, keys: client.untag_resource(KeyId=state.id, TagKeys=keys),
    ),
    "aws:ssm/maintenanceWindow:MaintenanceWindow": _ssm("MaintenanceWindow"),
    "aws:ssm/patchBaseline:PatchBaseline": _ssm("PatchBaseline"),
    "aws:cloudwatch/logGroup:LogGroup": (
        "logs",
        lambda client, state, tags: client.tag_log_group(
            logGroupName=state.id, tags={tag["Key"]: tag["Value"] for tag in tags}
        ),
        lambda client, state, keys: client.untag_log_group(logGroupName=state.id, tags=keys),
    ),
}
"""Type token to the service, what sets tags, and what takes them away."""


def retag(account: Account, old: State, tags: Tags) -> None:
    """Leave a resource with exactly these tags."""
    service, tag, untag = TAGGED[old.type]
    client, had = account.client(service, old.region), old.inputs.get("tags") or {}
    if gone := sorted(set(had) - set(tags)):
        untag(client, old, gone)
    if given := [{"Key": key, "Value": value} for key, value in tags.items() if had.get(key) != value]:
        tag(client, old, given)


def as_map(tags: list[dict[str, str]] | None) -> dict[str, str]:
    """AWS's list of tags as the property `tags`."""
    return {tag["Key"]: tag["Value"] for tag in tags or []}
