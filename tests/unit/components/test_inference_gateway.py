from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from components.inference_gateway import jwt_validation, rule_priority
from ferry.rehearsal.account import EmbeddedAccount
from ferry.rehearsal.handlers import HANDLERS, Created, Inputs
from stacks.settings import JwtSettings

DOMAIN = "llm.example.com"

PROGRAM = """
import json
import pulumi
from components.inference_gateway import InferenceGateway, InferenceGatewayArgs
from stacks.settings import GatewaySettings, ModelVersion

config = json.loads(pulumi.Config("test").require("args"))
gateway = InferenceGateway(
    "gateway",
    InferenceGatewayArgs(
        region="us-east-1",
        gateway=GatewaySettings(**config["gateway"]),
        versions=[ModelVersion(**version) for version in config["versions"]],
        vpc_id=config["vpc_id"],
        public_subnet_ids=config["subnet_ids"],
        access_log_bucket="access-logs",
        deletion_protection=config["deletion_protection"],
        tags={"project": "ferry"},
    ),
)
for output in (
    "load_balancer_arn",
    "load_balancer_arn_suffix",
    "dns_name",
    "security_group_id",
    "listener_arn",
    "target_group_arns",
    "target_group_arn_suffixes",
):
    pulumi.export(output, getattr(gateway, output))
"""

Made = Callable[..., Any]


def version(name: str, weight: int) -> dict[str, Any]:
    return {
        "name": name,
        "model": "r1",
        "version": "1",
        "weight": weight,
        "engine": {"image": "vllm:1"},
        "fleet": {"instance_types": ["g5.xlarge"], "min_size": 1, "max_size": 2},
    }


@pytest.fixture
def make(account: EmbeddedAccount, run_program: Callable[..., Any]) -> Made:
    account.client("acm").request_certificate(DomainName=DOMAIN)
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"]
        for number, zone in enumerate("ab")
    ]

    def made(*, versions: Any = (("one", 100),), deletion_protection: bool = True, **gateway: Any) -> Any:
        return run_program(
            PROGRAM,
            {
                "test:args": {
                    "gateway": {"domain_name": DOMAIN} | gateway,
                    "versions": [version(*each) for each in versions],
                    "vpc_id": vpc,
                    "subnet_ids": [subnet["SubnetId"] for subnet in subnets],
                    "deletion_protection": deletion_protection,
                }
            },
        )

    return made


def security_group(account: EmbeddedAccount, run: Any) -> Any:
    ids = [run.outputs["security_group_id"]]
    return account.client("ec2").describe_security_groups(GroupIds=ids)["SecurityGroups"][0]


def test_nobody_gets_in_unless_the_stack_says_who(make: Made, account: EmbeddedAccount) -> None:
    assert security_group(account, make())["IpPermissions"] == []


def test_each_address_of_the_stack_gets_in_on_443(make: Made, account: EmbeddedAccount) -> None:
    run = make(allowed_cidrs=["203.0.113.10/32", "198.51.100.0/24"])
    rules = security_group(account, run)["IpPermissions"]
    assert {(rule["FromPort"], rule["ToPort"], rule["IpProtocol"]) for rule in rules} == {(443, 443, "tcp")}
    assert {cidr["CidrIp"] for rule in rules for cidr in rule["IpRanges"]} == {"203.0.113.10/32", "198.51.100.0/24"}


def test_the_load_balancer_reaches_nothing_by_itself(make: Made, account: EmbeddedAccount) -> None:
    assert security_group(account, make())["IpPermissionsEgress"] == []


def test_the_load_balancer_reaches_the_keys_of_tokens(make: Made, account: EmbeddedAccount) -> None:
    run = make(jwt={"issuer": "https://issuer.example", "jwks_url": "https://issuer.example/jwks.json"})
    (rule,) = security_group(account, run)["IpPermissionsEgress"]
    assert (rule["FromPort"], rule["ToPort"], rule["IpRanges"][0]["CidrIp"]) == (443, 443, "0.0.0.0/0")


def test_outputs_name_what_is_there(make: Made, account: EmbeddedAccount) -> None:
    outputs = make(versions=[("one", 90), ("two", 10)]).outputs
    elbv2 = account.client("elbv2")
    (balancer,) = elbv2.describe_load_balancers()["LoadBalancers"]
    groups = elbv2.describe_target_groups()["TargetGroups"]
    assert outputs["load_balancer_arn"] == balancer["LoadBalancerArn"]
    assert outputs["load_balancer_arn_suffix"] == "/".join(balancer["LoadBalancerArn"].split("/")[1:])
    assert outputs["dns_name"] == balancer["DNSName"]
    assert set(outputs["target_group_arns"].values()) == {group["TargetGroupArn"] for group in groups}
    assert {suffix.split("/")[0] for suffix in outputs["target_group_arn_suffixes"].values()} == {"targetgroup"}
    assert [group["Port"] for group in groups] == [8000, 8000]


