"""IAM and STS: roles, their policies, instance profiles, and who the caller is. IAM is global to a partition."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ferry.rehearsal.handlers import Absent, Account, Created, Inputs, State, answers, creates, deletes, reads, updates
from ferry.rehearsal.handlers.tagging import as_map


@creates("aws:iam/role:Role", fixed=("name", "namePrefix", "path"))
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


@creates("aws:iam/rolePolicy:RolePolicy", fixed=("name", "namePrefix", "role"), again=True)
def role_policy(account: Account, inputs: Inputs) -> Created:
    """A policy that belongs to one role."""
    name, owner = inputs.autoname("name", 128), inputs.take("role")
    account.client("iam").put_role_policy(RoleName=owner, PolicyName=name, PolicyDocument=inputs.take("policy"))
    return Created(f"{owner}:{name}", {"name": name})


@creates("aws:iam/rolePolicyAttachment:RolePolicyAttachment", fixed=("role", "policyArn"))
def role_policy_attachment(account: Account, inputs: Inputs) -> Created:
    """A managed policy on a role."""
    owner, policy = inputs.take("role"), inputs.take("policyArn")
    account.client("iam").attach_role_policy(RoleName=owner, PolicyArn=policy)
    return Created(f"{owner}/{policy}")


@creates("aws:iam/instanceProfile:InstanceProfile", fixed=("name", "namePrefix", "path"))
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


@updates("aws:iam/role:Role", "assumeRolePolicy", "description", "maxSessionDuration")
def role_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """`UpdateAssumeRolePolicy` and `UpdateRole`."""
    iam = account.client("iam")
    iam.update_assume_role_policy(RoleName=old.id, PolicyDocument=new.take("assumeRolePolicy"))
    iam.update_role(
        RoleName=old.id,
        Description=new.take("description", ""),
        MaxSessionDuration=int(new.take("maxSessionDuration", 3600)),
    )
    return {}


@updates("aws:iam/instanceProfile:InstanceProfile", "role")
def instance_profile_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """A profile holds one role at most."""
    iam = account.client("iam")
    if had := old.inputs.get("role"):
        iam.remove_role_from_instance_profile(InstanceProfileName=old.id, RoleName=had)
    if owner := new.take("role"):
        iam.add_role_to_instance_profile(InstanceProfileName=old.id, RoleName=owner)
    return {}


@reads("aws:iam/role:Role")
def read_role(account: Account, state: State) -> Mapping[str, Any]:
    """`GetRole`."""
    found = account.client("iam").get_role(RoleName=state.id)["Role"]
    return {
        "name": found["RoleName"],
        "path": found["Path"],
        "assumeRolePolicy": json.dumps(found["AssumeRolePolicyDocument"]),
        "description": found.get("Description"),
        "maxSessionDuration": found.get("MaxSessionDuration"),
        "tags": as_map(found.get("Tags")),
    }


@reads("aws:iam/rolePolicy:RolePolicy")
def read_role_policy(account: Account, state: State) -> Mapping[str, Any]:
    """`GetRolePolicy` by the two parts of the id."""
    owner, _, name = state.id.partition(":")
    found = account.client("iam").get_role_policy(RoleName=owner, PolicyName=name)
    return {"role": owner, "name": name, "policy": json.dumps(found["PolicyDocument"])}


@reads("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
def read_attachment(account: Account, state: State) -> Mapping[str, Any]:
    """Whether the policy is still attached."""
    owner, _, policy = state.id.partition("/")
    attached = account.client("iam").list_attached_role_policies(RoleName=owner)["AttachedPolicies"]
    if policy not in {one["PolicyArn"] for one in attached}:
        raise Absent
    return {"role": owner, "policyArn": policy}


@reads("aws:iam/instanceProfile:InstanceProfile")
def read_instance_profile(account: Account, state: State) -> Mapping[str, Any]:
    """`GetInstanceProfile`."""
    found = account.client("iam").get_instance_profile(InstanceProfileName=state.id)["InstanceProfile"]
    roles = [one["RoleName"] for one in found["Roles"]]
    return {
        "name": found["InstanceProfileName"],
        "path": found["Path"],
        "role": roles[0] if roles else None,
        "tags": as_map(found.get("Tags")),
    }


@deletes("aws:iam/role:Role")
def delete_role(account: Account, state: State) -> None:
    """`DeleteRole`. What is attached to it is resources of their own, deleted before."""
    account.client("iam").delete_role(RoleName=state.id)


@deletes("aws:iam/rolePolicy:RolePolicy")
def delete_role_policy(account: Account, state: State) -> None:
    """`DeleteRolePolicy`."""
    owner, _, name = state.id.partition(":")
    account.client("iam").delete_role_policy(RoleName=owner, PolicyName=name)


@deletes("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
def detach(account: Account, state: State) -> None:
    """`DetachRolePolicy`."""
    owner, _, policy = state.id.partition("/")
    account.client("iam").detach_role_policy(RoleName=owner, PolicyArn=policy)


@deletes("aws:iam/instanceProfile:InstanceProfile")
def delete_instance_profile(account: Account, state: State) -> None:
    """Empty first: AWS deletes no profile that holds a role."""
    iam = account.client("iam")
    for held in iam.get_instance_profile(InstanceProfileName=state.id)["InstanceProfile"]["Roles"]:
        iam.remove_role_from_instance_profile(InstanceProfileName=state.id, RoleName=held["RoleName"])
    iam.delete_instance_profile(InstanceProfileName=state.id)
