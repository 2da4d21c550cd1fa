"""Instance refreshes of EC2 Auto Scaling, which moto lacks, so that `ferry models rollout` can be rehearsed.

`install` adds the two requests to moto's Auto Scaling, in the server's process, and sets right what they rest on:

* a refresh is Pending when it was started, InProgress when it is first looked at, and at the next look its nodes are
  exchanged and it is Successful. Nothing fails and nothing is waited for: health, warm-up, checkpoints, the alarm and
  lifecycle hooks are not looked at, and each refresh says so as its reason;
* an instance says the template version that it was launched from; moto says the template's default version;
* a launch-template version made from a source version has what the source has; moto passes the source over.
"""

from __future__ import annotations

from typing import Any

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import FakeAutoScalingGroup, InstanceState
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult
from moto.ec2.responses.launch_templates import LaunchTemplates
from moto.ec2.utils import parse_user_data
from moto.moto_api._internal import mock_random

REASON = "embedded account: nodes are exchanged at once, nothing of their health, warm-up, checkpoints or alarm is seen"
ACTIVE = ("Pending", "InProgress")

_made: Any = InstanceState.__init__
_create_version: Any = LaunchTemplates.create_launch_template_version


class InstanceRefreshInProgress(AutoscalingClientError):
    """A group has one refresh at a time."""

    code = "InstanceRefreshInProgress"


def install() -> None:
    """Make moto's Auto Scaling, in this process, refresh instances. Installing twice is the same as once."""
    responses: Any = AutoScalingResponse
    responses.start_instance_refresh = _start
    responses.describe_instance_refreshes = _describe
    state: Any = InstanceState
    state.__init__ = _launched
    state.launch_template = property(_launched_from)
    templates: Any = LaunchTemplates
    templates.create_launch_template_version = _create_version_of_source


def _start(response: Any) -> ActionResult:
    group = _group(response)
    refreshes = group.__dict__.setdefault("refreshes", [])
    if refreshes and refreshes[0]["Status"] in ACTIVE:
        raise InstanceRefreshInProgress(f"An Instance Refresh is already in progress: {group.name}")
    refresh = {
        "InstanceRefreshId": str(mock_random.uuid4()),
        "AutoScalingGroupName": group.name,
        "Status": "Pending",
        "StatusReason": REASON,
        "PercentageComplete": 0,
        "Preferences": response._get_param("Preferences", {}),
        "DesiredConfiguration": response._get_param("DesiredConfiguration", {}),
    }
    refreshes.insert(0, refresh)
    return ActionResult({"InstanceRefreshId": refresh["InstanceRefreshId"]})


def _describe(response: Any) -> ActionResult:
    group = _group(response)
    refreshes = getattr(group, "refreshes", [])
    if refreshes and refreshes[0]["Status"] in ACTIVE:
        if refreshes[0]["Status"] == "Pending":
            refreshes[0]["Status"] = "InProgress"
        else:
            _exchange(group, refreshes[0])
            refreshes[0] |= {"Status": "Successful", "PercentageComplete": 100}
    wanted = response._get_param("InstanceRefreshIds") or [one["InstanceRefreshId"] for one in refreshes]
    return ActionResult({"InstanceRefreshes": [one for one in refreshes if one["InstanceRefreshId"] in wanted]})


def _exchange(group: Any, refresh: dict[str, Any]) -> None:
    """Give the group its desired configuration, and put new nodes in place of those that are not of it."""
    desired = refresh["DesiredConfiguration"]
    policy = desired.get("MixedInstancesPolicy")
    if policy:
        group.mixed_instances_policy = policy
    if policy or desired.get("LaunchTemplate"):
        group._set_launch_configuration("", desired.get("LaunchTemplate"), policy)
    matching = group.launch_template_version if refresh["Preferences"].get("SkipMatching") else None
    old = [one.instance_id for one in group.instance_states if one.template_version != matching]
    if old:
        group.ec2_backend.terminate_instances(old)
        group.autoscaling_backend.notify_terminate_instances(old)
        group.autoscaling_backend.update_attached_target_groups(group.name)


def _group(response: Any) -> FakeAutoScalingGroup:
    name = response._get_param("AutoScalingGroupName")
    groups = response.autoscaling_backend.autoscaling_groups
    if name not in groups:
        raise ValidationError("AutoScalingGroup name not found - null")
    found: FakeAutoScalingGroup = groups[name]
    return found


def _launched(state: Any, *arguments: Any, **more: Any) -> None:
    _made(state, *arguments, **more)
    state.template_version = getattr(state.auto_scaling_group, "launch_template_version", None)


def _launched_from(state: Any) -> dict[str, Any] | None:
    template = state.auto_scaling_group.ec2_launch_template
    if template is None:
        return None
    version = str(template.get_version(state.template_version).number)
    return {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": version}


def _create_version_of_source(response: Any) -> Any:
    answer = _create_version(response)  # which holds the new version's own data, as a mapping that is filled up here
    template = response.ec2_backend.get_launch_template(answer.result["LaunchTemplateVersion"]["LaunchTemplateId"])
    made = template.latest_version()
    if isinstance(text := made.data.get("UserData"), str):
        made.data["UserData"] = parse_user_data(text)  # as moto has it of a template's first version
    if number := response._get_param("SourceVersion"):
        source = template.get_version(number)
        if "TagSpecifications" not in made.data:
            made.instance_tags = source.instance_tags
        for key, value in source.data.items():
            made.data.setdefault(key, value)
    return answer
