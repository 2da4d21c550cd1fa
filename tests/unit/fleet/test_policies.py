from __future__ import annotations

import json
from typing import Any

import pytest

from components.fleet_policies import node_rights, repository
from components.identity import Identity


def allowed(region: str = "us-east-1", partition: str = "aws") -> dict[str, Any]:
    """Action to the resources that it is allowed on."""
    document = json.loads(
        node_rights(
            Identity("123456789012", partition, region),
            bucket_arn=f"arn:{partition}:s3:::ferry-models",
            key_arn=f"arn:{partition}:kms:{region}:123456789012:key/models",
            model="r1-7b",
            image="team/vllm-openai:v0.33.0",
            group_name="ferry-prod-r1",
            log_group_arn=f"arn:{partition}:logs:{region}:123456789012:log-group:node",
            patch_buckets=["patch-scripts"],
        )
    )
    assert {statement["Effect"] for statement in document["Statement"]} == {"Allow"}
    found: dict[str, Any] = {}
    for statement in document["Statement"]:
        for action in [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]:
            found[action] = [*found[action], *statement["Resource"]] if action in found else statement["Resource"]
    return found


def test_a_node_may_do_this_and_nothing_else() -> None:
    image = "arn:aws:ecr:us-east-1:123456789012:repository/team/vllm-openai"
    logs = "arn:aws:logs:us-east-1:123456789012:log-group:node"
    assert allowed() == {
        "s3:GetObject": [
            "arn:aws:s3:::ferry-models/models/r1-7b/*",
            "arn:aws:s3:::ferry-models/channels/r1-7b/*",
            "arn:aws:s3:::ferry-models/bundles/*",
            "arn:aws:s3:::patch-scripts/*",
        ],
        "s3:ListBucket": "arn:aws:s3:::ferry-models",
        "kms:Decrypt": "arn:aws:kms:us-east-1:123456789012:key/models",
        "ecr:BatchCheckLayerAvailability": image,
        "ecr:BatchGetImage": image,
        "ecr:GetDownloadUrlForLayer": image,
        "ecr:GetAuthorizationToken": "*",
        "logs:CreateLogStream": [logs, f"{logs}:*"],
        "logs:DescribeLogStreams": [logs, f"{logs}:*"],
        "logs:PutLogEvents": [logs, f"{logs}:*"],
        "ssm:GetDeployablePatchSnapshotForInstance": "*",
        "ssm:PutComplianceItems": "*",
        "ssm:PutInventory": "*",
        "ssm:UpdateInstanceInformation": "*",
        "ssmmessages:CreateControlChannel": "*",
        "ssmmessages:CreateDataChannel": "*",
        "ssmmessages:OpenControlChannel": "*",
        "ssmmessages:OpenDataChannel": "*",
        "autoscaling:CompleteLifecycleAction": (
            "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:*:autoScalingGroupName/ferry-prod-r1"
        ),
    }


def test_no_action_is_a_wildcard() -> None:
    assert [action for action in allowed() if "*" in action] == []


def test_in_china_no_arn_names_another_partition() -> None:
    resources = json.dumps(allowed("cn-north-1", "aws-cn"))
    assert "arn:aws:" not in resources
    assert "arn:aws-cn:autoscaling:cn-north-1:" in resources


@pytest.mark.parametrize(("region", "partition", "suffix"), [("us-east-1", "aws", ""), ("cn-north-1", "aws-cn", ".cn")])
def test_the_key_is_used_through_s3_only_and_the_bucket_listed_below_the_own_model_only(
    region: str, partition: str, suffix: str
) -> None:
    document = node_rights(
        Identity("123456789012", partition, region),
        bucket_arn="b", key_arn="k", model="m", image="i:1", group_name="g", log_group_arn="l",
        patch_buckets=["patch-scripts"],
    )  # fmt: skip
    conditions = {
        str(one["Action"]): one["Condition"] for one in json.loads(document)["Statement"] if "Condition" in one
    }
    assert conditions == {
        "kms:Decrypt": {"StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com{suffix}"}},
        "s3:ListBucket": {"StringLike": {"s3:prefix": "models/m/*"}},
    }


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("vllm-openai:v0.33.0", "vllm-openai"),
        ("team/vllm-openai:v0.33.0", "team/vllm-openai"),
        ("vllm-openai", "vllm-openai"),
        ("vllm-openai@sha256:0f", "vllm-openai"),
        ("vllm-openai:v0.33.0@sha256:0f", "vllm-openai"),
    ],
)
def test_an_image_lies_in_a_repository(image: str, name: str) -> None:
    assert repository(image) == name
