"""A rehearsal under the real engine: a stack is made and would then change nothing, or becomes another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.artefacts import Check, ResourceChange
from ferry.errors import RehearsalError
from ferry.rehearsal.engine.session import Session
from ferry.rehearsal.handlers import Account
from ferry.rehearsal.program import Run

LASTING = ("model_bucket", "model_replica_bucket", "audit_bucket")
"""Outputs of the program that name buckets whose contents must outlive every change."""

PROBE = "ferry-rehearsal-probe"
"""Key of the object that is put into each of them before a change."""


def run(session: Session, config: Mapping[str, Any]) -> tuple[Run, list[Check]]:
    """Preview the stack, make it, and ask what a second `up` would do.

    Raises PolicyBroken before anything is made where the policy pack refuses what the preview knows.
    """
    checks = _applied(session, config, session.preview(config).changes)
    return _told(session), checks


def change(
    session: Session, account: Account, config: Mapping[str, Any]
) -> tuple[Run, list[Check], list[ResourceChange]]:
    """Make of the stack that is there the one that the configuration says.

    Raises RehearsalError where the engine refuses, as it does when a protected resource would be replaced.
    """
    before = {name: _contents(account, bucket) for name, bucket in _lasting(session).items()}
    planned = session.preview(config).changes
    of_engine = _applied(session, config, planned)
    after = _lasting(session)
    checks = [
        Check(
            name="the bucket was not replaced and holds what it held",
            passed=found == expected,
            resource=f"{name} {expected['bucket']}",
            expected=_text(expected),
            found=_text(found),
        )
        for name, expected in before.items()
        for found in [_contents(account, after[name], probe=False) if name in after else {"bucket": "none"}]
    ]
    return _told(session), checks + of_engine, planned


def _told(session: Session) -> Run:
    provider = session.provider
    listed = [one for properties in provider.not_emulated.values() for one in properties]
    return Run(
        session.outputs(),
        session.resources(),
        provider.properties,
        sorted(listed, key=lambda one: (one.resource, one.property)),
    )


def _applied(session: Session, config: Mapping[str, Any], planned: list[ResourceChange]) -> list[Check]:
    """Do what was planned, and ask what a second `up` would do."""
    done = session.up(config)
    expected = set(map(_identity, planned))
    differing = [one for one in done.changes if _identity(one) not in expected]
    return [
        *([_asked(done.packs)] if session.workspace.policy_packs else []),
        _nothing("what was applied is what was planned", differing),
        _nothing("a second up changes nothing", session.preview(config).changes),
    ]


def _asked(packs: Mapping[str, str]) -> Check:
    """By the engine's own summary of the update."""
    found = ", ".join(f"{name} {version}" for name, version in packs.items())
    return Check(
        name="the engine asked the policy pack",
        passed=bool(packs),
        resource="the stack",
        expected="a pack of the project",
        found=found or "none",
    )


def _nothing(name: str, changes: list[ResourceChange]) -> Check:
    listed = [f"{one.action} {one.type} {one.name} ({', '.join(one.properties)})" for one in changes]
    return Check(
        name=name, passed=not listed, resource="the stack", expected="no change", found="; ".join(listed) or "no change"
    )


def _identity(change: ResourceChange) -> tuple[str, str, str]:
    return change.action, change.type, change.name


def _lasting(session: Session) -> dict[str, str]:
    outputs = session.outputs()
    return {name: str(outputs[name]) for name in LASTING if outputs.get(name)}


def _contents(account: Account, bucket: str, *, probe: bool = True) -> dict[str, Any]:
    """When the bucket was made, and each version of each object in it, with its checksum."""
    s3 = account.client("s3")
    region = s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] or "us-east-1"
    s3 = account.client("s3", region)
    if probe:
        s3.put_object(Bucket=bucket, Key=PROBE, Body=b"put before the change")
    made = [one["CreationDate"] for one in s3.list_buckets()["Buckets"] if one["Name"] == bucket]
    if not made:
        raise RehearsalError(f"bucket {bucket} is not in the account")
    versions = s3.list_object_versions(Bucket=bucket).get("Versions", [])
    return {
        "bucket": bucket,
        "made": made[0].isoformat(),
        "objects": sorted(f"{one['Key']} {one['VersionId']} {one['ETag']}" for one in versions),
    }


def _text(contents: Mapping[str, Any]) -> str:
    objects = contents.get("objects", [])
    return f"{contents['bucket']}, made {contents.get('made', 'never')}, {len(objects)} versions"
