"""Event patterns of EventBridge for calls that stop or weaken the audit trail.

CloudTrail hands every management call to EventBridge in the region that it was made in; a trail can only be changed in
its home region, a bucket and a key only in theirs, so rules in the stack's region see all of them.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Pattern = dict[str, Any]


def trail_changes(trail_name: str, trail_arn: str) -> Pattern:
    """Whatever stops the trail or changes what it records. Calls name a trail by its name or by its ARN."""
    named = [trail_name, trail_arn]
    return _calls(
        "cloudtrail.amazonaws.com",
        ["StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors"],
        # PutEventSelectors calls it `trailName`, the others `name`.
        {"requestParameters": {"$or": [{"name": named}, {"trailName": named}]}},
    )


def bucket_changes(bucket_name: str) -> Pattern:
    """Every change of the bucket's settings: policy, lock, lifecycle, versioning, encryption, public access, deletion.

    By prefix, because CloudTrail's names differ from the API's (`PutObjectLockConfiguration` is recorded as
    `PutBucketObjectLockConfiguration`, `PutPublicAccessBlock` as `PutBucketPublicAccessBlock`).
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/cloudtrail-logging-s3-info.html
    """
    return _calls(
        "s3.amazonaws.com",
        [{"prefix": "PutBucket"}, {"prefix": "DeleteBucket"}, {"prefix": "PutObjectLock"}],
        {"requestParameters": {"bucketName": [bucket_name]}},
    )


def key_changes(key_arn: str) -> Pattern:
    """Whatever makes the key unusable, or opens it to somebody else."""
    return _calls(
        "kms.amazonaws.com",
        ["DisableKey", "ScheduleKeyDeletion", "PutKeyPolicy", "DisableKeyRotation", "CreateGrant"],
        {"resources": {"ARN": [key_arn]}},
    )


def rule_changes(rule_prefix: str) -> Pattern:
    """Whatever silences the rules that start with the prefix."""
    named = [{"prefix": rule_prefix}]
    return _calls(
        "events.amazonaws.com",
        ["DisableRule", "DeleteRule", "PutRule", "RemoveTargets", "PutTargets"],
        # Targets are changed by `rule`, rules by `name`.
        {"requestParameters": {"$or": [{"name": named}, {"rule": named}]}},
    )


def _calls(event_source: str, event_names: Sequence[str | Pattern], what: Pattern) -> Pattern:
    return {
        "detail-type": ["AWS API Call via CloudTrail"],
        "detail": {"eventSource": [event_source], "eventName": list(event_names), **what},
    }
