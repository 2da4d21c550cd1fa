from __future__ import annotations

from typing import Any

import pytest

from components import trail_events
from ferry.rehearsal.event_patterns import matches

TRAIL = "arn:aws:cloudtrail:us-east-1:111122223333:trail/ferry-prod"
KEY = "arn:aws:kms:us-east-1:111122223333:key/1"


def call(source: str, name: str, **detail: Any) -> dict[str, Any]:
    """An event as CloudTrail hands it to EventBridge, cut down to what identifies it."""
    return {
        "source": f"aws.{source}",
        "detail-type": "AWS API Call via CloudTrail",
        "detail": {"eventSource": f"{source}.amazonaws.com", "eventName": name, **detail},
    }


@pytest.mark.parametrize("name", ["StopLogging", "DeleteTrail", "UpdateTrail"])
@pytest.mark.parametrize("named", ["ferry-prod", TRAIL])
def test_stopping_the_trail_is_told_however_it_is_named(name: str, named: str) -> None:
    pattern = trail_events.trail_changes("ferry-prod", TRAIL)
    assert matches(pattern, call("cloudtrail", name, requestParameters={"name": named}))


def test_changing_what_the_trail_records_is_told() -> None:
    pattern = trail_events.trail_changes("ferry-prod", TRAIL)
    assert matches(pattern, call("cloudtrail", "PutEventSelectors", requestParameters={"trailName": "ferry-prod"}))


def test_another_trail_and_a_harmless_call_are_not_told() -> None:
    pattern = trail_events.trail_changes("ferry-prod", TRAIL)
    assert not matches(pattern, call("cloudtrail", "StopLogging", requestParameters={"name": "other"}))
    assert not matches(pattern, call("cloudtrail", "GetTrailStatus", requestParameters={"name": "ferry-prod"}))


@pytest.mark.parametrize(
    "name",
    [
        "PutBucketPolicy",
        "DeleteBucketPolicy",
        "PutBucketObjectLockConfiguration",
        "PutObjectLockConfiguration",
        "PutBucketLifecycle",
        "PutBucketPublicAccessBlock",
        "DeleteBucketPublicAccessBlock",
        "PutBucketVersioning",
        "DeleteBucketEncryption",
        "DeleteBucket",
    ],
)
def test_every_change_of_the_archives_settings_is_told(name: str) -> None:
    pattern = trail_events.bucket_changes("archive")
    assert matches(pattern, call("s3", name, requestParameters={"bucketName": "archive"}))
    assert not matches(pattern, call("s3", name, requestParameters={"bucketName": "other"}))


def test_reading_the_archives_settings_is_not_told() -> None:
    pattern = trail_events.bucket_changes("archive")
    assert not matches(pattern, call("s3", "GetBucketPolicy", requestParameters={"bucketName": "archive"}))


@pytest.mark.parametrize("name", ["DisableKey", "ScheduleKeyDeletion", "PutKeyPolicy", "DisableKeyRotation"])
def test_making_the_key_unusable_is_told(name: str) -> None:
    pattern = trail_events.key_changes(KEY)
    assert matches(pattern, call("kms", name, resources=[{"ARN": "arn:other"}, {"ARN": KEY}]))
    assert not matches(pattern, call("kms", name, resources=[{"ARN": "arn:other"}]))


@pytest.mark.parametrize(
    ("name", "field"), [("DisableRule", "name"), ("DeleteRule", "name"), ("RemoveTargets", "rule")]
)
def test_silencing_an_alarm_is_told(name: str, field: str) -> None:
    pattern = trail_events.rule_changes("audit-weakened-")
    assert matches(pattern, call("events", name, requestParameters={field: "audit-weakened-trail-0a1b2c3"}))
    assert not matches(pattern, call("events", name, requestParameters={field: "nightly"}))
