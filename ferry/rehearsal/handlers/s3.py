"""S3: buckets, their settings one by one, and objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pulumi

from ferry.rehearsal.handlers import Account, Created, Inputs, creates

BUCKET = "aws:s3/bucket:Bucket"
OBJECT = "aws:s3/bucketObjectv2:BucketObjectv2"


@creates(BUCKET, fixed=("bucket", "bucketPrefix", "objectLockEnabled"))
def bucket(account: Account, inputs: Inputs) -> Created:
    """A bucket in its region; all of its settings but Object Lock are resources of their own."""
    region = inputs.region or account.region
    s3 = account.client("s3", region)
    name = inputs.autoname("bucket")
    request: dict[str, Any] = {"Bucket": name, "ObjectLockEnabledForBucket": inputs.take("objectLockEnabled", False)}
    if region != "us-east-1":  # the one region that S3 refuses to be told
        request["CreateBucketConfiguration"] = {"LocationConstraint": region}
    s3.create_bucket(**request)
    if tags := inputs.tags():
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
    inputs.skip("forceDestroy", "concerns deletion only")
    suffix = "amazonaws.com.cn" if account.partition == "aws-cn" else "amazonaws.com"
    return Created(
        name,
        {
            "arn": f"arn:{account.partition}:s3:::{name}",
            "bucket": name,
            "bucketRegion": region,
            "bucketDomainName": f"{name}.s3.{suffix}",
            "bucketRegionalDomainName": f"{name}.s3.{region}.{suffix}",
        },
    )


@creates("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", fixed=("bucket",), again=True)
def public_access_block(account: Account, inputs: Inputs) -> Created:
    """What of public access is blocked."""
    name = inputs.take("bucket")
    account.client("s3", inputs.region).put_public_access_block(
        Bucket=name,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": inputs.take("blockPublicAcls", False),
            "BlockPublicPolicy": inputs.take("blockPublicPolicy", False),
            "IgnorePublicAcls": inputs.take("ignorePublicAcls", False),
            "RestrictPublicBuckets": inputs.take("restrictPublicBuckets", False),
        },
    )
    return Created(name)


@creates("aws:s3/bucketPolicy:BucketPolicy", fixed=("bucket",), again=True)
def bucket_policy(account: Account, inputs: Inputs) -> Created:
    """The bucket's policy. Its conditions are evaluated by the rehearsal itself."""
    name = inputs.take("bucket")
    account.client("s3", inputs.region).put_bucket_policy(Bucket=name, Policy=inputs.take("policy"))
    return Created(name)


@creates(
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
    fixed=("bucket",),
    again=True,
)
def encryption(account: Account, inputs: Inputs) -> Created:
    """How objects are encrypted when the request does not say."""
    name = inputs.take("bucket")
    rules = []
    for rule in inputs.each("rules"):
        sent: dict[str, Any] = {"BucketKeyEnabled": rule.take("bucketKeyEnabled", False)}
        if default := rule.nested("applyServerSideEncryptionByDefault"):
            sent["ApplyServerSideEncryptionByDefault"] = {"SSEAlgorithm": default.take("sseAlgorithm")}
            if key := default.take("kmsMasterKeyId"):
                sent["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] = key
        rules.append(sent)
    account.client("s3", inputs.region).put_bucket_encryption(
        Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules}
    )
    return Created(name)


@creates("aws:s3/bucketVersioning:BucketVersioning", fixed=("bucket",), again=True)
def versioning(account: Account, inputs: Inputs) -> Created:
    """Whether old versions are kept."""
    name, configuration = inputs.take("bucket"), inputs.nested("versioningConfiguration")
    account.client("s3", inputs.region).put_bucket_versioning(
        Bucket=name, VersioningConfiguration={"Status": configuration.take("status") if configuration else "Suspended"}
    )
    return Created(name)


@creates(
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration",
    fixed=("bucket", "objectLockEnabled"),
    again=True,
)
def object_lock(account: Account, inputs: Inputs) -> Created:
    """How long what is put into a locked bucket stays."""
    name = inputs.take("bucket")
    sent: dict[str, Any] = {"ObjectLockEnabled": inputs.take("objectLockEnabled", "Enabled")}
    rule = inputs.nested("rule")
    if rule and (retention := rule.nested("defaultRetention")):
        sent["Rule"] = {"DefaultRetention": {"Mode": retention.take("mode"), "Days": int(retention.take("days"))}}
    account.client("s3", inputs.region).put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=sent)
    return Created(name)


