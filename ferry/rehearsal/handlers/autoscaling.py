"""Auto Scaling: groups and what belongs to them.

moto 5.2.5 stores scaling policies and does not run them, and a schedule of the same name in a second group takes
the place of the first.
"""

from __future__ import annotations

from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, creates

UNCHANGED = -1
"""The provider's word for a size that a schedule leaves as it is."""


@creates("aws:autoscaling/group:Group", fixed=("name", "namePrefix", "initialLifecycleHooks"))
def group(account: Account, inputs: Inputs) -> Created:
    """`CreateAutoScalingGroup`, then what the provider sets in calls of its own: hooks, warm pool, metrics."""
    region = inputs.region
    autoscaling = account.client("autoscaling", region)
    name = inputs.autoname("name", 255)
    request: dict[str, Any] = {
        "AutoScalingGroupName": name,
        "TargetGroupARNs": inputs.take("targetGroupArns"),
        "Tags": tags(inputs),
        **settings(inputs),
    }
    inputs.skip("capacityReservationSpecification", "capacity reservations are missing in moto 5.2.5")
    inputs.skip("instanceRefresh", "concerns later changes only")
    inputs.skip("waitForCapacityTimeout", "concerns waiting only")
    autoscaling.create_auto_scaling_group(**{key: value for key, value in request.items() if value is not None})
    for hook in inputs.each("initialLifecycleHooks"):
        # moto 5.2.5 ignores `LifecycleHookSpecificationList` of the call above.
        _put_hook(autoscaling, name, hook.take("name"), hook)
    if pool := inputs.nested("warmPool"):
        autoscaling.put_warm_pool(**warm_pool(name, pool))
    metrics, granularity = inputs.take("enabledMetrics"), inputs.take("metricsGranularity", "1Minute")
    if metrics:
        autoscaling.enable_metrics_collection(AutoScalingGroupName=name, Metrics=metrics, Granularity=granularity)
    made = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]
    return Created(name, {"arn": made["AutoScalingGroupARN"], "name": name})


SETTINGS = {
    "minSize": "MinSize",
    "maxSize": "MaxSize",
    "desiredCapacity": "DesiredCapacity",
    "vpcZoneIdentifiers": "VPCZoneIdentifier",
    "launchTemplate": "LaunchTemplate",
    "mixedInstancesPolicy": "MixedInstancesPolicy",
    "capacityRebalance": "CapacityRebalance",
    "healthCheckType": "HealthCheckType",
    "healthCheckGracePeriod": "HealthCheckGracePeriod",
}
"""Properties of a group to the fields that creating and updating it share."""


def settings(inputs: Inputs) -> dict[str, Any]:
    """What `CreateAutoScalingGroup` and `UpdateAutoScalingGroup` take alike, by the names of `SETTINGS`."""
    return {
        "MinSize": inputs.take("minSize"),
        "MaxSize": inputs.take("maxSize"),
        "DesiredCapacity": inputs.take("desiredCapacity"),
        "VPCZoneIdentifier": ",".join(inputs.take("vpcZoneIdentifiers", [])),
        "LaunchTemplate": _template(inputs.nested("launchTemplate")),
        "MixedInstancesPolicy": _mixed(inputs.nested("mixedInstancesPolicy")),
        "CapacityRebalance": inputs.take("capacityRebalance"),
        "HealthCheckType": inputs.take("healthCheckType"),
        "HealthCheckGracePeriod": inputs.take("healthCheckGracePeriod"),
    }


def tags(inputs: Inputs) -> list[dict[str, Any]]:
    """A group's tags, each of which says whether its instances carry it, too."""
    return [
        {"Key": tag.take("key"), "Value": tag.take("value"), "PropagateAtLaunch": tag.take("propagateAtLaunch")}
        for tag in inputs.each("tags")
    ]


def _template(template: Inputs | None) -> dict[str, Any] | None:
    if template is None:
        return None
    return {"LaunchTemplateId": template.take("id"), "Version": template.take("version")}


def _mixed(policy: Inputs | None) -> dict[str, Any] | None:
    if policy is None:
        return None
    sent: dict[str, Any] = {}
    if template := policy.nested("launchTemplate"):
        specification = template.nested("launchTemplateSpecification")
        sent["LaunchTemplate"] = {
            "LaunchTemplateSpecification": specification
            and {
                "LaunchTemplateId": specification.take("launchTemplateId"),
                "Version": specification.take("version"),
            },
            "Overrides": [{"InstanceType": override.take("instanceType")} for override in template.each("overrides")],
        }
    if distribution := policy.nested("instancesDistribution"):
        sent["InstancesDistribution"] = {
            "OnDemandAllocationStrategy": distribution.take("onDemandAllocationStrategy"),
            "OnDemandBaseCapacity": distribution.take("onDemandBaseCapacity"),
            "OnDemandPercentageAboveBaseCapacity": distribution.take("onDemandPercentageAboveBaseCapacity"),
            "SpotAllocationStrategy": distribution.take("spotAllocationStrategy"),
        }
    return sent


