"""Provisioning that is interrupted: an error at every n-th call, throttling, an engine that is killed.

A small engine of the tests' own stands for Pulumi's: it creates what its state does not hold, in order, and stops at
the first error. The whole program: tests/integration/rehearsal/test_faults.py, and under the real engine
tests/e2e/test_faults.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2

from ferry.rehearsal.engine import values
from tests.faults import Failing
from tests.fronts import provider_of

VPC, SUBNET = "aws:ec2/vpc:Vpc", "aws:ec2/subnet:Subnet"
GROUP, INGRESS = "aws:ec2/securityGroup:SecurityGroup", "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"

STACK: list[tuple[str, str, Callable[[dict[str, str]], dict[str, Any]]]] = [
    (VPC, "vpc", lambda ids: {"cidrBlock": "10.0.0.0/16", "enableDnsHostnames": True, "tags": {"a": "b"}}),
    ("aws:ec2/internetGateway:InternetGateway", "gateway", lambda ids: {"vpcId": ids["vpc"]}),
    (SUBNET, "subnet", lambda ids: {"vpcId": ids["vpc"], "cidrBlock": "10.0.1.0/24", "availabilityZone": "us-east-1a"}),
    (GROUP, "group", lambda ids: {"vpcId": ids["vpc"], "description": "of nodes"}),
    (
        INGRESS,
        "ingress",
        lambda ids: {
            "securityGroupId": ids["group"],
            "ipProtocol": "tcp",
            "fromPort": 443,
            "toPort": 443,
            "cidrIpv4": "10.0.0.0/8",
        },
    ),
    ("aws:kms/key:Key", "key", lambda ids: {"enableKeyRotation": True}),
    ("aws:s3/bucket:Bucket", "models", lambda ids: {"tags": {"a": "b"}}),
    (
        "aws:s3/bucketVersioning:BucketVersioning",
        "v",
        lambda ids: {"bucket": ids["models"], "versioningConfiguration": {"status": "Enabled"}},
    ),
    ("aws:iam/role:Role", "node", lambda ids: {"assumeRolePolicy": "{}"}),
    ("aws:iam/instanceProfile:InstanceProfile", "profile", lambda ids: {"role": ids["node"]}),
    ("aws:cloudwatch/logGroup:LogGroup", "logs", lambda ids: {"retentionInDays": 30}),
    (
        "aws:ec2/launchTemplate:LaunchTemplate",
        "template",
        lambda ids: {"imageId": "ami-1", "instanceType": "g5.xlarge"},
    ),
    (
        "aws:autoscaling/group:Group",
        "fleet",
        lambda ids: {
            "minSize": 0,
            "maxSize": 2,
            "vpcZoneIdentifiers": [ids["subnet"]],
            "launchTemplate": {"id": ids["template"], "version": "$Latest"},
            "initialLifecycleHooks": [{"name": "boot", "lifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}],
            "warmPool": {"minSize": 1, "poolState": "Stopped"},
        },
    ),
]


def up(stub: Any, state: dict[str, str], killed_after: str = "") -> bool:
    """Create what the state does not hold; False when something failed, or when the engine was killed."""
    for token, name, inputs in STACK:
        if name in state:
            continue
        request = provider_pb2.CreateRequest(
            urn=f"urn:pulumi:qa::ferry::{token}::{name}", properties=values.to_struct(inputs(state))
        )
        try:
            made = stub.Create(request)
        except grpc.RpcError:
            return False
        if name == killed_after:  # the resource is there, and nobody wrote its id down
            return False
        state[name] = made.id
    return True


def what_stands(account: Any) -> dict[str, Any]:
    ec2, autoscaling, iam = account.client("ec2"), account.client("autoscaling"), account.client("iam")
    (vpc,) = [one for one in ec2.describe_vpcs()["Vpcs"] if one["CidrBlock"] == "10.0.0.0/16"]
    of_vpc = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    (group,) = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    (bucket,) = account.client("s3").list_buckets()["Buckets"]
    (key,) = account.client("kms").list_keys()["Keys"]
    (profile,) = iam.list_instance_profiles()["InstanceProfiles"]
    groups = ec2.describe_security_groups(Filters=of_vpc)["SecurityGroups"]
    (of_nodes,) = [one for one in groups if one["GroupName"] != "default"]
    return {
        "subnets": len(ec2.describe_subnets(Filters=of_vpc)["Subnets"]),
        "gateways": len(ec2.describe_internet_gateways()["InternetGateways"]),
        "ingress": len(of_nodes["IpPermissions"]),
        "egress": len(of_nodes["IpPermissionsEgress"]),
        "dns names": ec2.describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute="enableDnsHostnames")[
            "EnableDnsHostnames"
        ],
        "templates": len(ec2.describe_launch_templates()["LaunchTemplates"]),
        "hooks": len(
            autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=group["AutoScalingGroupName"])["LifecycleHooks"]
        ),
        "warm": group["WarmPoolConfiguration"]["MinSize"],
        "versioning": account.client("s3").get_bucket_versioning(Bucket=bucket["Name"])["Status"],
        "tags": account.client("s3").get_bucket_tagging(Bucket=bucket["Name"])["TagSet"],
        "rotation": account.client("kms").get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"],
        "roles": [role["RoleName"][:5] for role in profile["Roles"]],
        "retention": [one["retentionInDays"] for one in account.client("logs").describe_log_groups()["logGroups"]],
    }


WHOLE = {
    "subnets": 1,
    "gateways": 1,
    "ingress": 1,
    "egress": 0,
    "dns names": {"Value": True},
    "templates": 1,
    "hooks": 1,
    "warm": 1,
    "versioning": "Enabled",
    "tags": [{"Key": "a", "Value": "b"}],
    "rotation": True,
    "roles": ["node-"],
    "retention": [30],
}


@pytest.mark.parametrize(
    ("every", "code"), [(2, "ThrottlingException"), (3, "InternalError"), (5, "RequestLimitExceeded")]
)
def test_after_an_error_at_every_nth_call_the_next_run_goes_on_and_nothing_is_made_twice(
    account: Any, every: int, code: str
) -> None:
    failing = Failing(account, every, code)
    state: dict[str, str] = {}
    with provider_of(failing) as (_, stub):
        runs = 1
        while not up(stub, state):
            runs += 1
            assert runs < 60
    assert what_stands(account) == WHOLE
    assert runs == failing.refused + 1 > 3


def test_an_engine_that_is_killed_before_it_knows_the_id_finds_what_it_made(account: Any) -> None:
    state: dict[str, str] = {}
    with provider_of(account) as (_, stub):
        for _, name, _ in STACK:
            assert not up(stub, state, killed_after=name)
            assert name not in state
        assert up(stub, state)
    assert what_stands(account) == WHOLE
