"""Drills in words, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ferry.artefacts import Drill, Drills
from ferry.artefacts.drills import minutes


def describe(drills: Drills) -> RenderableType:
    """Each drill with its timeline, what the times rest on, and what was missed."""
    missed = [drill for drill in drills.drills if drill.skipped is None and not drill.passed]
    skipped = [drill for drill in drills.drills if drill.skipped is not None]
    ran = len(drills.drills) - len(skipped)
    end = Text(
        f"{ran - len(missed)} of {ran} drills met their target"
        + (f", {len(skipped)} skipped" if skipped else "")
        + (f"; missed: {', '.join(drill.name for drill in missed)}" if missed else ""),
        style="bold red" if missed else "green",
    )
    sources: dict[str, int] = {}
    told = [part for drill in drills.drills for part in _told(drill, sources)]
    notes = [Text(f"[{number}] {source}", style="dim") for source, number in sources.items()]
    head = Text(f"{drills.environment} in {drills.region}, {drills.seconds:.1f} s", style="bold")
    return Group(head, "", *told, *notes, "", end)


def _told(drill: Drill, sources: dict[str, int]) -> Iterator[RenderableType]:
    """`sources` numbers what the times rest on, in the order in which it comes up."""
    style = "yellow" if drill.skipped is not None else "bold green" if drill.passed else "bold red"
    yield Text(f"{drill.name}: {drill.outcome}", style=style)
    table = Table("", "", "", "", box=None, pad_edge=False, show_header=False)
    table.columns[0].justify = "right"
    for moment in drill.timeline:
        number = sources.setdefault(moment.source, len(sources) + 1)
        basis = Text(f"{moment.basis} [{number}]", style="dim" if moment.basis == "assumed" else "")
        phase = "" if moment.phase == "note" else moment.phase
        table.add_row(Text(minutes(moment.at_s)), Text(phase), Text(moment.what), basis)
    if drill.timeline:
        yield table
    if drill.lost_requests is not None:
        yield Text(f"lost requests: {drill.lost_requests}", style="" if drill.lost_requests == 0 else "red")
    for saving in drill.savings:
        yield Text(f"with {saving.choice}: {minutes(saving.recovery_s)}", style="dim")
    for sentence in drill.missing:
        yield Text(f"missing: {sentence}", style="red")
    yield ""
