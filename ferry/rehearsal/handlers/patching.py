"""Systems Manager's patching: baselines, patch groups, maintenance windows. They are kept, and nothing is scanned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, State, creates, deleted_by, first, reads, updates
from ferry.rehearsal.handlers.tagging import as_map

BASELINE = "aws:ssm/patchBaseline:PatchBaseline"
GROUP = "aws:ssm/patchGroup:PatchGroup"
WINDOW = "aws:ssm/maintenanceWindow:MaintenanceWindow"
TARGET = "aws:ssm/maintenanceWindowTarget:MaintenanceWindowTarget"
TASK = "aws:ssm/maintenanceWindowTask:MaintenanceWindowTask"


@creates(BASELINE, fixed=("operatingSystem",))
def baseline(account: Account, inputs: Inputs) -> Created:
    """A baseline with its rules."""
    region = inputs.region
    made = account.client("ssm", region).create_patch_baseline(
        OperatingSystem=inputs.take("operatingSystem", "WINDOWS"), Tags=inputs.tags(), **_baseline(inputs)
    )["BaselineId"]
    return Created(made, {"arn": _arn(account, region, f"patchbaseline/{made}")})


@updates(BASELINE, "approvalRules", "description", "name")
def baseline_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """`UpdatePatchBaseline`."""
    account.client("ssm", old.region).update_patch_baseline(BaselineId=old.id, **_baseline(new))
    return {}


def _baseline(inputs: Inputs) -> dict[str, Any]:
    rules = [
        {
            "PatchFilterGroup": {
                "PatchFilters": [
                    {"Key": one.take("key"), "Values": one.take("values")} for one in rule.each("patchFilters")
                ]
            },
            "ComplianceLevel": rule.take("complianceLevel", "UNSPECIFIED"),
            "ApproveAfterDays": int(rule.take("approveAfterDays", 0)),  # the provider sends 0 for none
        }
        for rule in inputs.each("approvalRules")
    ]
    return {
        "Name": inputs.autoname("name", 128),
        "Description": inputs.take("description", ""),
        "ApprovalRules": {"PatchRules": rules},
    }


@creates(GROUP, fixed=("baselineId", "patchGroup"))
def group(account: Account, inputs: Inputs) -> Created:
    """Which baseline the nodes of a patch group have."""
    baseline_id, name = inputs.take("baselineId"), inputs.take("patchGroup")
    ssm = account.client("ssm", inputs.region)
    ssm.register_patch_baseline_for_patch_group(BaselineId=baseline_id, PatchGroup=name)
    return Created(f"{name},{baseline_id}")


@creates(WINDOW)
def window(account: Account, inputs: Inputs) -> Created:
    """A window by schedule. It never opens."""
    made = account.client("ssm", inputs.region).create_maintenance_window(Tags=inputs.tags(), **_window(inputs))
    return Created(made["WindowId"])


@updates(WINDOW, "cutoff", "description", "duration", "name", "schedule", "scheduleTimezone")
def window_changed(account: Account, old: State, new: Inputs) -> Mapping[str, Any]:
    """`UpdateMaintenanceWindow`."""
    account.client("ssm", old.region).update_maintenance_window(WindowId=old.id, **_window(new))
    return {}


def _window(inputs: Inputs) -> dict[str, Any]:
    return {
        "Name": inputs.autoname("name", 128),
        "Description": inputs.take("description", ""),
        "Schedule": inputs.take("schedule"),
        "ScheduleTimezone": inputs.take("scheduleTimezone", "Etc/UTC"),
        "Duration": int(inputs.take("duration")),
        "Cutoff": int(inputs.take("cutoff")),
        "AllowUnassociatedTargets": inputs.take("allowUnassociatedTargets", False),
    }


@creates(TARGET, fixed=("resourceType", "windowId"))
def target(account: Account, inputs: Inputs) -> Created:
    """Whom the tasks of a window concern."""
    made = account.client("ssm", inputs.region).register_target_with_maintenance_window(
        WindowId=inputs.take("windowId"),
        ResourceType=inputs.take("resourceType"),
        Targets=_targets(inputs),
        Name=inputs.autoname("name", 128),
    )
    return Created(made["WindowTargetId"])


@creates(TASK, fixed=("taskType", "windowId"))
def task(account: Account, inputs: Inputs) -> Created:
    """What is run on them. Nothing is run."""
    region, window_id = inputs.region, inputs.take("windowId")
    invocation = inputs.nested("taskInvocationParameters")
    command = invocation.nested("runCommandParameters") if invocation else None
    made = account.client("ssm", region).register_task_with_maintenance_window(
        WindowId=window_id,
        TaskType=inputs.take("taskType"),
        TaskArn=inputs.take("taskArn"),
        Targets=_targets(inputs),
        MaxConcurrency=inputs.take("maxConcurrency"),
        MaxErrors=inputs.take("maxErrors"),
        CutoffBehavior=inputs.take("cutoffBehavior", "CONTINUE_TASK"),
        TaskInvocationParameters={"RunCommand": _command(command)} if command else {},
        Name=inputs.autoname("name", 128),
    )["WindowTaskId"]
    return Created(made, {"windowTaskId": made, "arn": _arn(account, region, f"windowtask/{made}")})


def _targets(inputs: Inputs) -> list[dict[str, Any]]:
    return [{"Key": one.take("key"), "Values": one.take("values")} for one in inputs.each("targets")]


def _command(command: Inputs) -> dict[str, Any]:
    return {
        "TimeoutSeconds": int(command.take("timeoutSeconds", 3600)),
        "Parameters": {one.take("name"): one.take("values") for one in command.each("parameters")},
    }


def _arn(account: Account, region: str | None, resource: str) -> str:
    return f"arn:{account.partition}:ssm:{region or account.region}:{account.account_id}:{resource}"


@reads(BASELINE)
def read_baseline(account: Account, state: State) -> Mapping[str, Any]:
    """`GetPatchBaseline`."""
    ssm = account.client("ssm", state.region)
    found = ssm.get_patch_baseline(BaselineId=state.id)
    return {
        "name": found["Name"],
        "description": found["Description"],
        "operatingSystem": found["OperatingSystem"],
        "approvalRules": [_rule(one) for one in found["ApprovalRules"]["PatchRules"]],
        "tags": _tags(ssm, "PatchBaseline", state),
    }


def _rule(found: Mapping[str, Any]) -> dict[str, Any]:
    filters = found["PatchFilterGroup"]["PatchFilters"]
    rule = {
        "complianceLevel": found["ComplianceLevel"],
        "patchFilters": [{"key": one["Key"], "values": one["Values"]} for one in filters],
    }
    return rule | ({"approveAfterDays": found["ApproveAfterDays"]} if found["ApproveAfterDays"] else {})


@reads(GROUP)
def read_group(account: Account, state: State) -> Mapping[str, Any]:
    """`GetPatchBaselineForPatchGroup`, for the operating system of the group's baseline."""
    ssm, name = account.client("ssm", state.region), state.get("patchGroup")
    system = ssm.get_patch_baseline(BaselineId=state.get("baselineId"))["OperatingSystem"]
    found = ssm.get_patch_baseline_for_patch_group(PatchGroup=name, OperatingSystem=system)
    return {"patchGroup": found["PatchGroup"], "baselineId": found["BaselineId"]}


