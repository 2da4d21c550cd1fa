"""Patching: each check fails where it should."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Rehearsed

OWN = "nodes have a patch baseline of their own"
SCANNED = "nodes are scanned for missing patches and left as they are"
TOLD = "people are told of missing patches"


def baseline(of: Rehearsed, system: str) -> str:
    found = of.account.client("ssm").describe_patch_baselines()["BaselineIdentities"]
    (id_,) = (one["BaselineId"] for one in found if one["OperatingSystem"] == system)
    return str(id_)


def rules_changed(system: str, **changes: Any) -> Callable[[Rehearsed], None]:
    def make(of: Rehearsed) -> None:
        ssm, id_ = of.account.client("ssm"), baseline(of, system)
        (rule,) = ssm.get_patch_baseline(BaselineId=id_)["ApprovalRules"]["PatchRules"]
        ssm.update_patch_baseline(BaselineId=id_, ApprovalRules={"PatchRules": [rule | changes]})

    return make


def no_patch_group(of: Rehearsed) -> None:
    of.account.client("ssm").deregister_patch_baseline_for_patch_group(
        BaselineId=baseline(of, "UBUNTU"), PatchGroup="ferry-prod-ubuntu"
    )


def another_patch_group(of: Rehearsed) -> None:
    name = next(iter(of.stack.outputs["group_names"].values()))
    tag = {"ResourceId": name, "ResourceType": "auto-scaling-group", "Key": "PatchGroup", "Value": "other"}
    of.account.client("autoscaling").create_or_update_tags(Tags=[tag | {"PropagateAtLaunch": True}])


def window_changed(**changes: Any) -> Callable[[Rehearsed], None]:
    return lambda of: of.account.client("ssm").update_maintenance_window(
        WindowId=of.stack.outputs["patch_window_id"], **changes
    )


def another_environment(of: Rehearsed) -> None:
    of.account.client("ssm").register_target_with_maintenance_window(
        WindowId=of.stack.outputs["patch_window_id"],
        ResourceType="INSTANCE",
        Targets=[{"Key": "tag:ferry:environment", "Values": ["staging"]}],
    )


def task_replaced(*, operation: str) -> Callable[[Rehearsed], None]:
    def make(of: Rehearsed) -> None:
        ssm, window_id = of.account.client("ssm"), of.stack.outputs["patch_window_id"]
        (task,) = ssm.describe_maintenance_window_tasks(WindowId=window_id)["Tasks"]
        ssm.deregister_task_from_maintenance_window(WindowId=window_id, WindowTaskId=task["WindowTaskId"])
        if operation:
            ssm.register_task_with_maintenance_window(
                WindowId=window_id,
                TaskArn="AWS-RunPatchBaseline",
                TaskType="RUN_COMMAND",
                Targets=task["Targets"],
                TaskInvocationParameters={
                    "RunCommand": {"Parameters": {"Operation": [operation], "RebootOption": ["NoReboot"]}}
                },
            )

    return make


def told_of(change: Callable[[Any, str], object]) -> Callable[[Rehearsed], None]:
    def make(of: Rehearsed) -> None:
        events = of.account.client("events")
        (name,) = (one["Name"] for one in events.list_rules()["Rules"] if "aws.ssm" in one.get("EventPattern", ""))
        change(events, name)

    return make


def only_compliant(events: Any, name: str) -> None:
    pattern = json.loads(events.describe_rule(Name=name)["EventPattern"])
    pattern["detail"]["compliance-status"] = ["compliant"]
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))


def nobody(events: Any, name: str) -> None:
    (target,) = events.list_targets_by_rule(Rule=name)["Targets"]
    events.remove_targets(Rule=name, Ids=[target["Id"]])


MUTATIONS: dict[str, tuple[Callable[[Rehearsed], None], str]] = {
    "Amazon Linux a month later": (rules_changed("AMAZON_LINUX_2023", ApproveAfterDays=30), OWN),
    "some of Ubuntu's patches": (
        rules_changed("UBUNTU", PatchFilterGroup={"PatchFilters": [{"Key": "PRIORITY", "Values": ["Required"]}]}),
        OWN,
    ),
    "AWS's baseline": (no_patch_group, OWN),
    "a patch group of others": (another_patch_group, OWN),
    "once a year": (window_changed(Schedule="cron(0 3 1 1 ? *)"), SCANNED),
    "another time zone": (window_changed(ScheduleTimezone="Asia/Shanghai"), SCANNED),
    "nodes of another environment": (another_environment, SCANNED),
    "patches installed": (task_replaced(operation="Install"), SCANNED),
    "no task": (task_replaced(operation=""), SCANNED),
    "silent": (told_of(lambda events, name: events.disable_rule(Name=name)), TOLD),
    "of others": (told_of(only_compliant), TOLD),
    "nobody": (told_of(nobody), TOLD),
}


@pytest.mark.parametrize(("mutation", "check"), MUTATIONS.values(), ids=MUTATIONS)
def test_exactly_the_check_that_is_about_it_fails(
    own: Rehearsed, failed_checks: Any, mutation: Callable[[Rehearsed], None], check: str
) -> None:
    mutation(own)
    assert failed_checks(own) == [check]
