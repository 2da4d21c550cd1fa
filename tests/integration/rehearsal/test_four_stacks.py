"""The program under each of the four stack files: it runs, it passes its checks, and the account is the stack's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

STACKS = ("dev", "staging", "prod", "prod-cn")

NOT_EMULATED = """
aws:autoscaling/group:Group capacityReservationSpecification
aws:autoscaling/group:Group instanceRefresh
aws:autoscaling/group:Group waitForCapacityTimeout
aws:budgets/budget:Budget tags
aws:ec2/capacityReservation:CapacityReservation availabilityZone
aws:ec2/capacityReservation:CapacityReservation endDateType
aws:ec2/capacityReservation:CapacityReservation instanceCount
aws:ec2/capacityReservation:CapacityReservation instanceMatchCriteria
aws:ec2/capacityReservation:CapacityReservation instancePlatform
aws:ec2/capacityReservation:CapacityReservation instanceType
aws:ec2/capacityReservation:CapacityReservation tags
aws:ec2/launchTemplate:LaunchTemplate updateDefaultVersion
aws:lb/listener:Listener defaultActions[].jwtValidation
aws:lb/listenerRule:ListenerRule actions[].jwtValidation
aws:s3/bucket:Bucket forceDestroy
aws:s3/bucketLogging:BucketLogging targetObjectKeyFormat
aws:s3/bucketReplicationConfig:BucketReplicationConfig rules[].deleteMarkerReplication
aws:s3/bucketReplicationConfig:BucketReplicationConfig rules[].sourceSelectionCriteria
"""
"""Each (type, property) pair of the four stacks that the embedded account does not emulate. All others are sent."""

CONDITIONS = [
    "Bool aws:SecureTransport (loopback counts as TLS)",
    "Null s3:if-none-match",
    "StringEquals aws:SourceAccount (absent: no AWS service calls here)",
    "StringEquals aws:SourceArn (absent: no AWS service calls here)",
    "StringEquals s3:x-amz-acl",
]


def groups(stack: Any) -> dict[str, dict[str, Any]]:
    found = stack.account.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return {group["AutoScalingGroupName"]: group for group in found}


def on_demand(group: dict[str, Any]) -> tuple[int, int]:
    """Base, and the percentage above it; a group without a mixed-instances policy is On-Demand as a whole."""
    policy = group.get("MixedInstancesPolicy")
    if policy is None:
        return group["MinSize"], 100
    distribution = policy["InstancesDistribution"]
    return distribution["OnDemandBaseCapacity"], distribution["OnDemandPercentageAboveBaseCapacity"]


def lock(stack: Any) -> tuple[str, int] | None:
    s3, bucket = stack.account.client("s3"), stack.stack.outputs["audit_bucket"]
    try:
        found = s3.get_object_lock_configuration(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ObjectLockConfigurationNotFoundError":
            raise
        return None
    retention = found["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
    return retention["Mode"], retention["Days"]


@pytest.mark.parametrize("environment", STACKS)
def test_the_program_runs_and_passes_every_check(rehearsed: Callable[[str], Any], environment: str) -> None:
    rehearsal = rehearsed(environment).served.rehearsal
    assert [check for check in rehearsal.checks if not check.passed] == []
    assert rehearsal.environment == environment
    assert rehearsal.conditions_evaluated == CONDITIONS


def test_every_property_is_sent_or_listed_as_not_emulated(rehearsed: Callable[[str], Any]) -> None:
    fates: dict[str, set[str]] = {}
    for environment in STACKS:
        served = rehearsed(environment).served
        for kind, properties in served.properties.items():
            for path, fate in properties.items():
                fates.setdefault(fate, set()).add(f"{kind} {path}")
        assert set(served.rehearsal.resources) <= set(served.properties)
    assert set(fates) == {"sent", "not emulated"}
    assert sorted(fates["not emulated"]) == NOT_EMULATED.split("\n")[1:-1]


@pytest.mark.parametrize("environment", STACKS)
def test_what_is_not_emulated_is_told_with_the_resource_and_the_reason(
    rehearsed: Callable[[str], Any], environment: str
) -> None:
    served = rehearsed(environment).served
    listed = {f"{one.resource.split(' ')[0]} {one.property}" for one in served.rehearsal.not_emulated}
    skipped = {
        f"{kind} {path}"
        for kind, properties in served.properties.items()
        for path, fate in properties.items()
        if fate == "not emulated"
    }
    assert listed == skipped
    assert all(one.why for one in served.rehearsal.not_emulated)


@pytest.mark.parametrize(
    ("environment", "seeded"),
    [
        ("dev", ["llm.dev.example.com in us-east-1"]),
        ("staging", ["llm.staging.example.com in us-west-2"]),
        ("prod", ["llm.example.com in us-east-1", "llm.example.com in us-west-2", "api.example.com in us-east-1"]),
        ("prod-cn", ["llm.example.cn in cn-north-1"]),
    ],
)
def test_the_seeds_are_those_of_the_stacks_region(
    rehearsed: Callable[[str], Any], environment: str, seeded: list[str]
) -> None:
    lines = rehearsed(environment).served.rehearsal.seeded
    certificates = [line.split(":")[0] for line in lines if line.startswith("ACM certificate for ")]
    assert [line.removeprefix("ACM certificate for ") for line in certificates] == seeded
    images = [line.rpartition(" in ")[2].partition(":")[0] for line in lines if line.startswith("SSM parameter ")]
    assert sorted(set(images)) == sorted({line.rpartition(" in ")[2] for line in seeded})


def test_every_arn_of_the_china_stack_is_of_its_partition(rehearsed: Callable[[str], Any]) -> None:
    china = rehearsed("prod-cn")
    iam, s3 = china.account.client("iam"), china.account.client("s3")
    documents: list[Any] = [dict(china.stack.outputs)]
    for role in iam.list_roles()["Roles"]:
        name = role["RoleName"]
        documents += [role["AssumeRolePolicyDocument"], iam.list_attached_role_policies(RoleName=name)]
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            documents.append(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
    for bucket in s3.list_buckets()["Buckets"]:
        documents.append(json.loads(s3.get_bucket_policy(Bucket=bucket["Name"])["Policy"]))
    text = json.dumps(documents, default=str)
    assert "arn:aws:" not in text
    assert text.count("arn:aws-cn:") > 40


def test_spot_is_used_where_the_stack_allows_it_and_not_in_production(rehearsed: Callable[[str], Any]) -> None:
    assert {
        environment: {name: on_demand(group) for name, group in groups(rehearsed(environment)).items()}
        for environment in STACKS
    } == {
        "dev": {"ferry-dev-r1-7b": (0, 0)},
        "staging": {"ferry-staging-r1-14b": (1, 25), "ferry-staging-r1-14b-next": (1, 50)},
        "prod": {"ferry-prod-r1-32b": (3, 100), "ferry-prod-gateway-tier": (2, 100)},
        "prod-cn": {"ferry-prod-cn-r1-14b": (2, 100)},
    }


def test_warm_pools_stand_where_the_stack_asks_for_them(rehearsed: Callable[[str], Any]) -> None:
    def warm(environment: str) -> list[int]:
        stack = rehearsed(environment)
        autoscaling = stack.account.client("autoscaling")
        pools = [autoscaling.describe_warm_pool(AutoScalingGroupName=name) for name in groups(stack)]
        return [pool["WarmPoolConfiguration"]["MinSize"] for pool in pools if "WarmPoolConfiguration" in pool]

    assert [warm(environment) for environment in STACKS] == [[], [], [2], [1]]


def test_the_audit_archive_is_locked_except_where_it_is_disposable(rehearsed: Callable[[str], Any]) -> None:
    assert [lock(rehearsed(environment)) for environment in STACKS] == [
        None,
        ("COMPLIANCE", 184),
        ("COMPLIANCE", 365),
        ("COMPLIANCE", 184),
    ]


def test_the_models_are_replicated_where_the_stack_names_a_region(rehearsed: Callable[[str], Any]) -> None:
    def replica_region(environment: str) -> str | None:
        stack = rehearsed(environment)
        bucket = stack.stack.outputs.get("model_replica_bucket")
        if bucket is None:
            return None
        location: str = stack.account.client("s3").get_bucket_location(Bucket=bucket)["LocationConstraint"]
        return location

    assert [replica_region(environment) for environment in STACKS] == [None, None, "us-west-2", "cn-northwest-1"]


def test_a_copy_is_all_that_a_changing_test_changes(
    rehearsed: Callable[[str], Any],
    own_rehearsed: Callable[[str], Any],
    failed_checks: Callable[[Any], list[str]],
) -> None:
    own = own_rehearsed("prod-cn")
    own.account.client("s3").delete_bucket(Bucket=own.stack.outputs["model_bucket"])
    assert failed_checks(own) != []
    assert failed_checks(rehearsed("prod-cn")) == []
