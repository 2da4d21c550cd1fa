"""S3, what is there: changing, reading and deleting what `s3` creates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from ferry.rehearsal.handlers import (
    Absent,
    Account,
    Inputs,
    State,
    deleted_by,
    deletes,
    reads,
    updates,
)
from ferry.rehearsal.handlers.s3 import BUCKET, OBJECT
from ferry.rehearsal.handlers.tagging import as_map

SETTINGS = {
    "bucketPublicAccessBlock:BucketPublicAccessBlock": "delete_public_access_block",
    "bucketPolicy:BucketPolicy": "delete_bucket_policy",
    "bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": "delete_bucket_encryption",
    "bucketLifecycleConfiguration:BucketLifecycleConfiguration": "delete_bucket_lifecycle",
    "bucketReplicationConfig:BucketReplicationConfig": "delete_bucket_replication",
}
"""Settings of a bucket that one call takes away."""

for kind, call in SETTINGS.items():
    deleted_by(f"aws:s3/{kind}", "s3", call, Bucket="bucket")


@updates(BUCKET, "tags", "forceDestroy")
def bucket_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """Tags; `forceDestroy` is the provider's own and only seen when the bucket is deleted."""
    client = account.client("s3", old.region)
    if tags := new.tags():
        client.put_bucket_tagging(Bucket=old.id, Tagging={"TagSet": tags})
    else:
        client.delete_bucket_tagging(Bucket=old.id)
    return {}


@reads(BUCKET)
def bucket(account: Account, state: State) -> Mapping[str, Any]:
    """`HeadBucket`, then Object Lock and the tags."""
    client = account.client("s3", state.region)
    client.head_bucket(Bucket=state.id)
    return {
        "bucket": state.id,
        "tags": as_map(_or_none(lambda: client.get_bucket_tagging(Bucket=state.id)["TagSet"])),
        "objectLockEnabled": _or_none(lambda: client.get_object_lock_configuration(Bucket=state.id)) is not None,
    }


@deletes(BUCKET)
def delete_bucket(account: Account, state: State) -> None:
    """`DeleteBucket`, which fails while there is anything in it; `forceDestroy` takes every version out first."""
    client = account.client("s3", state.region)
    if state.get("forceDestroy", False):
        for page in client.get_paginator("list_object_versions").paginate(Bucket=state.id):
            for one in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                client.delete_object(Bucket=state.id, Key=one["Key"], VersionId=one["VersionId"])
    client.delete_bucket(Bucket=state.id)


@reads("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock")
def public_access_block(account: Account, state: State) -> Mapping[str, Any]:
    """What of public access is blocked."""
    found = account.client("s3", state.region).get_public_access_block(Bucket=state.id)
    return {name[0].lower() + name[1:]: value for name, value in found["PublicAccessBlockConfiguration"].items()}


@reads("aws:s3/bucketPolicy:BucketPolicy")
def policy(account: Account, state: State) -> Mapping[str, Any]:
    """The policy's text."""
    return {"policy": account.client("s3", state.region).get_bucket_policy(Bucket=state.id)["Policy"]}


@reads("aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration")
def encryption(account: Account, state: State) -> Mapping[str, Any]:
    """Each rule, with its key."""
    found = account.client("s3", state.region).get_bucket_encryption(Bucket=state.id)
    return {
        "rules": [
            {
                "bucketKeyEnabled": rule.get("BucketKeyEnabled", False),
                "applyServerSideEncryptionByDefault": {
                    "sseAlgorithm": rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"],
                    "kmsMasterKeyId": rule["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID"),
                },
            }
            for rule in found["ServerSideEncryptionConfiguration"]["Rules"]
        ]
    }


@reads("aws:s3/bucketVersioning:BucketVersioning")
def versioning(account: Account, state: State) -> Mapping[str, Any]:
    """Enabled, Suspended, or never switched on."""
    status = account.client("s3", state.region).get_bucket_versioning(Bucket=state.id).get("Status")
    if status is None:
        raise Absent
    return {"versioningConfiguration": {"status": status}}


