"""What has to be true of the audit archive, of the trail that fills it, and of the access logs beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from ferry.rehearsal.checks import Seen, Stack, buckets, check
from ferry.rehearsal.event_patterns import matches
from ferry.rehearsal.handlers import Account


@check
def the_archive_is_locked_for_the_days_of_the_stack(account: Account, stack: Stack) -> Iterator[Seen]:
    """In COMPLIANCE mode, which even the root user cannot undo; a disposable archive says so by name."""
    bucket, audit = stack.outputs["audit_bucket"], stack.settings.audit
    expected = "no lock" if audit.mode == "disposable" else f"COMPLIANCE {audit.retention_days} days"
    yield Seen(bucket, expected, _lock(account, bucket))


@check
def the_archive_is_encrypted_with_its_own_key(account: Account, stack: Stack) -> Iterator[Seen]:
    """Through a bucket key."""
    bucket = stack.outputs["audit_bucket"]
    yield Seen(bucket, f"aws:kms {stack.outputs['audit_key_arn']}, bucket key", buckets.encryption(account, bucket))


@check
def the_archives_key_rotates(account: Account, stack: Stack) -> Iterator[Seen]:
    """Every year, as AWS does it."""
    yield buckets.rotates(account, stack.outputs["audit_key_arn"])


@check
def the_archive_keeps_old_versions(account: Account, stack: Stack) -> Iterator[Seen]:
    """A log file that was overwritten is still there."""
    yield buckets.versioned(account, stack.outputs["audit_bucket"])


@check
def the_archive_is_closed_to_the_public(account: Account, stack: Stack) -> Iterator[Seen]:
    """Whatever an ACL or a policy says."""
    yield buckets.closed(account, stack.outputs["audit_bucket"])


@check
def the_archive_refuses_requests_without_tls(account: Account, stack: Stack) -> Iterator[Seen]:
    """By the bucket's own policy."""
    yield buckets.tls_only(account, stack.outputs["audit_bucket"])


@check
def only_the_trail_delivers_to_the_archive(account: Account, stack: Stack) -> Iterator[Seen]:
    """Every statement that allows something is for CloudTrail, acting for this one trail."""
    bucket = stack.outputs["audit_bucket"]
    for statement in buckets.policy(account, bucket):
        if statement["Effect"] != "Allow":
            continue
        source = statement.get("Condition", {}).get("StringEquals", {}).get("aws:SourceArn", "anybody")
        service = statement.get("Principal", {}).get("Service", "others")
        yield Seen(
            f"{bucket} {statement['Action']}",
            f"cloudtrail.amazonaws.com for {stack.outputs['trail_arn']}",
            f"{service} for {source}",
        )


@check
def the_request_log_is_written_once_and_never_deleted(account: Account, stack: Stack) -> Iterator[Seen]:
    """For everybody: without If-None-Match nothing is put below requests/, and nothing is deleted or hidden there."""
    bucket = stack.outputs["audit_bucket"]
    arn = f"arn:{account.partition}:s3:::{bucket}/requests/*"
    denied = {
        (action, json.dumps(statement.get("Condition", {})))
        for statement in buckets.policy(account, bucket)
        if (statement["Effect"], statement.get("Principal"), statement["Resource"]) == ("Deny", "*", arn)
        for action in buckets.as_list(statement["Action"])
    }
    wanted = {
        ("s3:PutObject", json.dumps({"Null": {"s3:if-none-match": "true"}})),
        ("s3:DeleteObject", "{}"),
        ("s3:DeleteObjectVersion", "{}"),
    }
    for action, condition in sorted(wanted):
        expected = f"refused to everybody, if {condition}"
        yield Seen(f"{arn} {action}", expected, expected if (action, condition) in denied else "not refused")


@check
def the_archive_moves_old_logs_to_cold_storage(account: Account, stack: Stack) -> Iterator[Seen]:
    """By the stack's days, and nothing ever expires."""
    bucket, audit = stack.outputs["audit_bucket"], stack.settings.audit
    expected = "; ".join(
        sorted(
            (
                f"GLACIER after {audit.glacier_days} days",
                f"DEEP_ARCHIVE after {audit.deep_archive_days} days",
                "uploads end after 7 days",
            )
        )
    )
    yield Seen(bucket, expected, buckets.lifecycle(account, bucket))


@check
def the_archive_writes_access_logs(account: Account, stack: Stack) -> Iterator[Seen]:
    """To the access-log bucket."""
    yield buckets.access_logs(account, stack.outputs["audit_bucket"], stack.outputs["access_log_bucket"])


@check
def the_trail_is_recording(account: Account, stack: Stack) -> Iterator[Seen]:
    """Now, not only configured."""
    arn = stack.outputs["trail_arn"]
    found = account.client("cloudtrail").get_trail_status(Name=arn)["IsLogging"]
    yield Seen(arn, "recording", "recording" if found else "stopped")


@check
def the_trail_covers_all_regions_and_signs_its_files(account: Account, stack: Stack) -> Iterator[Seen]:
    """Multi-region, with global services, with digests that show a changed file, into the archive under its key."""
    arn = stack.outputs["trail_arn"]
    trail = account.client("cloudtrail").get_trail(Name=arn)["Trail"]
    wanted: dict[str, Any] = {
        "IsMultiRegionTrail": True,
        "IncludeGlobalServiceEvents": True,
        "LogFileValidationEnabled": True,
        "S3BucketName": stack.outputs["audit_bucket"],
        "KmsKeyId": stack.outputs["audit_key_arn"],
    }
    for name, value in wanted.items():
        yield Seen(f"{arn} {name}", str(value), str(trail.get(name)))


