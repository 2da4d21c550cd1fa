"""What somebody changed in the account since the last `up`, and what that most likely is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ferry.provisioning.preview import steps

LONGEST = 120
"""Characters of a value that are shown."""

MARK = "4dabf18193072939515e22adb298388d"
"""Marks a secret in a state: `_special_sig_key` of sdk/python/lib/pulumi/runtime/rpc.py, which is not loaded here."""

EXPLAINED: dict[tuple[str, str], str] = {
    ("aws:autoscaling/group:Group", "desiredCapacity"): "the scaling policies set it; the program leaves it alone",
    ("aws:autoscaling/group:Group", "minSize"): "a schedule or a hand set it; `ferry up` sets it back",
    ("aws:autoscaling/group:Group", "maxSize"): "a schedule or a hand set it; `ferry up` sets it back",
    ("aws:ec2/launchTemplate:LaunchTemplate", "latestVersion"): "`ferry models rollout` makes versions; run "
    "`pulumi refresh` before the next change, so that Pulumi knows this one",
    (
        "aws:s3/bucketPolicy:BucketPolicy",
        "policy",
    ): "who may reach the bucket was changed by hand: look before you go on",
    (
        "aws:cloudtrail/trail:Trail",
        "enableLogging",
    ): "the trail was stopped or started by hand: audit evidence is missing",
}
"""What a difference most likely is."""

BY_HAND = "changed outside of Pulumi; `ferry up` sets it back, or put it into the stack file"
GONE = "deleted outside of Pulumi; `ferry up` makes it again, empty"


@dataclass(frozen=True)
class Difference:
    """One property of one resource that is not as the state says. A resource that is gone has no property."""

    type: str
    name: str
    property: str
    expected: str
    found: str
    explanation: str
    protected: bool


def differences(report: Mapping[str, Any]) -> list[Difference]:
    """What a refresh would write into the state, from its report."""
    found = []
    for step in steps(report):
        if step.action == "delete":
            found.append(Difference(step.type, step.name, "", "there", "gone", GONE, step.protected))
        elif step.action == "update":
            found += [
                Difference(
                    step.type,
                    step.name,
                    path,
                    _shown(step.before, path),
                    _shown(step.after, path),
                    EXPLAINED.get((step.type, path), BY_HAND),
                    step.protected,
                )
                for path in step.properties
            ]
    return found


def _shown(state: Mapping[str, Any], path: str) -> str:
    name = path.partition(".")[0].partition("[")[0]
    value = state.get("inputs", {}).get(name, state.get("outputs", {}).get(name))
    if isinstance(value, Mapping) and MARK in value:
        return "[secret]"
    text = "not set" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
