"""What the checks ask of any role: what its own policies allow and refuse, and who may take it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ferry.rehearsal.handlers import Account


def granted(account: Account, role: str) -> set[str]:
    """`action on resource`, with its condition, for all that a role's own policies allow; managed ones by name."""
    allowed = {
        f"{action} on {resource}{only_if(statement.get('Condition'))}"
        for statement in _statements(account, role)
        if statement["Effect"] == "Allow"
        for action in several(statement.get("Action", f"all but {statement.get('NotAction')}"))
        for resource in several(statement.get("Resource", f"all but {statement.get('NotResource')}"))
    }
    managed = account.client("iam").list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    return allowed | {f"managed policy {policy['PolicyArn']}" for policy in managed}


def refused(account: Account, role: str) -> set[str]:
    """`action on resource` for all that a role's own policies deny without a condition."""
    return {
        f"{action} on {resource}"
        for statement in _statements(account, role)
        if statement["Effect"] == "Deny" and "Condition" not in statement
        for action in several(statement.get("Action", []))
        for resource in several(statement.get("Resource", []))
    }


def trust(account: Account, role: str) -> list[dict[str, Any]]:
    """Statements of a role's trust policy."""
    policy = account.client("iam").get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    statements: list[dict[str, Any]] = document(policy)["Statement"]
    return statements


def trusted_by(account: Account, service: str) -> list[str]:
    """Names of the roles that a service may take."""
    pages = account.client("iam").get_paginator("list_roles").paginate()
    return [
        role["RoleName"]
        for page in pages
        for role in page["Roles"]
        if any(
            service in several(statement.get("Principal", {}).get("Service", []))
            for statement in document(role["AssumeRolePolicyDocument"])["Statement"]
        )
    ]


def compared(needed: set[str], found: set[str]) -> str:
    """What is missing, and what is there beyond it; see `NOTHING`."""
    lacking = "; ".join(sorted(needed - found)) or "nothing"
    excess = "; ".join(sorted(found - needed)) or "nothing"
    return f"lacks {lacking}, exceeds by {excess}"


NOTHING = compared(set(), set())
"""The comparison of what is right."""


def only_if(condition: Mapping[str, Any] | None) -> str:
    """A condition as it stands behind a resource."""
    return f" if {json.dumps(condition, sort_keys=True)}" if condition else ""


def document(policy: str | dict[str, Any]) -> dict[str, Any]:
    """A policy, which boto3 gives as text or as an object."""
    found: dict[str, Any] = json.loads(policy) if isinstance(policy, str) else policy
    return found


def several(value: str | list[str]) -> list[str]:
    """What policies write either as one value or as a list."""
    return [value] if isinstance(value, str) else value


def _statements(account: Account, role: str) -> Iterator[dict[str, Any]]:
    iam = account.client("iam")
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        yield from document(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])["Statement"]
