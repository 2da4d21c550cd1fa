r"""CloudTrail's digests, where they were delivered: the hourly files that sign the log files of a trail.

As `aws cloudtrail validate-logs` does it: each digest names the log files of its hour with their SHA-256, the digest
before, and that one's signature; its own signature stands in its object's metadata, and is one of SHA256withRSA over

    end time \n bucket/key \n hex SHA-256 of the digest \n signature of the digest before, or null

with a key that `cloudtrail:ListPublicKeys` gives as PKCS #1 in DER.
https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html

Tested with digests that the tests sign themselves: no emulator makes any.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ferry.errors import AuditError

if TYPE_CHECKING:
    from mypy_boto3_cloudtrail import CloudTrailClient
    from mypy_boto3_s3 import S3Client

TRAIL_ARN = re.compile(r"arn:[a-z-]+:cloudtrail:([a-z0-9-]+):(\d{12}):trail/([A-Za-z0-9._-]+)")
LATEST = timedelta(hours=2)
"""A digest comes every hour, also where nothing was logged, and a while after the hour's end."""
TESTED = "this check was tested only with digests of its own tests, not with CloudTrail's"


@dataclass(frozen=True, kw_only=True)
class Trail:
    """What was found of a trail in one region."""

    digests: int
    log_files: int
    faults: Sequence[str]


class _Fault(Exception):
    """A digest that cannot be believed."""


def validate(
    s3: S3Client,
    cloudtrail: CloudTrailClient,
    *,
    bucket: str,
    trail_arn: str,
    since: datetime,
    until: datetime,
    told: Callable[[str], None] = lambda digest: None,
) -> Trail:
    """Validate the digests of the trail's own region that end in this time, and every log file that they name.

    The newest digest is found by listing, each older one by the newer one's word, which has to be what is there.
    Raises AuditError where the account does not answer.
    """
    match = TRAIL_ARN.fullmatch(trail_arn)
    if match is None:
        raise AuditError(f"{trail_arn!r} is no trail's ARN; name the stack's output trail_arn")
    region, account, name = match.groups()
    prefix = f"AWSLogs/{account}/CloudTrail-Digest/{region}/"
    file = rf"\d+/\d+/\d+/{account}_CloudTrail-Digest_{region}_{re.escape(name)}_{region}_(\w+)\.json\.gz"
    pattern = re.compile(re.escape(prefix) + file)
    try:
        keys = _public_keys(cloudtrail, since, until)
        listed = {key: ended for key in _list(s3, bucket, prefix) if (ended := _ended(pattern, key)) is not None}
        wanted = sorted(key for key, ended in listed.items() if since <= ended <= until + timedelta(hours=1))
        faults: list[str] = []
        files = 0
        named: tuple[str, str] | None = None
        for key in reversed(wanted):
            told(key)
            try:
                if named is not None and named[0] != key:
                    raise _Fault(
                        f"the digest after it names {named[0]} as the one before: that is missing, or this new"
                    )
                digest, signature = _digest(s3, bucket, key, keys)
                if named is not None and named[1] != signature:
                    raise _Fault("the digest after it names another signature: this one was replaced")
            except _Fault as fault:
                faults.append(f"s3://{bucket}/{key}: {fault}")
                named = None
                continue
            for log in digest["logFiles"]:
                files += 1
                faults += _log_faults(s3, log)
            before = digest.get("previousDigestS3Object")
            named = (before, digest["previousDigestSignature"]) if before is not None else None
            if named is None and key != wanted[0]:
                faults.append(f"s3://{bucket}/{key}: names none before it: the trail was stopped until then")
        # What was removed where the time begins is in no listing: the oldest that is there names it.
        if named is not None and (ended := _ended(pattern, named[0])) is not None and ended >= since:
            faults.append(f"s3://{bucket}/{named[0]}: is missing, the digest after it names it")
    except (ClientError, BotoCoreError) as error:
        raise AuditError(f"{trail_arn}: its digests cannot be read: {error}") from error
    if not wanted:
        faults.append(f"s3://{bucket}/{prefix}: has no digest of {name} between {since} and {until}")
    elif until - listed[wanted[-1]] > LATEST:
        faults.append(
            f"s3://{bucket}/{wanted[-1]}: is the last, two hours before {until} or more: later ones are missing"
        )
    return Trail(digests=len(wanted), log_files=files, faults=faults)


def _public_keys(client: CloudTrailClient, since: datetime, until: datetime) -> Mapping[str, RSAPublicKey]:
    """Keys by fingerprint, of the time and two hours after."""
    found: dict[str, RSAPublicKey] = {}
    token: dict[str, Any] = {}
    while True:
        answer = client.list_public_keys(StartTime=since, EndTime=until + timedelta(hours=2), **token)
        for one in answer["PublicKeyList"]:
            key = load_der_public_key(one["Value"])
            if isinstance(key, RSAPublicKey):
                found[one["Fingerprint"]] = key
        if "NextToken" not in answer:
            return found
        token = {"NextToken": answer["NextToken"]}


def _digest(s3: S3Client, bucket: str, key: str, keys: Mapping[str, RSAPublicKey]) -> tuple[dict[str, Any], str]:
    """A digest and its signature. Raises _Fault."""
    answer = s3.get_object(Bucket=bucket, Key=key)
    signature = answer["Metadata"].get("signature", "")
    try:
        content = gzip.decompress(answer["Body"].read())
        digest = json.loads(content)
        place = f"{digest['digestS3Bucket']}/{digest['digestS3Object']}"
        previous = digest["previousDigestSignature"]
        fingerprint, ended, _ = digest["digestPublicKeyFingerprint"], digest["digestEndTime"], digest["logFiles"]
    except (ValueError, KeyError, TypeError, OSError, EOFError, zlib.error) as error:
        raise _Fault(f"is no digest: {error!r}") from error
    if place != f"{bucket}/{key}":
        raise _Fault(f"was delivered to {place}: it was moved here")
    if fingerprint not in keys:
        raise _Fault(f"is signed by the key {fingerprint}, which CloudTrail does not have for this time")
    signed = f"{ended}\n{place}\n{hashlib.sha256(content).hexdigest()}\n{'null' if previous is None else previous}"
    try:
        keys[fingerprint].verify(bytes.fromhex(signature), signed.encode(), PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError) as error:
        raise _Fault("its signature does not fit: it was altered") from error
    return digest, signature


def _log_faults(s3: S3Client, log: Mapping[str, Any]) -> Iterator[str]:
    place = f"s3://{log['s3Bucket']}/{log['s3Object']}"
    try:
        body = s3.get_object(Bucket=log["s3Bucket"], Key=log["s3Object"])["Body"].read()
        found = hashlib.sha256(gzip.decompress(body)).hexdigest()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "NoSuchKey":
            raise
        yield f"{place}: is missing, its digest names it"
    except (OSError, EOFError, zlib.error) as error:
        yield f"{place}: is no gzip file: {error}"
    else:
        if found != log["hashValue"]:
            yield f"{place}: was altered, its digest has another hash"


def _list(s3: S3Client, bucket: str, prefix: str) -> Iterator[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from (entry["Key"] for entry in page.get("Contents", []))


def _ended(pattern: re.Pattern[str], key: str) -> datetime | None:
    """When a digest's hour ended, from its name; None for another trail's."""
    match = pattern.fullmatch(key)
    return datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) if match else None
