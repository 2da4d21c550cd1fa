"""How buckets and what is set on them belong together."""

from __future__ import annotations

from collections.abc import Sequence

from ferry.compliance.resource import Resource, of_type

BUCKET = "aws:s3/bucket:Bucket"
ENCRYPTION = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
LOCK = "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration"
LOGGING = "aws:s3/bucketLogging:BucketLogging"
POLICY = "aws:s3/bucketPolicy:BucketPolicy"
PUBLIC_ACCESS_BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
VERSIONING = "aws:s3/bucketVersioning:BucketVersioning"


def settings_of(bucket: Resource, resources: Sequence[Resource], type_: str) -> list[Resource]:
    """What is set on a bucket by resources of a type."""
    return [one for one in of_type(resources, type_) if one.get("bucket") == bucket.id]


def log_targets(resources: Sequence[Resource]) -> set[str]:
    """Buckets that S3 or a load balancer delivers access logs to."""
    targets = {one.get("targetBucket") for one in of_type(resources, LOGGING)}
    targets |= {one.get("accessLogs.bucket") for one in of_type(resources, "aws:lb/loadBalancer:LoadBalancer")}
    return targets - {None}


def trail_buckets(resources: Sequence[Resource]) -> set[str]:
    """Buckets that a trail delivers to."""
    return {one.get("s3BucketName") for one in of_type(resources, "aws:cloudtrail/trail:Trail")} - {None}
