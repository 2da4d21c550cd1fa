"""What has to stay stays: locks, retention, versions, protection from deletion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ferry.compliance.resource import Context, Resource, Seen, of_type
from ferry.compliance.rule import rule, stack_rule
from ferry.compliance.rules.buckets import (
    BUCKET,
    LIFECYCLE,
    LOCK,
    VERSIONING,
    log_targets,
    settings_of,
    trail_buckets,
)

SIX_MONTHS_DAYS = 184
"""Cybersecurity Law (网络安全法) of 2017, article 21 (3): logs for six months or more; the longest have 184 days."""


@stack_rule(
    "audit-archive-locked",
    zh="审计归档桶启用合规模式的对象锁定，保留不少于 184 天",
    clauses=["8.1.4.3 c", "8.1.3.5 c"],
    remedy=f"set a default retention of mode COMPLIANCE and {SIX_MONTHS_DAYS} days or more on the trail's bucket",
)
def audit_archive_locked(resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    """The bucket of the trail keeps every file for 184 days or more, and nobody can shorten that."""
    targets = trail_buckets(resources)
    for bucket in of_type(resources, BUCKET):
        if bucket.id in targets and context.permanent:
            found = [one.get("rule.defaultRetention") for one in settings_of(bucket, resources, LOCK)]
            ok = any(
                one.get("mode") == "COMPLIANCE" and int(one.get("days") or 0) >= SIX_MONTHS_DAYS
                for one in found
                if one is not None
            )
            yield bucket.seen("objectLock.defaultRetention", ok, found or "absent")


@stack_rule(
    "bucket-versioned",
    zh="每个存储桶启用版本控制",
    clauses=["8.1.4.3 c", "8.1.4.7 b", "8.1.4.9 a"],
    remedy="give the bucket a BucketVersioning with status Enabled",
)
def bucket_versioned(resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    """Every bucket keeps the versions of its objects."""
    for bucket in of_type(resources, BUCKET):
        states = [one.get("versioningConfiguration.status") for one in settings_of(bucket, resources, VERSIONING)]
        yield bucket.seen("versioning", "Enabled" in states, states or "absent")


@stack_rule(
    "access-logs-kept",
    zh="访问日志至少保留 184 天",
    clauses=["8.1.4.3 c", "8.1.3.5 c"],
    remedy=f"let the lifecycle of the bucket of access logs expire objects after {SIX_MONTHS_DAYS} days or more",
)
def access_logs_kept(resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    """Access logs are kept for 184 days or more."""
    targets = log_targets(resources)
    for bucket in of_type(resources, BUCKET):
        if bucket.id in targets:
            days = [
                int(one["expiration"]["days"])
                for each in settings_of(bucket, resources, LIFECYCLE)
                for one in each.get("rules", [])
                if (one.get("expiration") or {}).get("days")
            ]
            yield bucket.seen("lifecycle.expiration.days", all(one >= SIX_MONTHS_DAYS for one in days), days or "never")


@rule(
    "log-group-kept",
    zh="日志组设定保留期；三级系统不少于 184 天",
    clauses=["8.1.4.3 c", "8.1.3.5 c"],
    types=["aws:cloudwatch/logGroup:LogGroup"],
    remedy=f"set retentionInDays; a system of MLPS level 3 keeps {SIX_MONTHS_DAYS} days or more",
)
def log_group_kept(group: Resource, context: Context) -> Iterator[Seen]:
    """Log groups say how long they keep: 184 days or more in a system of MLPS level 3."""
    days = int(group.get("retentionInDays", 0))
    yield group.seen("retentionInDays", days >= (SIX_MONTHS_DAYS if context.profile == "mlps-l3" else 1))


@rule(
    "load-balancer-kept",
    zh="负载均衡器启用删除保护",
    clauses=["8.1.4.9 a"],
    types=["aws:lb/loadBalancer:LoadBalancer"],
    remedy="set enableDeletionProtection to true",
)
def load_balancer_kept(balancer: Resource, context: Context) -> Iterator[Seen]:
    """Load balancers cannot be deleted by one call."""
    if context.permanent:
        yield balancer.seen("enableDeletionProtection", balancer.get("enableDeletionProtection") is True)


@rule(
    "bucket-kept",
    zh="存储桶受删除保护，且不可强制清空",
    clauses=["8.1.4.3 c", "8.1.4.9 a"],
    types=[BUCKET],
    remedy="set the resource option protect, and forceDestroy to false",
)
def bucket_kept(bucket: Resource, context: Context) -> Iterator[Seen]:
    """Buckets are protected from `pulumi destroy`, and never emptied by it."""
    if context.permanent and bucket.protected is not None:  # a live account does not know the engine's options
        yield bucket.seen("protect", bucket.protected, bucket.protected)
        yield bucket.seen("forceDestroy", not bucket.get("forceDestroy"))


@rule(
    "key-kept",
    zh="KMS 密钥删除等待期不少于 30 天",
    clauses=["8.1.4.9 a"],
    types=["aws:kms/key:Key"],
    remedy="leave deletionWindowInDays out, or set it to 30",
)
def key_kept(key: Resource, context: Context) -> Iterator[Seen]:
    """A KMS key can be brought back for 30 days after somebody has deleted it."""
    if context.permanent and key.protected is not None:
        yield key.seen("deletionWindowInDays", int(key.get("deletionWindowInDays", 30)) >= 30)
