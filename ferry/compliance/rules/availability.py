"""What keeps the service there when something fails, and who hears of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ferry.compliance.resource import Context, Resource, Seen, of_type
from ferry.compliance.rule import stack_rule
from ferry.compliance.rules.buckets import BUCKET

GROUP = "aws:autoscaling/group:Group"
BALANCER = "aws:lb/loadBalancer:LoadBalancer"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
REPLICATION = "aws:s3/bucketReplicationConfig:BucketReplicationConfig"


@stack_rule(
    "spread-over-zones",
    zh="负载均衡器与节点分布于两个以上可用区",
    clauses=["8.1.2.1 e", "8.1.4.9 c"],
    remedy="give it subnets in two or more availability zones",
)
def spread_over_zones(resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    """Load balancers and auto-scaling groups stand in two or more zones."""
    zones = {one.id: one.get("availabilityZone") for one in of_type(resources, "aws:ec2/subnet:Subnet")}
    if not zones:
        return  # the network is not the stack's own
    for one in of_type(resources, GROUP, BALANCER):
        path = "subnets" if one.type == BALANCER else "vpcZoneIdentifiers"
        reached = sorted({zones.get(subnet, "?") for subnet in one.get(path, [])})
        yield one.seen(path, len(reached) >= 2, reached)


@stack_rule(
    "fleet-redundant",
    zh="三级系统的推理节点组至少保持两台节点",
    clauses=["8.1.2.1 e", "8.1.4.9 c"],
    remedy="set the min_size of the fleet to 2 or more",
)
def fleet_redundant(resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    """In a system of MLPS level 3, every group keeps two nodes or more, so that one may fail."""
    if context.profile == "mlps-l3":
        for group in of_type(resources, GROUP):
            yield group.seen("minSize", int(group.get("minSize", 0)) >= 2)


@stack_rule(
    "fleet-scales",
    zh="推理节点组按负载扩容，并由告警触发",
    clauses=["8.1.2.1 a/b"],
    remedy="give the group a scaling policy with an alarm, and a maxSize above its minSize",
)
def fleet_scales(resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    """Every group can grow, and has a scaling policy that an alarm sets off."""
    policies = list(of_type(resources, "aws:autoscaling/policy:Policy"))
    for group in of_type(resources, GROUP):
        room = int(group.get("maxSize", 0)) > int(group.get("minSize", 0))
        yield group.seen("maxSize", room, f"{group.get('minSize')}-{group.get('maxSize')}")
        own = [one for one in policies if one.get("autoscalingGroupName") == (group.get("name") or group.id)]
        yield group.seen("scalingPolicies", bool(own), [one.name for one in own] or "absent")


@stack_rule(
    "alarms-reach-somebody",
    zh="告警通过 SNS 主题送达指定人员",
    clauses=["8.1.5.4"],
    remedy="give the alarm a topic in alarmActions, and the topic a subscription",
)
def alarms_reach_somebody(resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    """Alarms go to a topic that somebody is subscribed to."""
    heard = {one.get("topic") for one in of_type(resources, "aws:sns/topicSubscription:TopicSubscription")}
    reaching = [one for one in of_type(resources, ALARM) if set(one.get("alarmActions", [])) & heard]
    total = sum(1 for _ in of_type(resources, ALARM))
    if total:
        yield Seen(
            "the stack", f"{ALARM} alarmActions", f"{len(reaching)} of {total} reach a subscribed topic", bool(reaching)
        )


@stack_rule(
    "models-replicated",
    zh="三级系统的模型异地实时复制到另一境内区域",
    clauses=["8.1.4.9 b"],
    remedy="name a replica region in model_repository.replica_region",
)
def models_replicated(resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    """A system of MLPS level 3 replicates its models into a second region."""
    if context.profile != "mlps-l3":
        return
    regions = {one.id: one.get("region", context.region) for one in of_type(resources, BUCKET)}
    ways = [
        (regions.get(one.get("bucket")), regions.get(str(each["destination"]["bucket"]).rpartition(":")[2]))
        for one in of_type(resources, REPLICATION)
        for each in one.get("rules", [])
        if each.get("status") == "Enabled"
    ]
    elsewhere = [f"{source} to {target}" for source, target in ways if target and source != target]
    yield Seen("the stack", REPLICATION, ", ".join(elsewhere) or "none", bool(elsewhere))
