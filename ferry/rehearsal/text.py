"""A rehearsal in words, for the terminal."""

from __future__ import annotations

from collections import Counter

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ferry.artefacts import Check, Crossing, Rehearsal
from ferry.provisioning.text import changed


def describe(rehearsal: Rehearsal) -> RenderableType:
    """What was checked, what failed, and where the emulation ends."""
    failed = [check for check in rehearsal.checks if not check.passed]
    passed = len(rehearsal.checks) - len(failed)
    resources = sum(rehearsal.resources.values())
    parts: list[RenderableType] = [
        f"[bold]{escape(rehearsal.environment)}[/] in {rehearsal.region}: {resources} resources, "
        f"{rehearsal.front} against {rehearsal.emulator}, {rehearsal.seconds:.1f} s",
        Text(f"{passed} of {len(rehearsal.checks)} checks passed", style="green" if not failed else "bold red"),
    ]
    if rehearsal.changes is not None:
        parts += [changed(rehearsal.changes), ""]
    parts.append(_policies(rehearsal))
    if failed:
        parts.append(_failures(failed))
    parts.append(_crossing(rehearsal.crossing) if rehearsal.crossing else Text("crossing: left out", style="dim"))
    return Group(*parts, "", *_where_the_emulation_ends(rehearsal))


def _policies(rehearsal: Rehearsal) -> Text:
    """How many policies held. A broken one that is mandatory would have ended the rehearsal."""
    if not rehearsal.policies:
        return Text("policies: none, the project has no folder policies/", style="dim")
    looked = [one for one in rehearsal.policies if one.seen]
    broken = [one.rule for one in looked if not all(seen.ok for seen in one.seen)]
    held = f"{len(looked) - len(broken)} of {len(looked)} policies hold"
    nothing = len(rehearsal.policies) - len(looked)
    return Text(
        held
        + (f", {nothing} more had nothing to look at" if nothing else "")
        + (f"; broken, advisory: {', '.join(broken)}" if broken else ""),
        style="yellow" if broken else "green",
    )


def _failures(failed: list[Check]) -> Table:
    table = Table("failed check", "resource", "expected", "found", box=None, pad_edge=False, header_style="dim")
    for check in failed:
        table.add_row(*(Text(cell) for cell in (check.name, check.resource, check.expected, check.found)))
    return table


def _crossing(lines: list[Crossing]) -> Table:
    table = Table("crossing", "", "s", "", box=None, pad_edge=False, header_style="dim")
    styles = {"done": "green", "failed": "bold red", "skipped": "yellow"}
    for line in lines:
        figures = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in line.figures.items())
        result = Text(line.result, style=styles[line.result])
        table.add_row(line.name, result, f"{line.seconds:.1f}", Text(line.why or figures))
    return table


def _where_the_emulation_ends(rehearsal: Rehearsal) -> list[RenderableType]:
    lines: list[RenderableType] = []
    if rehearsal.not_emulated:
        lines.append(f"accepted, not emulated: {len(rehearsal.not_emulated)} properties")
        for why, count in Counter(one.why for one in rehearsal.not_emulated).most_common():
            lines.append(Text(f"  {count:3} × {why}", style="dim"))
    lines += [Text(f"seeded: {text}", style="dim") for text in rehearsal.seeded]
    lines += [Text(f"condition evaluated: {text}", style="dim") for text in rehearsal.conditions_evaluated]
    return lines
