from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ferry.errors import RehearsalError

Run = Callable[..., Any]

KEY = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""


def permissions(made: Any, direction: str) -> list[tuple[str, int, int, str]]:
    """Protocol, ports and peer of each rule of the nodes' security group."""
    (group_id,) = made.template["NetworkInterfaces"][0]["Groups"]
    (group,) = made.account.client("ec2").describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    return sorted(
        (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], peer)
        for rule in group[direction]
        for peer in [
            *(one["CidrIp"] for one in rule["IpRanges"]),
            *(one["CidrIpv6"] for one in rule["Ipv6Ranges"]),
            *(one["GroupId"] for one in rule["UserIdGroupPairs"]),
            *(one["PrefixListId"] for one in rule["PrefixListIds"]),
        ]
    )


def test_metadata_takes_tokens_only_and_does_not_reach_into_a_container(fleet: Run) -> None:
    assert fleet().template["MetadataOptions"] == {
        "HttpEndpoint": "enabled",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
    }


def test_the_root_volume_of_the_image_is_encrypted_and_there_is_no_other(fleet: Run) -> None:
    assert fleet(root_volume_gib=300).template["BlockDeviceMappings"] == [
        {
            "DeviceName": "/dev/xvda",
            "Ebs": {
                "Encrypted": True,
                "VolumeType": "gp3",
                "VolumeSize": 300,
                "Throughput": 500,
                "DeleteOnTermination": True,
            },
        }
    ]


def test_a_node_has_no_public_address(fleet: Run) -> None:
    (interface,) = fleet().template["NetworkInterfaces"]
    assert (interface["AssociatePublicIpAddress"], interface["DeleteOnTermination"]) == (False, True)


def test_instances_volumes_and_addresses_carry_the_tags(fleet: Run) -> None:
    tagged = {
        one["ResourceType"]: {tag["Key"]: tag["Value"] for tag in one["Tags"]}
        for one in fleet().template["TagSpecifications"]
    }
    expected = {"owner": "ml-platform", "Name": "ferry-prod-r1"}
    assert {kind: tagged[kind] for kind in ("instance", "volume", "network-interface")} == {
        "instance": expected,
        "volume": expected,
        "network-interface": expected,
    }


def test_the_image_is_looked_up_and_stands_in_the_template_by_its_id(fleet: Run) -> None:
    made = fleet()
    named = made.account.client("ssm").get_parameter(Name="/ferry/test/ami-id")["Parameter"]["Value"]
    assert made.template["ImageId"] == named
    assert made.template["ImageId"].startswith("ami-")


def test_an_image_parameter_that_does_not_exist_fails(fleet: Run) -> None:
    with pytest.raises(RehearsalError, match="SSM parameter /aws/service/none is not in the embedded account"):
        fleet(ami_parameter="/aws/service/none")


def test_requests_come_from_the_gateway_only_and_go_to_s3_and_the_endpoints_only(fleet: Run) -> None:
    made = fleet()
    assert permissions(made, "IpPermissions") == [("tcp", 8000, 8000, made.given["gateway_security_group_id"])]
    assert permissions(made, "IpPermissionsEgress") == sorted(
        [
            ("tcp", 443, 443, made.given["endpoint_security_group_id"]),
            ("tcp", 443, 443, made.given["s3_prefix_list_id"]),
        ]
    )


def test_the_gateway_may_send_to_the_nodes(fleet: Run) -> None:
    made = fleet()
    (nodes,) = made.template["NetworkInterfaces"][0]["Groups"]
    (gateway,) = made.account.client("ec2").describe_security_groups(
        GroupIds=[made.given["gateway_security_group_id"]]
    )["SecurityGroups"]
    peers = [
        (rule["FromPort"], pair["GroupId"])
        for rule in gateway["IpPermissionsEgress"]
        for pair in rule["UserIdGroupPairs"]
    ]
    assert peers == [(8000, nodes)]


def test_the_role_of_the_template_has_one_policy_and_nothing_managed(fleet: Run) -> None:
    made = fleet()
    iam = made.account.client("iam")
    profile = made.template["IamInstanceProfile"]["Arn"].rpartition("/")[2]
    (role,) = iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"]
    assert role["AssumeRolePolicyDocument"]["Statement"] == [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ]
    assert len(iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]) == 1
    assert iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"] == []


def test_logs_are_encrypted_with_a_rotating_key_and_kept_for_a_year(fleet: Run) -> None:
    made = fleet()
    (group,) = made.account.client("logs").describe_log_groups()["logGroups"]
    assert group["logGroupName"].startswith("ferry-r1-node-logs-")
    assert group["retentionInDays"] == 365
    assert made.account.client("kms").get_key_rotation_status(KeyId=group["kmsKeyId"])["KeyRotationEnabled"] is True


def test_user_data_names_what_the_node_belongs_to(fleet: Run) -> None:
    made = fleet(boot_timeout_seconds=2400, args={"node_bundle_key": "bundles/0123456789abcdef/node-bundle.tar.gz"})
    files = {file["path"]: file["content"] for file in made.user_data["write_files"]}
    script, (log_group,) = files["/opt/ferry/node.sh"], made.account.client("logs").describe_log_groups()["logGroups"]
    for line in (
        "GROUP=ferry-prod-r1",
        "HOOK=ferry-prod-r1-boot",
        "BUCKET=ferry-models",
        "BUNDLE_KEY=bundles/0123456789abcdef/node-bundle.tar.gz",
        "MODEL=deepseek-r1-distill-qwen-7b",
        "MODEL_VERSION=2026-09-12",
        "REGISTRY=123456789012.dkr.ecr.us-east-1.amazonaws.com",
        "DEADLINE_SECONDS=2280",
    ):
        assert line in script.splitlines()
    agent = json.loads(files["/opt/ferry/agent.json"])["logs"]
    assert agent["metrics_collected"]["prometheus"]["log_group_name"] == log_group["logGroupName"]


def test_the_verification_key_stands_in_user_data(fleet: Run) -> None:
    made = fleet(args={"verification_key": KEY})
    files = {file["path"]: file["content"] for file in made.user_data["write_files"]}
    assert files["/opt/ferry/verification-keys/1.pem"] == KEY


def test_user_data_that_ec2_would_refuse_is_refused(fleet: Run) -> None:
    with pytest.raises(RehearsalError, match=r"user data has \d+ bytes, EC2 takes 16384"):
        fleet(engine={"extra_arguments": ["x" * 16_384]})
