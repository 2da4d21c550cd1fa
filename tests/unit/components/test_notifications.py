from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from components import policies
from components.identity import Identity
from ferry.rehearsal.account import EmbeddedAccount

PROGRAM = """
import pulumi
from components.identity import Identity
from components.notifications import Notifications, NotificationsArgs

notifications = Notifications(
    "notifications",
    NotificationsArgs(
        identity=Identity("123456789012", "aws", "us-east-1"),
        emails=["a@example.com", "b@example.com"],
        tags={"project": "ferry"},
    ),
)
pulumi.export("topic_arn", notifications.topic_arn)
"""

CHINA = Identity("123456789012", "aws-cn", "cn-north-1")
TOPIC = "arn:aws-cn:sns:cn-north-1:123456789012:topic"


def statements(policy: str) -> dict[str, Any]:
    return {statement["Sid"]: statement for statement in json.loads(policy)["Statement"]}


@pytest.fixture
def topic(account: EmbeddedAccount, run_program: Callable[..., Any]) -> str:
    arn: str = run_program(PROGRAM).outputs["topic_arn"]
    return arn


def test_the_topic_has_a_key_of_its_own_that_is_rotated(topic: str, account: EmbeddedAccount) -> None:
    key = account.client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]["KmsMasterKeyId"]
    kms = account.client("kms")
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
    policy = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    assert list(statements(policy)) == ["AccountDecides", "AlarmsEncrypt", "EventsEncrypt", "BudgetsEncrypt"]


def test_each_address_is_subscribed(topic: str, account: EmbeddedAccount) -> None:
    found = account.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert sorted((one["Protocol"], one["Endpoint"]) for one in found) == [
        ("email", "a@example.com"),
        ("email", "b@example.com"),
    ]


def test_the_topic_takes_what_three_services_say_for_this_account(topic: str, account: EmbeddedAccount) -> None:
    policy = account.client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
    found = statements(policy)
    assert list(found) == ["AlarmsPublish", "EventsPublish", "BudgetsPublish", "RefuseWithoutTls"]
    assert {found[sid]["Resource"] for sid in found} == {topic}


def test_only_alarms_rules_and_budgets_of_the_partition_publish() -> None:
    found = statements(policies.notification_topic(CHINA, TOPIC))
    assert {sid: found[sid]["Condition"].get("ArnLike") for sid in found} == {
        "AlarmsPublish": {"aws:SourceArn": "arn:aws-cn:cloudwatch:cn-north-1:123456789012:alarm:*"},
        "EventsPublish": {"aws:SourceArn": "arn:aws-cn:events:cn-north-1:123456789012:rule/*"},
        "BudgetsPublish": {"aws:SourceArn": "arn:aws-cn:budgets::123456789012:*"},
        "RefuseWithoutTls": None,
    }
    assert found["BudgetsPublish"]["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}


def test_nobody_publishes_without_tls() -> None:
    refusal = statements(policies.notification_topic(CHINA, TOPIC))["RefuseWithoutTls"]
    assert (refusal["Effect"], refusal["Principal"], refusal["Action"]) == ("Deny", "*", "sns:Publish")
    assert refusal["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_event_bridge_may_encrypt_without_a_condition_because_it_sends_no_source() -> None:
    found = statements(policies.topic_key(CHINA))
    assert "Condition" not in found["EventsEncrypt"]
    for sid in ("AlarmsEncrypt", "BudgetsEncrypt"):
        assert found[sid]["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    for sid in ("AlarmsEncrypt", "EventsEncrypt", "BudgetsEncrypt"):
        assert found[sid]["Action"] == ["kms:GenerateDataKey*", "kms:Decrypt"]
