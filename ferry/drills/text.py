"""Drills in words, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ferry.artefacts import Drill, Drills


def describe(drills: Drills) -> RenderableType:
    """Each drill with its timeline, then what was missed."""
    missed = [drill for drill in drills.drills if drill.skipped is None and not drill.passed]
    skipped = [drill for drill in drills.drills if drill.skipped is not None]
    ran = len(drills.drills) - len(skipped)
    end = Text(
        f"{ran - len(missed)} of {ran} drills met their target"
        + (f", {len(skipped)} skipped" if skipped else "")
        + (f"; missed: {', '.join(drill.name for drill in missed)}" if missed else ""),
        style="bold red" if missed else "green",
    )
    head = Text(f"{drills.environment} in {drills.region}, {drills.seconds:.1f} s", style="bold")
    return Group(head, "", *(part for drill in drills.drills for part in _told(drill)), end)


def clock(seconds: float) -> str:
    """Minutes and seconds, as a drill counts them: `12:05`."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def outcome(drill: Drill) -> str:
    """What came of it, in a few words."""
    if drill.skipped is not None:
        return f"skipped: {drill.skipped}"
    if drill.mttr_s is None:
        return f"not recovered (target {clock(drill.target_s)})"
    return f"recovered after {clock(drill.mttr_s)} (target {clock(drill.target_s)})"


def _told(drill: Drill) -> Iterator[RenderableType]:
    if drill.skipped is not None:
        yield Text(f"{drill.name}: {outcome(drill)}", style="yellow")
        yield ""
        return
    yield Text(f"{drill.name}: {outcome(drill)}", style="bold green" if drill.passed else "bold red")
    table = Table("", "", "", "", box=None, pad_edge=False, show_header=False)
    table.columns[0].justify = "right"
    for moment in drill.timeline:
        basis = Text(f"{moment.basis}: {moment.source}", style="dim" if moment.basis == "assumed" else "")
        phase = "" if moment.phase == "note" else moment.phase
        table.add_row(Text(clock(moment.at_s)), Text(phase), Text(moment.what), basis)
    yield table
    if drill.lost_requests is not None:
        yield Text(f"lost requests: {drill.lost_requests}", style="" if drill.lost_requests == 0 else "red")
    for saving in drill.savings:
        yield Text(f"with {saving.choice}: {clock(saving.recovery_s)}", style="dim")
    for sentence in drill.missing:
        yield Text(f"missing: {sentence}", style="red")
    yield ""
