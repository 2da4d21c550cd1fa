"""Who did what is recorded, everywhere, and whoever stops the record is noticed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from ferry.compliance.resource import Context, Resource, Seen, of_type
from ferry.compliance.rule import excepted, rule, stack_rule
from ferry.compliance.rules.buckets import BUCKET, LOGGING, log_targets, settings_of, trail_buckets

TRAIL = "aws:cloudtrail/trail:Trail"
RULE = "aws:cloudwatch/eventRule:EventRule"
TARGET = "aws:cloudwatch/eventTarget:EventTarget"
STOPS_A_TRAIL = ("StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors")


@stack_rule(
    "trail-there",
    zh="账户设有 CloudTrail 跟踪",
    clauses=["8.1.4.3 a", "8.1.4.3 b", "8.2.3.3"],
    remedy="give the stack a trail (components.audit_archive)",
)
def trail_there(resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    """The stack has a trail."""
    trails = [one.name for one in of_type(resources, TRAIL)]
    yield Seen("the stack", TRAIL, ", ".join(trails) or "none", bool(trails))


@rule(
    "trail-everywhere",
    zh="跟踪覆盖所有区域与全局服务，且处于记录状态",
    clauses=["8.1.4.3 a", "8.2.3.3"],
    types=[TRAIL],
    remedy="set isMultiRegionTrail and includeGlobalServiceEvents to true, and leave enableLogging on",
)
def trail_everywhere(trail: Resource, context: Context) -> Iterator[Seen]:
    """The trail records every region and the global services, and is switched on."""
    yield trail.seen("isMultiRegionTrail", trail.get("isMultiRegionTrail") is True)
    yield trail.seen("includeGlobalServiceEvents", trail.get("includeGlobalServiceEvents", True) is True)
    yield trail.seen("enableLogging", trail.get("enableLogging", True) is True)


@rule(
    "trail-validates-files",
    zh="跟踪启用日志文件完整性校验",
    clauses=["8.1.4.3 c", "8.1.4.7 b"],
    types=[TRAIL],
    remedy="set enableLogFileValidation to true",
)
def trail_validates_files(trail: Resource, context: Context) -> Iterator[Seen]:
    """The trail signs digests of its files, so that a change of one is found."""
    yield trail.seen("enableLogFileValidation", trail.get("enableLogFileValidation") is True)


@rule(
    "trail-records-data",
    zh="跟踪记录管理事件及模型桶对象级读写",
    clauses=["8.1.4.3 a", "8.2.3.3"],
    types=[TRAIL],
    remedy="give the trail an event selector: readWriteType All, management events, and AWS::S3::Object for the models",
)
def trail_records_data(trail: Resource, context: Context) -> Iterator[Seen]:
    """The trail records all management events, and every read and write of the models."""
    selectors = trail.get("eventSelectors", [])
    managed = any(
        one.get("readWriteType", "All") == "All" and one.get("includeManagementEvents", True) is True
        for one in selectors
    )
    yield trail.seen("eventSelectors[].includeManagementEvents", managed, managed)
    objects = [
        value
        for one in selectors
        if one.get("readWriteType", "All") == "All"
        for data in one.get("dataResources") or []
        if data.get("type") == "AWS::S3::Object"
        for value in data.get("values") or []
    ]
    yield trail.seen("eventSelectors[].dataResources", bool(objects), objects or "absent")


@stack_rule(
    "trail-watched",
    zh="停止或修改跟踪的操作即时告警",
    clauses=["8.1.4.3 d"],
    remedy=f"give the stack an event rule on {', '.join(STOPS_A_TRAIL)} with a target",
)
def trail_watched(resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    """Whoever stops or changes the trail sets off an alarm."""
    if not trail_buckets(resources):
        return
    heard = {one.get("rule") for one in of_type(resources, TARGET)}
    watching = [
        one
        for one in of_type(resources, RULE)
        if one.get("state", "ENABLED") == "ENABLED" and one.id in heard and _names(one.get("eventPattern"))
    ]
    yield Seen(
        "the stack", f"{RULE} on {STOPS_A_TRAIL[0]}", ", ".join(one.name for one in watching) or "none", bool(watching)
    )


LOG_EXCEPTIONS = {
    "-tier-lb": "it sees connections and no requests, and each gateway behind it logs every request",
    "-tier-door-door": "AWS logs TLS listeners only, and the load balancer behind it logs every request",
}
"""Network load balancers without logs of their own, by the end of their tag `Name`:
https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-access-logs.html"""


@rule(
    "load-balancer-logs",
    zh="负载均衡器记录访问日志",
    clauses=["8.1.3.5 a", "8.1.4.3 b"],
    types=["aws:lb/loadBalancer:LoadBalancer"],
    remedy="set accessLogs.enabled to true and name a bucket",
)
def load_balancer_logs(balancer: Resource, context: Context) -> Iterator[Seen]:
    """Load balancers log every request, but for the network load balancers that are named with their reason."""
    enabled = balancer.get("accessLogs.enabled") is True
    why = excepted(balancer, LOG_EXCEPTIONS) if balancer.get("loadBalancerType") == "network" else None
    yield balancer.seen(
        "accessLogs.enabled", enabled or why is not None, f"off: {why}" if why and not enabled else None
    )


@stack_rule(
    "vpc-flow-logged",
    zh="每个 VPC 记录全部流量的流日志",
    clauses=["8.1.3.5 a"],
    remedy="give the VPC a FlowLog of trafficType ALL",
)
def vpc_flow_logged(resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    """Every VPC that the stack makes logs its flows, accepted and rejected."""
    for vpc in of_type(resources, "aws:ec2/vpc:Vpc"):
        kinds = [
            one.get("trafficType")
            for one in of_type(resources, "aws:ec2/flowLog:FlowLog")
            if one.get("vpcId") == vpc.id
        ]
        yield vpc.seen("flowLogs.trafficType", "ALL" in kinds, kinds or "absent")


@stack_rule(
    "bucket-access-logged",
    zh="存储桶（访问日志桶自身除外）记录访问日志",
    clauses=["8.1.4.3 a"],
    remedy="give the bucket a BucketLogging",
)
def bucket_access_logged(resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    """Every bucket in the stack's region logs who reads and writes it, but for the bucket that takes these logs."""
    targets = log_targets(resources)
    for bucket in of_type(resources, BUCKET):
        # S3 delivers access logs within a region only; reads of a replica are among the trail's data events.
        if bucket.id not in targets and bucket.get("region", context.region) == context.region:
            to = [one.get("targetBucket") for one in settings_of(bucket, resources, LOGGING)]
            yield bucket.seen("logging.targetBucket", bool(to), to or "absent")


def _names(pattern: Any) -> bool:
    """Whether an event pattern listens to every call that stops or changes a trail."""
    names = json.loads(pattern or "{}").get("detail", {}).get("eventName", [])
    return set(STOPS_A_TRAIL) <= {name for name in names if isinstance(name, str)}
