"""EC2 security groups and their rules."""

from __future__ import annotations

from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, creates
from ferry.rehearsal.handlers.ec2 import arn, tag_specifications


@creates("aws:ec2/securityGroup:SecurityGroup")
def security_group(account: Account, inputs: Inputs) -> Created:
    """A security group without rules: the provider takes away the "allow all" egress that EC2 starts a group with."""
    region = inputs.region
    ec2 = account.client("ec2", region)
    name = inputs.autoname("name", 255)
    id_ = ec2.create_security_group(
        GroupName=name,
        Description=inputs.take("description"),
        VpcId=inputs.take("vpcId"),
        TagSpecifications=tag_specifications(inputs, "security-group"),
    )["GroupId"]
    _revoke_all(ec2, id_)
    inputs.skip("revokeRulesOnDelete", "concerns deletion only")
    return Created(
        id_, {"arn": arn(account, f"security-group/{id_}", region), "name": name, "ownerId": account.account_id}
    )


@creates("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
def default_security_group(account: Account, inputs: Inputs) -> Created:
    """The group that every VPC comes with, adopted and left without rules."""
    region = inputs.region
    ec2 = account.client("ec2", region)
    vpc_id = inputs.take("vpcId")
    found = ec2.describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [vpc_id]}, {"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"][0]
    id_ = found["GroupId"]
    _revoke_all(ec2, id_)
    if tags := inputs.tags():
        ec2.create_tags(Resources=[id_], Tags=tags)
    return Created(
        id_, {"arn": arn(account, f"security-group/{id_}", region), "name": "default", "ownerId": account.account_id}
    )


@creates("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
def ingress_rule(account: Account, inputs: Inputs) -> Created:
    """One rule that lets something in."""
    return _rule(account, inputs, "authorize_security_group_ingress")


@creates("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule")
def egress_rule(account: Account, inputs: Inputs) -> Created:
    """One rule that lets something out."""
    return _rule(account, inputs, "authorize_security_group_egress")


def _rule(account: Account, inputs: Inputs, call: str) -> Created:
    region = inputs.region
    described = {"Description": text} if (text := inputs.take("description")) else {}
    permission: dict[str, Any] = {"IpProtocol": inputs.take("ipProtocol")}
    for name, field in (("fromPort", "FromPort"), ("toPort", "ToPort")):
        if (port := inputs.take(name)) is not None:
            permission[field] = int(port)
    for name, field, member in (
        ("cidrIpv4", "IpRanges", "CidrIp"),
        ("cidrIpv6", "Ipv6Ranges", "CidrIpv6"),
        ("prefixListId", "PrefixListIds", "PrefixListId"),
        ("referencedSecurityGroupId", "UserIdGroupPairs", "GroupId"),
    ):
        if peer := inputs.take(name):
            permission[field] = [{member: peer, **described}]
    made = getattr(account.client("ec2", region), call)(
        GroupId=inputs.take("securityGroupId"),
        IpPermissions=[permission],
        TagSpecifications=tag_specifications(inputs, "security-group-rule"),
    )["SecurityGroupRules"][0]
    id_ = made["SecurityGroupRuleId"]
    return Created(id_, {"arn": arn(account, f"security-group-rule/{id_}", region), "securityGroupRuleId": id_})


def _revoke_all(ec2: Any, group_id: str) -> None:
    group = ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"][0]
    if group["IpPermissionsEgress"]:
        ec2.revoke_security_group_egress(GroupId=group_id, IpPermissions=group["IpPermissionsEgress"])
    if group["IpPermissions"]:
        ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=group["IpPermissions"])
