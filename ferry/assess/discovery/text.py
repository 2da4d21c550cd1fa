"""Says to a person what discovery used, what it skipped and why, and what contradicts."""

from __future__ import annotations

from collections import defaultdict

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ferry.assess.discovery.discovery import Discovery
from ferry.assess.discovery.walk import shown
from ferry.assess.text import finding_text

NAMED_OF_A_REASON = 10


def describe(discovery: Discovery) -> RenderableType:
    """What was used, what was skipped by reason, and the findings. Of many files the first are named: JSON has all."""
    parts: list[RenderableType] = []
    if not discovery.used:
        parts.append(Text("Nothing of what Ferry reads was found."))
    for one in discovery.used:
        says = f": {shown(one.says[:200])}" if one.says else ""
        parts += [
            Text(shown(one.path), overflow="fold"),
            Padding(Text(f"{shown(one.kind)}{says} → {shown(one.key)}", style="dim"), (0, 0, 0, 2)),
        ]
    by_reason: dict[str, list[str]] = defaultdict(list)
    for left in discovery.skipped:
        by_reason[left.reason].append(left.path)
    if by_reason:
        parts.append(Text("\nSkipped", style="bold"))
    for reason, paths in by_reason.items():
        more = len(paths) - NAMED_OF_A_REASON
        named = [shown(path) for path in (paths[:NAMED_OF_A_REASON] if more > 1 else paths)]
        named += [f"and {more:,} more"] if more > 1 else []
        parts += [Text(name, overflow="fold") for name in named]
        parts.append(Padding(Text(shown(reason), style="dim"), (0, 0, 0, 2)))
    parts.append(Text(""))
    parts += [finding_text(finding) for finding in discovery.findings]
    return Group(*parts)


def title(discovery: Discovery) -> Text | None:
    """What stands above the proposed site.yaml; None where it says no more than the one that is there."""
    if discovery.base is None:
        return Text("Proposed site.yaml", style="bold")
    if discovery.adds:
        return Text(f"{shown(str(discovery.base))}, with what was found besides it", style="bold")
    return None


def missing(discovery: Discovery) -> Text | None:
    """The keys that a person has to fill in."""
    if not discovery.to_fill_in:
        return None
    return Text(f"To be filled in: {', '.join(discovery.to_fill_in)}", style="yellow")
