"""IAM and STS: roles, their policies, instance profiles, and who the caller is. IAM is global to a partition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, answers, creates


@creates("aws:iam/role:Role")
def role(account: Account, inputs: Inputs) -> Created:
    """A role with its trust policy."""
    name = inputs.autoname("name", 64)
    request: dict[str, Any] = {
        "RoleName": name,
        "AssumeRolePolicyDocument": inputs.take("assumeRolePolicy"),
        "Path": inputs.take("path", "/"),
        "MaxSessionDuration": int(inputs.take("maxSessionDuration", 3600)),
        "Tags": inputs.tags(),
    }
    if description := inputs.take("description"):
        request["Description"] = description
    made = account.client("iam").create_role(**request)["Role"]
    return Created(name, {"arn": made["Arn"], "name": name, "uniqueId": made["RoleId"]})


@creates("aws:iam/rolePolicy:RolePolicy")
def role_policy(account: Account, inputs: Inputs) -> Created:
    """A policy that belongs to one role."""
    name, owner = inputs.autoname("name", 128), inputs.take("role")
    account.client("iam").put_role_policy(RoleName=owner, PolicyName=name, PolicyDocument=inputs.take("policy"))
    return Created(f"{owner}:{name}", {"name": name})


@creates("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
def role_policy_attachment(account: Account, inputs: Inputs) -> Created:
    """A managed policy on a role."""
    owner, policy = inputs.take("role"), inputs.take("policyArn")
    account.client("iam").attach_role_policy(RoleName=owner, PolicyArn=policy)
    return Created(f"{owner}/{policy}")


@creates("aws:iam/instanceProfile:InstanceProfile")
def instance_profile(account: Account, inputs: Inputs) -> Created:
    """What hands a role to an instance."""
    iam = account.client("iam")
    name = inputs.autoname("name", 128)
    made = iam.create_instance_profile(InstanceProfileName=name, Path=inputs.take("path", "/"), Tags=inputs.tags())[
        "InstanceProfile"
    ]
    if owner := inputs.take("role"):
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=owner)
    return Created(name, {"arn": made["Arn"], "name": name, "uniqueId": made["InstanceProfileId"]})


@answers("aws:index/getCallerIdentity:getCallerIdentity")
def caller_identity(account: Account, inputs: Inputs) -> Mapping[str, Any]:
    """Whose credentials the program has."""
    found = account.client("sts").get_caller_identity()
    return {"id": found["Account"], "accountId": found["Account"], "arn": found["Arn"], "userId": found["UserId"]}
