from __future__ import annotations

from typing import Any

import pytest

import ferry.rehearsal.handlers.acm
import ferry.rehearsal.handlers.budgets
import ferry.rehearsal.handlers.elbv2
import ferry.rehearsal.handlers.sns  # noqa: F401 (registered by being imported)
from ferry.artefacts import NotEmulated
from ferry.errors import RehearsalError, UnknownProperty
from ferry.rehearsal.account import EmbeddedAccount
from ferry.rehearsal.handlers import HANDLERS, INVOKES, Created, Inputs

TARGET_GROUP = "aws:lb/targetGroup:TargetGroup"
LISTENER = "aws:lb/listener:Listener"


def create(account: EmbeddedAccount, token: str, properties: dict[str, Any]) -> tuple[Created, list[NotEmulated]]:
    inputs = Inputs(token, "thing", properties, [])
    created = HANDLERS[token](account, inputs)
    inputs.finish()
    return created, inputs.not_emulated


def ask(account: EmbeddedAccount, token: str, arguments: dict[str, Any]) -> Any:
    inputs = Inputs(token, "", arguments, [])
    answer = INVOKES[token](account, inputs)
    inputs.finish()
    return answer


def target_group(account: EmbeddedAccount, **properties: Any) -> Created:
    vpc = account.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    return create(account, TARGET_GROUP, {"protocol": "HTTP", "port": 8000, "vpcId": vpc} | properties)[0]


def load_balancer(account: EmbeddedAccount) -> str:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.1.{number}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"]
        for number, zone in enumerate("ab")
    ]
    made, _ = create(
        account, "aws:lb/loadBalancer:LoadBalancer", {"subnets": [subnet["SubnetId"] for subnet in subnets]}
    )
    return made.id


def test_a_prefix_becomes_a_name_of_32_characters_that_is_the_same_each_time(account: EmbeddedAccount) -> None:
    name = target_group(account, namePrefix="ferry-").outputs["name"]
    assert (len(name), name) == (32, "ferry-02513360937254337721952690")


def test_a_target_group_with_a_property_that_nobody_handles_is_an_error(account: EmbeddedAccount) -> None:
    with pytest.raises(UnknownProperty, match="no handler for slowStart"):
        target_group(account, slowStart=30)


def test_a_health_check_with_a_property_that_nobody_handles_is_an_error(account: EmbeddedAccount) -> None:
    with pytest.raises(UnknownProperty, match=r"no handler for healthCheck\.successCodes"):
        target_group(account, healthCheck={"path": "/health", "successCodes": "200"})


def test_a_check_of_tokens_is_listed_and_the_rest_of_the_listener_is_made(account: EmbeddedAccount) -> None:
    certificate = account.client("acm").request_certificate(DomainName="llm.example.com")["CertificateArn"]
    group = target_group(account).id
    created, not_emulated = create(
        account,
        LISTENER,
        {
            "loadBalancerArn": load_balancer(account),
            "port": 443,
            "protocol": "HTTPS",
            "sslPolicy": "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09",
            "certificateArn": certificate,
            "defaultActions": [
                {"type": "jwt-validation", "order": 1, "jwtValidation": {"issuer": "i", "jwksEndpoint": "https://i"}},
                {"type": "forward", "order": 2, "forward": {"targetGroups": [{"arn": group, "weight": 7}]}},
            ],
        },
    )
    (listener,) = account.client("elbv2").describe_listeners(ListenerArns=[created.id])["Listeners"]
    (action,) = listener["DefaultActions"]
    assert action["ForwardConfig"]["TargetGroups"] == [{"TargetGroupArn": group, "Weight": 7}]
    assert [(one.property, one.why) for one in not_emulated] == [
        (
            "defaultActions[].jwtValidation",
            "moto 5.2.5 refuses jwt-validation actions; requests pass without a token",
        )
    ]


def test_tags_of_a_budget_are_listed_because_moto_forgets_them(account: EmbeddedAccount) -> None:
    _, not_emulated = create(
        account,
        "aws:budgets/budget:Budget",
        {
            "name": "monthly",
            "budgetType": "COST",
            "timeUnit": "MONTHLY",
            "limitAmount": "100",
            "limitUnit": "CNY",
            "tags": {"project": "ferry"},
        },
    )
    assert [one.property for one in not_emulated] == ["tags"]
    (budget,) = account.client("budgets").describe_budgets(AccountId=account.account_id)["Budgets"]
    assert budget["BudgetLimit"] == {"Amount": "100", "Unit": "CNY"}


QUESTION = {
    "domain": "llm.example.com",
    "statuses": ["ISSUED"],
    "keyTypes": ["RSA_2048", "EC_prime256v1"],
    "mostRecent": True,
}
GET_CERTIFICATE = "aws:acm/getCertificate:getCertificate"


def test_the_certificate_of_exactly_this_domain_is_found(account: EmbeddedAccount) -> None:
    acm = account.client("acm")
    acm.request_certificate(DomainName="other.llm.example.com")
    arn = acm.request_certificate(DomainName="llm.example.com")["CertificateArn"]
    assert ask(account, GET_CERTIFICATE, QUESTION)["arn"] == arn


def test_no_certificate_is_an_error_that_names_domain_and_region(account: EmbeddedAccount) -> None:
    with pytest.raises(
        RehearsalError,
        match=r"^gateway.domain_name is llm.example.com: 0 certificates with status ISSUED in ACM in us-east-1, 1 is",
    ):
        ask(account, GET_CERTIFICATE, QUESTION)


def test_two_certificates_are_one_too_many_unless_the_newest_is_asked_for(account: EmbeddedAccount) -> None:
    arns = [
        account.client("acm").request_certificate(DomainName="llm.example.com", IdempotencyToken=token)
        for token in ("one", "two")
    ]
    assert ask(account, GET_CERTIFICATE, QUESTION)["arn"] in {made["CertificateArn"] for made in arns}
    with pytest.raises(RehearsalError, match="2 certificates"):
        ask(account, GET_CERTIFICATE, QUESTION | {"mostRecent": False})
