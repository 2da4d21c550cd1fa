from __future__ import annotations

import json
from typing import Any

import pytest

from ferry.compliance.documents import open_to_anybody, refuses_plaintext, statements

DENY = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": "*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}


@pytest.mark.parametrize(
    ("change", "refuses"),
    [
        ({}, True),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Action": ["s3:GetObject", "S3:Put*"]}, True),
        ({"Condition": {"Bool": {"aws:securetransport": ["false"]}}}, True),
        ({"Effect": "Allow"}, False),
        ({"Principal": {"AWS": "arn:aws:iam::1:root"}}, False),
        ({"Action": "s3:DeleteObject"}, False),
        ({"Condition": {}}, False),
        ({"Condition": {"Bool": {"aws:SecureTransport": "true"}}}, False),
        ({"Condition": {"BoolIfExists": {"aws:SecureTransport": "false"}}}, False),
        ({"Condition": {"Bool": {"aws:SecureTransport": "false"}, "StringLike": {"aws:userid": "A*"}}}, False),
    ],
)
def test_plaintext_is_refused_only_by_a_deny_for_everybody_without_tls(change: dict[str, Any], refuses: bool) -> None:
    assert refuses_plaintext(json.dumps({"Statement": [DENY | change]}), "s3:PutObject") is refuses


@pytest.mark.parametrize(
    ("change", "opened"),
    [
        ({}, True),
        ({"Principal": {"AWS": ["*"]}}, True),
        ({"Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}}}, False),
        ({"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::b"}}}, False),
        ({"Condition": {"StringLike": {"aws:SourceAccount": "*"}}}, True),
        ({"Condition": {"StringEquals": {"s3:x-amz-acl": "public-read"}}}, True),
        ({"Principal": {"Service": "logging.s3.amazonaws.com"}}, False),
        ({"Effect": "Deny"}, False),
    ],
)
def test_a_statement_is_open_when_everybody_may_and_nothing_narrows_who(change: dict[str, Any], opened: bool) -> None:
    one = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}
    assert bool(open_to_anybody({"Statement": one | change})) is opened


def test_a_statement_that_names_everybody_but_some_is_open() -> None:
    document = {"Statement": [{"Effect": "Allow", "NotPrincipal": {"AWS": "1"}, "Action": "s3:*", "Resource": "*"}]}
    assert [one.inverted for one in open_to_anybody(document)] == [True]
    assert statements(document)[0].covers("s3:getobject")
