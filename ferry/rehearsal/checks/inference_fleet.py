"""What has to be true of the fleets: their groups, sizes, capacity, schedules."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from ferry.rehearsal.checks import Seen, Stack, check
from ferry.rehearsal.handlers import Account
from stacks.settings import FleetSettings, ModelVersion


@check
def each_version_has_a_fleet(account: Account, stack: Stack) -> Iterator[Seen]:
    """A group of the name that was exported. The other checks see the groups that are there."""
    found = [group["AutoScalingGroupName"] for _, group in groups(account, stack)]
    for version, name in stack.outputs["group_names"].items():
        yield Seen(version, name, name if name in found else "none")


@check
def fleets_have_the_sizes_of_the_stack(account: Account, stack: Stack) -> Iterator[Seen]:
    """Smallest and largest size of each group."""
    for version, group in groups(account, stack):
        fleet = version.fleet
        yield seen(group, f"{fleet.min_size} to {fleet.max_size}", f"{group['MinSize']} to {group['MaxSize']}")


@check
def fleets_lie_in_the_private_subnets(account: Account, stack: Stack) -> Iterator[Seen]:
    """And in all of them."""
    expected = " ".join(sorted(stack.outputs["private_subnet_ids"]))
    for _, group in groups(account, stack):
        yield seen(group, expected, " ".join(sorted(group["VPCZoneIdentifier"].split(","))))


@check
def fleets_serve_the_traffic_of_their_version(account: Account, stack: Stack) -> Iterator[Seen]:
    """The target group that each fleet registers its nodes with."""
    for version, group in groups(account, stack):
        yield seen(group, stack.outputs["target_group_arns"][version.name], " ".join(group["TargetGroupARNs"]))


@check
def fleets_replace_nodes_that_do_not_answer(account: Account, stack: Stack) -> Iterator[Seen]:
    """The load balancer's verdict counts, not only that the machine runs."""
    for _, group in groups(account, stack):
        yield seen(group, "ELB", group["HealthCheckType"])


@check
def fleets_buy_capacity_as_the_stack_says(account: Account, stack: Stack) -> Iterator[Seen]:
    """Instance types in their order, On-Demand base, spot share, and rebalancing where there is spot."""
    for version, group in groups(account, stack):
        yield seen(group, _purchase(version.fleet), _purchased(group, launch_template(account, group)))


def _purchase(fleet: FleetSettings) -> str:
    types = ", ".join(fleet.instance_types)
    if len(fleet.instance_types) == 1 and fleet.spot_percentage == 0:
        return f"{types}, on demand"
    spot = f"{fleet.spot_percentage} % spot price-capacity-optimized above {fleet.on_demand_base} on demand prioritized"
    return f"{types}, {spot}{', rebalanced' if fleet.spot_percentage else ''}"


def _purchased(group: Mapping[str, Any], template: Mapping[str, Any]) -> str:
    policy = group.get("MixedInstancesPolicy")
    rebalanced = ", rebalanced" if group["CapacityRebalance"] else ""
    if policy is None:
        market = "spot" if "InstanceMarketOptions" in template else "on demand"
        return f"{template['InstanceType']}, {market}{rebalanced}"
    types = ", ".join(override["InstanceType"] for override in policy["LaunchTemplate"]["Overrides"])
    split = policy["InstancesDistribution"]
    return (
        f"{types}, {100 - split['OnDemandPercentageAboveBaseCapacity']} % spot {split['SpotAllocationStrategy']} "
        f"above {split['OnDemandBaseCapacity']} on demand {split['OnDemandAllocationStrategy']}{rebalanced}"
    )


@check
def fleets_keep_the_warm_pool_of_the_stack(account: Account, stack: Stack) -> Iterator[Seen]:
    """Size and state of the prepared nodes, and that a node which is scaled in goes back to them."""
    for version, group in groups(account, stack):
        pool, found = version.fleet.warm_pool, group.get("WarmPoolConfiguration")
        yield seen(
            group,
            f"{pool.min_size} {pool.state}, reused" if pool else "none",
            f"{found['MinSize']} {found['PoolState']}{', reused' if _is_reused(found) else ''}" if found else "none",
        )


def _is_reused(pool: Mapping[str, Any]) -> bool:
    return bool(pool.get("InstanceReusePolicy", {}).get("ReuseOnScaleIn"))


