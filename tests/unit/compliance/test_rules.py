"""Each rule is proven by a stack that breaks exactly it; the shipped stacks break none."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from ferry.compliance import RULES, Context, Resource, answers, broken
from ferry.compliance.catalogue import clauses

Stack = Callable[[str], tuple[list[Resource], Context]]
Change = Callable[[list[Resource]], list[Resource]]

STACKS = ("dev", "staging", "prod", "prod-cn")
EVERYBODY = {"Effect": "Allow", "Principal": "*", "Action": "sns:Publish", "Resource": "*"}
DOOR = {"Name": "ferry-tier-door-door"}
PLANTED = "AKIA" + "Q3EGRV5NXW2YLMTB"


def change(type_: str, path: str, value: Any, name: str = "") -> Change:
    """Set a property of the first resource of a type whose name ends so; None takes it out."""

    def changed(resources: list[Resource]) -> list[Resource]:
        at = next(i for i, one in enumerate(resources) if one.type.endswith(f":{type_}") and one.name.endswith(name))
        properties: Any = copy.deepcopy(dict(resources[at].properties))
        target, steps = properties, [int(step) if step.isdigit() else step for step in path.split(".")]
        for step in steps[:-1]:
            target = target[step]
        target[steps[-1]] = value(target[steps[-1]]) if callable(value) else value
        return [*resources[:at], replace(resources[at], properties=properties), *resources[at + 1 :]]

    return changed


def without(type_: str, name: str = "") -> Change:
    """Take out every resource of a type whose name ends so."""
    return lambda resources: [
        one for one in resources if not (one.type.endswith(f":{type_}") and one.name.endswith(name))
    ]


def beside(type_: str, **properties: Any) -> Change:
    """Add a resource."""
    return lambda resources: [*resources, Resource(type_, "added", properties, id="added")]


def unprotected(resources: list[Resource]) -> list[Resource]:
    return [replace(one, protected=False) if one.name == "ferry-models-bucket" else one for one in resources]


def statements(edit: Callable[[list[Any]], list[Any]]) -> Callable[[str], str]:
    def edited(document: str) -> str:
        parsed = json.loads(document)
        return json.dumps(parsed | {"Statement": edit(parsed["Statement"])})

    return edited


def allowing(found: list[Any]) -> list[Any]:
    return [one for one in found if one["Effect"] == "Allow"]


def in_public_subnets(resources: list[Resource]) -> list[Resource]:
    public = [one.id for one in resources if one.type.endswith(":Subnet") and "-public-" in one.name]
    return change("Group", "vpcZoneIdentifiers", public)(resources)


BREAKS: dict[str, Change] = {
    "kms-key-rotates": change("Key", "enableKeyRotation", False),
    "log-group-encrypted": change("LogGroup", "kmsKeyId", None),
    "topic-encrypted": change("Topic", "kmsMasterKeyId", "alias/aws/sns"),
    "volumes-encrypted": change("LaunchTemplate", "blockDeviceMappings.0.ebs.encrypted", "false"),
    "bucket-encrypted": change(
        "BucketServerSideEncryptionConfiguration",
        "rules.0.applyServerSideEncryptionByDefault",
        {"sseAlgorithm": "AES256"},
        "models-encryption",
    ),
    "trail-encrypted": change("Trail", "kmsKeyId", None),
    "public-access-block-complete": change("BucketPublicAccessBlock", "blockPublicPolicy", False),
    "bucket-has-public-access-block": without("BucketPublicAccessBlock", "models-private"),
    "endpoint-for-own-principals": change("VpcEndpoint", "policy", None),
    "policy-not-public": change("TopicPolicy", "policy", statements(lambda found: [*found, EVERYBODY])),
    "bucket-policy-refuses-plaintext": change("BucketPolicy", "policy", statements(allowing)),
    "bucket-has-policy": without("BucketPolicy", "audit-policy"),
    "topic-policy-refuses-plaintext": change("TopicPolicy", "policy", statements(allowing)),
    "listener-tls-1-2": change("Listener", "sslPolicy", "ELBSecurityPolicy-2016-08"),
    "audit-archive-locked": change("BucketObjectLockConfiguration", "rule.defaultRetention.days", 183),
    "bucket-versioned": change("BucketVersioning", "versioningConfiguration.status", "Suspended"),
    "access-logs-kept": change("BucketLifecycleConfiguration", "rules.0.expiration.days", 183, "access-logs-lifecycle"),
    "log-group-kept": change("LogGroup", "retentionInDays", 180),
    "load-balancer-kept": change("LoadBalancer", "enableDeletionProtection", False),
    "bucket-kept": unprotected,
    "key-kept": change("Key", "deletionWindowInDays", 7),
    "trail-there": without("Trail"),
    "trail-everywhere": change("Trail", "isMultiRegionTrail", False),
    "trail-validates-files": change("Trail", "enableLogFileValidation", False),
    "trail-records-data": change("Trail", "eventSelectors.0.dataResources", []),
    "trail-watched": without("EventTarget", "weakened-trail"),
    "load-balancer-logs": change("LoadBalancer", "accessLogs.enabled", False),
    "vpc-flow-logged": change("FlowLog", "trafficType", "ACCEPT"),
    "bucket-access-logged": without("BucketLogging", "audit-access-logs"),
    "imdsv2-one-hop": change("LaunchTemplate", "metadataOptions.httpPutResponseHopLimit", 2),
    "no-public-address": change("Subnet", "mapPublicIpOnLaunch", True),
    "no-elastic-address": beside("aws:ec2/natGateway:NatGateway", connectivityType="public"),
    "nodes-in-private-subnets": in_public_subnets,
    "no-ssh-key": change("LaunchTemplate", "keyName", "admin"),
    "no-secret-in-user-data": change(
        "LaunchTemplate", "userData", base64.b64encode(f"export AWS_ACCESS_KEY_ID={PLANTED}".encode()).decode()
    ),
    "no-ingress-from-anywhere": change("SecurityGroupIngressRule", "cidrIpv4", "0.0.0.0/0"),
    "no-shell-ports": change("SecurityGroupIngressRule", "fromPort", 22),
    "egress-limited": beside(
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        cidrIpv4="0.0.0.0/0",
        ipProtocol="tcp",
        fromPort=443,
        toPort=443,
    ),
    "default-security-group-empty": change("DefaultSecurityGroup", "ingress", [{"protocol": "-1", "self": True}]),
    "no-long-lived-credentials": beside("aws:iam/accessKey:AccessKey", user="ops"),
    "no-star-rights": change(
        "RolePolicy",
        "policy",
        statements(lambda found: [*found, {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]),
    ),
    "no-full-access": beside(
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment", policyArn="arn:aws-cn:iam::aws:policy/AdministratorAccess"
    ),
    "role-trust-named": change(
        "Role", "assumeRolePolicy", statements(lambda found: [found[0] | {"Principal": {"AWS": "*"}}])
    ),
    "tagged": change("Subnet", "tags", {"Name": "nobody's"}),
    "stays-in-mainland": change("Key", "region", "ap-southeast-1", "models-key"),
    "arns-of-the-partition": change("Key", "description", "after arn:aws:kms:us-east-1:123456789012:key/1"),
    "spread-over-zones": change("LoadBalancer", "subnets", lambda subnets: subnets[:1]),
    "fleet-redundant": change("Group", "minSize", 1),
    "fleet-scales": change("Group", "maxSize", 2),
    "alarms-reach-somebody": without("TopicSubscription"),
    "models-replicated": without("BucketReplicationConfig"),
}


def names(resources: Sequence[Resource], context: Context) -> list[str]:
    return [one.rule.id for one in broken(resources, context)]


@pytest.mark.parametrize("environment", STACKS)
def test_a_shipped_stack_breaks_no_rule(stack: Stack, environment: str) -> None:
    assert names(*stack(environment)) == []


def test_every_rule_has_a_stack_that_breaks_it() -> None:
    assert set(BREAKS) == set(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_a_stack_that_breaks_a_rule_breaks_exactly_that_rule(stack: Stack, rule: str) -> None:
    resources, context = stack("prod-cn")
    assert names(BREAKS[rule](resources), context) == [rule]


def test_every_rule_looks_at_something_in_the_level_3_stack(stack: Stack) -> None:
    assert [one.rule.id for one in answers(*stack("prod-cn")) if not one.seen] == []


def test_every_rule_names_clauses_of_the_catalogue_and_a_remedy() -> None:
    known = {one.clause for one in clauses()}
    for rule in RULES.values():
        assert rule.clauses
        assert set(rule.clauses) <= known
        assert all([rule.says.endswith("."), rule.says_zh, rule.remedy])


@pytest.mark.parametrize(
    ("rule", "broken_here"),
    [("audit-archive-locked", False), ("log-group-kept", False), ("stays-in-mainland", False)],
)
def test_a_disposable_stack_is_let_off_only_where_it_is_not_of_level_3(
    stack: Stack, rule: str, broken_here: bool
) -> None:
    resources, context = stack("dev")
    assert (rule in names(resources, context)) is broken_here
    assert rule in names(resources, replace(context, profile="mlps-l3"))


def test_only_https_may_go_anywhere_and_only_to_the_token_issuer(stack: Stack) -> None:
    resources, context = stack("prod")
    assert "egress-limited" not in names(resources, context)
    wider = change("SecurityGroupEgressRule", "toPort", 8443, "-to-jwks")(resources)
    assert names(wider, context) == ["egress-limited"]


def test_a_secret_in_user_data_is_named_by_its_kind_and_never_shown(stack: Stack) -> None:
    resources, context = stack("prod-cn")
    (answer,) = broken(BREAKS["no-secret-in-user-data"](resources), context)
    assert [one.value for one in answer.broken] == ["AWS access key"]
    assert PLANTED not in repr(answer)


@pytest.mark.parametrize(
    ("type_", "properties", "rule"),
    [
        ("aws:ebs/volume:Volume", {"encrypted": False}, "volumes-encrypted"),
        ("aws:ec2/instance:Instance", {"metadataOptions": {"httpTokens": "optional"}}, "imdsv2-one-hop"),
        ("aws:ec2/instance:Instance", {"associatePublicIpAddress": True}, "no-public-address"),
        ("aws:ec2/securityGroup:SecurityGroup", {"ingress": [{"cidrBlocks": ["::/0"]}]}, ""),
        (
            "aws:ec2/securityGroup:SecurityGroup",
            {"ingress": [{"ipv6CidrBlocks": ["::/0"]}]},
            "no-ingress-from-anywhere",
        ),
        (
            "aws:ec2/securityGroupRule:SecurityGroupRule",
            {"type": "egress", "cidrBlocks": ["0.0.0.0/0"]},
            "egress-limited",
        ),
        ("aws:iam/role:Role", {"assumeRolePolicy": '{"Statement": []}', "managedPolicyArns": ["x/IAMFullAccess"]}, ""),
        (
            "aws:iam/policy:Policy",
            {"policy": '{"Statement": {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}}'},
            "no-star-rights",
        ),
        ("aws:lb/listener:Listener", {"protocol": "HTTP", "defaultActions": [{"type": "forward"}]}, "listener-tls-1-2"),
        ("aws:lb/listener:Listener", {"protocol": "HTTP", "defaultActions": [{"type": "redirect"}]}, None),
        ("aws:lb/listener:Listener", {"protocol": "TCP", "port": 443, "tags": DOOR}, None),
        ("aws:lb/listener:Listener", {"protocol": "TCP", "port": 8080, "tags": DOOR}, "listener-tls-1-2"),
        ("aws:lb/listener:Listener", {"protocol": "HTTP", "port": 443, "tags": DOOR}, "listener-tls-1-2"),
        ("aws:lb/listener:Listener", {"protocol": "TCP", "port": 443, "tags": {"Name": "door"}}, "listener-tls-1-2"),
    ],
)
def test_other_ways_to_break_a_rule_are_seen_too(
    stack: Stack, type_: str, properties: dict[str, Any], rule: str | None
) -> None:
    resources, context = stack("prod")
    found = {one for one in names(beside(type_, **properties)(resources), context) if one != "tagged"}
    if rule is None:
        assert found == set()
    elif rule:
        assert rule in found
    else:
        assert found


@pytest.mark.parametrize(
    ("kind", "name", "let_off"),
    [
        ("network", "ferry-tier-lb", True),
        ("network", "ferry-tier-door-door", True),
        ("network", "ferry-lb", False),
        ("application", "ferry-tier-lb", False),
    ],
)
def test_only_the_gateway_tiers_network_load_balancers_may_write_no_access_logs(
    stack: Stack, kind: str, name: str, let_off: bool
) -> None:
    resources, context = stack("prod")
    balancer = beside("aws:lb/loadBalancer:LoadBalancer", loadBalancerType=kind, tags={"Name": name})
    assert ("load-balancer-logs" not in names(balancer(resources), context)) is let_off