@reads(WINDOW)
def read_window(account: Account, state: State) -> Mapping[str, Any]:
    """`GetMaintenanceWindow`. moto does not tell whether targets that are not registered are allowed."""
    ssm = account.client("ssm", state.region)
    found = ssm.get_maintenance_window(WindowId=state.id)
    return {
        "name": found["Name"],
        "description": found["Description"],
        "schedule": found["Schedule"],
        "scheduleTimezone": found["ScheduleTimezone"],
        "duration": found["Duration"],
        "cutoff": found["Cutoff"],
        "tags": _tags(ssm, "MaintenanceWindow", state),
    }


@reads(TARGET)
def read_target(account: Account, state: State) -> Mapping[str, Any]:
    """The window's target of this id."""
    ssm = account.client("ssm", state.region)
    targets = ssm.describe_maintenance_window_targets(WindowId=state.get("windowId"))["Targets"]
    found = first(one for one in targets if one["WindowTargetId"] == state.id)
    return {
        "name": found["Name"],
        "resourceType": found["ResourceType"],
        "targets": [{"key": one["Key"], "values": one["Values"]} for one in found["Targets"]],
    }


@reads(TASK)
def read_task(account: Account, state: State) -> Mapping[str, Any]:
    """`GetMaintenanceWindowTask`."""
    ssm = account.client("ssm", state.region)
    found = ssm.get_maintenance_window_task(WindowId=state.get("windowId"), WindowTaskId=state.id)
    command = found["TaskInvocationParameters"]["RunCommand"]
    return {
        "name": found["Name"],
        "taskArn": found["TaskArn"],
        "taskType": found["TaskType"],
        "maxConcurrency": found["MaxConcurrency"],
        "maxErrors": found["MaxErrors"],
        "cutoffBehavior": found["CutoffBehavior"],
        "targets": [{"key": one["Key"], "values": one["Values"]} for one in found["Targets"]],
        "taskInvocationParameters": {
            "runCommandParameters": {
                "timeoutSeconds": command["TimeoutSeconds"],
                "parameters": [{"name": name, "values": values} for name, values in command["Parameters"].items()],
            }
        },
    }


def _tags(ssm: Any, kind: str, state: State) -> dict[str, str]:
    return as_map(ssm.list_tags_for_resource(ResourceType=kind, ResourceId=state.id)["TagList"])


deleted_by(GROUP, "ssm", "deregister_patch_baseline_for_patch_group", BaselineId="baselineId", PatchGroup="patchGroup")
deleted_by(BASELINE, "ssm", "delete_patch_baseline", BaselineId="id")
deleted_by(WINDOW, "ssm", "delete_maintenance_window", WindowId="id")
deleted_by(TARGET, "ssm", "deregister_target_from_maintenance_window", WindowId="windowId", WindowTargetId="id")
deleted_by(TASK, "ssm", "deregister_task_from_maintenance_window", WindowId="windowId", WindowTaskId="id")
