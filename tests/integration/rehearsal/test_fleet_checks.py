"""Each check of the fleets is proven by an account in which exactly it fails."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

Change = Callable[[Any], None]


def group_name(of: Any) -> str:
    return str(next(iter(of.stack.outputs["group_names"].values())))


def autoscaling(of: Any) -> Any:
    return of.account.client("autoscaling")


def group(of: Any) -> dict[str, Any]:
    (found,) = autoscaling(of).describe_auto_scaling_groups(AutoScalingGroupNames=[group_name(of)])["AutoScalingGroups"]
    return dict(found)


def update(**changes: Any) -> Change:
    return lambda of: autoscaling(of).update_auto_scaling_group(AutoScalingGroupName=group_name(of), **changes)


# ---- groups --------------------------------------------------------------------------------------------------------


def delete_a_fleet(of: Any) -> None:
    autoscaling(of).delete_auto_scaling_group(AutoScalingGroupName=group_name(of), ForceDelete=True)


def move_to_the_public_subnets(of: Any) -> None:
    update(VPCZoneIdentifier=",".join(of.stack.outputs["public_subnet_ids"]))(of)


def take_from_the_load_balancer(of: Any) -> None:
    autoscaling(of).detach_load_balancer_target_groups(
        AutoScalingGroupName=group_name(of), TargetGroupARNs=group(of)["TargetGroupARNs"]
    )


def change_the_mix(part: str, **changes: Any) -> Change:
    def change(of: Any) -> None:
        policy = group(of)["MixedInstancesPolicy"]
        del policy["LaunchTemplate"]["LaunchTemplateSpecification"]["LaunchTemplateName"]  # its id is enough
        policy[part] |= changes
        update(MixedInstancesPolicy=policy)(of)

    return change


def put_warm_pool(**changes: Any) -> Change:
    pool = {"MinSize": 2, "PoolState": "Stopped", "InstanceReusePolicy": {"ReuseOnScaleIn": True}, **changes}
    return lambda of: autoscaling(of).put_warm_pool(AutoScalingGroupName=group_name(of), **pool)


def delete_the_warm_pool(of: Any) -> None:
    autoscaling(of).delete_warm_pool(AutoScalingGroupName=group_name(of))


def put_schedule(**changes: Any) -> Change:
    office = {
        "ScheduledActionName": "ferry-prod-r1-32b-office-hours",
        "Recurrence": "30 7 * * MON-FRI",
        "TimeZone": "America/New_York",
        "MinSize": 6,
        "MaxSize": 12,
        **changes,
    }
    return lambda of: autoscaling(of).put_scheduled_update_group_action(AutoScalingGroupName=group_name(of), **office)


def delete_a_schedule(of: Any) -> None:
    autoscaling(of).delete_scheduled_action(
        AutoScalingGroupName=group_name(of), ScheduledActionName="ferry-prod-r1-32b-night"
    )


def put_hook(**changes: Any) -> Change:
    hook = {
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
        "DefaultResult": "ABANDON",
        "HeartbeatTimeout": 1800,
        **changes,
    }
    return lambda of: autoscaling(of).put_lifecycle_hook(
        AutoScalingGroupName=group_name(of), LifecycleHookName=f"{group_name(of)}-boot", **hook
    )


def delete_the_hook(of: Any) -> None:
    autoscaling(of).delete_lifecycle_hook(
        AutoScalingGroupName=group_name(of), LifecycleHookName=f"{group_name(of)}-boot"
    )


def keep_a_tag_from_the_nodes(of: Any) -> None:
    autoscaling(of).create_or_update_tags(
        Tags=[
            {
                "ResourceId": group_name(of),
                "ResourceType": "auto-scaling-group",
                "Key": "owner",
                "Value": of.stack.settings.tags["owner"],
                "PropagateAtLaunch": False,
            }
        ]
    )


# ---- scaling -------------------------------------------------------------------------------------------------------


def policies(of: Any) -> dict[int, dict[str, Any]]:
    """By the change that they make."""
    found = autoscaling(of).describe_policies(AutoScalingGroupName=group_name(of))["ScalingPolicies"]
    return {policy["StepAdjustments"][0]["ScalingAdjustment"]: policy for policy in found}


def put_policy(adjustment: int, **changes: Any) -> Change:
    def change(of: Any) -> None:
        policy = policies(of)[adjustment]
        known = ("AdjustmentType", "PolicyType", "MetricAggregationType", "EstimatedInstanceWarmup", "StepAdjustments")
        autoscaling(of).put_scaling_policy(
            AutoScalingGroupName=group_name(of),
            PolicyName=policy["PolicyName"],
            **{name: policy[name] for name in known} | changes,
        )

    return change


ALARM = (
    "AlarmName", "ActionsEnabled", "AlarmActions", "OKActions", "ComparisonOperator", "DatapointsToAlarm",
    "EvaluationPeriods", "Threshold", "TreatMissingData", "Metrics", "MetricName", "Namespace", "Dimensions", "Period",
    "Statistic",
)  # fmt: skip


def put_alarm(name: str, edit: Callable[[dict[str, Any]], Any]) -> Change:
    """Change an alarm of the first fleet: `out`, `in` or `silent`."""

    def change(of: Any) -> None:
        cloudwatch = of.account.client("cloudwatch")
        version = of.stack.settings.model_versions[0].name
        (alarm,) = cloudwatch.describe_alarms(AlarmNamePrefix=f"ferry-{version}-scaling-{name}-")["MetricAlarms"]
        request = {key: alarm[key] for key in ALARM if key in alarm and alarm[key] not in (None, [])}
        edit(request)
        cloudwatch.put_metric_alarm(**request)

    return change


def read_the_sum(alarm: dict[str, Any]) -> None:
    for query in alarm["Metrics"]:
        if "MetricStat" in query:
            query["MetricStat"]["Stat"] = "Sum"


def forget_the_queue(alarm: dict[str, Any]) -> None:
    for query in alarm["Metrics"]:
        if "Expression" in query:
            query["Expression"] = "running / 64"


def delete_the_silence_alarm(of: Any) -> None:
    cloudwatch = of.account.client("cloudwatch")
    (alarm,) = cloudwatch.describe_alarms(AlarmNamePrefix="ferry-r1-32b-scaling-silent-")["MetricAlarms"]
    cloudwatch.delete_alarms(AlarmNames=[alarm["AlarmName"]])


# ---- nodes ---------------------------------------------------------------------------------------------------------


def relaunch(edit: Callable[[dict[str, Any]], Any]) -> Change:
    """Give the fleet a new version of its launch template."""

    def change(of: Any) -> None:
        ec2, named = of.account.client("ec2"), group(of)["LaunchTemplate"]
        (current,) = ec2.describe_launch_template_versions(
            LaunchTemplateId=named["LaunchTemplateId"], Versions=[named["Version"]]
        )["LaunchTemplateVersions"]
        data = current["LaunchTemplateData"]
        edit(data)
        made = ec2.create_launch_template_version(LaunchTemplateId=named["LaunchTemplateId"], LaunchTemplateData=data)
        number = str(made["LaunchTemplateVersion"]["VersionNumber"])
        update(LaunchTemplate={"LaunchTemplateId": named["LaunchTemplateId"], "Version": number})(of)

    return change


def boot_with(old: str, new: str) -> Change:
    def edit(data: dict[str, Any]) -> None:
        document = base64.b64decode(data["UserData"]).decode()
        assert old in document
        data["UserData"] = base64.b64encode(document.replace(old, new).encode()).decode()

    return relaunch(edit)


def start_from_another_image(of: Any) -> None:
    image = of.account.client("ec2").register_image(Name="another")["ImageId"]
    relaunch(lambda data: data.update(ImageId=image))(of)


def node_security_group(of: Any) -> str:
    ec2, named = of.account.client("ec2"), group(of)["LaunchTemplate"]
    (current,) = ec2.describe_launch_template_versions(
        LaunchTemplateId=named["LaunchTemplateId"], Versions=[named["Version"]]
    )["LaunchTemplateVersions"]
    return str(current["LaunchTemplateData"]["NetworkInterfaces"][0]["Groups"][0])


def admit(source: str) -> Change:
    return lambda of: of.account.client("ec2").authorize_security_group_ingress(
        GroupId=node_security_group(of),
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": source}]}],
    )


def let_nodes_out(of: Any) -> None:
    of.account.client("ec2").authorize_security_group_egress(
        GroupId=node_security_group(of),
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
    )


def role(of: Any) -> str:
    roles = of.account.client("iam").list_roles()["Roles"]
    return str(next(one["RoleName"] for one in roles if one["RoleName"].startswith("ferry-r1-32b-node-")))


def allowing(action: str, resource: str) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def allow(action: str, resource: str) -> Change:
    document = allowing(action, resource)
    return lambda of: of.account.client("iam").put_role_policy(
        RoleName=role(of), PolicyName="more", PolicyDocument=document
    )


def attach_a_managed_policy(of: Any) -> None:
    iam = of.account.client("iam")
    made = iam.create_policy(PolicyName="managed", PolicyDocument=allowing("s3:GetObject", "*"))["Policy"]
    iam.attach_role_policy(RoleName=role(of), PolicyArn=made["Arn"])


def take_the_rights_away(of: Any) -> None:
    iam = of.account.client("iam")
    (name,) = iam.list_role_policies(RoleName=role(of))["PolicyNames"]
    iam.delete_role_policy(RoleName=role(of), PolicyName=name)


KNOWN_BAD = "no node starts an image that is known to be bad"
"""Of patching, proven here because it reads what the fleets' nodes boot with."""

