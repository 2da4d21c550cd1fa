"""Says to a person what discovery used, what it skipped and why, and what contradicts."""

from __future__ import annotations

from collections import defaultdict

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ferry.assess.discovery.discovery import Discovery
from ferry.assess.discovery.walk import shown
from ferry.assess.text import finding_text

NAMED_OF_A_REASON = 10


def describe(discovery: Discovery) -> RenderableType:
    """Two tables and the findings. Of many files with one reason the first ones are named: JSON has all."""
    used = Table("used", "as", "says", "goes to", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for one in discovery.used:
        used.add_row(*(Text(shown(cell), overflow="fold") for cell in (one.path, one.kind, one.says[:200], one.key)))
    skipped = Table("skipped", "because it", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    by_reason: dict[str, list[str]] = defaultdict(list)
    for left in discovery.skipped:
        by_reason[left.reason].append(left.path)
    for reason, paths in by_reason.items():
        more = len(paths) - NAMED_OF_A_REASON
        for path in paths[:NAMED_OF_A_REASON] if more > 1 else paths:
            skipped.add_row(Text(shown(path), overflow="fold"), Text(shown(reason)))
        if more > 1:
            skipped.add_row(Text(f"and {more:,} more"), Text(shown(reason)))
    parts: list[RenderableType] = []
    parts += [used, Text("")] if discovery.used else [Text("Nothing of what Ferry reads was found.\n")]
    parts += [skipped, Text("")] if discovery.skipped else []
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
