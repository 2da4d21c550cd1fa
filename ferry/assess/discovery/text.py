"""Says a discovery to a person: what is used, what is skipped and why, the site.yaml, and what to do next."""

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
    """Tables and the site.yaml. A reason that many files share is said once, with the first of them: JSON has all."""
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
    title = "Proposed site.yaml"
    if discovery.base is not None:
        title = f"site.yaml: {shown(str(discovery.base))} with {discovery.adds} additions"
    if discovery.base is None or discovery.adds:
        parts += [Text(title, style="bold"), Text(discovery.site_yaml.rstrip("\n"))]
    else:
        parts.append(Text(f"{shown(str(discovery.base))} is the base, and names all that is here", style="bold"))
    if discovery.to_fill_in:
        parts.append(Text(f"\nTo be filled in: {', '.join(discovery.to_fill_in)}", style="yellow"))
    return Group(*parts)
