"""A trail's digests, signed here as CloudTrail signs them and laid into the embedded account."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ferry.errors import AuditError
from ferry.rehearsal.account import EmbeddedAccount
from ferry.traffic.audit.cloudtrail import Trail, validate

BUCKET, ACCOUNT, REGION = "archive", "123456789012", "eu-central-1"
ARN = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/ferry-prod"
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
HOURS = 4


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@dataclass
class PublicKeys:
    """Answers in two pages, as the service may."""

    key: rsa.RSAPrivateKey
    since: datetime = BEGIN

    def list_public_keys(self, **asked: Any) -> dict[str, Any]:
        if "NextToken" not in asked:
            assert asked["StartTime"] == self.since
            return {"PublicKeyList": [], "NextToken": "more"}
        value = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
        return {"PublicKeyList": [{"Value": value, "Fingerprint": "f1"}]}


@dataclass
class Delivered:
    client: Any
    key: rsa.RSAPrivateKey
    digests: list[str]
    logs: list[str]

    def validate(self, since: datetime = BEGIN) -> Trail:
        keys: Any = PublicKeys(self.key, since)
        until = BEGIN + timedelta(hours=HOURS)
        return validate(self.client, keys, bucket=BUCKET, trail_arn=ARN, since=since, until=until)

    def faults(self) -> list[str]:
        return [fault.removeprefix(f"s3://{BUCKET}/") for fault in self.validate().faults]


@pytest.fixture
def delivered(account: EmbeddedAccount, key: rsa.RSAPrivateKey) -> Delivered:
    client: Any = account.client("s3")
    client.create_bucket(Bucket=BUCKET)
    found = Delivered(client, key, [], [])
    before: tuple[str | None, str | None] = (None, None)
    for hour in range(1, HOURS + 1):
        ended = BEGIN + timedelta(hours=hour)
        day = ended.strftime("%Y/%m/%d")
        log = f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/{day}/{hour}.json.gz"
        content = json.dumps({"Records": [hour]}).encode()
        client.put_object(Bucket=BUCKET, Key=log, Body=gzip.compress(content))
        name = (
            f"AWSLogs/{ACCOUNT}/CloudTrail-Digest/{REGION}/{day}/"
            f"{ACCOUNT}_CloudTrail-Digest_{REGION}_ferry-prod_{REGION}_{ended:%Y%m%dT%H%M%SZ}.json.gz"
        )
        digest = {
            "awsAccountId": ACCOUNT,
            "digestStartTime": f"{ended - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
            "digestEndTime": f"{ended:%Y-%m-%dT%H:%M:%SZ}",
            "digestS3Bucket": BUCKET,
            "digestS3Object": name,
            "digestPublicKeyFingerprint": "f1",
            "previousDigestS3Bucket": BUCKET if before[0] else None,
            "previousDigestS3Object": before[0],
            "previousDigestSignature": before[1],
            "logFiles": [
                {"s3Bucket": BUCKET, "s3Object": log, "hashValue": hashlib.sha256(content).hexdigest()}
            ],
        }  # fmt: skip
        body = json.dumps(digest).encode()
        place = f"{BUCKET}/{name}"
        signed = f"{digest['digestEndTime']}\n{place}\n{hashlib.sha256(body).hexdigest()}\n{before[1] or 'null'}"
        signature = key.sign(signed.encode(), PKCS1v15(), SHA256()).hex()
        metadata = {"signature": signature, "signature-algorithm": "SHA256withRSA"}
        client.put_object(Bucket=BUCKET, Key=name, Body=gzip.compress(body), Metadata=metadata)
        before = (name, signature)
        found.digests.append(name)
        found.logs.append(log)
    return found


def test_digests_and_the_log_files_that_they_name_are_validated(delivered: Delivered) -> None:
    assert delivered.validate() == Trail(digests=4, log_files=4, faults=[])


def test_a_log_file_that_was_altered_or_removed_is_named(delivered: Delivered) -> None:
    delivered.client.put_object(Bucket=BUCKET, Key=delivered.logs[0], Body=gzip.compress(b"{}"))
    delivered.client.put_object(Bucket=BUCKET, Key=delivered.logs[1], Body=b"{}")
    delivered.client.delete_object(Bucket=BUCKET, Key=delivered.logs[2])
    assert sorted(fault.split(", its")[0].split(": Not")[0] for fault in delivered.faults()) == [
        f"{delivered.logs[0]}: was altered",
        f"{delivered.logs[1]}: is no gzip file",
        f"{delivered.logs[2]}: is missing",
    ]


def test_a_digest_that_was_altered_moved_or_removed_is_named(delivered: Delivered) -> None:
    client, (first, second, third, last) = delivered.client, delivered.digests
    answer = client.get_object(Bucket=BUCKET, Key=second)
    body = gzip.decompress(answer["Body"].read())
    altered = gzip.compress(body.replace(b'"awsAccountId": "1', b'"awsAccountId": "2'))
    client.put_object(Bucket=BUCKET, Key=second, Body=altered, Metadata=answer["Metadata"])
    assert delivered.faults() == [f"{second}: its signature does not fit: it was altered"]
    other = client.get_object(Bucket=BUCKET, Key=first)
    client.put_object(Bucket=BUCKET, Key=second, Body=other["Body"].read(), Metadata=other["Metadata"])
    assert delivered.faults() == [f"{second}: was delivered to {BUCKET}/{first}: it was moved here"]
    client.delete_object(Bucket=BUCKET, Key=second)
    assert delivered.faults() == [
        f"{first}: the digest after it names {second} as the one before: that is missing, or this new"
    ]
    client.delete_object(Bucket=BUCKET, Key=last)
    client.delete_object(Bucket=BUCKET, Key=third)
    assert "later ones are missing" in delivered.faults()[0]


def test_a_digest_replaced_by_another_of_the_same_key_is_named(delivered: Delivered) -> None:
    second = delivered.digests[1]
    body = gzip.decompress(delivered.client.get_object(Bucket=BUCKET, Key=second)["Body"].read())
    digest = json.loads(body) | {"logFiles": []}
    body = json.dumps(digest).encode()
    signed = (
        f"{digest['digestEndTime']}\n{BUCKET}/{second}\n{hashlib.sha256(body).hexdigest()}\n"
        f"{digest['previousDigestSignature']}"
    )
    signature = delivered.key.sign(signed.encode(), PKCS1v15(), SHA256()).hex()
    delivered.client.put_object(Bucket=BUCKET, Key=second, Body=gzip.compress(body), Metadata={"signature": signature})
    assert delivered.faults() == [f"{second}: the digest after it names another signature: this one was replaced"]


def test_a_time_without_digests_is_no_proof(delivered: Delivered) -> None:
    for name in delivered.digests:
        delivered.client.delete_object(Bucket=BUCKET, Key=name)
    (fault,) = delivered.faults()
    assert "has no digest of ferry-prod between" in fault


def test_digests_that_were_removed_where_the_time_begins_are_named(delivered: Delivered) -> None:
    first, second, *_ = delivered.digests
    delivered.client.delete_object(Bucket=BUCKET, Key=first)
    assert delivered.faults() == [f"{first}: is missing, the digest after it names it"]
    delivered.client.delete_object(Bucket=BUCKET, Key=second)
    assert delivered.faults() == [f"{second}: is missing, the digest after it names it"]
    assert delivered.validate(BEGIN + timedelta(hours=3)).faults == []


def test_what_is_no_trail_is_refused(delivered: Delivered) -> None:
    with pytest.raises(AuditError, match="is no trail's ARN"):
        validate(
            delivered.client,
            PublicKeys(delivered.key),  # type: ignore[arg-type]
            bucket=BUCKET,
            trail_arn="ferry-prod",
            since=BEGIN,
            until=BEGIN,
        )
