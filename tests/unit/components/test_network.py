from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.network import endpoint_service, subnet_cidrs, zone
from ferry.errors import RehearsalError
from ferry.rehearsal.checks import CHECKS, Stack, network
from stacks.settings import Settings

REPOSITORY = Path(__file__).parents[3]

PROGRAM = """
    import json
    import pulumi
    from components.identity import Identity
    from components.network import Network, NetworkArgs
    from stacks.settings import NetworkSettings

    config = pulumi.Config("ferry")
    network = Network("net", NetworkArgs(
        identity=Identity.of_caller(config.require("region")),
        network=NetworkSettings.model_validate(config.require_object("network")),
        patch_buckets=["patch-scripts"],
        tags={"owner": "platform"},
    ))
    pulumi.export("vpc_id", network.vpc_id)
    pulumi.export("public_subnet_ids", network.public_subnet_ids)
    pulumi.export("private_subnet_ids", network.private_subnet_ids)
    pulumi.export("endpoint_security_group_id", network.endpoint_security_group_id)
    pulumi.export("s3_prefix_list_id", network.s3_prefix_list_id)
"""


def config(region: str = "us-east-1", **network: Any) -> dict[str, Any]:
    return {"ferry:region": region, "ferry:network": network}


def test_subnets_take_an_eighth_and_a_thirty_second_of_the_vpc_without_overlap() -> None:
    assert subnet_cidrs("10.40.0.0/16", 3) == (
        ["10.40.128.0/21", "10.40.136.0/21", "10.40.144.0/21"],
        ["10.40.0.0/19", "10.40.32.0/19", "10.40.64.0/19"],
    )


@pytest.mark.parametrize("cidr", ["10.0.0.0/15", "10.0.0.0/23"])
def test_a_vpc_of_a_size_that_cannot_be_divided_is_refused(cidr: str) -> None:
    with pytest.raises(ValueError, match=f"network.cidr: {cidr} is a /.., allowed is /16 to /22"):
        subnet_cidrs(cidr, 2)


def test_more_zones_than_the_region_has_are_refused() -> None:
    assert zone(["a", "b"], 1) == "b"
    with pytest.raises(ValueError, match=r"more than the 2 zones of the region \(a, b\)"):
        zone(["a", "b"], 2)


@pytest.mark.parametrize(
    ("service", "region", "name"),
    [
        ("ecr.api", "us-east-1", "com.amazonaws.us-east-1.ecr.api"),
        ("ecr.api", "cn-north-1", "cn.com.amazonaws.cn-north-1.ecr.api"),
        ("monitoring", "cn-northwest-1", "cn.com.amazonaws.cn-northwest-1.monitoring"),
        ("kms", "cn-north-1", "com.amazonaws.cn-north-1.kms"),
        ("ssm", "cn-northwest-1", "com.amazonaws.cn-northwest-1.ssm"),
        ("logs", "cn-north-1", "com.amazonaws.cn-north-1.logs"),
    ],
)
def test_endpoints_have_the_names_of_their_partition(service: str, region: str, name: str) -> None:
    assert endpoint_service(service, region) == name


def test_a_vpc_is_made_with_a_subnet_of_each_kind_in_every_zone(run_program: Any, account: Any) -> None:
    outputs = run_program(PROGRAM, config(cidr="10.50.0.0/16", zone_count=3)).outputs
    ec2 = account.client("ec2")
    for kind in ("public", "private"):
        subnets = ec2.describe_subnets(SubnetIds=outputs[f"{kind}_subnet_ids"])["Subnets"]
        assert [one["AvailabilityZone"] for one in subnets] == ["us-east-1a", "us-east-1b", "us-east-1c"]
        assert {one["MapPublicIpOnLaunch"] for one in subnets} == {False}
    vpc = ec2.describe_vpcs(VpcIds=[outputs["vpc_id"]])["Vpcs"][0]
    assert vpc["CidrBlock"] == "10.50.0.0/16"
    assert {tag["Key"]: tag["Value"] for tag in vpc["Tags"]} == {"owner": "platform", "Name": "net-vpc"}
    dns = ec2.describe_vpc_attribute(VpcId=outputs["vpc_id"], Attribute="enableDnsHostnames")
    assert dns["EnableDnsHostnames"]["Value"] is True


