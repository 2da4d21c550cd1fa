"""Roles and what they may; users and keys, of which there should be none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ferry.compliance.account.calls import Account
from ferry.compliance.resource import Resource


def read(account: Account) -> Iterator[Resource]:
    """The stack's roles, and every user and key pair of the account."""
    iam = account.of("iam")
    for role in account.pages("iam", "list_roles", "Roles"):
        tags = iam.list_role_tags(RoleName=role["RoleName"])["Tags"]
        if account.owns(tags):
            yield from _role(account, role, account.tags(tags))
    for user in account.pages("iam", "list_users", "Users"):
        yield Resource("aws:iam/user:User", user["UserName"], {})
        for key in iam.list_access_keys(UserName=user["UserName"])["AccessKeyMetadata"]:
            yield Resource("aws:iam/accessKey:AccessKey", key["AccessKeyId"], {"user": user["UserName"]})
    for pair in account.of("ec2").describe_key_pairs()["KeyPairs"]:
        yield Resource("aws:ec2/keyPair:KeyPair", pair["KeyName"], {})


def _role(account: Account, role: dict[str, Any], tags: dict[str, str]) -> Iterator[Resource]:
    iam, name = account.of("iam"), role["RoleName"]
    attached = [
        one["PolicyArn"]
        for one in account.pages("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=name)
    ]
    properties = {
        "assumeRolePolicy": json.dumps(role["AssumeRolePolicyDocument"]),
        "managedPolicyArns": attached,
        "tags": tags,
    }
    yield Resource("aws:iam/role:Role", name, properties, id=name)
    for inline in account.pages("iam", "list_role_policies", "PolicyNames", RoleName=name):
        document = iam.get_role_policy(RoleName=name, PolicyName=inline)["PolicyDocument"]
        given = {"role": name, "policy": json.dumps(document)}
        yield Resource("aws:iam/rolePolicy:RolePolicy", f"{name} {inline}", given)
    for arn in attached:
        # Of the account's own managed policies, the text; AWS's are judged by their name.
        if arn.split(":")[4] != "aws":
            version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
            yield Resource("aws:iam/policy:Policy", arn, {"policy": json.dumps(document)}, id=arn)
