from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ferry.rehearsal.account import EmbeddedAccount
from ferry.rehearsal.seeds import seed
from stacks.settings import Settings

Config = Callable[..., dict[str, Any]]
UBUNTU = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"


def test_an_image_parameter_leads_to_an_image_that_is_there(account: EmbeddedAccount, config: Config) -> None:
    seed(account, Settings.from_config(config()))
    parameter = account.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]
    image = account.client("ec2").describe_images(ImageIds=[parameter["Value"]])["Images"][0]
    assert (parameter["DataType"], image["State"], image["Architecture"], image["ImageOwnerAlias"]) == (
        "aws:ec2:image",
        "available",
        "x86_64",
        "amazon",
    )


def test_each_parameter_of_the_stack_is_seeded_once_and_with_its_architecture(
    account: EmbeddedAccount, config: Config
) -> None:
    given = config()
    blue = given["ferry:model_versions"][0]
    arm = copy.deepcopy(blue) | {"name": "green", "weight": 0}
    arm["fleet"]["ami_parameter"] = "/aws/service/deeplearning/ami/arm64/latest/ami-id"
    given["ferry:model_versions"] += [copy.deepcopy(blue) | {"name": "cyan", "weight": 0}, arm]
    seeded = seed(account, Settings.from_config(given))
    assert [line.split(":")[0] for line in seeded] == [
        "SSM parameter /aws/service/deeplearning/ami/arm64/latest/ami-id in us-east-1",
        f"SSM parameter {UBUNTU} in us-east-1",
        "ACM certificate for llm.example.org in us-east-1",
    ]
    assert [line.rsplit(", ", 1)[1] for line in seeded] == ["an empty arm64 image", "an empty x86_64 image", "issued"]


@pytest.mark.parametrize(
    "name", ["/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64", "/aws/service/ecs/optimized-ami"]
)
def test_a_parameter_that_the_stack_does_not_name_is_not_there_although_moto_knows_it(
    account: EmbeddedAccount, config: Config, name: str
) -> None:
    seed(account, Settings.from_config(config()))
    ssm = account.client("ssm")
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter(Name=name)


@pytest.mark.parametrize("region", ["eu-central-1", "cn-north-1"])
def test_the_certificate_is_issued_in_the_stacks_region(
    account_in: Callable[[str], EmbeddedAccount], config: Config, region: str
) -> None:
    account = account_in(region)
    seed(account, Settings.from_config(config(region)))
    found = account.client("acm").list_certificates(CertificateStatuses=["ISSUED"])["CertificateSummaryList"]
    assert [(one["DomainName"], one["Status"], one["CertificateArn"].split(":")[1:4]) for one in found] == [
        ("llm.example.org", "ISSUED", [account.partition, "acm", region])
    ]


def test_a_second_region_has_image_and_certificate_of_its_own_and_the_zone_of_the_name(
    account: EmbeddedAccount, config: Config
) -> None:
    failover = {"region": "eu-west-1", "zone_id": "Z0123456789"}
    given = config() | {
        "ferry:model_repository": {"replica_region": "eu-west-1"},
        "ferry:failover": failover,
    }
    settings = Settings.from_config(given)
    seeded = seed(account, settings)
    assert [line.split(":")[0] for line in seeded] == [
        f"SSM parameter {UBUNTU} in us-east-1",
        "ACM certificate for llm.example.org in us-east-1",
        f"SSM parameter {UBUNTU} in eu-west-1",
        "ACM certificate for llm.example.org in eu-west-1",
        "Route 53 zone Z0123456789 for example.org",
    ]
    assert seed(account, settings, seeded) == []
    image = account.client("ssm", "eu-west-1").get_parameter(Name=UBUNTU)["Parameter"]["Value"]
    assert account.client("ec2", "eu-west-1").describe_images(ImageIds=[image])["Images"][0]["State"] == "available"


def test_an_existing_network_is_there_under_its_own_ids(account: EmbeddedAccount, config: Config) -> None:
    existing = {
        "vpc_id": "vpc-0site",
        "public_subnet_ids": ["subnet-0public1", "subnet-0public2"],
        "private_subnet_ids": ["subnet-0private1", "subnet-0private2"],
        "private_route_table_ids": ["rtb-0private"],
    }
    seeded = seed(account, Settings.from_config(config(network={"existing": existing, "cidr": "10.9.0.0/16"})))
    ec2 = account.client("ec2")
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": ["vpc-0site"]}])["Subnets"]
    assert sorted((one["SubnetId"], one["CidrBlock"], one["AvailabilityZone"]) for one in subnets) == [
        ("subnet-0private1", "10.9.32.0/20", "us-east-1c"),
        ("subnet-0private2", "10.9.48.0/20", "us-east-1d"),
        ("subnet-0public1", "10.9.0.0/20", "us-east-1a"),
        ("subnet-0public2", "10.9.16.0/20", "us-east-1b"),
    ]
    assert ec2.describe_route_tables(RouteTableIds=["rtb-0private"])["RouteTables"][0]["VpcId"] == "vpc-0site"
    assert ec2.describe_vpcs(VpcIds=["vpc-0site"])["Vpcs"][0]["CidrBlock"] == "10.9.0.0/16"
    assert ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"] != "vpc-0site"
    assert seeded[-1] == (
        "VPC vpc-0site (10.9.0.0/16) in us-east-1 with subnet-0public1, subnet-0public2, subnet-0private1, "
        "subnet-0private2, rtb-0private"
    )
