"""Each check of the models and of the audit archive is proven by an account in which exactly it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest


def change(service: str, call: str, region: str | None = None, **arguments: Any) -> Callable[[Any], None]:
    """One call on the account; an argument that names an export becomes its value."""

    def make(prod: Any) -> None:
        given = {
            name: prod.stack.outputs.get(value, value) if isinstance(value, str) else value
            for name, value in arguments.items()
        }
        getattr(prod.account.client(service, region), call)(**given)

    return make


def without_tls_statement(bucket: str, region: str | None = None) -> Callable[[Any], None]:
    def make(prod: Any) -> None:
        s3, name = prod.account.client("s3", region), prod.stack.outputs[bucket]
        policy = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])
        policy["Statement"] = [one for one in policy["Statement"] if one.get("Sid") != "RefuseWithoutTls"] + [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [f"arn:aws:s3:::{name}"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ]
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))

    return make


def versions_may_be_deleted(
    bucket: str, region: str | None = None, unless: dict[str, Any] | None = None
) -> Callable[[Any], None]:
    """Without the statement that refuses it, or with a condition that leaves a way."""

    def make(prod: Any) -> None:
        s3, name = prod.account.client("s3", region), prod.stack.outputs[bucket]
        policy = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])
        (refusal,) = (one for one in policy["Statement"] if one["Sid"] == "OnlyTheLifecycleDeletesVersions")
        policy["Statement"].remove(refusal)
        if unless:
            policy["Statement"].append({**refusal, "Condition": unless})
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))

    return make


def leave_markers_behind(prod: Any) -> None:
    s3, name = prod.account.client("s3"), prod.stack.outputs["model_bucket"]
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    del rule["Expiration"]
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})


def let_any_trail_deliver(prod: Any) -> None:
    s3, name = prod.account.client("s3"), prod.stack.outputs["audit_bucket"]
    policy = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])
    for statement in policy["Statement"]:
        statement.get("Condition", {}).get("StringEquals", {}).pop("aws:SourceArn", None)
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))


def without_refusal(sid: str, action: str) -> Callable[[Any], None]:
    """Everybody may do one of the things with the request log that nobody ought to."""

    def make(prod: Any) -> None:
        s3, name = prod.account.client("s3"), prod.stack.outputs["audit_bucket"]
        policy = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])
        (statement,) = (one for one in policy["Statement"] if one["Sid"] == sid)
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        statement["Action"] = [one for one in actions if one != action] or ["s3:PutObjectAcl"]
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))

    return make


def replicate_to_another_key(prod: Any) -> None:
    s3, name = prod.account.client("s3"), prod.stack.outputs["model_bucket"]
    configuration = s3.get_bucket_replication(Bucket=name)["ReplicationConfiguration"]
    configuration["Rules"][0]["Destination"].pop("EncryptionConfiguration")
    s3.put_bucket_replication(Bucket=name, ReplicationConfiguration=configuration)


def stop_the_replicas_rotation(prod: Any) -> None:
    s3 = prod.account.client("s3", "us-west-2")
    found = s3.get_bucket_encryption(Bucket=prod.stack.outputs["model_replica_bucket"])
    rule = found["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    prod.account.client("kms", "us-west-2").disable_key_rotation(KeyId=rule["KMSMasterKeyID"])


def silence_an_alarm(word: str) -> Callable[[Any], None]:
    def make(prod: Any) -> None:
        events = prod.account.client("events")
        names = [rule["Name"] for rule in events.list_rules()["Rules"] if f"weakened-{word}" in rule["Name"]]
        assert len(names) == 1
        events.disable_rule(Name=names[0])

    return make


def tell_somebody_else(prod: Any) -> None:
    events = prod.account.client("events")
    name = next(rule["Name"] for rule in events.list_rules()["Rules"] if "weakened-trail" in rule["Name"])
    target = events.list_targets_by_rule(Rule=name)["Targets"][0]
    other = prod.stack.outputs["notification_topic_arn"] + "-other"
    events.put_targets(Rule=name, Targets=[{"Id": target["Id"], "Arn": other}])


AES = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
OPEN = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy"), True)
REPLICA = "us-west-2"

MUTATIONS: list[tuple[Callable[[Any], None], str]] = [
    (
        change("s3", "put_bucket_encryption", Bucket="model_bucket", ServerSideEncryptionConfiguration=AES),
        "model buckets are encrypted with kms",
    ),
    (
        change("s3", "delete_bucket_encryption", REPLICA, Bucket="model_replica_bucket"),
        "model buckets are encrypted with kms",
    ),
    (change("kms", "disable_key_rotation", KeyId="model_key_arn"), "model keys rotate"),
    (stop_the_replicas_rotation, "model keys rotate"),
    (
        change("s3", "put_bucket_versioning", Bucket="model_bucket", VersioningConfiguration={"Status": "Suspended"}),
        "model buckets keep old versions",
    ),
    (change("s3", "delete_public_access_block", Bucket="model_bucket"), "model buckets are closed to the public"),
    (
        change("s3", "delete_public_access_block", REPLICA, Bucket="model_replica_bucket"),
        "model buckets are closed to the public",
    ),
    (without_tls_statement("model_bucket"), "model buckets refuse requests without tls"),
    (without_tls_statement("model_replica_bucket", REPLICA), "model buckets refuse requests without tls"),
    (versions_may_be_deleted("model_bucket"), "only the lifecycle deletes versions of models"),
    (versions_may_be_deleted("model_replica_bucket", REPLICA), "only the lifecycle deletes versions of models"),
    (
        versions_may_be_deleted("model_bucket", unless={"Bool": {"aws:SecureTransport": "true"}}),
        "only the lifecycle deletes versions of models",
    ),
    (leave_markers_behind, "model buckets put old versions away"),
    (change("s3", "delete_bucket_lifecycle", Bucket="model_bucket"), "model buckets put old versions away"),
    (
        change("s3", "put_bucket_logging", Bucket="model_bucket", BucketLoggingStatus={}),
        "the model bucket writes access logs",
    ),
    (
        change("s3", "delete_bucket_replication", Bucket="model_bucket"),
        "models are replicated where the stack asks for it",
    ),
    (replicate_to_another_key, "models are replicated where the stack asks for it"),
    (
        change(
            "s3",
            "put_object_lock_configuration",
            Bucket="audit_bucket",
            ObjectLockConfiguration={
                "ObjectLockEnabled": "Enabled",
                "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 365}},
            },
        ),
        "the archive is locked for the days of the stack",
    ),
    (
        change(
            "s3",
            "put_object_lock_configuration",
            Bucket="audit_bucket",
            ObjectLockConfiguration={
                "ObjectLockEnabled": "Enabled",
                "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 364}},
            },
        ),
        "the archive is locked for the days of the stack",
    ),
    (change("s3", "delete_bucket_encryption", Bucket="audit_bucket"), "the archive is encrypted with its own key"),
    (change("kms", "disable_key_rotation", KeyId="audit_key_arn"), "the archives key rotates"),
    (
        change(
            "s3",
            "put_public_access_block",
            Bucket="audit_bucket",
            PublicAccessBlockConfiguration={**OPEN, "RestrictPublicBuckets": False},
        ),
        "the archive is closed to the public",
    ),
    (without_tls_statement("audit_bucket"), "the archive refuses requests without tls"),
    (let_any_trail_deliver, "only the trail delivers to the archive"),
    (
        without_refusal("RequestLogIsWrittenOnce", "s3:PutObject"),
        "the request log is written once and never deleted",
    ),
    (
        without_refusal("RequestLogIsNeverDeleted", "s3:DeleteObject"),
        "the request log is written once and never deleted",
    ),
    (
        change(
            "s3",
            "put_bucket_lifecycle_configuration",
            Bucket="audit_bucket",
            LifecycleConfiguration={
                "Rules": [{"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]
            },
        ),
        "the archive moves old logs to cold storage",
    ),
    (
        change("s3", "put_bucket_logging", Bucket="audit_bucket", BucketLoggingStatus={}),
        "the archive writes access logs",
    ),
    (change("cloudtrail", "stop_logging", Name="trail_arn"), "the trail is recording"),
    (
        change("cloudtrail", "update_trail", Name="trail_arn", EnableLogFileValidation=False),
        "the trail covers all regions and signs its files",
    ),
    (
        change("cloudtrail", "update_trail", Name="trail_arn", IsMultiRegionTrail=False),
        "the trail covers all regions and signs its files",
    ),
    (
        change(
            "cloudtrail",
            "put_event_selectors",
            TrailName="trail_arn",
            EventSelectors=[{"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": []}],
        ),
        "the trail records every use of the models",
    ),
    (silence_an_alarm("trail"), "weakening the trail raises an alarm"),
    (silence_an_alarm("bucket"), "weakening the trail raises an alarm"),
    (silence_an_alarm("key"), "weakening the trail raises an alarm"),
    (silence_an_alarm("alarm"), "weakening the trail raises an alarm"),
    (tell_somebody_else, "weakening the trail raises an alarm"),
    (
        change(
            "s3",
            "put_bucket_encryption",
            Bucket="access_log_bucket",
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]
            },
        ),
        "access logs can be delivered",
    ),
    (change("s3", "delete_bucket_lifecycle", Bucket="access_log_bucket"), "access logs are kept and private"),
    (without_tls_statement("access_log_bucket"), "access logs are kept and private"),
]


@pytest.mark.parametrize(
    ("mutation", "check"), MUTATIONS, ids=[f"{n}-{check}" for n, (_, check) in enumerate(MUTATIONS)]
)
def test_exactly_the_check_that_is_about_it_fails(
    own_rehearsed: Any, failed_checks: Any, mutation: Callable[[Any], None], check: str
) -> None:
    prod = own_rehearsed("prod")
    mutation(prod)
    assert failed_checks(prod) == [check]


def test_a_version_of_a_model_is_marked_and_not_deleted(own_rehearsed: Any) -> None:
    prod = own_rehearsed("prod")
    s3, bucket = prod.account.client("s3"), prod.stack.outputs["model_bucket"]
    version = s3.put_object(Bucket=bucket, Key="models/m/1/x", Body=b"weights")["VersionId"]
    with pytest.raises(s3.exceptions.ClientError, match="Forbidden"):
        s3.delete_object(Bucket=bucket, Key="models/m/1/x", VersionId=version)
    assert s3.delete_object(Bucket=bucket, Key="models/m/1/x")["DeleteMarker"]
    assert s3.get_object(Bucket=bucket, Key="models/m/1/x", VersionId=version)["Body"].read() == b"weights"


def test_a_bundle_that_nobody_asked_for_is_found(own_rehearsed: Any, failed_checks: Any) -> None:
    prod = own_rehearsed("prod")
    prod.account.client("s3").put_object(
        Bucket=prod.stack.outputs["model_bucket"], Key="bundles/0/node-bundle.tar.gz", Body=b"?"
    )
    assert failed_checks(prod) == ["nodes find their bundle and its signature"]


def test_the_archive_cannot_lose_its_versions(own_rehearsed: Any) -> None:
    """S3 refuses it on a locked bucket, so a check of it can only fail on a disposable one."""
    dev = own_rehearsed("dev")
    dev.account.client("s3").put_bucket_versioning(
        Bucket=dev.stack.outputs["audit_bucket"], VersioningConfiguration={"Status": "Suspended"}
    )
    from ferry.rehearsal.checks.audit_archive import the_archive_keeps_old_versions

    assert [seen.found for seen in the_archive_keeps_old_versions(dev.account, dev.stack)] == ["Suspended"]


def test_a_disposable_archive_has_no_lock(rehearsed: Any) -> None:
    dev = rehearsed("dev")
    s3 = dev.account.client("s3")
    with pytest.raises(s3.exceptions.ClientError, match="ObjectLockConfigurationNotFoundError"):
        s3.get_object_lock_configuration(Bucket=dev.stack.outputs["audit_bucket"])


def test_arns_in_china_are_of_its_partition(rehearsed: Any) -> None:
    china = rehearsed("prod-cn")
    outputs = china.stack.outputs
    for name in ("model_key_arn", "audit_key_arn", "trail_arn"):
        assert outputs[name].split(":")[1] == "aws-cn"
    for name in ("model_bucket", "audit_bucket", "access_log_bucket"):
        assert '"arn:aws:' not in china.account.client("s3").get_bucket_policy(Bucket=outputs[name])["Policy"]
