from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from components import endpoint_policies, policies
from components.identity import Identity

OREGON = Identity("111122223333", "aws", "us-west-2")
BEIJING = Identity("111122223333", "aws-cn", "cn-north-1")
BUCKET = "arn:aws:s3:::logs"


def statements(policy: str) -> list[dict[str, Any]]:
    document = json.loads(policy)
    assert document["Version"] == "2012-10-17"
    return list(document["Statement"])


def by_sid(policy: str, sid: str) -> dict[str, Any]:
    return next(statement for statement in statements(policy) if statement.get("Sid") == sid)


@pytest.mark.parametrize(
    "policy",
    [
        policies.tls_only_bucket(BUCKET),
        policies.access_log_bucket(OREGON, BUCKET),
        policies.cloudtrail_bucket(OREGON, BUCKET, "arn:aws:cloudtrail:us-west-2:111122223333:trail/ferry-dev"),
    ],
)
def test_every_bucket_policy_refuses_requests_without_tls(policy: str) -> None:
    assert by_sid(policy, "RefuseWithoutTls") == {
        "Sid": "RefuseWithoutTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::logs", "arn:aws:s3:::logs/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def test_the_load_balancers_of_an_older_region_deliver_as_their_account() -> None:
    statement = by_sid(policies.access_log_bucket(OREGON, BUCKET), "LoadBalancerAccessLogs")
    assert statement["Principal"] == {"AWS": "arn:aws:iam::797873946194:root"}
    assert statement["Resource"] == "arn:aws:s3:::logs/alb/AWSLogs/111122223333/*"
    assert "Condition" not in statement


def test_the_load_balancers_of_a_newer_region_deliver_as_a_service_for_this_account_only() -> None:
    zurich = OREGON.within("eu-central-2")
    statement = by_sid(policies.access_log_bucket(zurich, BUCKET), "LoadBalancerAccessLogs")
    assert statement["Principal"] == {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "111122223333"}}


@pytest.mark.parametrize(("region", "account"), [("cn-north-1", "638102146993"), ("cn-northwest-1", "037604701340")])
def test_the_load_balancers_in_china_deliver_as_their_account_of_that_partition(region: str, account: str) -> None:
    statement = by_sid(
        policies.access_log_bucket(BEIJING.within(region), "arn:aws-cn:s3:::logs"), "LoadBalancerAccessLogs"
    )
    assert statement["Principal"] == {"AWS": f"arn:aws-cn:iam::{account}:root"}


def test_s3_delivers_access_logs_of_this_account_only() -> None:
    statement = by_sid(policies.access_log_bucket(OREGON, BUCKET), "S3ServerAccessLogs")
    assert statement["Principal"] == {"Service": "logging.s3.amazonaws.com"}
    assert statement["Resource"] == "arn:aws:s3:::logs/s3/*"
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "111122223333"}}


def test_no_other_trail_can_deliver_to_the_archive_or_use_its_key() -> None:
    trail = OREGON.arn("cloudtrail", "trail/ferry-dev")
    allowed = [one for one in statements(policies.cloudtrail_bucket(OREGON, BUCKET, trail)) if one["Effect"] == "Allow"]
    allowed += [one for one in statements(policies.trail_key(OREGON, trail)) if "Service" in one["Principal"]]
    assert len(allowed) == 4
    for statement in allowed:
        assert statement["Principal"] == {"Service": "cloudtrail.amazonaws.com"}
        assert statement["Condition"]["StringEquals"]["aws:SourceArn"] == (
            "arn:aws:cloudtrail:us-west-2:111122223333:trail/ferry-dev"
        )


def test_logs_use_a_key_for_the_named_groups_only_and_by_the_partitions_service_name() -> None:
    statement = by_sid(policies.log_group_key(BEIJING, "flow-"), "LogsEncrypts")
    assert statement["Principal"] == {"Service": "logs.cn-north-1.amazonaws.com.cn"}
    assert statement["Condition"] == {
        "ArnLike": {"kms:EncryptionContext:aws:logs:arn": "arn:aws-cn:logs:cn-north-1:111122223333:log-group:flow-*"}
    }


def test_flow_logs_of_another_account_cannot_borrow_the_role() -> None:
    [statement] = statements(policies.flow_log_trust(OREGON))
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "111122223333"},
        "ArnLike": {"aws:SourceArn": "arn:aws:ec2:us-west-2:111122223333:vpc-flow-log/*"},
    }


def test_replication_uses_each_key_only_through_s3_of_its_own_region() -> None:
    policy = policies.replication(
        BEIJING, BEIJING.within("cn-northwest-1"), "arn:aws-cn:s3:::a", "key-a", "arn:aws-cn:s3:::b", "key-b"
    )
    keys = {one["Resource"]: one for one in statements(policy) if str(one["Action"]).startswith("kms:")}
    assert {name: one["Action"] for name, one in keys.items()} == {"key-a": "kms:Decrypt", "key-b": "kms:Encrypt"}
    assert keys["key-a"]["Condition"]["StringLike"] == {
        "kms:ViaService": "s3.cn-north-1.amazonaws.com.cn",
        "kms:EncryptionContext:aws:s3:arn": ["arn:aws-cn:s3:::a", "arn:aws-cn:s3:::a/*"],
    }
    assert keys["key-b"]["Condition"]["StringLike"]["kms:ViaService"] == "s3.cn-northwest-1.amazonaws.com.cn"


@pytest.mark.parametrize(
    "make",
    [
        lambda: policies.access_log_bucket(BEIJING, "arn:aws-cn:s3:::b"),
        lambda: policies.trail_key(BEIJING, BEIJING.arn("cloudtrail", "trail/t")),
        lambda: policies.log_group_key(BEIJING, "g"),
        lambda: policies.flow_log_trust(BEIJING),
    ],
)
def test_no_arn_of_another_partition_appears_in_china(make: Callable[[], str]) -> None:
    assert "arn:aws:" not in make()


def test_endpoints_pass_the_accounts_own_principals_and_s3_image_layers_packages_and_patch_scripts() -> None:
    (everywhere,) = statements(endpoint_policies.interface_endpoint(BEIJING))
    first, *open_reads = statements(endpoint_policies.s3_endpoint(BEIJING, ["scripts", "snapshots"]))
    assert everywhere == first
    assert everywhere["Condition"] == {"StringEquals": {"aws:PrincipalAccount": "111122223333"}}
    assert [(one["Action"], one["Resource"]) for one in open_reads] == [
        ("s3:GetObject", ["arn:aws-cn:s3:::prod-cn-north-1-starport-layer-bucket/*"]),
        ("s3:GetObject", ["arn:aws-cn:s3:::al2023-repos-cn-north-1-de612dc2/*"]),
        ("s3:GetObject", ["arn:aws-cn:s3:::scripts/*", "arn:aws-cn:s3:::snapshots/*"]),
    ]
