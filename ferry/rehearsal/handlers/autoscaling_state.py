"""Auto Scaling, what is there: changing, reading and deleting what `autoscaling` creates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.rehearsal.handlers import Account, Inputs, State, autoscaling, deleted_by, deletes, first, reads, updates

GROUP = "aws:autoscaling/group:Group"
HOOK = "aws:autoscaling/lifecycleHook:LifecycleHook"
POLICY = "aws:autoscaling/policy:Policy"
SCHEDULE = "aws:autoscaling/schedule:Schedule"
NOT_SENT = ("instanceRefresh", "waitForCapacityTimeout", "capacityReservationSpecification")

deleted_by(
    HOOK, "autoscaling", "delete_lifecycle_hook", LifecycleHookName="id", AutoScalingGroupName="autoscalingGroupName"
)
deleted_by(POLICY, "autoscaling", "delete_policy", PolicyName="id", AutoScalingGroupName="autoscalingGroupName")
deleted_by(
    SCHEDULE,
    "autoscaling",
    "delete_scheduled_action",
    ScheduledActionName="id",
    AutoScalingGroupName="autoscalingGroupName",
)


@updates(
    GROUP,
    *autoscaling.SETTINGS,
    *NOT_SENT,
    "enabledMetrics",
    "metricsGranularity",
    "tags",
    "targetGroupArns",
    "warmPool",
)
def group_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """Only what differs is sent: between two runs, the size belongs to the scaling policies."""
    client, name = account.client("autoscaling", old.region), old.id
    wanted = autoscaling.settings(new)
    sent = {
        field: wanted[field]
        for given, field in autoscaling.SETTINGS.items()
        if old.inputs.get(given) != new.properties.get(given) and wanted[field] is not None
    }
    if sent:
        # moto 5.2.5 forgets the instance policy of a group when an update does not name it again.
        sent |= {key: wanted[key] for key in ("LaunchTemplate", "MixedInstancesPolicy") if wanted[key] is not None}
        client.update_auto_scaling_group(AutoScalingGroupName=name, **sent)
    _retag(client, old, autoscaling.tags(new))
    _reattach(client, name, old.inputs.get("targetGroupArns") or [], new.take("targetGroupArns", []))
    if pool := new.nested("warmPool"):
        client.put_warm_pool(**autoscaling.warm_pool(name, pool))
    elif old.inputs.get("warmPool"):
        client.delete_warm_pool(AutoScalingGroupName=name, ForceDelete=True)
    if metrics := new.take("enabledMetrics"):
        granularity = new.take("metricsGranularity", "1Minute")
        client.enable_metrics_collection(AutoScalingGroupName=name, Metrics=metrics, Granularity=granularity)
    return {}


def _retag(client: Any, old: State, tags: list[dict[str, Any]]) -> None:
    resource = {"ResourceId": old.id, "ResourceType": "auto-scaling-group"}
    kept = {tag["Key"] for tag in tags}
    gone = [{**resource, "Key": tag["key"]} for tag in old.inputs.get("tags") or [] if tag["key"] not in kept]
    if gone:
        client.delete_tags(Tags=gone)
    if tags:
        client.create_or_update_tags(Tags=[{**resource, **tag} for tag in tags])


def _reattach(client: Any, name: str, had: list[str], wanted: list[str]) -> None:
    if gone := [arn for arn in had if arn not in wanted]:
        client.detach_load_balancer_target_groups(AutoScalingGroupName=name, TargetGroupARNs=gone)
    if added := [arn for arn in wanted if arn not in had]:
        client.attach_load_balancer_target_groups(AutoScalingGroupName=name, TargetGroupARNs=added)


@reads(GROUP)
def read_group(account: Account, state: State) -> Mapping[str, Any]:
    """The group, its tags and its warm pool."""
    client = account.client("autoscaling", state.region)
    found = first(client.describe_auto_scaling_groups(AutoScalingGroupNames=[state.id])["AutoScalingGroups"])
    pool = client.describe_warm_pool(AutoScalingGroupName=state.id).get("WarmPoolConfiguration")
    template = found.get("LaunchTemplate")
    return {
        "name": found["AutoScalingGroupName"],
        "minSize": found["MinSize"],
        "maxSize": found["MaxSize"],
        "desiredCapacity": found["DesiredCapacity"],
        "vpcZoneIdentifiers": found.get("VPCZoneIdentifier", "").split(","),
        "targetGroupArns": found.get("TargetGroupARNs", []),
        "capacityRebalance": found.get("CapacityRebalance"),
        "healthCheckType": found.get("HealthCheckType"),
        "healthCheckGracePeriod": found.get("HealthCheckGracePeriod"),
        "launchTemplate": template and {"id": template["LaunchTemplateId"], "version": template.get("Version")},
        "warmPool": pool
        and {
            "minSize": pool.get("MinSize"),
            "poolState": pool.get("PoolState"),
            "instanceReusePolicy": {"reuseOnScaleIn": pool.get("InstanceReusePolicy", {}).get("ReuseOnScaleIn")},
        },
        "tags": [
            {"key": tag["Key"], "value": tag["Value"], "propagateAtLaunch": tag["PropagateAtLaunch"]}
            for tag in found.get("Tags", [])
        ],
    }


@deletes(GROUP)
def delete_group(account: Account, state: State) -> None:
    """With `ForceDelete`, where the provider scales in to nothing and waits: nothing runs here to wait for."""
    client = account.client("autoscaling", state.region)
    if state.get("warmPool"):
        client.delete_warm_pool(AutoScalingGroupName=state.id, ForceDelete=True)
    client.delete_auto_scaling_group(AutoScalingGroupName=state.id, ForceDelete=True)


@reads(HOOK)
def read_hook(account: Account, state: State) -> Mapping[str, Any]:
    """`DescribeLifecycleHooks` of one name."""
    found = first(
        account.client("autoscaling", state.region).describe_lifecycle_hooks(
            AutoScalingGroupName=state.get("autoscalingGroupName"), LifecycleHookNames=[state.id]
        )["LifecycleHooks"]
    )
    return {
        "lifecycleTransition": found["LifecycleTransition"],
        "defaultResult": found["DefaultResult"],
        "heartbeatTimeout": found["HeartbeatTimeout"],
    }


@reads(POLICY)
def read_policy(account: Account, state: State) -> Mapping[str, Any]:
    """`DescribePolicies` of one name."""
    found = first(
        account.client("autoscaling", state.region).describe_policies(
            AutoScalingGroupName=state.get("autoscalingGroupName"), PolicyNames=[state.id]
        )["ScalingPolicies"]
    )
    tracked = found.get("TargetTrackingConfiguration")
    return {
        "policyType": found["PolicyType"],
        "adjustmentType": found.get("AdjustmentType"),
        "metricAggregationType": found.get("MetricAggregationType"),
        "estimatedInstanceWarmup": found.get("EstimatedInstanceWarmup"),
        "stepAdjustments": [
            {
                "scalingAdjustment": step["ScalingAdjustment"],
                "metricIntervalLowerBound": step.get("MetricIntervalLowerBound"),
                "metricIntervalUpperBound": step.get("MetricIntervalUpperBound"),
            }
            for step in found.get("StepAdjustments", [])
        ],
        "targetTrackingConfiguration": tracked
        and {
            "targetValue": tracked["TargetValue"],
            "predefinedMetricSpecification": {
                "predefinedMetricType": tracked.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
            },
        },
    }


@reads(SCHEDULE)
def read_schedule(account: Account, state: State) -> Mapping[str, Any]:
    """`DescribeScheduledActions` of one name. A size that is left as it is is -1 to the provider."""
    found = first(
        account.client("autoscaling", state.region).describe_scheduled_actions(
            AutoScalingGroupName=state.get("autoscalingGroupName"), ScheduledActionNames=[state.id]
        )["ScheduledUpdateGroupActions"]
    )
    return {
        "recurrence": found.get("Recurrence"),
        "timeZone": found.get("TimeZone"),
        "minSize": found.get("MinSize", autoscaling.UNCHANGED),
        "maxSize": found.get("MaxSize", autoscaling.UNCHANGED),
        "desiredCapacity": found.get("DesiredCapacity", autoscaling.UNCHANGED),
    }
