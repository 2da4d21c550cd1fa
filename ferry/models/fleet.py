"""A fleet of the account as a rollout sees it: which template its nodes were launched from, and which model that is.

A node's user data names its model's version in one line of the boot script (`MODEL_VERSION=…`), so that all nodes of
one launch-template version serve the same bytes, whatever a channel means by the time they boot.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ferry.errors import InvalidField, RepositoryError

VERSION_LINE = re.compile(r"^(\s*MODEL_VERSION=)([A-Za-z0-9._-]+)$", re.MULTILINE)
RUNNING = frozenset({"Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress"})
"""States of an instance refresh that has not come to its end."""


@dataclass(frozen=True)
class Refresh:
    """An instance refresh as the account describes it."""

    id: str
    status: str
    percent: int
    reason: str
    target: str | None
    """Launch-template version that it brings; None where it was started without one."""

    @property
    def running(self) -> bool:
        """Whether it goes on by itself."""
        return self.status in RUNNING

    @property
    def ending(self) -> bool:
        """Whether it is being undone or given up."""
        return self.status in ("Cancelling", "RollbackInProgress")


@dataclass(frozen=True)
class Fleet:
    """A group at one moment. Instances are counted by the launch-template version that they came from."""

    group_name: str
    template_id: str
    template_version: str
    mixed_policy: Mapping[str, Any] | None
    """The group's mixed-instances policy, None for a group of one instance type."""
    live: Mapping[str, int]
    warm: Mapping[str, int]
    has_warm_pool: bool
    refreshes: tuple[Refresh, ...]
    """The newest first."""
    target_group_arns: tuple[str, ...]

    @property
    def running(self) -> Refresh | None:
        """The refresh that is under way: a group has one at most."""
        return next((one for one in self.refreshes if one.running), None)

    def outdated(self, template_version: str) -> tuple[int, int]:
        """How many nodes, in service and in the warm pool, came from another version of the template."""
        live, warm = (
            sum(count for version, count in pool.items() if version != template_version)
            for pool in (self.live, self.warm)
        )
        return live, warm

    def desired(self, template_version: str) -> dict[str, Any]:
        """What the group is to be after a refresh: as it is, from another version of the template."""
        named = {"LaunchTemplateId": self.template_id, "Version": template_version}
        if self.mixed_policy is None:
            return {"LaunchTemplate": named}
        template = {**self.mixed_policy["LaunchTemplate"], "LaunchTemplateSpecification": named}
        return {"MixedInstancesPolicy": {**self.mixed_policy, "LaunchTemplate": template}}


def look(autoscaling: Any, name: str) -> Fleet:
    """Describe a group. Raises InvalidField where there is none, RepositoryError where its template has no number."""
    groups = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    if not groups:
        raise InvalidField(f"group {name} is not in the account; `pulumi up` makes it, or name another --stack")
    (group,) = groups
    policy = group.get("MixedInstancesPolicy")
    template = policy["LaunchTemplate"]["LaunchTemplateSpecification"] if policy else group["LaunchTemplate"]
    if not str(template.get("Version", "")).isdigit():
        raise RepositoryError(
            f"group {name} launches version {template.get('Version')!r} of its template, which cannot be "
            "rolled back to; run `pulumi up`, which names a number"
        )
    pool = autoscaling.describe_warm_pool(AutoScalingGroupName=name)
    found = autoscaling.describe_instance_refreshes(AutoScalingGroupName=name)["InstanceRefreshes"]
    return Fleet(
        group_name=name,
        template_id=template["LaunchTemplateId"],
        template_version=template["Version"],
        mixed_policy=policy,
        live=_by_version(group["Instances"]),
        warm=_by_version(pool.get("Instances", [])),
        has_warm_pool="WarmPoolConfiguration" in pool,
        refreshes=tuple(_refresh(one) for one in found),
        target_group_arns=tuple(group.get("TargetGroupARNs", [])),
    )


def served_version(ec2: Any, fleet: Fleet) -> str:
    """The model version that nodes of the group's current template serve."""
    return _found_version(_decoded(_template(ec2, fleet.template_id, fleet.template_version)), fleet)[2]


