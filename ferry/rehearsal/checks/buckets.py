"""What the checks ask of any bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from ferry.rehearsal.checks import Seen
from ferry.rehearsal.handlers import Account

CLOSED = "ACLs and policies blocked, old ones ignored"


def encryption(account: Account, bucket: str, region: str | None = None) -> str:
    """Algorithm, key and bucket key of new objects, as `aws:kms <key>, bucket key`."""
    try:
        found = account.client("s3", region).get_bucket_encryption(Bucket=bucket)
    except ClientError as error:
        return _code(error)
    rule = found["ServerSideEncryptionConfiguration"]["Rules"][0]
    default = rule["ApplyServerSideEncryptionByDefault"]
    bucket_key = ", bucket key" if rule.get("BucketKeyEnabled") else ""
    return f"{default['SSEAlgorithm']} {default.get('KMSMasterKeyID', '')}".strip() + bucket_key


def kms_key_of(account: Account, bucket: str, region: str | None = None) -> str:
    """ARN of the key that new objects are encrypted with; empty when there is none."""
    words = encryption(account, bucket, region).removesuffix(", bucket key").split()
    return words[1] if words[0] == "aws:kms" and len(words) > 1 else ""


def closed(account: Account, bucket: str, region: str | None = None) -> Seen:
    """All four settings that block public access."""
    try:
        found = account.client("s3", region).get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    except ClientError as error:
        return Seen(bucket, CLOSED, _code(error))
    wanted = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    missing = [name for name in wanted if not found.get(name)]
    return Seen(bucket, CLOSED, f"without {', '.join(missing)}" if missing else CLOSED)


def versioned(account: Account, bucket: str, region: str | None = None) -> Seen:
    """Versioning is on."""
    found = account.client("s3", region).get_bucket_versioning(Bucket=bucket).get("Status", "off")
    return Seen(bucket, "Enabled", found)


def tls_only(account: Account, bucket: str, region: str | None = None) -> Seen:
    """A deny for everybody, for every action, on the bucket and its objects, when the request is not over TLS."""
    arn = f"arn:{account.partition}:s3:::{bucket}"
    refuses = any(
        statement["Effect"] == "Deny"
        and statement.get("Principal") in ("*", {"AWS": "*"})
        and statement.get("Action") in ("s3:*", "*", ["s3:*"], ["*"])
        and {arn, f"{arn}/*"} <= set(as_list(statement.get("Resource")))
        and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
        for statement in policy(account, bucket, region)
    )
    return Seen(bucket, "refused without TLS", "refused without TLS" if refuses else "no such statement")


def access_logs(account: Account, bucket: str, target: str) -> Seen:
    """Where the bucket's access logs go."""
    found = account.client("s3").get_bucket_logging(Bucket=bucket).get("LoggingEnabled", {})
    return Seen(bucket, f"{target}/s3/", f"{found['TargetBucket']}/{found['TargetPrefix']}" if found else "off")


def lifecycle(account: Account, bucket: str, region: str | None = None) -> str:
    """What the bucket's rules for all objects do, sorted: `GLACIER after 30 days; …`."""
    try:
        rules = account.client("s3", region).get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    except ClientError as error:
        return _code(error)
    return "; ".join(sorted(step for rule in rules if _for_all(rule) for step in _steps(rule)))


def policy(account: Account, bucket: str, region: str | None = None) -> list[dict[str, Any]]:
    """Statements of the bucket's policy; none without a policy."""
    try:
        found = account.client("s3", region).get_bucket_policy(Bucket=bucket)["Policy"]
    except ClientError:
        return []
    statements: list[dict[str, Any]] = json.loads(found)["Statement"]
    return statements


def as_list(value: Any) -> list[Any]:
    """What policies write either as one value or as a list."""
    return value if isinstance(value, list) else [value]


def rotates(account: Account, key_arn: str, region: str | None = None) -> Seen:
    """The key's material changes every year."""
    if not key_arn:
        return Seen("none", "rotates", "no key")
    found = account.client("kms", region).get_key_rotation_status(KeyId=key_arn)["KeyRotationEnabled"]
    return Seen(key_arn, "rotates", "rotates" if found else "does not rotate")


def _for_all(rule: Mapping[str, Any]) -> bool:
    return rule["Status"] == "Enabled" and rule.get("Filter", {}) in ({}, {"Prefix": ""})


def _steps(rule: Mapping[str, Any]) -> Iterator[str]:
    for one in rule.get("Transitions", []):
        yield f"{one['StorageClass']} after {one['Days']} days"
    if days := rule.get("Expiration", {}).get("Days"):
        yield f"expires after {days} days"
    if rule.get("Expiration", {}).get("ExpiredObjectDeleteMarker"):
        yield "delete markers go with their last version"
    for one in rule.get("NoncurrentVersionTransitions", []):
        yield f"old versions {one['StorageClass']} after {one['NoncurrentDays']} days"
    if "NoncurrentVersionExpiration" in rule:
        yield f"old versions expire after {rule['NoncurrentVersionExpiration']['NoncurrentDays']} days"
    if "AbortIncompleteMultipartUpload" in rule:
        yield f"uploads end after {rule['AbortIncompleteMultipartUpload']['DaysAfterInitiation']} days"


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])
