"""AccessLogs: where S3 and the load balancers write who asked for what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import pulumi

from components import policies
from components.identity import Identity
from components.private_bucket import PrivateBucket, PrivateBucketArgs, lifecycle_rule


@dataclass(frozen=True, kw_only=True)
class AccessLogsArgs:
    """Arguments of `AccessLogs`."""

    identity: Identity
    retention_days: int
    """Days until a log file expires."""
    protect: bool
    """False lets the bucket be destroyed with the logs in it."""
    tags: Mapping[str, str]


class AccessLogs(pulumi.ComponentResource):
    """A bucket for access logs: S3's below `s3/`, the load balancer's below `alb/`.

    Neither can be delivered to a bucket with Object Lock or a KMS key, so this one is apart from the audit archive:
    SSE-S3, and versioned, so that what is deleted can be brought back for 30 days.
    """

    bucket_name: pulumi.Output[str]

    def __init__(self, name: str, args: AccessLogsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ferry:components:AccessLogs", name, None, opts)
        bucket = PrivateBucket(
            name,
            PrivateBucketArgs(
                policy=partial(policies.access_log_bucket, args.identity),
                lifecycle_rules=[
                    lifecycle_rule("expire", expiration_days=args.retention_days, noncurrent_expiration_days=30)
                ],
                protect=args.protect,
                tags=args.tags,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.bucket_name = bucket.bucket_name
        self.register_outputs({"bucket_name": self.bucket_name})