BROKEN: dict[str, tuple[str, str, Change]] = {
    "a fleet is gone": ("staging", "each version has a fleet", delete_a_fleet),
    "nodes start an engine that must not run": (
        "prod", KNOWN_BAD,
        boot_with("vllm-openai:v0.33.0", "vllm-openai:v0.11.0"),
    ),
    "nodes start an engine of unknown version": (
        "prod", KNOWN_BAD,
        boot_with("vllm-openai:v0.33.0", "vllm-openai:latest"),
    ),
    "a fleet may grow further": ("prod", "fleets have the sizes of the stack", update(MaxSize=13)),
    "a fleet may shrink further": ("prod", "fleets have the sizes of the stack", update(MinSize=2)),
    "nodes move to the public subnets": (
        "prod", "fleets lie in the private subnets", move_to_the_public_subnets,
    ),
    "nodes get no requests": ("prod", "fleets serve the traffic of their version", take_from_the_load_balancer),
    "dead nodes stay": ("prod", "fleets replace nodes that do not answer", update(HealthCheckType="EC2")),
    "the base is gone": (
        "staging", "fleets buy capacity as the stack says",
        change_the_mix("InstancesDistribution", OnDemandBaseCapacity=0),
    ),
    "all is spot": (
        "staging", "fleets buy capacity as the stack says",
        change_the_mix("InstancesDistribution", OnDemandPercentageAboveBaseCapacity=0),
    ),
    "spot is bought by price alone": (
        "staging", "fleets buy capacity as the stack says",
        change_the_mix("InstancesDistribution", SpotAllocationStrategy="lowest-price"),
    ),
    "another type is launched": (
        "staging", "fleets buy capacity as the stack says",
        change_the_mix("LaunchTemplate", Overrides=[{"InstanceType": "g5.xlarge"}]),
    ),
    "production buys spot": (
        "prod", "fleets buy capacity as the stack says",
        relaunch(lambda data: data.update(InstanceMarketOptions={"MarketType": "spot"})),
    ),
    "the warm pool is gone": ("prod", "fleets keep the warm pool of the stack", delete_the_warm_pool),
    "the warm pool runs": ("prod", "fleets keep the warm pool of the stack", put_warm_pool(PoolState="Running")),
    "the warm pool is smaller": ("prod", "fleets keep the warm pool of the stack", put_warm_pool(MinSize=1)),
    "warm nodes are thrown away": (
        "prod", "fleets keep the warm pool of the stack",
        put_warm_pool(InstanceReusePolicy={"ReuseOnScaleIn": False}),
    ),
    "a schedule is gone": ("prod", "fleets follow the schedules of the stack", delete_a_schedule),
    "a schedule forgets its time zone": (
        "prod", "fleets follow the schedules of the stack", put_schedule(TimeZone="Etc/UTC"),
    ),
    "a schedule sets other sizes": ("prod", "fleets follow the schedules of the stack", put_schedule(MinSize=5)),
    "a schedule sets the desired capacity": (
        "prod", "fleets follow the schedules of the stack", put_schedule(DesiredCapacity=6),
    ),
    "the hook is gone": ("prod", "a node that does not boot is abandoned", delete_the_hook),
    "the hook lets dead nodes in": (
        "prod", "a node that does not boot is abandoned", put_hook(DefaultResult="CONTINUE"),
    ),
    "the hook waits less": ("prod", "a node that does not boot is abandoned", put_hook(HeartbeatTimeout=600)),
    "nodes lack a tag": ("prod", "fleets tag their nodes", keep_a_tag_from_the_nodes),
    "one node is added": (
        "prod", "fleets scale by the numbers of the stack",
        put_policy(2, StepAdjustments=[{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}]),
    ),
    "the step begins later": (
        "prod", "fleets scale by the numbers of the stack",
        put_policy(2, StepAdjustments=[{"MetricIntervalLowerBound": 0.1, "ScalingAdjustment": 2}]),
    ),
    "percent are removed": (
        "prod", "fleets scale by the numbers of the stack", put_policy(-1, AdjustmentType="PercentChangeInCapacity"),
    ),
    "a node is warm at once": (
        "prod", "fleets scale by the numbers of the stack", put_policy(2, EstimatedInstanceWarmup=0),
    ),
    "the threshold is higher": (
        "prod", "fleets scale by the numbers of the stack",
        put_alarm("out", lambda alarm: alarm.update(Threshold=0.95)),
    ),
    "one datapoint removes a node": (
        "prod", "fleets scale by the numbers of the stack",
        put_alarm("in", lambda alarm: alarm.update(EvaluationPeriods=1, DatapointsToAlarm=1)),
    ),
    "the alarm is switched off": (
        "prod", "fleets scale by the numbers of the stack",
        put_alarm("out", lambda alarm: alarm.update(ActionsEnabled=False)),
    ),
    "load is a sum": ("prod", "fleets scale on the load of their own nodes", put_alarm("out", read_the_sum)),
    "load forgets the queue": (
        "prod", "fleets scale on the load of their own nodes", put_alarm("out", forget_the_queue),
    ),
    "no data removes nodes": (
        "prod", "fleets scale on the load of their own nodes",
        put_alarm("in", lambda alarm: alarm.update(TreatMissingData="breaching")),
    ),
    "nodes send to another namespace": (
        "prod", "nodes send the metrics that scale their fleet", boot_with('"Ferry/Inference"', '"Elsewhere"'),
    ),
    "nodes send for another group": (
        "prod", "nodes send the metrics that scale their fleet",
        boot_with("AutoScalingGroupName: ferry-prod-r1-32b", "AutoScalingGroupName: another"),
    ),
    "nodes do not send their queue": (
        "prod", "nodes send the metrics that scale their fleet",
        boot_with("^vllm:num_requests_waiting$", "^vllm:waiting$"),
    ),
    "silence is not noticed": (
        "prod", "a fleet that reports nothing raises an alarm", delete_the_silence_alarm,
    ),
    "silence counts as load": (
        "prod", "a fleet that reports nothing raises an alarm",
        put_alarm("silent", lambda alarm: alarm.update(TreatMissingData="notBreaching")),
    ),
    "nodes start from another image": ("prod", "nodes start from the image of the stack", start_from_another_image),
    "metadata without a token": (
        "prod", "nodes answer metadata requests with a token only",
        relaunch(lambda data: data["MetadataOptions"].update(HttpTokens="optional")),
    ),
    "metadata for containers": (
        "prod", "nodes answer metadata requests with a token only",
        relaunch(lambda data: data["MetadataOptions"].update(HttpPutResponseHopLimit=2)),
    ),
    "a volume is not encrypted": (
        "prod", "nodes have encrypted volumes",
        relaunch(lambda data: data["BlockDeviceMappings"][0]["Ebs"].update(Encrypted=False)),
    ),
    "a second volume is not encrypted": (
        "prod", "nodes have encrypted volumes",
        relaunch(
            lambda data: data["BlockDeviceMappings"].append(
                {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 10, "VolumeType": "gp3"}}
            )
        ),
    ),
    "nodes have a public address": (
        "prod", "nodes have no public address",
        relaunch(lambda data: data["NetworkInterfaces"][0].update(AssociatePublicIpAddress=True)),
    ),
    "the subnet decides on the address": (
        "prod", "nodes have no public address",
        relaunch(lambda data: data["NetworkInterfaces"][0].pop("AssociatePublicIpAddress")),
    ),
    "volumes are not tagged": (
        "prod", "volumes and addresses of nodes are tagged",
        relaunch(
            lambda data: data.update(
                TagSpecifications=[one for one in data["TagSpecifications"] if one["ResourceType"] != "volume"]
            )
        ),
    ),
    "nodes take logins": ("prod", "nodes take requests from the gateway only", admit("10.60.0.0/16")),
    "nodes reach the internet": ("prod", "nodes reach only s3 and the endpoints", let_nodes_out),
    "nodes may read every bucket": (
        "prod", "nodes may do what serving needs and nothing else", allow("s3:GetObject", "*"),
    ),
    "nodes may do anything in S3": (
        "prod", "nodes may do what serving needs and nothing else", allow("s3:*", "arn:aws:s3:::ferry-models"),
    ),
    "nodes have a managed policy": (
        "prod", "nodes may do what serving needs and nothing else", attach_a_managed_policy,
    ),
    "nodes have no rights": ("prod", "nodes may do what serving needs and nothing else", take_the_rights_away),
}  # fmt: skip


@pytest.mark.parametrize(("environment", "check", "change"), BROKEN.values(), ids=BROKEN.keys())
def test_exactly_the_check_of_what_was_broken_fails(
    own_rehearsed: Callable[[str], Any],
    failed_checks: Callable[[Any], list[str]],
    environment: str,
    check: str,
    change: Change,
) -> None:
    stack = own_rehearsed(environment)
    change(stack)
    assert failed_checks(stack) == [check]


def test_every_check_of_the_fleets_is_proven() -> None:
    from ferry.rehearsal.checks import CHECKS, fleet_scaling, inference_fleet, inference_node

    modules = {module.__name__ for module in (fleet_scaling, inference_fleet, inference_node)}
    ours = {name for name, question in CHECKS.items() if question.__module__ in modules} | {KNOWN_BAD}
    assert {check for _, check, _ in BROKEN.values()} == ours
