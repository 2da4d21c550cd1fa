"""Conditions in bucket policies, which moto ignores: there, a deny "unless TLS" refuses every later call.

`install` puts two methods of moto's S3 in front of their own versions, in the server's process:

* a policy with a condition that is not known here is refused when it is put (`MalformedPolicy`), never passed over;
* for each request, the statements whose conditions do not hold are left out, and moto decides on the rest;
* a delete that names a version is `s3:DeleteObjectVersion`, which moto asks for as `s3:DeleteObject`. In a batch
  (`DeleteObjects`) moto decides by the keys alone, so there a version id goes unnoticed.

The operators and keys are those of Ferry's own bucket policies, with the semantics of the IAM user guide ("Condition
operators", "Global condition context keys"); a key that the request does not carry fails its operator. Two things are
particular to the embedded account: a request over loopback counts as TLS, and no request comes from an AWS service, so
`aws:SourceArn` is absent and a statement whose principal is a service concerns nobody.

Policies of roles, keys and topics need nothing here: moto keeps them and decides nothing by them.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import flask
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.exceptions import S3ClientError
from moto.s3.models import FakeBucket, S3Backend

Context = Mapping[str, str | None]
Condition = Mapping[str, Mapping[str, Any]]


def _equals(wanted: str, given: str) -> bool:
    return wanted == given


def _like(wanted: str, given: str) -> bool:
    # Only * and ? are wildcards in a policy; fnmatch also knows [sets].
    return fnmatch.fnmatchcase(given, wanted.replace("[", "[[]"))


def _same_truth(wanted: str, given: str) -> bool:
    return wanted.lower() == given.lower()


OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "Bool": _same_truth,
    "StringEquals": _equals,
    "StringLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
}
"""Operator to its comparison of a wanted value with the one that the request carries."""

ABSENT = "Null"
"""The operator that asks whether the request carries a key: `true`, it does not."""

SERVICE_KEYS = frozenset({"aws:sourcearn", "aws:sourceaccount"})
"""Keys that only a call by an AWS service carries."""

KEYS = frozenset({*SERVICE_KEYS, "aws:securetransport", "s3:if-none-match", "s3:x-amz-acl"})


def context_of(request: flask.Request) -> Context:
    """The condition keys of a request, in lower case (key names are not case-sensitive in IAM)."""
    encrypted = request.scheme == "https" or ipaddress.ip_address(request.remote_addr or "0.0.0.0").is_loopback  # noqa: S104
    return {
        "aws:securetransport": "true" if encrypted else "false",
        "s3:if-none-match": request.headers.get("if-none-match"),
        "s3:x-amz-acl": request.headers.get("x-amz-acl"),
    }


def holds(condition: Condition, context: Context) -> bool:
    """Whether every operator of a statement's `Condition` holds for every key of it."""
    return all(
        _operator_holds(operator, _strings(wanted), context.get(key.lower()))
        for operator, keys in condition.items()
        for key, wanted in keys.items()
    )


def unknown(condition: Condition) -> Iterator[str]:
    """What this module cannot evaluate in a condition, as `operator` or `operator key`."""
    for operator, keys in condition.items():
        if operator not in {*OPERATORS, ABSENT}:
            yield operator
        else:
            yield from (f"{operator} {key}" for key in keys if key.lower() not in KEYS)


def concerns(statement: Mapping[str, Any], context: Context) -> bool:
    """Whether a statement is about a request of the account's own users with this context."""
    principal = statement.get("Principal", "*")
    if isinstance(principal, Mapping) and "AWS" not in principal:
        return False
    return holds(statement.get("Condition", {}), context)


def _operator_holds(operator: str, wanted: list[str], given: str | None) -> bool:
    if operator == ABSENT:
        return ("true" if given is None else "false") in wanted
    return given is not None and any(OPERATORS[operator](one, given) for one in wanted)


def _strings(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(one).lower() if isinstance(one, bool) else str(one) for one in values]


# ---- moto ----------------------------------------------------------------------------------------------------------


@dataclass
class Conditions:
    """What was put since the last reset: one line for each operator and key, with what is particular about it here."""

    evaluated: set[str] = field(default_factory=set)

    def note(self, condition: Condition) -> None:
        """Remember a condition that a policy brought."""
        for operator, keys in condition.items():
            self.evaluated |= {f"{operator} {key}{_remark(key.lower())}" for key in keys}


def _remark(key: str) -> str:
    if key == "aws:securetransport":
        return " (loopback counts as TLS)"
    if key in SERVICE_KEYS:
        return " (absent: no AWS service calls here)"
    return ""


CONDITIONS = Conditions()
"""Of this process's server: moto's state is the process's, too."""


class MalformedPolicy(S3ClientError):
    """The error that S3 itself uses for a policy that it cannot read."""

    def __init__(self, message: str) -> None:
        super().__init__("MalformedPolicy", message)


def install() -> None:
    """Make moto's S3, in this process, evaluate conditions. Installing twice is the same as once."""
    bucket: Any = FakeBucket
    backend: Any = S3Backend
    if bucket.get_permission is not _get_permission:
        bucket.get_permission = _get_permission
        backend.put_bucket_policy = _checking(backend.put_bucket_policy)


def _get_permission(bucket: FakeBucket, action: str, resource: str) -> PermissionResult:
    """In the place of moto's own, which hands the whole policy to `IAMPolicy`."""
    if bucket.policy is None:
        return PermissionResult.NEUTRAL
    if action == "s3:DeleteObject" and "versionId" in flask.request.args:
        action = "s3:DeleteObjectVersion"
    context = context_of(flask.request)
    left = [
        {key: value for key, value in statement.items() if key != "Condition"}
        for statement in _statements(bucket.policy)
        if concerns(statement, context)
    ]
    return IAMPolicy(json.dumps({"Statement": left})).is_action_permitted(action, resource)


def _checking(put: Callable[[S3Backend, str, bytes], None]) -> Callable[[S3Backend, str, bytes], None]:
    def put_bucket_policy(backend: S3Backend, bucket_name: str, policy: bytes) -> None:
        conditions = [statement.get("Condition", {}) for statement in _statements(policy)]
        if not_known := [problem for condition in conditions for problem in unknown(condition)]:
            raise MalformedPolicy(
                f"the rehearsal cannot evaluate {', '.join(not_known)} in the policy of {bucket_name}; "
                "add it to ferry/rehearsal/conditions.py"
            )
        put(backend, bucket_name, policy)
        for condition in conditions:
            CONDITIONS.note(condition)

    return put_bucket_policy


def _statements(policy: bytes) -> list[dict[str, Any]]:
    try:
        statements = json.loads(policy)["Statement"]
    except (ValueError, KeyError) as error:
        raise MalformedPolicy("Policies must be valid JSON with a Statement") from error
    return statements if isinstance(statements, list) else [statements]
