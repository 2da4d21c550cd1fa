"""What the account says of its fleets, by describe calls: nothing here is taken from the stack's settings.

A drill works out from this what AWS would do, so that a wrong number, or a resource that is not there, shows in it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ferry.drills.scene import Scene
from ferry.errors import RehearsalError
from ferry.simulation import boot
from templates.engine_metrics import DIMENSION, ENGINES, NAMESPACE

_BATCH = re.compile(r"--max-(?:num-seqs|running-requests) (\d+)")
_LOAD = re.compile(r"\(running \+ waiting\) / (\d+(?:\.\d+)?)")


@dataclass(frozen=True, kw_only=True)
class HealthCheck:
    """Of a target group: how often it asks, and how often the answer has to be wrong."""

    interval_s: int
    failures: int

    @property
    def detects_s(self) -> int:
        """When a target that answers no more is out of service."""
        return self.interval_s * self.failures


@dataclass(frozen=True, kw_only=True)
class LoadAlarm:
    """An alarm on a fleet's load, with the policy that it runs. Loads count requests in flight over `batch`."""

    name: str
    batch: float
    threshold: float
    comparison: str
    period_s: int
    evaluation_periods: int
    datapoints: int
    treat_missing: str
    policy: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The group of one model version, and what belongs to it."""

    setting: str
    """Where the stack file decides about it: `model_versions[0]`."""
    version: str
    group: str
    min_size: int
    max_size: int
    desired: int
    instances: tuple[str, ...]
    """Of a mixed group the emulator starts one too few where a share is not whole; `desired` counts."""
    zones: tuple[str, ...]
    """Of its subnets, each once, in their order."""
    instance_types: tuple[str, ...]
    on_demand_base: int
    spot_percent: int
    rebalances: bool
    health_check_type: str
    grace_s: int
    boot_timeout_s: int | None
    """Of the launching hook that holds a new node back; None where there is none."""
    warm_pool: int | None
    target: HealthCheck | None
    volume_bytes_per_s: float
    volume: str
    batch: int
    """Requests that one engine works on at once, as its unit starts it."""
    load_alarms: tuple[LoadAlarm, ...]
    unread_alarms: tuple[str, ...]
    """Alarms that run a policy of this group, and why they would not see its load."""

    @property
    def is_replaced_by_verdict(self) -> bool:
        """Whether the load balancer's verdict makes the group replace a node."""
        return "ELB" in self.health_check_type.split(",")

    @property
    def spot(self) -> int:
        """How many of the nodes are Spot Instances.

        "OnDemandBaseCapacity" first, then the percentage, rounded up in favour of On-Demand.
        """
        base = min(self.on_demand_base, self.desired)
        return int((self.desired - base) * self.spot_percent / 100)

    @property
    def most_in_a_zone(self) -> int:
        """Nodes in the zone that has most of them. A group spreads them evenly; the emulator puts them anywhere."""
        return -(-self.desired // len(self.zones))


class Provisioned:
    """The account of a scene, asked once for each kind of thing."""

    def __init__(self, scene: Scene) -> None:
        self._account, self._scene = scene.account, scene

    @cached_property
    def fleets(self) -> list[Fleet]:
        """The group of each model version, in the order of the stack. Raises RehearsalError where one is gone."""
        names = self._scene.output("group_names")
        found = []
        for number, version in enumerate(self._scene.settings.model_versions):
            name = names[version.name]
            if name not in self._groups:
                raise RehearsalError(
                    f"model_versions[{number}].fleet: the account has no group {name} in {self._account.region}"
                )
            found.append(self._fleet(f"model_versions[{number}]", version.name, self._groups[name]))
        return found

    @cached_property
    def alarms(self) -> list[Mapping[str, Any]]:
        """Every metric alarm."""
        pages = self._account.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmTypes=["MetricAlarm"])
        return [alarm for page in pages for alarm in page["MetricAlarms"]]

    def alarms_on(self, metric: str, group: str) -> list[Mapping[str, Any]]:
        """Alarms on a metric of a group's nodes that tell somebody."""
        return [
            alarm
            for alarm in self.alarms
            if alarm.get("MetricName") == metric
            and alarm.get("Namespace") == NAMESPACE
            and {"Name": DIMENSION, "Value": group} in alarm["Dimensions"]
            and alarm["ActionsEnabled"]
            and alarm["AlarmActions"]
        ]

    @cached_property
    def _groups(self) -> dict[str, Mapping[str, Any]]:
        pages = self._account.client("autoscaling").get_paginator("describe_auto_scaling_groups").paginate()
        return {group["AutoScalingGroupName"]: group for page in pages for group in page["AutoScalingGroups"]}

    def _fleet(self, setting: str, version: str, group: Mapping[str, Any]) -> Fleet:
        autoscaling = self._account.client("autoscaling")
        name = group["AutoScalingGroupName"]
        hooks = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"]
        timeouts = {hook["LifecycleTransition"]: hook["HeartbeatTimeout"] for hook in hooks}
        template = self._template(group)
        split = group.get("MixedInstancesPolicy", {}).get("InstancesDistribution", {})
        overrides = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("Overrides", [])
        policies = autoscaling.describe_policies(AutoScalingGroupName=name)["ScalingPolicies"]
        volume_bytes_per_s, volume = _volume(template)
        alarms, unread = self._load_alarms(name, policies)
        return Fleet(
            setting=setting,
            version=version,
            group=name,
            min_size=group["MinSize"],
            max_size=group["MaxSize"],
            desired=group["DesiredCapacity"],
            instances=tuple(one["InstanceId"] for one in group["Instances"]),
            zones=self._zones(group),
            instance_types=tuple(one["InstanceType"] for one in overrides) or (template["InstanceType"],),
            on_demand_base=split.get("OnDemandBaseCapacity", 0),
            spot_percent=100 - split.get("OnDemandPercentageAboveBaseCapacity", 100),
            rebalances=bool(group.get("CapacityRebalance")),
            health_check_type=group["HealthCheckType"],
            grace_s=group["HealthCheckGracePeriod"],
            boot_timeout_s=timeouts.get("autoscaling:EC2_INSTANCE_LAUNCHING"),
            warm_pool=group["WarmPoolConfiguration"]["MinSize"] if group.get("WarmPoolConfiguration") else None,
            target=self._target(group),
            volume_bytes_per_s=volume_bytes_per_s,
            volume=volume,
            batch=_batch(template),
            load_alarms=alarms,
            unread_alarms=unread,
        )

    def _zones(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        subnets = self._account.client("ec2").describe_subnets(SubnetIds=group["VPCZoneIdentifier"].split(","))
        return tuple(dict.fromkeys(subnet["AvailabilityZone"] for subnet in subnets["Subnets"]))

    def _template(self, group: Mapping[str, Any]) -> Mapping[str, Any]:
        named = (
            group.get("LaunchTemplate")
            or group["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]
        )
        versions = self._account.client("ec2").describe_launch_template_versions(
            LaunchTemplateId=named["LaunchTemplateId"], Versions=[named["Version"]]
        )["LaunchTemplateVersions"]
        data: Mapping[str, Any] = versions[0]["LaunchTemplateData"]
        return data

    def _target(self, group: Mapping[str, Any]) -> HealthCheck | None:
        """The health check of the group's target group; None without one."""
        if not group["TargetGroupARNs"]:
            return None
        client = self._account.client("elbv2")
        [found] = client.describe_target_groups(TargetGroupArns=group["TargetGroupARNs"][:1])["TargetGroups"]
        return HealthCheck(interval_s=found["HealthCheckIntervalSeconds"], failures=found["UnhealthyThresholdCount"])

    def _load_alarms(
        self, group: str, policies: list[Mapping[str, Any]]
    ) -> tuple[tuple[LoadAlarm, ...], tuple[str, ...]]:
        read, unread = [], []
        for alarm, policy in self._runs(policies):
            why = _unseen(alarm, group)
            if why is None:
                read.append(_load_alarm(alarm, policy))
            else:
                unread.append(f"{alarm['AlarmName']} {why}")
        return tuple(read), tuple(unread)

    def _runs(self, policies: list[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        for policy in policies:
            for alarm in self.alarms:
                if alarm["ActionsEnabled"] and policy["PolicyARN"] in alarm["AlarmActions"]:
                    yield alarm, policy


def terminate(scene: Scene, instances: Sequence[str]) -> None:
    """End instances; the emulator's groups start others at once. EC2 takes no empty list."""
    if instances:
        scene.account.client("ec2").terminate_instances(InstanceIds=[*instances])


def _unseen(alarm: Mapping[str, Any], group: str) -> str | None:
    """Why an alarm does not see the load of a group; None where it does."""
    queries = {query["Id"]: query for query in alarm.get("Metrics", [])}
    if not any(_LOAD.fullmatch(query.get("Expression", "")) for query in queries.values()):
        return "watches something else than (running + waiting) / batch"
    names = [(engine.running, engine.waiting) for engine in ENGINES.values()]
    watched = []
    for name in ("running", "waiting"):
        metric = queries[name]["MetricStat"]["Metric"] if name in queries else {}
        if metric.get("Namespace") != NAMESPACE or metric.get("Dimensions") != [{"Name": DIMENSION, "Value": group}]:
            return f"watches {name} of something else than {group}"
        watched.append(metric["MetricName"])
    return None if tuple(watched) in names else f"watches {', '.join(watched)}, which no engine sends"


def _load_alarm(alarm: Mapping[str, Any], policy: Mapping[str, Any]) -> LoadAlarm:
    matches = (_LOAD.fullmatch(query.get("Expression", "")) for query in alarm["Metrics"])
    batch = next(float(found[1]) for found in matches if found)
    return LoadAlarm(
        name=alarm["AlarmName"],
        batch=batch,
        threshold=alarm["Threshold"],
        comparison=alarm["ComparisonOperator"],
        period_s=max(query["MetricStat"]["Period"] for query in alarm["Metrics"] if "MetricStat" in query),
        evaluation_periods=alarm["EvaluationPeriods"],
        datapoints=alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]),
        treat_missing=alarm.get("TreatMissingData", "missing"),
        policy=policy,
    )


def _volume(template: Mapping[str, Any]) -> tuple[float, str]:
    """Bytes a second of the root volume, and what it is. gp3 has a baseline (EBS User Guide)."""
    [volume] = template["BlockDeviceMappings"]
    throughput = int(volume["Ebs"].get("Throughput", boot.GP3_MIBPS))
    return throughput * 2**20, f"its {volume['Ebs'].get('VolumeType', 'gp3')} volume ({throughput} MiB/s)"


def _batch(template: Mapping[str, Any]) -> int:
    """The batch limit that the node's user data starts its engine with; the last one given counts."""
    return int(_BATCH.findall(base64.b64decode(template["UserData"]).decode())[-1])