def warm_pool(group_name: str, pool: Inputs) -> dict[str, Any]:
    """The request of `PutWarmPool`."""
    request: dict[str, Any] = {
        "AutoScalingGroupName": group_name,
        "MinSize": pool.take("minSize"),
        "PoolState": pool.take("poolState"),
    }
    if reuse := pool.nested("instanceReusePolicy"):
        request["InstanceReusePolicy"] = {"ReuseOnScaleIn": reuse.take("reuseOnScaleIn")}
    return request


def _put_hook(autoscaling: Any, group_name: str, name: str, hook: Inputs) -> None:
    autoscaling.put_lifecycle_hook(
        AutoScalingGroupName=group_name,
        LifecycleHookName=name,
        LifecycleTransition=hook.take("lifecycleTransition"),
        DefaultResult=hook.take("defaultResult", "ABANDON"),
        HeartbeatTimeout=hook.take("heartbeatTimeout", 3600),
    )


@creates("aws:autoscaling/lifecycleHook:LifecycleHook", fixed=("name", "autoscalingGroupName"), again=True)
def lifecycle_hook(account: Account, inputs: Inputs) -> Created:
    """`PutLifecycleHook`, which also changes a hook that is there."""
    name = inputs.autoname("name", 255)
    autoscaling = account.client("autoscaling", inputs.region)
    _put_hook(autoscaling, inputs.take("autoscalingGroupName"), name, inputs)
    return Created(name, {"name": name})


@creates("aws:autoscaling/policy:Policy", fixed=("name", "autoscalingGroupName"), again=True)
def policy(account: Account, inputs: Inputs) -> Created:
    """`PutScalingPolicy`, of the kinds StepScaling and TargetTrackingScaling."""
    autoscaling = account.client("autoscaling", inputs.region)
    name, group_name = inputs.autoname("name", 255), inputs.take("autoscalingGroupName")
    request: dict[str, Any] = {
        "PolicyType": inputs.take("policyType"),
        "AdjustmentType": inputs.take("adjustmentType"),
        "EstimatedInstanceWarmup": inputs.take("estimatedInstanceWarmup"),
        "TargetTrackingConfiguration": _target_tracking(inputs.nested("targetTrackingConfiguration")),
    }
    if request["TargetTrackingConfiguration"] is None:
        request |= {
            "MetricAggregationType": inputs.take("metricAggregationType", "Average"),
            "StepAdjustments": [_step(step) for step in inputs.each("stepAdjustments")],
        }
    autoscaling.put_scaling_policy(
        AutoScalingGroupName=group_name,
        PolicyName=name,
        **{key: value for key, value in request.items() if value is not None},
    )
    # moto 5.2.5 leaves the ARN out of the answer to the call above.
    made = autoscaling.describe_policies(AutoScalingGroupName=group_name, PolicyNames=[name])["ScalingPolicies"][0]
    return Created(name, {"arn": made["PolicyARN"], "name": name})


def _target_tracking(configuration: Inputs | None) -> dict[str, Any] | None:
    if configuration is None:
        return None
    sent: dict[str, Any] = {"TargetValue": float(configuration.take("targetValue"))}
    if metric := configuration.nested("predefinedMetricSpecification"):
        sent["PredefinedMetricSpecification"] = {"PredefinedMetricType": metric.take("predefinedMetricType")}
    return sent


def _step(step: Inputs) -> dict[str, Any]:
    sent: dict[str, Any] = {"ScalingAdjustment": step.take("scalingAdjustment")}
    for given, name in (
        ("metricIntervalLowerBound", "MetricIntervalLowerBound"),
        ("metricIntervalUpperBound", "MetricIntervalUpperBound"),
    ):
        bound = step.take(given)
        if bound not in (None, ""):
            sent[name] = float(bound)
    return sent


@creates("aws:autoscaling/schedule:Schedule", fixed=("scheduledActionName", "autoscalingGroupName"), again=True)
def schedule(account: Account, inputs: Inputs) -> Created:
    """`PutScheduledUpdateGroupAction`."""
    region = inputs.region
    name, group_name = inputs.take("scheduledActionName"), inputs.take("autoscalingGroupName")
    sizes = {
        "MinSize": inputs.take("minSize", 0),
        "MaxSize": inputs.take("maxSize", 0),
        "DesiredCapacity": inputs.take("desiredCapacity", 0),
    }
    account.client("autoscaling", region).put_scheduled_update_group_action(
        AutoScalingGroupName=group_name,
        ScheduledActionName=name,
        Recurrence=inputs.take("recurrence"),
        TimeZone=inputs.take("timeZone", "Etc/UTC"),
        **{size: value for size, value in sizes.items() if value != UNCHANGED},
    )
    resource = f"scheduledUpdateGroupAction:*:autoScalingGroupName/{group_name}:scheduledActionName/{name}"
    return Created(
        name,
        {"arn": f"arn:{account.partition}:autoscaling:{region or account.region}:{account.account_id}:{resource}"},
    )
