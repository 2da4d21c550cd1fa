"""PrivateBucket: what every bucket of Ferry has in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_aws as aws

S3_LOG_PREFIX = "s3/"


@dataclass(frozen=True, kw_only=True)
class PrivateBucketArgs:
    """Arguments of `PrivateBucket`."""

    policy: Callable[[str], str]
    """Makes the bucket's policy from its ARN. It has to refuse requests without TLS."""
    tags: Mapping[str, str]
    lifecycle_rules: Sequence[aws.s3.BucketLifecycleConfigurationRuleArgsDict]
    kms_key_arn: pulumi.Input[str] | None = None
    """SSE-KMS with a bucket key; None is SSE-S3, which log delivery needs."""
    access_log_bucket: pulumi.Input[str] | None = None
    """Where S3 writes who asked for what. It has to be in the bucket's own region."""
    locked_days: int | None = None
    """Object Lock: until then no version can be deleted."""
    lock_mode: Literal["COMPLIANCE", "GOVERNANCE"] = "COMPLIANCE"
    """COMPLIANCE binds the root user, too; GOVERNANCE gives way to s3:BypassGovernanceRetention."""
    protect: bool = True
    """Refuse to delete the bucket and its settings. False also lets it be destroyed with its objects."""
    region: str | None = None
    """None is the provider's region."""


class PrivateBucket(pulumi.ComponentResource):
    """A bucket that is encrypted, versioned, closed to the public, and reachable over TLS only."""

    bucket_name: pulumi.Output[str]
    """Given out after the bucket's policy is in place, so that what delivers to it is made after that."""
    bucket_arn: pulumi.Output[str]

    def __init__(self, name: str, args: PrivateBucketArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ferry:components:PrivateBucket", name, None, opts)
        # What closes and locks a protected bucket is protected with it: `pulumi destroy --exclude-protected` would else
        # leave the bucket and take its policy, its encryption and its public-access block.
        child = pulumi.ResourceOptions(parent=self, protect=args.protect)

        bucket = aws.s3.Bucket(
            f"{name}-bucket",
            region=args.region,
            object_lock_enabled=args.locked_days is not None,
            force_destroy=not args.protect,
            tags={**args.tags, "Name": name},
            opts=child,
        )
        public = aws.s3.BucketPublicAccessBlock(
            f"{name}-private",
            region=args.region,
            bucket=bucket.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        policy = aws.s3.BucketPolicy(
            f"{name}-policy",
            region=args.region,
            bucket=bucket.bucket,
            policy=bucket.arn.apply(args.policy),
            # S3 answers 409 when both are written at once.
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect, depends_on=[public]),
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption", region=args.region, bucket=bucket.bucket, rules=[_encryption(args)], opts=child
        )
        versioning = aws.s3.BucketVersioning(
            f"{name}-versioning",
            region=args.region,
            bucket=bucket.bucket,
            versioning_configuration={"status": "Enabled"},
            opts=child,
        )
        after_versioning = pulumi.ResourceOptions(parent=self, protect=args.protect, depends_on=[versioning])
        aws.s3.BucketLifecycleConfiguration(
            f"{name}-lifecycle",
            region=args.region,
            bucket=bucket.bucket,
            rules=list(args.lifecycle_rules),
            opts=after_versioning,
        )
        if args.locked_days is not None:
            aws.s3.BucketObjectLockConfiguration(
                f"{name}-lock",
                region=args.region,
                bucket=bucket.bucket,
                rule={"default_retention": {"mode": args.lock_mode, "days": args.locked_days}},
                opts=after_versioning,
            )
        if args.access_log_bucket is not None:
            aws.s3.BucketLogging(
                f"{name}-access-logs",
                region=args.region,
                bucket=bucket.bucket,
                target_bucket=args.access_log_bucket,
                target_prefix=S3_LOG_PREFIX,
                target_object_key_format={"partitioned_prefix": {"partition_date_source": "EventTime"}},
                opts=child,
            )

        self.bucket_name, self.bucket_arn = policy.bucket, bucket.arn
        self.register_outputs({"bucket_name": self.bucket_name, "bucket_arn": self.bucket_arn})


def lifecycle_rule(
    id_: str,
    *,
    abort_multipart_days: int = 7,
    transitions: Mapping[str, int] | None = None,
    expiration_days: int | None = None,
    noncurrent_transitions: Mapping[str, int] | None = None,
    noncurrent_expiration_days: int | None = None,
    expired_delete_markers: bool = False,
) -> aws.s3.BucketLifecycleConfigurationRuleArgsDict:
    """A rule for all objects: storage class to days, for current and for noncurrent versions."""
    rule: aws.s3.BucketLifecycleConfigurationRuleArgsDict = {
        "id": id_,
        "status": "Enabled",
        "filter": {"prefix": ""},
        "abort_incomplete_multipart_upload": {"days_after_initiation": abort_multipart_days},
    }
    if transitions:
        rule["transitions"] = [
            {"storage_class": storage_class, "days": days} for storage_class, days in transitions.items()
        ]
    if expiration_days is not None:
        rule["expiration"] = {"days": expiration_days}
    elif expired_delete_markers:  # S3 takes one or the other
        rule["expiration"] = {"expired_object_delete_marker": True}
    if noncurrent_transitions:
        rule["noncurrent_version_transitions"] = [
            {"storage_class": storage_class, "noncurrent_days": days}
            for storage_class, days in noncurrent_transitions.items()
        ]
    if noncurrent_expiration_days is not None:
        rule["noncurrent_version_expiration"] = {"noncurrent_days": noncurrent_expiration_days}
    return rule


def _encryption(args: PrivateBucketArgs) -> aws.s3.BucketServerSideEncryptionConfigurationRuleArgsDict:
    if args.kms_key_arn is None:
        return {"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}
    return {
        "apply_server_side_encryption_by_default": {
            "sse_algorithm": "aws:kms",
            "kms_master_key_id": args.kms_key_arn,
        },
        "bucket_key_enabled": True,
    }