@creates("aws:s3/bucketLogging:BucketLogging", fixed=("bucket",), again=True)
def logging(account: Account, inputs: Inputs) -> Created:
    """Where access logs go. moto delivers none, but refuses a target whose policy does not let S3 deliver."""
    name = inputs.take("bucket")
    inputs.skip("targetObjectKeyFormat", "moto 5.2.5 does not store the form of a log's key")
    account.client("s3", inputs.region).put_bucket_logging(
        Bucket=name,
        BucketLoggingStatus={
            "LoggingEnabled": {
                "TargetBucket": inputs.take("targetBucket"),
                "TargetPrefix": inputs.take("targetPrefix"),
            }
        },
    )
    return Created(name)


@creates("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", fixed=("bucket",), again=True)
def lifecycle(account: Account, inputs: Inputs) -> Created:
    """What becomes of objects with time. moto keeps the rules; no object ever moves in the embedded account."""
    name = inputs.take("bucket")
    account.client("s3", inputs.region).put_bucket_lifecycle_configuration(
        Bucket=name, LifecycleConfiguration={"Rules": [_lifecycle_rule(rule) for rule in inputs.each("rules")]}
    )
    return Created(name)


def _lifecycle_rule(rule: Inputs) -> dict[str, Any]:
    filter_ = rule.nested("filter")
    sent: dict[str, Any] = {
        "ID": rule.take("id"),
        "Status": rule.take("status"),
        "Filter": {"Prefix": filter_.take("prefix", "") if filter_ else ""},
    }
    if abort := rule.nested("abortIncompleteMultipartUpload"):
        sent["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": int(abort.take("daysAfterInitiation"))}
    if transitions := rule.each("transitions"):
        sent["Transitions"] = [
            {"Days": int(one.take("days")), "StorageClass": one.take("storageClass")} for one in transitions
        ]
    if expiration := rule.nested("expiration"):
        if days := expiration.take("days"):
            sent["Expiration"] = {"Days": int(days)}
        else:
            sent["Expiration"] = {"ExpiredObjectDeleteMarker": expiration.take("expiredObjectDeleteMarker", False)}
    if transitions := rule.each("noncurrentVersionTransitions"):
        sent["NoncurrentVersionTransitions"] = [
            {"NoncurrentDays": int(one.take("noncurrentDays")), "StorageClass": one.take("storageClass")}
            for one in transitions
        ]
    if expiration := rule.nested("noncurrentVersionExpiration"):
        sent["NoncurrentVersionExpiration"] = {"NoncurrentDays": int(expiration.take("noncurrentDays"))}
    return sent


@creates("aws:s3/bucketReplicationConfig:BucketReplicationConfig", fixed=("bucket",), again=True)
def replication(account: Account, inputs: Inputs) -> Created:
    """Which objects go to which other bucket."""
    name, rules = inputs.take("bucket"), []
    for rule in inputs.each("rules"):
        not_stored = "moto 5.2.5 accepts it and forgets it"
        rule.skip("deleteMarkerReplication", not_stored)
        rule.skip("sourceSelectionCriteria", not_stored)
        filter_, destination = rule.nested("filter"), rule.nested("destination")
        sent: dict[str, Any] = {
            "ID": rule.take("id"),
            "Status": rule.take("status"),
            "Priority": int(rule.take("priority", 0)),
            "Filter": {"Prefix": filter_.take("prefix", "") if filter_ else ""},
        }
        if destination:
            sent["Destination"] = {"Bucket": destination.take("bucket")}
            if encrypted := destination.nested("encryptionConfiguration"):
                sent["Destination"]["EncryptionConfiguration"] = {"ReplicaKmsKeyID": encrypted.take("replicaKmsKeyId")}
        rules.append(sent)
    account.client("s3", inputs.region).put_bucket_replication(
        Bucket=name, ReplicationConfiguration={"Role": inputs.take("role"), "Rules": rules}
    )
    return Created(name)


@creates(OBJECT, fixed=("bucket", "key"), again=True, moves=("etag", "versionId"))
def put_object(account: Account, inputs: Inputs) -> Created:
    """An object from a file of the project."""
    name, key, source = inputs.take("bucket"), inputs.take("key"), inputs.take("source")
    tags = urlencode(inputs.take("tags", {}))
    made = account.client("s3", inputs.region).put_object(Bucket=name, Key=key, Body=_content(source), Tagging=tags)
    return Created(
        f"{name}/{key}",
        {
            "arn": f"arn:{account.partition}:s3:::{name}/{key}",
            "etag": made["ETag"].strip('"'),
            "versionId": made.get("VersionId", ""),
        },
    )


def _content(source: Any) -> bytes:
    if isinstance(source, pulumi.FileAsset):
        return Path(source.path).read_bytes()
    raise TypeError(f"an object's source is a file, got {type(source).__name__}")
