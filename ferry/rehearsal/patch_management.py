"""What moto lacks of Systems Manager's patching, so that baselines and windows can be made, changed and looked at.

`install` adds the requests to moto's Systems Manager, in the server's process, and sets right what they rest on:

* baselines and the tasks of windows are told as they were made (`GetPatchBaseline`, `GetMaintenanceWindowTask`), and
  baselines and windows can be changed;
* a patch group has a baseline for each operating system, in every region; moto knows one, and none in China;
* baselines have tags, which moto refuses.

No window opens, and nothing is scanned.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ssm.exceptions import DoesNotExistException
from moto.ssm.models import SimpleSystemManagerBackend
from moto.ssm.responses import SimpleSystemManagerResponse

_validated: Any = SimpleSystemManagerBackend._validate_resource_type_and_id

BASELINE_CHANGES = {"Name": "name", "Description": "description", "ApprovalRules": "approval_rules"}
WINDOW_CHANGES = {
    "Name": "name",
    "Description": "description",
    "Duration": "duration",
    "Cutoff": "cutoff",
    "Schedule": "schedule",
    "ScheduleTimezone": "schedule_timezone",
}
"""What a request says to the attribute in which moto keeps it."""


def install() -> None:
    """Make moto's Systems Manager, in this process, know patching. Installing twice is the same as once."""
    responses: Any = SimpleSystemManagerResponse
    responses.get_patch_baseline = _baseline
    responses.update_patch_baseline = _update_baseline
    responses.update_maintenance_window = _update_window
    responses.get_maintenance_window_task = _task
    responses.register_patch_baseline_for_patch_group = _register
    responses.get_patch_baseline_for_patch_group = _registered
    responses.deregister_patch_baseline_for_patch_group = _deregister
    backend: Any = SimpleSystemManagerBackend
    backend._validate_resource_type_and_id = _known


def _known(backend: Any, resource_type: str, resource_id: str) -> str:
    if resource_type == "PatchBaseline" and resource_id in backend.baselines:
        return resource_id
    found: str = _validated(backend, resource_type, resource_id)
    return found


def _of(kept: Any, id_: str) -> Any:
    if id_ not in kept:
        raise DoesNotExistException(id_)
    return kept[id_]


def _baseline(response: Any) -> ActionResult:
    found = _of(response.ssm_backend.baselines, response._get_param("BaselineId")).to_json()
    return ActionResult(found | {"Name": found["BaselineName"], "Description": found["BaselineDescription"]})


def _update_baseline(response: Any) -> ActionResult:
    _change(response, _of(response.ssm_backend.baselines, response._get_param("BaselineId")), BASELINE_CHANGES)
    return _baseline(response)


def _update_window(response: Any) -> ActionResult:
    window = response.ssm_backend.get_maintenance_window(response._get_param("WindowId"))
    _change(response, window, WINDOW_CHANGES)
    return ActionResult(window.to_json())


def _change(response: Any, kept: Any, changes: dict[str, str]) -> None:
    for said, attribute in changes.items():
        if (value := response._get_param(said)) is not None:
            setattr(kept, attribute, value)


def _task(response: Any) -> ActionResult:
    window = response.ssm_backend.get_maintenance_window(response._get_param("WindowId"))
    task = _of(window.tasks, response._get_param("WindowTaskId"))
    return ActionResult(task.to_json() | {"CutoffBehavior": task.cutoff_behavior})


def _register(response: Any) -> ActionResult:
    backend, group = response.ssm_backend, response._get_param("PatchGroup")
    baseline = _of(backend.baselines, response._get_param("BaselineId"))
    backend.patch_groups[group, baseline.operating_system] = baseline.id
    return ActionResult({"BaselineId": baseline.id, "PatchGroup": group})


def _registered(response: Any) -> ActionResult:
    group, system = response._get_param("PatchGroup"), response._get_param("OperatingSystem")
    # Without one of its own a group has AWS's, whose ids differ between regions.
    found = response.ssm_backend.patch_groups.get((group, system), f"AWS-{system}")
    return ActionResult({"BaselineId": found, "PatchGroup": group, "OperatingSystem": system})


def _deregister(response: Any) -> ActionResult:
    backend, group = response.ssm_backend, response._get_param("PatchGroup")
    baseline = _of(backend.baselines, response._get_param("BaselineId"))
    backend.patch_groups.pop((group, baseline.operating_system), None)
    return ActionResult({"BaselineId": baseline.id, "PatchGroup": group})