def test_there_is_no_nat(run_program: Any, account: Any) -> None:
    run_program(PROGRAM, config())
    assert account.client("ec2").describe_nat_gateways()["NatGateways"] == []


def test_the_prefix_list_is_s3s(run_program: Any, account: Any) -> None:
    outputs = run_program(PROGRAM, config()).outputs
    [found] = account.client("ec2").describe_managed_prefix_lists(PrefixListIds=[outputs["s3_prefix_list_id"]])[
        "PrefixLists"
    ]
    assert found["PrefixListName"] == "com.amazonaws.us-east-1.s3"


def test_more_zones_than_the_region_has_fail_the_program(run_program: Any, account: Any, monkeypatch: Any) -> None:
    from ferry.rehearsal.handlers import INVOKES

    token = "aws:index/getAvailabilityZones:getAvailabilityZones"
    monkeypatch.setitem(INVOKES, token, lambda account, inputs: _only_one_zone(inputs))
    with pytest.raises(RehearsalError, match="more than the 1 zones of the region"):
        run_program(PROGRAM, config())


def _only_one_zone(inputs: Any) -> dict[str, Any]:
    inputs.take("state")
    inputs.take("region")
    for one in inputs.each("filters"):
        one.take("name"), one.take("values")
    return {"id": "us-east-1", "region": "us-east-1", "names": ["us-east-1a"], "zoneIds": ["1"], "groupNames": []}


def test_an_existing_vpc_gets_endpoints_and_their_group_and_nothing_else(run_program: Any, account: Any) -> None:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{n}.0/24", AvailabilityZone=f"us-east-1{'ab'[n % 2]}")["Subnet"][
            "SubnetId"
        ]
        for n in range(4)
    ]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    run = run_program(
        PROGRAM,
        config(
            existing={
                "vpc_id": vpc,
                "public_subnet_ids": subnets[:2],
                "private_subnet_ids": subnets[2:],
                "private_route_table_ids": [table],
            }
        ),
    )
    assert dict(run.resources) == {
        "aws:ec2/securityGroup:SecurityGroup": 1,
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": 1,
        "aws:ec2/vpcEndpoint:VpcEndpoint": 11,
    }
    assert run.outputs["vpc_id"] == vpc
    assert run.outputs["private_subnet_ids"] == subnets[2:]
    group = ec2.describe_security_groups(GroupIds=[run.outputs["endpoint_security_group_id"]])["SecurityGroups"][0]
    assert [one["CidrIp"] for one in group["IpPermissions"][0]["IpRanges"]] == ["10.9.0.0/16"]
    assert group["IpPermissionsEgress"] == []
    gateway = ec2.describe_vpc_endpoints(Filters=[{"Name": "service-name", "Values": ["com.amazonaws.us-east-1.s3"]}])
    assert gateway["VpcEndpoints"][0]["RouteTableIds"] == [table]


def test_an_existing_vpc_meets_every_check_of_the_network(run_program: Any, account: Any) -> None:
    existing: dict[str, Any] = {
        "vpc_id": "",
        "public_subnet_ids": [],
        "private_subnet_ids": [],
        "private_route_table_ids": [],
    }
    ec2 = account.client("ec2")
    existing["vpc_id"] = vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    for number, kind in enumerate(("public", "public", "private", "private")):
        subnet = ec2.create_subnet(
            VpcId=vpc, CidrBlock=f"10.9.{number}.0/24", AvailabilityZone=f"us-east-1{'ab'[number % 2]}"
        )
        existing[f"{kind}_subnet_ids"] += [subnet["Subnet"]["SubnetId"]]
    existing["private_route_table_ids"] += [ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]]
    outputs = run_program(PROGRAM, config(existing=existing)).outputs

    settings = Settings.load(REPOSITORY / "stacks" / "Pulumi.dev.yaml")
    settings = settings.model_copy(
        update={"network": settings.network.model_validate({"existing": existing}), "region": "us-east-1"}
    )
    questions = [question for question in CHECKS.values() if question.__module__ == network.__name__]
    assert len(questions) == 10
    for question in questions:
        seen = list(question(account, Stack(settings, outputs)))
        assert seen
        assert [one for one in seen if not one.passed] == []
