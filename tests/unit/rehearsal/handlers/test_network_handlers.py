from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ferry.artefacts import NotEmulated
from ferry.errors import UnknownProperty
from ferry.rehearsal.handlers import HANDLERS, Created, Inputs

Make = Callable[..., Created]


@pytest.fixture
def vpc(make: Make) -> Created:
    return make("aws:ec2/vpc:Vpc", cidrBlock="10.0.0.0/16", enableDnsHostnames=True)


def test_a_vpc_names_its_default_group_and_main_route_table(account: Any, vpc: Created) -> None:
    groups = account.client("ec2").describe_security_groups(GroupIds=[vpc.outputs["defaultSecurityGroupId"]])
    assert groups["SecurityGroups"][0]["VpcId"] == vpc.id
    tables = account.client("ec2").describe_route_tables(RouteTableIds=[vpc.outputs["mainRouteTableId"]])
    assert tables["RouteTables"][0]["VpcId"] == vpc.id


def test_a_security_group_starts_without_the_egress_that_ec2_gives_it(account: Any, make: Make, vpc: Created) -> None:
    group = make("aws:ec2/securityGroup:SecurityGroup", description="d", vpcId=vpc.id)
    found = account.client("ec2").describe_security_groups(GroupIds=[group.id])["SecurityGroups"][0]
    assert found["IpPermissionsEgress"] == []
    assert found["GroupName"] == group.outputs["name"]


def test_the_default_group_loses_its_rules(account: Any, make: Make, vpc: Created) -> None:
    group = make("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", vpcId=vpc.id)
    found = account.client("ec2").describe_security_groups(GroupIds=[group.id])["SecurityGroups"][0]
    assert (found["GroupName"], found["IpPermissions"], found["IpPermissionsEgress"]) == ("default", [], [])


@pytest.mark.parametrize(
    ("peer", "field", "member"),
    [("cidrIpv4", "CidrIpv4", "10.1.0.0/16"), ("cidrIpv6", "CidrIpv6", "2001:db8::/32")],
)
@pytest.mark.parametrize("way", ["Ingress", "Egress"])
def test_a_rule_is_sent_with_its_peer_and_ports(
    account: Any, make: Make, vpc: Created, way: str, peer: str, field: str, member: str
) -> None:
    group = make("aws:ec2/securityGroup:SecurityGroup", description="d", vpcId=vpc.id)
    token = f"aws:vpc/securityGroup{way}Rule:SecurityGroup{way}Rule"
    make(
        token, securityGroupId=group.id, ipProtocol="tcp", fromPort=443, toPort=443, description="why", **{peer: member}
    )
    rules = account.client("ec2").describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group.id]}])
    [rule] = rules["SecurityGroupRules"]
    assert (rule["IsEgress"], rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == (
        way == "Egress",
        "tcp",
        443,
        443,
    )
    assert rule[field] == member
    assert rule["Description"] == "why"


def test_a_rule_may_name_another_group_or_a_prefix_list(account: Any, make: Make, vpc: Created) -> None:
    group = make("aws:ec2/securityGroup:SecurityGroup", description="d", vpcId=vpc.id)
    endpoint = make(
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        vpcId=vpc.id,
        serviceName="com.amazonaws.us-east-1.s3",
        routeTableIds=[vpc.outputs["mainRouteTableId"]],
    )
    token = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    make(token, securityGroupId=group.id, ipProtocol="tcp", fromPort=1, toPort=1, referencedSecurityGroupId=group.id)
    make(token, securityGroupId=group.id, ipProtocol="-1", prefixListId=endpoint.outputs["prefixListId"])
    permissions = account.client("ec2").describe_security_groups(GroupIds=[group.id])["SecurityGroups"][0]
    peers = [
        (one["UserIdGroupPairs"][0]["GroupId"] if one["UserIdGroupPairs"] else one["PrefixListIds"][0]["PrefixListId"])
        for one in permissions["IpPermissionsEgress"]
    ]
    assert peers == [group.id, endpoint.outputs["prefixListId"]]


def test_arns_follow_the_partition_where_motos_own_do_not(account_in: Any) -> None:
    china = account_in("cn-north-1")
    inputs = Inputs("aws:ec2/vpc:Vpc", "it", {"cidrBlock": "10.0.0.0/16"}, [])
    made = HANDLERS["aws:ec2/vpc:Vpc"](china, inputs)
    assert made.outputs["arn"] == f"arn:aws-cn:ec2:cn-north-1:123456789012:vpc/{made.id}"


def test_a_role_policy_is_known_by_role_and_name(account: Any, make: Make) -> None:
    trust = '{"Version": "2012-10-17", "Statement": []}'
    role = make("aws:iam/role:Role", assumeRolePolicy=trust, description="d", tags={"a": "b"})
    allow = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}'
    policy = make("aws:iam/rolePolicy:RolePolicy", role=role.id, policy=allow)
    assert policy.id == f"{role.id}:{policy.outputs['name']}"
    assert account.client("iam").list_role_policies(RoleName=role.id)["PolicyNames"] == [policy.outputs["name"]]
    assert role.outputs["arn"] == f"arn:aws:iam::123456789012:role/{role.id}"


def test_an_instance_profile_hands_out_its_role(account: Any, make: Make) -> None:
    role = make("aws:iam/role:Role", assumeRolePolicy='{"Version": "2012-10-17", "Statement": []}')
    profile = make("aws:iam/instanceProfile:InstanceProfile", role=role.id)
    found = account.client("iam").get_instance_profile(InstanceProfileName=profile.id)["InstanceProfile"]
    assert [one["RoleName"] for one in found["Roles"]] == [role.id]


@pytest.mark.parametrize("rotation", [True, False])
def test_a_key_rotates_exactly_when_it_is_asked_to(account: Any, make: Make, rotation: bool) -> None:
    key = make("aws:kms/key:Key", description="d", enableKeyRotation=rotation)
    status = account.client("kms").get_key_rotation_status(KeyId=key.id)
    assert status["KeyRotationEnabled"] is rotation


def test_a_log_group_keeps_its_key_and_its_days(account: Any, make: Make) -> None:
    key = make("aws:kms/key:Key", description="d")
    group = make("aws:cloudwatch/logGroup:LogGroup", kmsKeyId=key.outputs["arn"], retentionInDays=30)
    [found] = account.client("logs").describe_log_groups()["logGroups"]
    assert (found["logGroupName"], found["kmsKeyId"], found["retentionInDays"]) == (group.id, key.outputs["arn"], 30)


def test_a_property_that_no_handler_knows_is_an_error(make: Make) -> None:
    with pytest.raises(UnknownProperty, match="no handler for ipv4IpamPoolId"):
        make("aws:ec2/vpc:Vpc", cidrBlock="10.0.0.0/16", ipv4IpamPoolId="ipam-1")


def test_what_only_matters_on_deletion_is_listed_as_not_emulated(account: Any) -> None:
    listed: list[NotEmulated] = []
    inputs = Inputs("aws:kms/key:Key", "it", {"deletionWindowInDays": 7}, listed)
    HANDLERS["aws:kms/key:Key"](account, inputs)
    assert listed == [
        NotEmulated(resource="aws:kms/key:Key it", property="deletionWindowInDays", why="concerns deletion only")
    ]
