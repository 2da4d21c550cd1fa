"""Policy documents of IAM, S3, SNS and KMS as rules want them: statements, with every element as a list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

ANYBODY = "*"


@dataclass(frozen=True)
class Statement:
    """One statement. `principals` are `*`, ARNs, accounts or services; `conditions` is `(operator, key) → values`."""

    effect: str
    principals: tuple[str, ...]
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Mapping[tuple[str, str], tuple[str, ...]]
    inverted: bool = False
    """It says NotAction, NotResource or NotPrincipal: it covers everything but what it names."""

    @property
    def allows(self) -> bool:
        """Whether it is an Allow."""
        return self.effect == "Allow"

    def covers(self, action: str) -> bool:
        """Whether the action (`s3:PutObject`) is among its actions; patterns count, case does not."""
        return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in self.actions)


def statements(document: Any) -> list[Statement]:
    """The statements of a document, given as JSON text or as the mapping itself. Raises ValueError for no JSON."""
    parsed = json.loads(document) if isinstance(document, str) else document
    return [_statement(one) for one in _listed(parsed.get("Statement", []))]


def _statement(one: Mapping[str, Any]) -> Statement:
    principal = one.get("Principal", one.get("NotPrincipal", []))
    principals = (
        tuple(each for value in principal.values() for each in _listed(value))
        if isinstance(principal, Mapping)
        else tuple(_listed(principal))
    )
    return Statement(
        effect=one["Effect"],
        principals=principals,
        actions=tuple(_listed(one.get("Action", one.get("NotAction", [])))),
        resources=tuple(_listed(one.get("Resource", one.get("NotResource", [])))),
        conditions={
            (operator, key.lower()): tuple(str(value) for value in _listed(values))
            for operator, keys in one.get("Condition", {}).items()
            for key, values in keys.items()
        },
        inverted=any(key in one for key in ("NotAction", "NotResource", "NotPrincipal")),
    )


def refuses_plaintext(document: Any, action: str) -> bool:
    """Whether everybody is denied the action where the call does not come over TLS."""
    return any(
        one.effect == "Deny"
        and ANYBODY in one.principals
        and one.covers(action)
        and not one.inverted
        and len(one.conditions) == 1
        and one.conditions.get(("Bool", "aws:securetransport")) == ("false",)
        for one in statements(document)
    )


def open_to_anybody(document: Any) -> list[Statement]:
    """Statements that allow something to everybody, without a condition that narrows who."""
    return [
        one
        for one in statements(document)
        if one.allows and (ANYBODY in one.principals or one.inverted) and not _narrowed(one)
    ]


def _narrowed(one: Statement) -> bool:
    """Conditions on the source or the caller: the keys that S3 counts as making a policy not public.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
    """
    keys = {key for operator, key in one.conditions if operator.startswith(("StringEquals", "ArnEquals", "ArnLike"))}
    return bool(
        keys & {"aws:sourceaccount", "aws:sourcearn", "aws:sourcevpc", "aws:sourcevpce", "aws:principalorgid"}
        | keys
        & {"aws:principalaccount", "aws:principalarn", "aws:userid", "s3:dataaccesspointaccount", "kms:calleraccount"}
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
