"""One fleet in an account of its own: `fleet(**changes)` runs the component and returns what describe calls say."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from moto.ec2.models import ec2_backends
from pulumi.runtime.mocks import MockMonitor

IMAGE_PARAMETER = "/ferry/test/ami-id"

PROGRAM = """
import pulumi
from components.identity import Identity
from components.inference_fleet import InferenceFleet, InferenceFleetArgs
from stacks import rules
from stacks.settings import ModelVersion

given = pulumi.Config("ferry").require_object("given")
region = pulumi.Config("aws").require("region")
fleet = InferenceFleet(
    "ferry-r1",
    InferenceFleetArgs(
        identity=Identity("123456789012", rules.partition(region), region),
        environment="prod",
        version=ModelVersion.model_validate(given.pop("version")),
        patch_buckets=["patch-scripts"],
        **given,
    ),
)
pulumi.export("group_name", fleet.group_name)
pulumi.export("group_arn", fleet.group_arn)
pulumi.export("launch_template_id", fleet.launch_template_id)
pulumi.export("scale_out_alarm_name", fleet.scale_out_alarm_name)
pulumi.export("scale_in_alarm_name", fleet.scale_in_alarm_name)
"""


@dataclass
class Fleet:
    """What the component made, as the account describes it."""

    account: Any
    run: Any
    given: dict[str, Any]
    requests: list[Any]
    """What the program asked the engine for, which is more than the account can show."""

    def asked(self, token: str) -> list[tuple[dict[str, Any], list[str]]]:
        """Properties, and the names of those whose changes are ignored, of each resource of a type."""
        return [
            (json_format.MessageToDict(one.object), list(one.ignoreChanges))
            for one in self.requests
            if one.type == token
        ]

    @property
    def group(self) -> dict[str, Any]:
        found = self.account.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        (group,) = found
        return group

    @property
    def template(self) -> dict[str, Any]:
        versions = self.account.client("ec2").describe_launch_template_versions(
            LaunchTemplateId=self.run.outputs["launch_template_id"]
        )["LaunchTemplateVersions"]
        (version,) = versions
        return version["LaunchTemplateData"]

    @property
    def user_data(self) -> dict[str, Any]:
        return yaml.safe_load(base64.b64decode(self.template["UserData"]))

    @property
    def policies(self) -> list[dict[str, Any]]:
        found = self.account.client("autoscaling").describe_policies()["ScalingPolicies"]
        return sorted(found, key=lambda policy: policy["PolicyName"])

    def alarm(self, name: str) -> dict[str, Any]:
        """The alarm whose logical name is `ferry-r1-<name>`."""
        found = self.account.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"ferry-r1-{name}-")["MetricAlarms"]
        (alarm,) = found
        return alarm

    def skipped(self) -> set[str]:
        return {one.property for one in self.run.not_emulated}


def version(**fleet: Any) -> dict[str, Any]:
    return {
        "name": "r1",
        "model": "deepseek-r1-distill-qwen-7b",
        "version": "2026-09-12",
        "engine": {"image": "vllm-openai:v0.33.0", "max_sequences": 64},
        "fleet": {
            "instance_types": ["g5.xlarge"],
            "min_size": 2,
            "max_size": 6,
            "ami_parameter": IMAGE_PARAMETER,
            **fleet,
        },
    }


@pytest.fixture
def fleet(account: Any, run_program: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Fleet]:
    """Run the component with changed fleet settings; `engine=` and `args=` change those."""

    requests: list[Any] = []
    register = MockMonitor.RegisterResource

    def recorded(monitor: Any, request: Any) -> Any:
        requests.append(request)
        return register(monitor, request)

    monkeypatch.setattr(MockMonitor, "RegisterResource", recorded)

    def run(*, engine: dict[str, Any] | None = None, args: dict[str, Any] | None = None, **changes: Any) -> Fleet:
        given = {**_surroundings(account), "version": version(**changes), **(args or {})}
        given["version"]["engine"] |= engine or {}
        result = run_program(PROGRAM, {"aws:region": "us-east-1", "ferry:given": given})
        return Fleet(account, result, given, requests)

    return run


def _surroundings(account: Any) -> dict[str, Any]:
    ec2, elb = account.client("ec2"), account.client("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{index}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"]
        for index, zone in enumerate("abc")
    ]
    groups = [
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        for name in ("gateway", "endpoints")
    ]
    target_group = elb.create_target_group(Name="r1", Protocol="HTTP", Port=8000, VpcId=vpc, TargetType="instance")
    target_group_arn = target_group["TargetGroups"][0]["TargetGroupArn"]
    image = ec2.register_image(Name="gpu")["ImageId"]
    # moto ignores `RootDeviceName`; the server runs in this process.
    ec2_backends[account.account_id][account.region].amis[image].root_device_name = "/dev/xvda"
    account.client("ssm").put_parameter(Name=IMAGE_PARAMETER, Value=image, Type="String", Overwrite=True)
    prefix_lists = ec2.describe_managed_prefix_lists()["PrefixLists"]
    return {
        "vpc_id": vpc,
        "subnet_ids": [subnet["SubnetId"] for subnet in subnets],
        "subnet_count": 3,
        "gateway_security_group_id": groups[0],
        "endpoint_security_group_id": groups[1],
        "s3_prefix_list_id": next(one["PrefixListId"] for one in prefix_lists if one["PrefixListName"].endswith(".s3")),
        "target_group_arn": target_group_arn,
        "target_group_arn_suffix": target_group_arn.rpartition(":")[2],
        "load_balancer_arn_suffix": "app/ferry/1234567890123456",
        "model_bucket_name": "ferry-models",
        "model_bucket_arn": "arn:aws:s3:::ferry-models",
        "model_key_arn": "arn:aws:kms:us-east-1:123456789012:key/models",
        "alarm_topic_arn": "arn:aws:sns:us-east-1:123456789012:ferry",
        "tags": {"owner": "ml-platform"},
    }
