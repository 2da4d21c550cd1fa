"""Patching: nodes are scanned for missing patches, and people are told; the remedy is a new image."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from stacks.patch_sources import operating_system, patch_group
from stacks.settings import PatchingSettings

WINDOW_HOURS, CUTOFF_HOURS = 2, 1
"""A scan takes minutes. None begins in the last hour of the window, so that all end within it."""
START_TIMEOUT_SECONDS = 600
"""A node that the command does not reach by then (it boots, or ends) is scanned the next time."""
NON_COMPLIANT = {
    "source": ["aws.ssm"],
    "detail-type": ["Configuration Compliance State Change"],
    "detail": {"compliance-type": ["Patch"], "compliance-status": ["non_compliant"]},
}
"""https://docs.aws.amazon.com/systems-manager/latest/userguide/monitoring-systems-manager-event-examples.html"""


@dataclass(frozen=True, kw_only=True)
class PatchingArgs:
    """Arguments of `Patching`."""

    environment: str
    patching: PatchingSettings
    ami_parameters: Sequence[str]
    """Of all nodes: each operating system among them gets a baseline."""
    alarm_topic_arn: pulumi.Input[str]
    tags: Mapping[str, str]


class Patching(pulumi.ComponentResource):
    """A patch baseline for each operating system, and a maintenance window in which the nodes are scanned.

    The scan installs nothing (`Operation: Scan`). Nodes of a group come and go with the load, and each new one starts
    from the image: a patch installed on the others would be lost with them, would differ between nodes of one fleet,
    and would restart services or drivers under running requests. So an image is never changed; its SSM parameter names
    AWS's newest one, `pulumi up` writes that into the launch template, and the group replaces its nodes by an instance
    refresh, which pauses at its checkpoints and goes back by itself (components.inference_fleet).
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-overview.html
    """

    window_id: pulumi.Output[str]

    def __init__(self, name: str, args: PatchingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ferry:components:Patching", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)

        for system in sorted({system for each in args.ami_parameters if (system := operating_system(each))}):
            self._make_baseline(system)
        self.window_id = self._make_window()
        self._make_notice()
        self.register_outputs({"window_id": self.window_id})

    def _make_baseline(self, system: str) -> None:
        group = patch_group(self._args.environment, system)
        baseline = aws.ssm.PatchBaseline(
            group,
            description=f"What nodes of {group} have to have",
            operating_system=system,
            approval_rules=[approval_rule(system, self._args.patching.approve_after_days)],
            tags={**self._args.tags, "Name": group},
            opts=self._child,
        )
        aws.ssm.PatchGroup(group, baseline_id=baseline.id, patch_group=group, opts=self._child)

    def _make_window(self) -> pulumi.Output[str]:
        name, patching = self._name, self._args.patching
        window = aws.ssm.MaintenanceWindow(
            f"{name}-scan",
            description="Nodes are scanned for missing patches",
            schedule=patching.schedule,
            schedule_timezone=patching.time_zone,
            duration=WINDOW_HOURS,
            cutoff=CUTOFF_HOURS,
            allow_unassociated_targets=False,
            tags={**self._args.tags, "Name": f"{name}-scan"},
            opts=self._child,
        )
        nodes = aws.ssm.MaintenanceWindowTarget(
            f"{name}-nodes",
            window_id=window.id,
            resource_type="INSTANCE",
            # By tag, so that a node which a group starts tomorrow is among them.
            targets=[{"key": "tag:ferry:environment", "values": [self._args.environment]}],
            opts=self._child,
        )
        # Without a role of its own it is run by Systems Manager's service-linked one, which AWS makes where it lacks.
        aws.ssm.MaintenanceWindowTask(
            f"{name}-scan",
            window_id=window.id,
            task_type="RUN_COMMAND",
            task_arn="AWS-RunPatchBaseline",
            targets=[{"key": "WindowTargetIds", "values": [nodes.id]}],
            max_concurrency="50%",
            max_errors="100%",  # a node that fails hides nothing of the others
            cutoff_behavior="CANCEL_TASK",
            task_invocation_parameters={
                "run_command_parameters": {
                    "timeout_seconds": START_TIMEOUT_SECONDS,
                    "parameters": [
                        {"name": "Operation", "values": ["Scan"]},
                        {"name": "RebootOption", "values": ["NoReboot"]},
                    ],
                }
            },
            opts=self._child,
        )
        return window.id

    def _make_notice(self) -> None:
        name = f"{self._name}-missing"
        rule = aws.cloudwatch.EventRule(
            name,
            description="A node lacks patches that its baseline asks for",
            event_pattern=json.dumps(NON_COMPLIANT),
            state="ENABLED",
            tags={**self._args.tags, "Name": name},
            opts=self._child,
        )
        aws.cloudwatch.EventTarget(
            name,
            rule=rule.name,
            arn=self._args.alarm_topic_arn,
            input_transformer={
                "input_paths": {"node": "$.detail.resource-id", "region": "$.region", "time": "$.time"},
                "input_template": '"<node> in <region> lacks patches at <time>: see docs/aws.md, Patching"',
            },
            opts=self._child,
        )


def approval_rule(system: str, approve_after_days: int) -> aws.ssm.PatchBaselineApprovalRuleArgsDict:
    """Security patches; of Amazon Linux those that AWS calls critical or important, of Ubuntu all: it grades few.

    Ubuntu's packages carry no date of release, so that no delay can be counted from it:
    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PatchRule.html
    """
    if system == "UBUNTU":
        return {"compliance_level": "CRITICAL", "patch_filters": [{"key": "PRODUCT", "values": ["*"]}]}
    return {
        "compliance_level": "CRITICAL",
        "approve_after_days": approve_after_days,
        "patch_filters": [
            {"key": "CLASSIFICATION", "values": ["Security"]},
            {"key": "SEVERITY", "values": ["Critical", "Important"]},
        ],
    }
