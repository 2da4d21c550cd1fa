"""EC2 security groups and their rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, State, creates, deletes, first, reads, updates
from ferry.rehearsal.handlers.ec2 import arn, tag_specifications
from ferry.rehearsal.handlers.tagging import as_map


@creates("aws:ec2/securityGroup:SecurityGroup", fixed=("name", "namePrefix", "description", "vpcId"))
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


@creates("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", fixed=("vpcId",))
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


@creates("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", fixed=("securityGroupId",))
def ingress_rule(account: Account, inputs: Inputs) -> Created:
    """One rule that lets something in."""
    return _rule(account, inputs, "authorize_security_group_ingress")


@creates("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", fixed=("securityGroupId",))
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


@updates("aws:ec2/securityGroup:SecurityGroup", "revokeRulesOnDelete")
def security_group_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """Only seen when the group is deleted."""
    return {}


@reads("aws:ec2/securityGroup:SecurityGroup", "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
def read_security_group(account: Account, state: State) -> Mapping[str, Any]:
    """The group itself; its rules are resources of their own."""
    found = account.client("ec2", state.region).describe_security_groups(GroupIds=[state.id])["SecurityGroups"][0]
    return {
        "name": found["GroupName"],
        "description": found["Description"],
        "vpcId": found["VpcId"],
        "tags": as_map(found.get("Tags")),
    }


@deletes("aws:ec2/securityGroup:SecurityGroup")
def delete_security_group(account: Account, state: State) -> None:
    """`DeleteSecurityGroup`, of a group that no other group names any more."""
    account.client("ec2", state.region).delete_security_group(GroupId=state.id)


@deletes("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
def leave(account: Account, state: State) -> None:
    """Nothing: the group goes with its VPC."""


RULES = {"Ingress": "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"}
RULES["Egress"] = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
CHANGEABLE = (
    "cidrIpv4",
    "cidrIpv6",
    "description",
    "fromPort",
    "ipProtocol",
    "prefixListId",
    "referencedSecurityGroupId",
    "toPort",
)


def rule_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """`ModifySecurityGroupRules`."""
    sent = {
        "IpProtocol": new.take("ipProtocol"),
        "FromPort": new.take("fromPort"),
        "ToPort": new.take("toPort"),
        "CidrIpv4": new.take("cidrIpv4"),
        "CidrIpv6": new.take("cidrIpv6"),
        "PrefixListId": new.take("prefixListId"),
        "ReferencedGroupId": new.take("referencedSecurityGroupId"),
        "Description": new.take("description"),
    }
    account.client("ec2", old.region).modify_security_group_rules(
        GroupId=old.get("securityGroupId"),
        SecurityGroupRules=[
            {
                "SecurityGroupRuleId": old.id,
                "SecurityGroupRule": {name: value for name, value in sent.items() if value is not None},
            }
        ],
    )
    return {}


for of_rule in RULES.values():
    updates(of_rule, *CHANGEABLE)(rule_changed)


@reads(*RULES.values())
def read_rule(account: Account, state: State) -> Mapping[str, Any]:
    """`DescribeSecurityGroupRules` of one id."""
    ec2 = account.client("ec2", state.region)
    found = first(ec2.describe_security_group_rules(SecurityGroupRuleIds=[state.id])["SecurityGroupRules"])
    # moto 5.2.5 keeps the description of a rule for addresses only.
    described = {"description": found.get("Description")} if "CidrIpv4" in found or "CidrIpv6" in found else {}
    return {
        **described,
        "securityGroupId": found["GroupId"],
        "ipProtocol": found["IpProtocol"],
        "fromPort": found.get("FromPort"),
        "toPort": found.get("ToPort"),
        "cidrIpv4": found.get("CidrIpv4"),
        "cidrIpv6": found.get("CidrIpv6"),
        "prefixListId": found.get("PrefixListId"),
        "referencedSecurityGroupId": found.get("ReferencedGroupInfo", {}).get("GroupId"),
        "tags": as_map(found.get("Tags")),
    }


@deletes(RULES["Ingress"])
def delete_ingress(account: Account, state: State) -> None:
    """`RevokeSecurityGroupIngress` by the rule's id."""
    account.client("ec2", state.region).revoke_security_group_ingress(
        GroupId=state.get("securityGroupId"), SecurityGroupRuleIds=[state.id]
    )


@deletes(RULES["Egress"])
def delete_egress(account: Account, state: State) -> None:
    """`RevokeSecurityGroupEgress` by the rule's id."""
    account.client("ec2", state.region).revoke_security_group_egress(
        GroupId=state.get("securityGroupId"), SecurityGroupRuleIds=[state.id]
    )