@check
def the_trail_records_every_use_of_the_models(account: Account, stack: Stack) -> Iterator[Seen]:
    """Reads and writes of every object of the repository and its replica, besides all management calls."""
    arn = stack.outputs["trail_arn"]
    selectors = account.client("cloudtrail").get_event_selectors(TrailName=arn).get("EventSelectors", [])
    recorded = {
        value
        for selector in selectors
        if selector.get("ReadWriteType") == "All" and selector.get("IncludeManagementEvents")
        for resource in selector["DataResources"]
        if resource["Type"] == "AWS::S3::Object"
        for value in resource["Values"]
    }
    names = [stack.outputs["model_bucket"]]
    if stack.settings.model_repository.replica_region:
        names.append(stack.outputs["model_replica_bucket"])
    for name in names:
        objects = f"arn:{account.partition}:s3:::{name}/"
        yield Seen(objects, "reads and writes", "reads and writes" if objects in recorded else "not recorded")


@check
def weakening_the_trail_raises_an_alarm(account: Account, stack: Stack) -> Iterator[Seen]:
    """For each call that stops or weakens something, an enabled rule sends the event to the notifications' topic."""
    topic = stack.outputs["notification_topic_arn"]
    told = rules_that_tell(account, topic)
    for event in _weakening(stack, sorted(told)):
        heard = any(matches(pattern, event) for pattern in told.values())
        call = f"{event['detail']['eventName']} {event['detail']['eventSource']}"
        yield Seen(call, f"told to {topic}", f"told to {topic}" if heard else "nobody is told")


@check
def access_logs_can_be_delivered(account: Account, stack: Stack) -> Iterator[Seen]:
    """S3 and the load balancer deliver neither to a bucket with a KMS key nor to one with Object Lock."""
    bucket = stack.outputs["access_log_bucket"]
    yield Seen(bucket, "AES256, no lock", f"{buckets.encryption(account, bucket)}, {_lock(account, bucket)}")


@check
def access_logs_are_kept_and_private(account: Account, stack: Stack) -> Iterator[Seen]:
    """For as long as the audit asks, versioned, over TLS only, closed to the public."""
    bucket = stack.outputs["access_log_bucket"]
    days = stack.settings.audit.retention_days
    kept = f"expires after {days} days; old versions expire after 30 days; uploads end after 7 days"
    yield Seen(bucket, kept, buckets.lifecycle(account, bucket))
    yield buckets.versioned(account, bucket)
    yield buckets.tls_only(account, bucket)
    yield buckets.closed(account, bucket)


def _lock(account: Account, bucket: str) -> str:
    try:
        found = account.client("s3").get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    except ClientError:
        return "no lock"
    retention = found.get("Rule", {}).get("DefaultRetention", {})
    return f"{retention.get('Mode', 'no default')} {retention.get('Days', 0)} days"


def rules_that_tell(account: Account, topic_arn: str) -> dict[str, Mapping[str, Any]]:
    """Name and pattern of the enabled rules whose events go to the topic."""
    events = account.client("events")
    return {
        rule["Name"]: json.loads(rule["EventPattern"])
        for page in events.get_paginator("list_rules").paginate()
        for rule in page["Rules"]
        if rule["State"] == "ENABLED"
        and "EventPattern" in rule
        and any(target["Arn"] == topic_arn for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"])
    }


def _weakening(stack: Stack, rule_names: list[str]) -> Iterator[dict[str, Any]]:
    """Events as CloudTrail reports them, one for each way to weaken the archive."""
    arn, bucket, key = (stack.outputs[name] for name in ("trail_arn", "audit_bucket", "audit_key_arn"))
    for call in ("StopLogging", "DeleteTrail", "UpdateTrail"):
        yield trail_event("cloudtrail.amazonaws.com", call, requestParameters={"name": arn})
    yield trail_event(
        "cloudtrail.amazonaws.com", "PutEventSelectors", requestParameters={"trailName": arn.split("/")[-1]}
    )
    for call in (
        "PutBucketPolicy",
        "DeleteBucketPolicy",
        "PutBucketObjectLockConfiguration",
        "PutBucketLifecycle",
        "PutBucketVersioning",
        "DeleteBucketPublicAccessBlock",
        "DeleteBucket",
    ):
        yield trail_event("s3.amazonaws.com", call, requestParameters={"bucketName": bucket})
    for call in ("DisableKey", "ScheduleKeyDeletion", "PutKeyPolicy"):
        yield trail_event("kms.amazonaws.com", call, resources=[{"ARN": key, "type": "AWS::KMS::Key"}])
    watching = next((name for name in rule_names if "weakened" in name), "none")
    yield trail_event("events.amazonaws.com", "DisableRule", requestParameters={"name": watching})
    yield trail_event("events.amazonaws.com", "RemoveTargets", requestParameters={"rule": watching})


def trail_event(source: str, call: str, **detail: Any) -> dict[str, Any]:
    """A call as EventBridge has it from CloudTrail."""
    return {
        "source": f"aws.{source.split('.')[0]}",
        "detail-type": "AWS API Call via CloudTrail",
        "detail": {"eventSource": source, "eventName": call, **detail},
    }