def template_for(ec2: Any, fleet: Fleet, version: str, *, make: bool) -> str | None:
    """The launch-template version that is the group's own but for the model version: one that is there, or a new one.

    None where there is none and `make` is False. Making it twice is the same as once: the request carries a token.
    """
    current = _template(ec2, fleet.template_id, fleet.template_version)
    text = _decoded(current)
    found = _found_version(text, fleet)
    if found[2] == version:
        return fleet.template_version
    wanted = text[: found.start(2)] + version + text[found.end(2) :]
    rest = {key: value for key, value in current.items() if key != "UserData"}
    for page in ec2.get_paginator("describe_launch_template_versions").paginate(LaunchTemplateId=fleet.template_id):
        for one in page["LaunchTemplateVersions"]:
            data = one["LaunchTemplateData"]
            others = {key: value for key, value in data.items() if key != "UserData"}
            if others == rest and _decoded(data) == wanted:
                return str(one["VersionNumber"])
    if not make:
        return None
    digest = hashlib.sha256(f"{fleet.template_id} {fleet.template_version} {wanted}".encode()).hexdigest()
    made = ec2.create_launch_template_version(
        LaunchTemplateId=fleet.template_id,
        SourceVersion=fleet.template_version,
        VersionDescription=f"model version {version}, by ferry models rollout",
        LaunchTemplateData={"UserData": base64.b64encode(wanted.encode()).decode()},
        ClientToken=digest[:64],
    )
    return str(made["LaunchTemplateVersion"]["VersionNumber"])


def rollback_alarm(cloudwatch: Any, fleet: Fleet) -> str:
    """The alarm that undoes a refresh: unhealthy nodes in the fleet's own target group.

    Raises RepositoryError where there is none, since a refresh without it would go on over unhealthy nodes.
    """
    suffixes = {arn.rpartition(":")[2] for arn in fleet.target_group_arns}
    for page in cloudwatch.get_paginator("describe_alarms").paginate(AlarmTypes=["MetricAlarm"]):
        for alarm in page["MetricAlarms"]:
            dimensions = {one["Name"]: one["Value"] for one in alarm.get("Dimensions", [])}
            if (
                alarm.get("MetricName") == "UnHealthyHostCount"
                and alarm.get("Namespace") == "AWS/ApplicationELB"
                and dimensions.get("TargetGroup") in suffixes
            ):
                return str(alarm["AlarmName"])
    raise RepositoryError(
        f"group {fleet.group_name} has no alarm on unhealthy nodes of its target group, so nothing would undo a bad "
        "rollout; `pulumi up` makes it"
    )


def _by_version(instances: list[Mapping[str, Any]]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for one in instances:
        version = one.get("LaunchTemplate", {}).get("Version", "none")
        counted[version] = counted.get(version, 0) + 1
    return counted


def _refresh(described: Mapping[str, Any]) -> Refresh:
    desired = described.get("DesiredConfiguration", {})
    mixed = desired.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("LaunchTemplateSpecification", {})
    return Refresh(
        id=described["InstanceRefreshId"],
        status=described["Status"],
        percent=described.get("PercentageComplete", 0),
        reason=described.get("StatusReason", ""),
        target=desired.get("LaunchTemplate", mixed).get("Version"),
    )


def _template(ec2: Any, template_id: str, version: str) -> dict[str, Any]:
    found = ec2.describe_launch_template_versions(LaunchTemplateId=template_id, Versions=[version])
    data: dict[str, Any] = found["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    return data


def _decoded(data: Mapping[str, Any]) -> str:
    return base64.b64decode(data.get("UserData", "")).decode("utf-8", "replace")


def _found_version(text: str, fleet: Fleet) -> re.Match[str]:
    found = list(VERSION_LINE.finditer(text))
    if len(found) != 1:
        raise RepositoryError(
            f"user data of {fleet.template_id} version {fleet.template_version} names a model version {len(found)} "
            "times, expected is once, as `pulumi up` writes it: run that first"
        )
    return found[0]
