"""What has to be true of patching: whom the scan reaches, what it asks for, that it changes nothing, who is told."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ferry.catalog import known_bad
from ferry.rehearsal.checks import Seen, Stack, check
from ferry.rehearsal.checks.inference_fleet import launch_template
from ferry.rehearsal.handlers import Account
from stacks.patch_sources import operating_system, patch_group

BY_SYSTEM = {
    "AMAZON_LINUX_2023": "CLASSIFICATION Security, SEVERITY Critical Important",
    "UBUNTU": "PRODUCT *",
}
"""Which patches a node has to have, by operating system."""


@check
def nodes_have_a_patch_baseline_of_their_own(account: Account, stack: Stack) -> Iterator[Seen]:
    """By the patch group that their tag names, for each image whose operating system is known by its name."""
    ssm = account.client("ssm")
    for name, ami_parameter in _images(stack).items():
        system, group = operating_system(ami_parameter), _patch_group(account, name)
        if group is None:
            continue  # that it is gone is said by another check
        if system is None:
            yield Seen(name, "no patch group", group)
            continue
        days = 0 if system == "UBUNTU" else stack.settings.patching.approve_after_days
        expected = f"{patch_group(stack.settings.environment, system)}: {BY_SYSTEM[system]} after {days} days"
        id_ = ssm.get_patch_baseline_for_patch_group(PatchGroup=group, OperatingSystem=system)["BaselineId"]
        known = {one["BaselineId"] for one in ssm.describe_patch_baselines()["BaselineIdentities"]}
        rules = ssm.get_patch_baseline(BaselineId=id_)["ApprovalRules"]["PatchRules"] if id_ in known else []
        yield Seen(name, expected, f"{group}: {'; '.join(map(_approved, rules)) or 'the baseline of AWS'}")


@check
def nodes_are_scanned_for_missing_patches_and_left_as_they_are(account: Account, stack: Stack) -> Iterator[Seen]:
    """Every node of the environment, in the window of the stack; a scan installs nothing and restarts nothing."""
    ssm, window_id, patching = account.client("ssm"), stack.outputs["patch_window_id"], stack.settings.patching
    window = ssm.get_maintenance_window(WindowId=window_id)
    targets = ssm.describe_maintenance_window_targets(WindowId=window_id)["Targets"]
    tasks = ssm.describe_maintenance_window_tasks(WindowId=window_id)["Tasks"]
    yield Seen(
        window_id,
        f"{patching.schedule} {patching.time_zone}, enabled",
        f"{window['Schedule']} {window['ScheduleTimezone']}, {'enabled' if window['Enabled'] else 'disabled'}",
    )
    reached = [f"{one['Key']} {' '.join(one['Values'])}" for target in targets for one in target["Targets"]]
    yield Seen(window_id, f"tag:ferry:environment {stack.settings.environment}", "; ".join(reached) or "nobody")
    whom = " ".join(one["WindowTargetId"] for one in targets)
    scan = f"AWS-RunPatchBaseline Operation=Scan RebootOption=NoReboot on {whom}"
    found = [_run(ssm.get_maintenance_window_task(WindowId=window_id, WindowTaskId=t["WindowTaskId"])) for t in tasks]
    yield Seen(window_id, scan, "; ".join(found) or "nothing")


@check
def people_are_told_of_missing_patches(account: Account, stack: Stack) -> Iterator[Seen]:
    """An enabled rule on Systems Manager's event, and the stack's topic behind it."""
    events, topic = account.client("events"), stack.outputs["notification_topic_arn"]
    heard = [
        one["Name"]
        for one in events.list_rules()["Rules"]
        if one["State"] == "ENABLED" and _hears(json.loads(one.get("EventPattern", "{}")))
    ]
    told = [target["Arn"] for name in heard for target in events.list_targets_by_rule(Rule=name)["Targets"]]
    yield Seen("missing patches", topic, " ".join(told) or "nobody")


@check
def no_node_starts_an_image_that_is_known_to_be_bad(account: Account, stack: Stack) -> Iterator[Seen]:
    """The tags of the images in the nodes' own user data. A tag that is no version is unknown, which is not good."""
    groups = [group for name in _images(stack) if (group := _group(account, name))]  # one that is gone is another's
    documents = [_user_data(account, group) for group in groups]
    for product, image in known_bad.images(stack.settings):
        # Behind the registry's name: an engine's metrics may begin with its image's name, too.
        repository = image.partition("@")[0].rpartition(":")[0]
        named = re.compile(rf"(?<=/){re.escape(repository)}[:@][\w.:-]*\w")
        for started in sorted({found for document in documents for found in named.findall(document)}) or [image]:
            yield Seen(started, "not known to be bad", known_bad.judge_image(product, started).says)


def _user_data(account: Account, group: dict[str, Any]) -> str:
    return base64.b64decode(launch_template(account, group)["UserData"]).decode()


def _images(stack: Stack) -> dict[str, str]:
    """SSM parameter of the image, by the name of each group of nodes."""
    names = stack.outputs["group_names"]
    images = {names[version.name]: version.fleet.ami_parameter for version in stack.settings.model_versions}
    if stack.settings.gateway_tier:
        images[stack.outputs["gateway_tier_group_name"]] = stack.settings.gateway_tier.ami_parameter
    return images


def _group(account: Account, name: str) -> dict[str, Any] | None:
    found = account.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    return next(iter(found["AutoScalingGroups"]), None)


def _patch_group(account: Account, group_name: str) -> str | None:
    """Value of the tag that a group's nodes get; None where the group is gone."""
    if (group := _group(account, group_name)) is None:
        return None
    tags = [tag for tag in group["Tags"] if tag["PropagateAtLaunch"]]
    return next((str(tag["Value"]) for tag in tags if tag["Key"] == "PatchGroup"), "no patch group")


def _approved(rule: Mapping[str, Any]) -> str:
    filters = [f"{one['Key']} {' '.join(one['Values'])}" for one in rule["PatchFilterGroup"]["PatchFilters"]]
    return f"{', '.join(filters)} after {rule['ApproveAfterDays']} days"


def _run(task: Mapping[str, Any]) -> str:
    given = task["TaskInvocationParameters"].get("RunCommand", {}).get("Parameters", {})
    words = " ".join(f"{name}={' '.join(given[name])}" for name in sorted(given))
    targets = " ".join(value for one in task["Targets"] for value in one["Values"])
    return f"{task['TaskArn']} {words} on {targets}"


def _hears(pattern: Mapping[str, Any]) -> bool:
    detail = pattern.get("detail", {})
    return (
        pattern.get("source") == ["aws.ssm"]
        and pattern.get("detail-type") == ["Configuration Compliance State Change"]
        and detail == {"compliance-type": ["Patch"], "compliance-status": ["non_compliant"]}
    )