@deletes("aws:s3/bucketVersioning:BucketVersioning")
def suspend(account: Account, state: State) -> None:
    """Versions cannot be switched off again, only suspended."""
    account.client("s3", state.region).put_bucket_versioning(
        Bucket=state.id, VersioningConfiguration={"Status": "Suspended"}
    )


@reads("aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration")
def object_lock(account: Account, state: State) -> Mapping[str, Any]:
    """The default retention."""
    found = account.client("s3", state.region).get_object_lock_configuration(Bucket=state.id)
    retention = found["ObjectLockConfiguration"].get("Rule", {}).get("DefaultRetention")
    if retention is None:
        return {"rule": None}
    return {"rule": {"defaultRetention": {"mode": retention["Mode"], "days": retention.get("Days")}}}


@deletes("aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration")
def no_default_retention(account: Account, state: State) -> None:
    """The lock itself stays for ever; what goes is the default for new objects."""
    account.client("s3", state.region).put_object_lock_configuration(
        Bucket=state.id, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
    )


@reads("aws:s3/bucketLogging:BucketLogging")
def logging(account: Account, state: State) -> Mapping[str, Any]:
    """Where access logs go."""
    found = account.client("s3", state.region).get_bucket_logging(Bucket=state.id).get("LoggingEnabled")
    if found is None:
        raise Absent
    return {"targetBucket": found["TargetBucket"], "targetPrefix": found["TargetPrefix"]}


@deletes("aws:s3/bucketLogging:BucketLogging")
def no_logging(account: Account, state: State) -> None:
    """An empty status is what switches it off."""
    account.client("s3", state.region).put_bucket_logging(Bucket=state.id, BucketLoggingStatus={})


@reads("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration")
def lifecycle(account: Account, state: State) -> Mapping[str, Any]:
    """The rules, in the words of `s3.lifecycle`."""
    found = account.client("s3", state.region).get_bucket_lifecycle_configuration(Bucket=state.id)
    return {"rules": [_lifecycle_rule(rule) for rule in found["Rules"]]}


def _lifecycle_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    expiration, noncurrent = rule.get("Expiration"), rule.get("NoncurrentVersionExpiration")
    abort = rule.get("AbortIncompleteMultipartUpload")
    return {
        "id": rule["ID"],
        "status": rule["Status"],
        "filter": {"prefix": rule.get("Filter", {}).get("Prefix", "")},
        "abortIncompleteMultipartUpload": abort and {"daysAfterInitiation": abort["DaysAfterInitiation"]},
        "transitions": [
            {"days": one["Days"], "storageClass": one["StorageClass"]} for one in rule.get("Transitions", [])
        ],
        "expiration": expiration
        and {
            "days": expiration.get("Days"),
            "expiredObjectDeleteMarker": expiration.get("ExpiredObjectDeleteMarker"),
        },
        "noncurrentVersionTransitions": [
            {"noncurrentDays": one["NoncurrentDays"], "storageClass": one["StorageClass"]}
            for one in rule.get("NoncurrentVersionTransitions", [])
        ],
        "noncurrentVersionExpiration": noncurrent and {"noncurrentDays": noncurrent["NoncurrentDays"]},
    }


@reads("aws:s3/bucketReplicationConfig:BucketReplicationConfig")
def replication(account: Account, state: State) -> Mapping[str, Any]:
    """The role. Of the rules moto forgets a part, so they are not compared."""
    found = account.client("s3", state.region).get_bucket_replication(Bucket=state.id)
    return {"role": found["ReplicationConfiguration"]["Role"]}


@reads(OBJECT)
def stored(account: Account, state: State) -> Mapping[str, Any]:
    """`HeadObject`. Its content is the file's, so another etag is a change of the output alone."""
    found = account.client("s3", state.region).head_object(Bucket=state.get("bucket"), Key=state.get("key"))
    return {"etag": found["ETag"].strip('"'), "versionId": found.get("VersionId", "")}


deleted_by(OBJECT, "s3", "delete_object", Bucket="bucket", Key="key")


def _or_none(ask: Any) -> Any:
    """An answer, or None where S3 says by an error that the setting was never made."""
    try:
        return ask()
    except ClientError as error:
        if "NoSuchTag" in str(error) or "NotFound" in str(error):
            return None
        raise
