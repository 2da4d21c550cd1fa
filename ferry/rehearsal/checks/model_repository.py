"""What has to be true of the model repository and of its replica."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from ferry.rehearsal.checks import Seen, Stack, buckets, check
from ferry.rehearsal.handlers import Account


@check
def model_buckets_are_encrypted_with_kms(account: Account, stack: Stack) -> Iterator[Seen]:
    """With the repository's key, and through a bucket key; the replica with a key of its own region."""
    for bucket, region in _buckets(stack):
        found = buckets.encryption(account, bucket, region)
        if region is None:
            yield Seen(bucket, f"aws:kms {stack.outputs['model_key_arn']}, bucket key", found)
        else:
            prefix = f"aws:kms arn:{account.partition}:kms:{region}:"
            suffix = ", bucket key"
            right = found.startswith(prefix) and found.endswith(suffix)
            yield Seen(bucket, f"{prefix}…{suffix}", f"{prefix}…{suffix}" if right else found)


@check
def model_keys_rotate(account: Account, stack: Stack) -> Iterator[Seen]:
    """Every year, as AWS does it."""
    yield buckets.rotates(account, stack.outputs["model_key_arn"])
    for bucket, region in _buckets(stack)[1:]:
        key = buckets.kms_key_of(account, bucket, region)
        if key:  # a bucket without a key is what another check is about
            yield buckets.rotates(account, key, region)


@check
def model_buckets_keep_old_versions(account: Account, stack: Stack) -> Iterator[Seen]:
    """A model that was overwritten can be brought back."""
    for bucket, region in _buckets(stack):
        yield buckets.versioned(account, bucket, region)


@check
def model_buckets_are_closed_to_the_public(account: Account, stack: Stack) -> Iterator[Seen]:
    """Whatever an ACL or a policy says."""
    for bucket, region in _buckets(stack):
        yield buckets.closed(account, bucket, region)


@check
def model_buckets_refuse_requests_without_tls(account: Account, stack: Stack) -> Iterator[Seen]:
    """By the bucket's own policy."""
    for bucket, region in _buckets(stack):
        yield buckets.tls_only(account, bucket, region)


@check
def only_the_lifecycle_deletes_versions_of_models(account: Account, stack: Stack) -> Iterator[Seen]:
    """By the bucket's policy, whoever asks; a delete without a version id only puts a marker."""
    refused = "refused to everybody"
    for bucket, region in _buckets(stack):
        arn = f"arn:{account.partition}:s3:::{bucket}/*"
        refuses = any(
            statement["Effect"] == "Deny"
            and statement.get("Principal") in ("*", {"AWS": "*"})
            and "s3:DeleteObjectVersion" in buckets.as_list(statement.get("Action"))
            and arn in buckets.as_list(statement.get("Resource"))
            and "Condition" not in statement
            for statement in buckets.policy(account, bucket, region)
        )
        yield Seen(bucket, refused, refused if refuses else "no such statement")


@check
def models_are_locked_for_the_days_of_the_stack(account: Account, stack: Stack) -> Iterator[Seen]:
    """In GOVERNANCE mode, where the stack asks for it; no lock elsewhere, so that the lifecycle's days are all."""
    days = stack.settings.model_repository.governance_lock_days
    for bucket, region in _buckets(stack):
        yield Seen(bucket, f"GOVERNANCE {days} days" if days else "no lock", _lock(account, bucket, region))


@check
def model_buckets_put_old_versions_away(account: Account, stack: Stack) -> Iterator[Seen]:
    """To Glacier Instant Retrieval, then out, by the stack's days; unfinished uploads end."""
    repository = stack.settings.model_repository
    expected = "; ".join(
        sorted(
            (
                f"old versions GLACIER_IR after {repository.noncurrent_to_glacier_ir_days} days",
                f"old versions expire after {repository.noncurrent_expiration_days} days",
                "delete markers go with their last version",
                f"uploads end after {repository.abort_multipart_days} days",
            )
        )
    )
    for bucket, region in _buckets(stack):
        yield Seen(bucket, expected, buckets.lifecycle(account, bucket, region))


@check
def the_model_bucket_writes_access_logs(account: Account, stack: Stack) -> Iterator[Seen]:
    """To the access-log bucket."""
    yield buckets.access_logs(account, stack.outputs["model_bucket"], stack.outputs["access_log_bucket"])


@check
def models_are_replicated_where_the_stack_asks_for_it(account: Account, stack: Stack) -> Iterator[Seen]:
    """All of them, to the replica's bucket and key."""
    bucket = stack.outputs["model_bucket"]
    region = stack.settings.model_repository.replica_region
    expected = "no replica"
    if region:
        replica = stack.outputs["model_replica_bucket"]
        expected = f"Enabled arn:{account.partition}:s3:::{replica} with a key of {region}"
    yield Seen(bucket, expected, _replication(account, bucket))


@check
def nodes_find_their_bundle_and_its_signature(account: Account, stack: Stack) -> Iterator[Seen]:
    """Exactly where the stack names a bundle."""
    bucket = stack.outputs["model_bucket"]
    listed = account.client("s3").list_objects_v2(Bucket=bucket, Prefix="bundles/").get("Contents", [])
    names = ["gateway-bundle.tar.gz"] if stack.settings.gateway_tier else []
    names = [*names, "node-bundle.tar.gz"] if stack.settings.node_bundle else []
    expected = [f"{name}{suffix}" for name in names for suffix in ("", ".sig")]
    found = sorted(one["Key"].rsplit("/", 1)[-1] for one in listed)
    yield Seen(f"{bucket}/bundles/", " ".join(expected) or "nothing", " ".join(found) or "nothing")


def _buckets(stack: Stack) -> list[tuple[str, str | None]]:
    """The repository's buckets with their region; None is the stack's."""
    found: list[tuple[str, str | None]] = [(stack.outputs["model_bucket"], None)]
    if region := stack.settings.model_repository.replica_region:
        found.append((stack.outputs["model_replica_bucket"], region))
    return found


def _replication(account: Account, bucket: str) -> str:
    try:
        configuration = account.client("s3").get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]
    except ClientError:
        return "no replica"
    return "; ".join(
        f"{rule['Status']} {rule['Destination']['Bucket']} with a key of {_key_region(rule['Destination'])}"
        for rule in configuration["Rules"]
    )


def _lock(account: Account, bucket: str, region: str | None) -> str:
    try:
        found = account.client("s3", region).get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ObjectLockConfigurationNotFoundError":
            raise
        return "no lock"
    retention = found.get("Rule", {}).get("DefaultRetention")
    return f"{retention['Mode']} {retention['Days']} days" if retention else "a lock without days"


def _key_region(destination: Mapping[str, Any]) -> str:
    key: str = destination.get("EncryptionConfiguration", {}).get("ReplicaKmsKeyID", "")
    return key.split(":")[3] if key.startswith("arn:") else "no region"
