from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest

from ferry.errors import UnknownProperty
from ferry.rehearsal.handlers import Created

Make = Callable[..., Created]


@pytest.fixture
def bucket(make: Make) -> str:
    return make("aws:s3/bucket:Bucket", bucket="its-bucket", tags={"a": "b"}).id


@pytest.mark.parametrize(("region", "location"), [(None, None), ("us-east-1", None), ("eu-west-1", "eu-west-1")])
def test_a_bucket_lies_in_the_region_that_it_names(
    account: Any, make: Make, region: str | None, location: str | None
) -> None:
    made = make("aws:s3/bucket:Bucket", region=region)
    assert account.client("s3").get_bucket_location(Bucket=made.id)["LocationConstraint"] == location
    assert made.outputs["bucketRegion"] == region or "us-east-1"


def test_a_bucket_keeps_its_tags(account: Any, bucket: str) -> None:
    assert account.client("s3").get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "a", "Value": "b"}]


def test_encryption_names_key_and_bucket_key(account: Any, make: Make, bucket: str) -> None:
    make(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        bucket=bucket,
        rules=[
            {
                "applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": "arn:key"},
                "bucketKeyEnabled": True,
            }
        ],
    )
    rules = account.client("s3").get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules == [
        {
            "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "arn:key"},
            "BucketKeyEnabled": True,
        }
    ]


def test_every_step_of_a_lifecycle_rule_is_sent(account: Any, make: Make, bucket: str) -> None:
    make(
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        bucket=bucket,
        rules=[
            {
                "id": "r",
                "status": "Enabled",
                "filter": {"prefix": ""},
                "abortIncompleteMultipartUpload": {"daysAfterInitiation": 7},
                "transitions": [{"days": 30, "storageClass": "GLACIER"}],
                "expiration": {"days": 400},
                "noncurrentVersionTransitions": [{"noncurrentDays": 10, "storageClass": "GLACIER_IR"}],
                "noncurrentVersionExpiration": {"noncurrentDays": 20},
            }
        ],
    )
    assert account.client("s3").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == [
        {
            "ID": "r",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
            "Transitions": [{"Days": 30, "StorageClass": "GLACIER"}],
            "Expiration": {"Days": 400},
            "NoncurrentVersionTransitions": [{"NoncurrentDays": 10, "StorageClass": "GLACIER_IR"}],
            "NoncurrentVersionExpiration": {"NoncurrentDays": 20},
        }
    ]


def test_a_nested_property_that_no_handler_knows_is_an_error(make: Make, bucket: str) -> None:
    rule = {"id": "r", "status": "Enabled", "expiration": {"days": 1, "date": "2030-01-01"}}
    with pytest.raises(UnknownProperty, match=r"no handler for rules\[\].expiration.date"):
        make("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", bucket=bucket, rules=[rule])


def test_access_logs_go_only_where_the_policy_lets_s3_deliver(account: Any, make: Make, bucket: str) -> None:
    from components.identity import Identity
    from components.policies import access_log_bucket

    target = make("aws:s3/bucket:Bucket", bucket="logs").id
    token = "aws:s3/bucketLogging:BucketLogging"
    with pytest.raises(account.client("s3").exceptions.ClientError, match="InvalidTargetBucketForLogging"):
        make(token, bucket=bucket, targetBucket=target, targetPrefix="s3/")
    make(
        "aws:s3/bucketPolicy:BucketPolicy",
        bucket=target,
        policy=access_log_bucket(Identity("123456789012", "aws", "us-east-1"), "arn:aws:s3:::logs"),
    )
    make(token, bucket=bucket, targetBucket=target, targetPrefix="s3/")
    assert account.client("s3").get_bucket_logging(Bucket=bucket)["LoggingEnabled"] == {
        "TargetBucket": "logs",
        "TargetPrefix": "s3/",
    }


def test_an_object_is_the_file_that_it_is_made_from(account: Any, make: Make, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    made = make(
        "aws:s3/bucketObjectv2:BucketObjectv2",
        bucket=bucket,
        key="k",
        source=pulumi.FileAsset(str(tmp_path / "f")),
        tags={"ferry:environment": "a + b"},
    )
    s3_client = account.client("s3")
    assert made.id == "its-bucket/k"
    assert s3_client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"content"
    assert s3_client.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [
        {"Key": "ferry:environment", "Value": "a + b"}
    ]


@pytest.mark.parametrize("logging", [True, False])
def test_a_trail_records_exactly_when_it_is_asked_to(account: Any, make: Make, bucket: str, logging: bool) -> None:
    made = make(
        "aws:cloudtrail/trail:Trail", name="audit", s3BucketName=bucket, isMultiRegionTrail=True, enableLogging=logging
    )
    client = account.client("cloudtrail")
    assert client.get_trail_status(Name=made.outputs["arn"])["IsLogging"] is logging
    assert client.get_trail(Name="audit")["Trail"]["IsMultiRegionTrail"] is True
    assert client.get_trail(Name="audit")["Trail"]["LogFileValidationEnabled"] is False


def test_a_rule_sends_what_its_target_says(account: Any, make: Make) -> None:
    rule = make("aws:cloudwatch/eventRule:EventRule", eventPattern='{"source": ["x"]}', description="d")
    make(
        "aws:cloudwatch/eventTarget:EventTarget",
        rule=rule.id,
        arn="arn:aws:sns:us-east-1:123456789012:t",
        inputTransformer={"inputPaths": {"a": "$.a"}, "inputTemplate": '"<a>"'},
    )
    [target] = account.client("events").list_targets_by_rule(Rule=rule.id)["Targets"]
    assert target["Arn"] == "arn:aws:sns:us-east-1:123456789012:t"
    assert target["InputTransformer"] == {"InputPathsMap": {"a": "$.a"}, "InputTemplate": '"<a>"'}
    assert account.client("events").describe_rule(Name=rule.id)["State"] == "ENABLED"