def test_everything_that_can_be_tagged_is(make: Made, account: EmbeddedAccount) -> None:
    outputs = make(allowed_cidrs=["203.0.113.10/32"]).outputs
    elbv2 = account.client("elbv2")
    rules = elbv2.describe_rules(ListenerArn=outputs["listener_arn"])["Rules"]
    arns = [
        outputs["load_balancer_arn"],
        outputs["listener_arn"],
        *outputs["target_group_arns"].values(),
        *(rule["RuleArn"] for rule in rules if not rule["IsDefault"]),
    ]
    names = []
    for description in elbv2.describe_tags(ResourceArns=arns)["TagDescriptions"]:
        tags = {tag["Key"]: tag["Value"] for tag in description["Tags"]}
        assert tags["project"] == "ferry"
        names.append(tags["Name"])
    assert sorted(names) == ["gateway-https", "gateway-lb", "gateway-one", "gateway-pin-one"]


def test_a_domain_without_an_issued_certificate_stops_the_program(make: Made) -> None:
    with pytest.raises(Exception, match=r"gateway.domain_name is other.example.com: 0 certificates with status ISSUED"):
        make(domain_name="other.example.com")


def test_deletion_protection_can_be_given_up_by_name(make: Made, account: EmbeddedAccount) -> None:
    arn = make(deletion_protection=False).outputs["load_balancer_arn"]
    found = account.client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    assert {"Key": "deletion_protection.enabled", "Value": "false"} in found


def test_tokens_are_checked_before_anything_is_forwarded(make: Made) -> None:
    run = make(jwt={"issuer": "https://issuer.example", "jwks_url": "https://issuer.example/jwks.json"})
    listed = {(one.resource, one.property) for one in run.not_emulated}
    assert listed == {
        ("aws:lb/listener:Listener gateway-https", "defaultActions[].jwtValidation"),
        ("aws:lb/listenerRule:ListenerRule gateway-pin-one", "actions[].jwtValidation"),
    }


@pytest.mark.parametrize(
    ("token", "actions"),
    [("aws:lb/listener:Listener", "defaultActions"), ("aws:lb/listenerRule:ListenerRule", "actions")],
)
def test_no_way_leads_to_an_engine_around_the_check_of_the_token(
    make: Made, monkeypatch: pytest.MonkeyPatch, token: str, actions: str
) -> None:
    seen: list[Any] = []

    def watched(account: Any, inputs: Inputs) -> Created:
        seen.append(inputs.properties[actions])
        return original(account, inputs)

    original = HANDLERS[token]
    monkeypatch.setitem(HANDLERS, token, watched)
    jwt = {"issuer": "https://issuer.example", "jwks_url": "https://issuer.example/jwks.json"}
    make(versions=[("one", 90), ("two", 10)], jwt=jwt)
    assert len(seen) == (1 if actions == "defaultActions" else 2)
    for given in seen:
        assert [(action["order"], action["type"]) for action in given] == [(1, "jwt-validation"), (2, "forward")]


def test_issuer_and_keys_make_the_check_of_a_token() -> None:
    jwt = JwtSettings(issuer="https://issuer.example", jwks_url="https://issuer.example/jwks.json")
    assert jwt_validation(jwt) == {
        "type": "jwt-validation",
        "order": 1,
        "jwt_validation": {"issuer": "https://issuer.example", "jwks_endpoint": "https://issuer.example/jwks.json"},
    }


def test_an_audience_is_one_more_claim_of_the_token() -> None:
    jwt = JwtSettings(issuer="https://i.example", jwks_url="https://i.example/jwks.json", audience="llm.example.com")
    assert jwt_validation(jwt)["jwt_validation"]["additional_claims"] == [
        {"name": "aud", "format": "single-string", "values": ["llm.example.com"]}
    ]


def test_a_rule_keeps_its_priority_when_versions_come_and_go() -> None:
    assert [rule_priority(name) for name in ("r1-14b", "r1-14b-next")] == [35853, 25140]
    assert all(1 <= rule_priority(f"v{number}") <= 50_000 for number in range(200))
