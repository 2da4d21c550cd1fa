"""Buckets, and what is set on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ferry.compliance.account.calls import Account, unless_absent
from ferry.compliance.resource import Resource
from ferry.compliance.rules import buckets

GONE = "NoSuchBucket"


def read(account: Account) -> Iterator[Resource]:
    """The stack's buckets, in whatever region."""
    for listed in account.of("s3").list_buckets()["Buckets"]:
        yield from _bucket(account, listed["Name"])


def _bucket(account: Account, name: str) -> Iterator[Resource]:
    ask = {"Bucket": name}
    found = unless_absent(lambda: account.of("s3").get_bucket_tagging(**ask), ["NoSuchTagSet"])
    if found is None or not account.owns(found["TagSet"]):
        return
    region = account.of("s3").get_bucket_location(**ask)["LocationConstraint"] or "us-east-1"
    s3 = account.of("s3", region)

    def setting(type_: str, properties: dict[str, Any]) -> Resource:
        return Resource(type_, name, {"bucket": name, **properties})

    yield Resource(buckets.BUCKET, name, {"tags": account.tags(found["TagSet"]), "region": region}, id=name)
    yield setting(
        buckets.VERSIONING, {"versioningConfiguration": {"status": s3.get_bucket_versioning(**ask).get("Status")}}
    )
    if block := unless_absent(lambda: s3.get_public_access_block(**ask), ["NoSuchPublicAccessBlockConfiguration"]):
        switches = block["PublicAccessBlockConfiguration"]
        yield setting(buckets.PUBLIC_ACCESS_BLOCK, {_camel(key): value for key, value in switches.items()})
    if policy := unless_absent(lambda: s3.get_bucket_policy(**ask), ["NoSuchBucketPolicy"]):
        yield setting(buckets.POLICY, {"policy": policy["Policy"]})
    absent = ["ServerSideEncryptionConfigurationNotFoundError"]
    if encryption := unless_absent(lambda: s3.get_bucket_encryption(**ask), absent):
        defaults = [
            one.get("ApplyServerSideEncryptionByDefault", {})
            for one in encryption["ServerSideEncryptionConfiguration"]["Rules"]
        ]
        rules = [
            {
                "applyServerSideEncryptionByDefault": {
                    "sseAlgorithm": one.get("SSEAlgorithm"),
                    "kmsMasterKeyId": one.get("KMSMasterKeyID"),
                }
            }
            for one in defaults
        ]
        yield setting(buckets.ENCRYPTION, {"rules": rules})
    if lifecycle := unless_absent(
        lambda: s3.get_bucket_lifecycle_configuration(**ask), ["NoSuchLifecycleConfiguration"]
    ):
        yield setting(
            buckets.LIFECYCLE,
            {
                "rules": [
                    {"id": one.get("ID"), "expiration": {"days": one.get("Expiration", {}).get("Days")}}
                    for one in lifecycle["Rules"]
                    if one["Status"] == "Enabled"
                ]
            },
        )
    if lock := unless_absent(lambda: s3.get_object_lock_configuration(**ask), ["ObjectLockConfigurationNotFoundError"]):
        retention = lock["ObjectLockConfiguration"].get("Rule", {}).get("DefaultRetention", {})
        days = retention.get("Days") or 365 * retention.get("Years", 0)
        yield setting(buckets.LOCK, {"rule": {"defaultRetention": {"mode": retention.get("Mode"), "days": days}}})
    if logging := s3.get_bucket_logging(**ask).get("LoggingEnabled"):
        yield setting(buckets.LOGGING, {"targetBucket": logging["TargetBucket"]})
    absent = ["ReplicationConfigurationNotFoundError"]
    if replication := unless_absent(lambda: s3.get_bucket_replication(**ask), absent):
        rules = [
            {"status": one["Status"], "destination": {"bucket": one["Destination"]["Bucket"]}}
            for one in replication["ReplicationConfiguration"]["Rules"]
        ]
        yield setting("aws:s3/bucketReplicationConfig:BucketReplicationConfig", {"rules": rules})


def _camel(name: str) -> str:
    return name[0].lower() + name[1:]
