from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import flask
import pytest
from botocore.exceptions import ClientError

from ferry.rehearsal.account import EmbeddedAccount
from ferry.rehearsal.conditions import CONDITIONS, concerns, context_of, holds, unknown

BUCKET = "models"
NOBODY: dict[str, str | None] = {"aws:securetransport": "true", "s3:x-amz-acl": None}


def put_policy(account: EmbeddedAccount, *statements: dict[str, Any]) -> Any:
    s3 = account.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="weights", Body=b"x")
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))
    return s3


def statement(effect: str, condition: dict[str, Any] | None = None, principal: Any = "*") -> dict[str, Any]:
    base = {"Effect": effect, "Principal": principal, "Action": "s3:*", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    return base | ({"Condition": condition} if condition else {})


def anonymous_get(account: EmbeddedAccount) -> int:
    connection = http.client.HTTPConnection(urlsplit(account.endpoint_url).netloc)
    connection.request("GET", f"/{BUCKET}/weights")
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_deny_unless_tls_lets_loopback_through(account: EmbeddedAccount) -> None:
    s3 = put_policy(account, statement("Deny", {"Bool": {"aws:SecureTransport": "false"}}))
    assert s3.get_object(Bucket=BUCKET, Key="weights")["Body"].read() == b"x"
    s3.put_object(Bucket=BUCKET, Key="new", Body=b"y")


def test_a_deny_whose_condition_holds_refuses(account: EmbeddedAccount) -> None:
    s3 = put_policy(account, statement("Deny", {"Bool": {"aws:SecureTransport": True}}))
    with pytest.raises(ClientError, match="403"):
        s3.get_object(Bucket=BUCKET, Key="weights")


def test_a_deny_without_condition_still_refuses(account: EmbeddedAccount) -> None:
    s3 = put_policy(account, statement("Deny"))
    with pytest.raises(ClientError, match="403"):
        s3.get_object(Bucket=BUCKET, Key="weights")


def test_a_header_of_the_request_decides(account: EmbeddedAccount) -> None:
    s3 = put_policy(
        account, statement("Deny", {"StringEquals": {"s3:x-amz-acl": ["public-read", "public-read-write"]}})
    )
    s3.put_object(Bucket=BUCKET, Key="new", Body=b"y", ACL="private")
    with pytest.raises(ClientError, match="403"):
        s3.put_object(Bucket=BUCKET, Key="new", Body=b"y", ACL="public-read")


def test_a_key_that_has_to_be_there_decides(account: EmbeddedAccount) -> None:
    s3 = put_policy(account, statement("Deny", {"Null": {"s3:if-none-match": "true"}}) | {"Action": "s3:PutObject"})
    s3.put_object(Bucket=BUCKET, Key="new", Body=b"y", IfNoneMatch="*")
    with pytest.raises(ClientError, match="403"):
        s3.put_object(Bucket=BUCKET, Key="other", Body=b"y")
    assert holds({"Null": {"s3:x-amz-acl": "true"}}, NOBODY)
    assert not holds({"Null": {"s3:x-amz-acl": "false"}}, NOBODY)


@pytest.mark.parametrize(
    ("allow", "status"),
    [
        (statement("Allow"), 200),
        (statement("Allow", principal={"AWS": "*"}), 200),
        (statement("Allow", {"StringEquals": {"aws:SourceAccount": "123456789012"}}), 403),
        (statement("Allow", principal={"Service": "cloudtrail.amazonaws.com"}), 403),
    ],
)
def test_only_a_statement_that_concerns_the_caller_opens_a_bucket(
    account: EmbeddedAccount, allow: dict[str, Any], status: int
) -> None:
    put_policy(account, allow).put_object_acl(Bucket=BUCKET, Key="weights", ACL="private")
    assert anonymous_get(account) == status


@pytest.mark.parametrize(
    ("condition", "named"),
    [
        ({"DateLessThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}}, "DateLessThan"),
        ({"StringEquals": {"aws:PrincipalOrgID": "o-1"}}, "StringEquals aws:PrincipalOrgID"),
        ({"BoolIfExists": {"aws:SecureTransport": "false"}}, "BoolIfExists"),
    ],
)
def test_a_policy_with_a_condition_that_is_not_known_is_refused_and_not_kept(
    account: EmbeddedAccount, condition: dict[str, Any], named: str
) -> None:
    with pytest.raises(ClientError) as raised:
        put_policy(account, statement("Deny", condition))
    assert raised.value.response["Error"] == {
        "Code": "MalformedPolicy",
        "Message": f"the rehearsal cannot evaluate {named} in the policy of models; "
        "add it to ferry/rehearsal/conditions.py",
    }
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        account.client("s3").get_bucket_policy(Bucket=BUCKET)
    assert CONDITIONS.evaluated == set()


def test_what_is_evaluated_is_listed(account: EmbeddedAccount) -> None:
    put_policy(
        account,
        statement("Deny", {"Bool": {"aws:SecureTransport": "false"}}),
        statement("Allow", {"ArnLike": {"aws:SourceArn": "arn:aws:cloudtrail:*"}}),
        statement("Deny", {"StringEquals": {"s3:x-amz-acl": "public-read"}}),
    )
    assert CONDITIONS.evaluated == {
        "Bool aws:SecureTransport (loopback counts as TLS)",
        "ArnLike aws:SourceArn (absent: no AWS service calls here)",
        "StringEquals s3:x-amz-acl",
    }


@pytest.mark.parametrize(
    ("remote_address", "scheme", "encrypted"),
    [
        ("127.0.0.1", "http", "true"),
        ("::1", "http", "true"),
        ("192.0.2.1", "http", "false"),
        ("192.0.2.1", "https", "true"),
    ],
)
def test_only_loopback_and_https_count_as_tls(remote_address: str, scheme: str, encrypted: str) -> None:
    with flask.Flask("test").test_request_context(
        "/", base_url=f"{scheme}://example.org", environ_base={"REMOTE_ADDR": remote_address}
    ):
        assert context_of(flask.request)["aws:securetransport"] == encrypted


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        ({}, {}, True),
        ({"Bool": {"aws:SecureTransport": "true"}}, {"aws:securetransport": "true"}, True),
        ({"Bool": {"AWS:securetransport": "TRUE"}}, {"aws:securetransport": "true"}, True),
        ({"StringEquals": {"s3:x-amz-acl": "Private"}}, {"s3:x-amz-acl": "private"}, False),
        ({"StringEquals": {"s3:x-amz-acl": ["a", "b"]}}, {"s3:x-amz-acl": "b"}, True),
        ({"StringLike": {"s3:x-amz-acl": "bucket-*"}}, {"s3:x-amz-acl": "bucket-owner-read"}, True),
        ({"StringLike": {"s3:x-amz-acl": "bucket-?"}}, {"s3:x-amz-acl": "bucket-owner-read"}, False),
        ({"StringLike": {"s3:x-amz-acl": "[ab]"}}, {"s3:x-amz-acl": "a"}, False),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:s3:::*"}}, {"aws:sourcearn": None}, False),
        (
            {"Bool": {"aws:SecureTransport": "true"}, "StringEquals": {"s3:x-amz-acl": "private"}},
            {"aws:securetransport": "true", "s3:x-amz-acl": "public-read"},
            False,
        ),
    ],
)
def test_every_operator_has_to_hold_for_every_key(
    condition: dict[str, Any], context: dict[str, str | None], expected: bool
) -> None:
    assert list(unknown(condition)) == []
    assert holds(condition, context) is expected


def test_a_statement_for_a_service_concerns_no_caller_and_one_for_everybody_does() -> None:
    assert concerns({"Principal": {"Service": "cloudtrail.amazonaws.com"}}, NOBODY) is False
    assert concerns({"Principal": {"AWS": ["arn:aws:iam::123456789012:root"]}}, NOBODY) is True
    assert concerns({}, NOBODY) is True
