"""What the account itself says of the archived objects: their lock, until when they are kept, and what hides them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from ferry.errors import AuditError
from ferry.traffic.audit.place import AT_ONCE

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

RETENTION_DAYS = 184
"""Six months, as MLPS 2.0 level 3 asks of network logs; the stack's least `audit.retention_days`."""


def lock_faults(
    client: S3Client,
    bucket: str,
    names: Sequence[str],
    *,
    retention_days: int = RETENTION_DAYS,
    told: Callable[[int, int], None] = lambda done, whole: None,
) -> Iterator[str]:
    """Objects that are not locked in COMPLIANCE mode for so many days from when they were written.

    It needs s3:GetObject and s3:GetObjectRetention. Raises AuditError where the account does not answer.
    """

    def look(name: str) -> str | None:
        answer = client.head_object(Bucket=bucket, Key=name)
        mode, until = answer.get("ObjectLockMode"), answer.get("ObjectLockRetainUntilDate")
        if mode != "COMPLIANCE" or until is None:
            return f"s3://{bucket}/{name}: has the lock {mode or 'none'}, expected is COMPLIANCE"
        # Until and since have whole seconds, each cut off in its own way.
        days = (until - answer["LastModified"] + timedelta(seconds=1)) / timedelta(days=1)
        if days < retention_days:
            return (
                f"s3://{bucket}/{name}: is kept for {days:.1f} days, until {until:%Y-%m-%d}; at least {retention_days}"
            )
        return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for done, fault in enumerate(pool.map(look, names), start=1):
                told(done, len(names))
                if fault is not None:
                    yield fault
        except (ClientError, BotoCoreError) as error:
            raise AuditError(f"s3://{bucket}: the lock cannot be read: {error}") from error


def version_faults(client: S3Client, bucket: str, prefix: str) -> Iterator[str]:
    """Objects that have a delete marker or more than one version: somebody hid or replaced them.

    It needs s3:ListBucketVersions. Raises AuditError where the account does not answer.
    """
    seen: set[str] = set()
    try:
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            for marker in page.get("DeleteMarkers", []):
                yield f"s3://{bucket}/{marker['Key']}: has a delete marker of {marker['LastModified']:%Y-%m-%d %H:%M}"
            for version in page.get("Versions", []):
                if version["Key"] in seen:
                    yield f"s3://{bucket}/{version['Key']}: was replaced, version {version['VersionId']} is there, too"
                seen.add(version["Key"])
    except (ClientError, BotoCoreError) as error:
        raise AuditError(f"s3://{bucket}: versions cannot be listed: {error}") from error