@check
def fleets_follow_the_schedules_of_the_stack(account: Account, stack: Stack) -> Iterator[Seen]:
    """When, in which time zone, and to which sizes; one line for each group."""
    for version, group in groups(account, stack):
        name = group["AutoScalingGroupName"]
        actions = account.client("autoscaling").describe_scheduled_actions(AutoScalingGroupName=name)
        expected = [
            f"{name}-{one.name}: {one.recurrence} {one.time_zone}, {one.min_size} to {one.max_size}, "
            f"desired {'as it is' if one.desired_capacity is None else one.desired_capacity}"
            for one in version.fleet.schedules
        ]
        found = [
            f"{one['ScheduledActionName']}: {one['Recurrence']} {one['TimeZone']}, "
            f"{one['MinSize']} to {one['MaxSize']}, desired {one.get('DesiredCapacity', 'as it is')}"
            for one in actions["ScheduledUpdateGroupActions"]
        ]
        yield seen(group, "; ".join(sorted(expected)) or "none", "; ".join(sorted(found)) or "none")


@check
def a_node_that_does_not_boot_is_abandoned(account: Account, stack: Stack) -> Iterator[Seen]:
    """The hook holds each new node back until it says that it serves, and gives it up after the boot timeout."""
    for version, group in groups(account, stack):
        hooks = account.client("autoscaling").describe_lifecycle_hooks(
            AutoScalingGroupName=group["AutoScalingGroupName"]
        )["LifecycleHooks"]
        found = [
            f"{one['LifecycleHookName']}: {one['LifecycleTransition']}, {one['DefaultResult']} after "
            f"{one['HeartbeatTimeout']} s"
            for one in hooks
        ]
        expected = (
            f"{group['AutoScalingGroupName']}-boot: autoscaling:EC2_INSTANCE_LAUNCHING, ABANDON after "
            f"{version.fleet.boot_timeout_seconds} s"
        )
        yield seen(group, expected, "; ".join(found) or "none")


@check
def fleets_tag_their_nodes(account: Account, stack: Stack) -> Iterator[Seen]:
    """The stack's tags are on the group and reach the nodes; costs are told apart by them."""
    for _, group in groups(account, stack):
        found = {tag["Key"]: tag["Value"] for tag in group["Tags"] if tag["PropagateAtLaunch"]}
        expected = {**stack.settings.tags, "Name": group["AutoScalingGroupName"]}
        yield seen(group, _pairs(expected), _pairs({key: found[key] for key in expected.keys() & found.keys()}))


def _pairs(tags: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={tags[key]}" for key in sorted(tags))


def groups(account: Account, stack: Stack) -> Iterator[tuple[ModelVersion, Mapping[str, Any]]]:
    """Each model version that has a group, with the description of its group."""
    names: Mapping[str, str] = stack.outputs["group_names"]
    found = account.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=list(names.values()))
    by_name = {group["AutoScalingGroupName"]: group for group in found["AutoScalingGroups"]}
    for version in stack.settings.model_versions:
        if names[version.name] in by_name:
            yield version, by_name[names[version.name]]


def launch_template(account: Account, group: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a group launches now: the data of its launch template, in the version that the group names."""
    named = (
        group.get("LaunchTemplate") or group["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]
    )
    versions = account.client("ec2").describe_launch_template_versions(
        LaunchTemplateId=named["LaunchTemplateId"], Versions=[named["Version"]]
    )["LaunchTemplateVersions"]
    data: Mapping[str, Any] = versions[0]["LaunchTemplateData"]
    return data


def boot_files(account: Account, group: Mapping[str, Any]) -> dict[str, str]:
    """What a node's user data writes before anything starts: path to content."""
    document = yaml.safe_load(base64.b64decode(launch_template(account, group)["UserData"]))
    return {file["path"]: file["content"] for file in document["write_files"]}


def agent_config(account: Account, group: Mapping[str, Any]) -> dict[str, Any]:
    """The part `logs` of the configuration of a node's CloudWatch agent: logs, and metrics in embedded format."""
    config: dict[str, Any] = json.loads(boot_files(account, group)["/opt/ferry/agent.json"])["logs"]
    return config


def seen(group: Mapping[str, Any], expected: str, found: str) -> Seen:
    """What a check saw of a group."""
    return Seen(group["AutoScalingGroupName"], expected, found)
