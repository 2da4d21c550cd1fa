"""A live account is judged by the rules of the program: here the rehearsed one, read by its own describe calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from ferry.compliance import Context, Resource, answers
from ferry.compliance.account import resources
from ferry.errors import InputError

NOT_KNOWN_TO_AN_ACCOUNT = {"bucket-kept", "key-kept"}
"""Options of the engine, which leave no trace in AWS."""


def look(stack: Any, calls: set[str]) -> tuple[list[Resource], Context]:
    context = Context.of(stack.stack.settings)

    def client(service: str, region: str) -> Any:
        made = stack.account.client(service, region)
        made.meta.events.register("before-call", lambda model, **_: calls.add(model.name))
        return made

    return resources(client, context), context


def broken(stack: Any) -> list[str]:
    return [one.rule.id for one in answers(*look(stack, set())) if one.broken]


def test_the_rehearsed_account_keeps_every_rule_and_is_only_asked(rehearsed: Callable[[str], Any]) -> None:
    stack, calls = rehearsed("prod-cn"), set[str]()
    found = answers(*look(stack, calls))
    assert [one.rule.id for one in found if one.broken] == []
    assert {one.rule.id for one in found if not one.seen} == NOT_KNOWN_TO_AN_ACCOUNT
    assert len(calls) > 40
    assert all(name.startswith(("Describe", "Get", "List")) for name in calls)


def open_a_door(account: Any, outputs: Any) -> None:
    ec2 = account.client("ec2")
    (group,) = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["ferry-gateway-lb*"]}])[
        "SecurityGroups"
    ]
    anywhere = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=anywhere)


def add_a_user(account: Any, outputs: Any) -> None:
    account.client("iam").create_user(UserName="ops")


def let_the_archive_go(account: Any, outputs: Any) -> None:
    account.client("s3").delete_bucket_policy(Bucket=outputs["audit_bucket"])


def stop_the_trail(account: Any, outputs: Any) -> None:
    account.client("cloudtrail").stop_logging(Name=outputs["trail_arn"])


def stop_rotating(account: Any, outputs: Any) -> None:
    account.client("kms").disable_key_rotation(KeyId=outputs["model_key_arn"])


def open_metadata(account: Any, outputs: Any) -> None:
    (template,), ec2 = outputs["launch_template_ids"].values(), account.client("ec2")
    (version,) = ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"]
    data = version["LaunchTemplateData"] | {"MetadataOptions": {"HttpTokens": "optional"}}
    ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=data)


CHANGES = {
    open_a_door: "no-ingress-from-anywhere",
    add_a_user: "no-long-lived-credentials",
    let_the_archive_go: "bucket-has-policy",
    stop_the_trail: "trail-everywhere",
    stop_rotating: "kms-key-rotates",
    open_metadata: "imdsv2-one-hop",
}


def test_each_change_behind_the_programs_back_breaks_its_rule_and_no_other(own_rehearsed: Callable[[str], Any]) -> None:
    stack = own_rehearsed("prod-cn")
    for change in CHANGES:
        change(stack.account, stack.stack.outputs)
    assert sorted(broken(stack)) == sorted(CHANGES.values())


def test_an_account_that_cannot_be_asked_is_an_error_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    session = boto3.Session()

    def client(service: str, region: str) -> Any:
        return session.client(service, region_name=region)

    with pytest.raises(InputError, match="Unable to locate credentials; the managed policy SecurityAudit"):
        resources(client, Context("cn-north-1", "prod-cn"))
