"""The CLI's report of a preview or a refresh, as data.

`pulumi preview --json` and `pulumi refresh --preview-only --json`: `pkg/backend/display/json.go` of pulumi/pulumi.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ferry.artefacts import ResourceChange

ACTIONS = ("create", "update", "delete", "replace", "import")
"""Operations that are told. `replace` comes with two more, `create-replacement` and `delete-replaced`."""


@dataclass(frozen=True)
class Step:
    """One resource of a report, before and after; empty where it was or will be none."""

    action: str
    type: str
    name: str
    properties: tuple[str, ...]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    protected: bool


def steps(report: Mapping[str, Any]) -> Iterator[Step]:
    """Every resource that stands in the account, in the report's order."""
    for step in report.get("steps", []):
        before, after = step.get("oldState") or {}, step.get("newState") or {}
        state = after or before
        if not state.get("custom") or state["type"].startswith("pulumi:"):
            continue
        yield Step(
            action=step["op"],
            type=state["type"],
            name=step["urn"].rpartition("::")[2],
            properties=tuple(sorted(step.get("detailedDiff") or step.get("diffReasons") or ())),
            before=before,
            after=after,
            protected=bool(before.get("protect")),
        )


def changes(report: Mapping[str, Any]) -> list[ResourceChange]:
    """What is done to resources; a replacement counts once."""
    return [
        ResourceChange.model_validate(
            {"action": step.action, "type": step.type, "name": step.name, "properties": list(step.properties)}
        )
        for step in steps(report)
        if step.action in ACTIONS
    ]
