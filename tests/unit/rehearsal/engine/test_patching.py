"""Patching's own kinds of resources, as the engine changes, reads and deletes them."""

from __future__ import annotations

from typing import Any

import pytest

BASELINE = "aws:ssm/patchBaseline:PatchBaseline"
GROUP = "aws:ssm/patchGroup:PatchGroup"
WINDOW = "aws:ssm/maintenanceWindow:MaintenanceWindow"
RULE = {
    "complianceLevel": "CRITICAL",
    "approveAfterDays": 7,
    "patchFilters": [{"key": "SEVERITY", "values": ["Critical"]}],
}


def baseline_inputs(**changes: Any) -> dict[str, Any]:
    return {
        "description": "nodes",
        "operatingSystem": "AMAZON_LINUX_2023",
        "approvalRules": [RULE],
        "tags": {"a": "1"},
    } | changes


def test_a_baseline_is_changed_in_place_with_its_rules_and_tags(engine: Any) -> None:
    inputs = baseline_inputs()
    id_, outputs = engine.create(BASELINE, inputs)
    changed = baseline_inputs(approvalRules=[RULE | {"approveAfterDays": 14}], tags={"b": "2"})
    engine.update(BASELINE, id_, outputs, inputs, changed)
    assert engine.read(BASELINE, id_, outputs, changed)[1] == changed


def test_a_window_is_changed_in_place(engine: Any) -> None:
    inputs = {
        "description": "scan",
        "schedule": "cron(0 3 ? * * *)",
        "scheduleTimezone": "Etc/UTC",
        "duration": 2,
        "cutoff": 1,
        "allowUnassociatedTargets": False,
        "tags": {"a": "1"},
    }
    id_, outputs = engine.create(WINDOW, inputs)
    changed = inputs | {"schedule": "rate(12 hours)", "scheduleTimezone": "Asia/Shanghai", "tags": {"b": "2"}}
    engine.update(WINDOW, id_, outputs, inputs, changed)
    assert engine.read(WINDOW, id_, outputs, changed)[1] == changed


@pytest.mark.parametrize("region", ["us-east-1", "cn-north-1"])
def test_a_patch_group_has_a_baseline_for_each_operating_system_until_it_is_taken_away(
    engine: Any, account: Any, region: str
) -> None:
    ssm = account.client("ssm", region)
    made = {}
    for system in ("UBUNTU", "AMAZON_LINUX_2023"):
        id_, _ = engine.create(BASELINE, baseline_inputs(operatingSystem=system, region=region))
        inputs = {"baselineId": id_, "patchGroup": "nodes", "region": region}
        made[system] = (*engine.create(GROUP, inputs), inputs)

    def registered() -> list[str]:
        asked = (ssm.get_patch_baseline_for_patch_group(PatchGroup="nodes", OperatingSystem=one) for one in made)
        return [one["BaselineId"] for one in asked]

    assert registered() == [inputs["baselineId"] for _, _, inputs in made.values()]
    group_id, outputs, inputs = made["UBUNTU"]
    assert engine.read(GROUP, group_id, outputs, inputs)[1] == inputs
    engine.delete(GROUP, group_id, outputs, inputs)
    assert registered() == ["AWS-UBUNTU", made["AMAZON_LINUX_2023"][2]["baselineId"]]
