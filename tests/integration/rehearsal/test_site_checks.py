"""A stack with a site identity, a DataSync task and locked models: each check fails where it should."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ferry.rehearsal import Served
from ferry.rehearsal.checks import Stack
from tests.conftest import Rehearsed

LIFECYCLE = "s3:PutLifecycleConfiguration"


def role(of: Rehearsed, word: str) -> str:
    roles = of.account.client("iam").list_roles()["Roles"]
    (found,) = (one["RoleName"] for one in roles if one["RoleName"].startswith(f"ferry-{word}-"))
    return str(found)


def trust_changed(word: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Rehearsed], None]:
    def make(of: Rehearsed) -> None:
        iam, name = of.account.client("iam"), role(of, word)
        policy = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        change(policy["Statement"][0])
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(policy))

    return make


def rights_changed(word: str, change: Callable[[list[dict[str, Any]]], object]) -> Callable[[Rehearsed], None]:
    def make(of: Rehearsed) -> None:
        iam, name = of.account.client("iam"), role(of, word)
        (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
        document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        change(document["Statement"])
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))

    return make


def another_role_for_roles_anywhere(of: Rehearsed) -> None:
    iam = of.account.client("iam")
    trust = iam.get_role(RoleName=role(of, "site"))["Role"]["AssumeRolePolicyDocument"]
    iam.create_role(RoleName="another", AssumeRolePolicyDocument=json.dumps(trust))


def named(statements: list[dict[str, Any]], sid: str) -> dict[str, Any]:
    return next(one for one in statements if one["Sid"] == sid)


def without_condition(sid: str) -> Callable[[list[dict[str, Any]]], object]:
    return lambda statements: named(statements, sid).pop("Condition")


def managed_policy(of: Rehearsed) -> None:
    iam = of.account.client("iam")
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    arn = iam.create_policy(PolicyName="wide", PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=role(of, "site"), PolicyArn=arn)


def task_changed(**options: Any) -> Callable[[Rehearsed], None]:
    def make(of: Rehearsed) -> None:
        client, arn = of.account.client("datasync"), of.stack.outputs["data_sync_task_arn"]
        task = client.describe_task(TaskArn=arn)
        client.update_task(TaskArn=arn, Name=task["Name"], Options={**task["Options"], **options})

    return make


def lock_changed(bucket: str, region: str | None, mode: str, days: int) -> Callable[[Rehearsed], None]:
    def make(of: Rehearsed) -> None:
        s3, name = of.account.client("s3", region), of.stack.outputs[bucket]
        # moto 5.2.5 takes a lock for an empty bucket only: the bundles, and what protects them, are away meanwhile.
        policy = s3.get_bucket_policy(Bucket=name)["Policy"]
        s3.delete_bucket_policy(Bucket=name)
        held = {one["Key"]: one["VersionId"] for one in s3.list_object_versions(Bucket=name).get("Versions", [])}
        contents = {key: s3.get_object(Bucket=name, Key=key)["Body"].read() for key in held}
        for key, version in held.items():
            s3.delete_object(Bucket=name, Key=key, VersionId=version, BypassGovernanceRetention=True)
        s3.put_object_lock_configuration(
            Bucket=name,
            ObjectLockConfiguration={
                "ObjectLockEnabled": "Enabled",
                "Rule": {"DefaultRetention": {"Mode": mode, "Days": days}},
            },
        )
        for key, content in contents.items():
            s3.put_object(Bucket=name, Key=key, Body=content)
        s3.put_bucket_policy(Bucket=name, Policy=policy)

    return make


TAKES, PUSHES = "only the sites certificates take its role", "the site may push its models and nothing else"
WEAKENS, LOCKED = "the site cannot weaken the model bucket", "models are locked for the days of the stack"
FILLS, ELSEWHERE = "data sync fills one version and verifies it", "data sync writes nowhere else"

MUTATIONS: dict[str, tuple[Callable[[Rehearsed], None], str]] = {
    "any certificate of the CA": (trust_changed("site", lambda one: one["Condition"].pop("StringEquals")), TAKES),
    "any trust anchor": (trust_changed("site", lambda one: one["Condition"].pop("ArnEquals")), TAKES),
    "a subject more": (
        trust_changed(
            "site", lambda one: one["Condition"]["StringEquals"]["aws:PrincipalTag/x509Subject/CN"].append("other")
        ),
        TAKES,
    ),
    "another role": (another_role_for_roles_anywhere, TAKES),
    "another model": (
        rights_changed("site", lambda all_: named(all_, "WriteOwnModels")["Resource"].append("arn:aws:s3:::x/*")),
        PUSHES,
    ),
    "every listing": (rights_changed("site", without_condition("ListOwnModels")), PUSHES),
    "a key for anything": (
        rights_changed("site", lambda all_: named(all_, "UseKeyThroughS3").pop("Condition")),
        PUSHES,
    ),
    "any key to sign with": (
        rights_changed("site", lambda all_: named(all_, "SignModels").update(Resource="*")),
        PUSHES,
    ),
    "a managed policy": (managed_policy, PUSHES),
    "another gateway's log": (
        rights_changed(
            "site", lambda all_: named(all_, "ShipRequestLog")["Resource"].append("arn:aws:s3:::x/requests/cloud/*")
        ),
        PUSHES,
    ),
    "an archive that can be weakened": (
        rights_changed("site", lambda all_: named(all_, "NeverWeakenArchive")["Action"].remove("s3:DeleteObject")),
        WEAKENS,
    ),
    "no refusals": (rights_changed("site", lambda all_: all_.remove(named(all_, "NeverWeaken"))), WEAKENS),
    "a refusal with a way out": (
        rights_changed(
            "site", lambda all_: named(all_, "NeverWeaken").update(Condition={"Bool": {"aws:SecureTransport": "true"}})
        ),
        WEAKENS,
    ),
    "the lifecycle may be put": (
        rights_changed(
            "site", lambda all_: named(all_, "NeverWeaken")["Action"].remove("s3:PutLifecycleConfiguration")
        ),
        WEAKENS,
    ),
    "a shorter lock": (lock_changed("model_bucket", None, "GOVERNANCE", 29), LOCKED),
    "a lock for ever": (lock_changed("model_replica_bucket", "us-west-2", "COMPLIANCE", 30), LOCKED),
    "no verification": (task_changed(VerifyMode="NONE"), FILLS),
    "overwriting": (task_changed(OverwriteMode="ALWAYS"), FILLS),
    "the whole bucket": (
        rights_changed("data-sync", lambda all_: named(all_, "FillOneVersion").update(Resource="arn:aws:s3:::x/*")),
        ELSEWHERE,
    ),
    "DataSync of any account": (trust_changed("data-sync", lambda one: one.pop("Condition")), ELSEWHERE),
}


def test_the_stack_passes_every_check(full_stack: tuple[Served, Stack]) -> None:
    assert [check for check in full_stack[0].rehearsal.checks if not check.passed] == []


@pytest.mark.parametrize(("mutation", "check"), MUTATIONS.values(), ids=MUTATIONS)
def test_exactly_the_check_that_is_about_it_fails(
    own: Rehearsed, failed_checks: Any, mutation: Callable[[Rehearsed], None], check: str
) -> None:
    mutation(own)
    assert failed_checks(own) == [check]


def test_roles_anywhere_is_told_as_not_emulated(full_stack: tuple[Served, Stack]) -> None:
    told = {
        one.property for one in full_stack[0].rehearsal.not_emulated if one.resource.startswith("aws:rolesanywhere/")
    }
    assert told == {"durationSeconds", "enabled", "roleArns", "source", "tags"}


def test_the_archive_takes_the_request_log_once_and_gives_nothing_of_it_away(own: Rehearsed) -> None:
    client, bucket = own.account.client("s3"), own.stack.outputs["audit_bucket"]
    key = "requests/home/20261101T000000Z/000000000000.jsonl"
    client.put_object(Bucket=bucket, Key=key, Body=b"{}", IfNoneMatch="*")
    for refused in (
        lambda: client.put_object(Bucket=bucket, Key=key, Body=b"{}", IfNoneMatch="*"),
        lambda: client.put_object(Bucket=bucket, Key=key, Body=b"{}"),
        lambda: client.delete_object(Bucket=bucket, Key=key),
    ):
        with pytest.raises(ClientError, match=r"PreconditionFailed|Forbidden|AccessDenied"):
            refused()


def test_the_uplink_is_left_to_the_users_beyond_the_limit(own: Rehearsed) -> None:
    task = own.account.client("datasync").describe_task(TaskArn=own.stack.outputs["data_sync_task_arn"])
    assert task["Options"]["BytesPerSecond"] == 100_000_000


def test_a_role_for_roles_anywhere_that_nobody_asked_for_is_found(own_rehearsed: Any, failed_checks: Any) -> None:
    dev = own_rehearsed("dev")
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "rolesanywhere.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    dev.account.client("iam").create_role(RoleName="back-door", AssumeRolePolicyDocument=json.dumps(trust))
    assert failed_checks(dev) == [TAKES]
