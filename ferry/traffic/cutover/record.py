"""What a cutover did, in the ledger beside its plan: each change of traffic, why, and the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ferry import ledger
from ferry.traffic.cutover.state import GOING_HOME, State

VERB = "cutover"


def append(
    state: State,
    result: str,
    *,
    change: bool = False,
    inputs: Sequence[Path] = (),
    figures: Mapping[str, Any] | None = None,
    verb: str = VERB,
) -> None:
    """One line. A change of traffic has its number in it, so that a line which a crash prevented is missed.

    Raises UnwritableOutput.
    """
    ledger.append(
        folder_of(state),
        verb,
        inputs=list(inputs),
        outputs=[],
        forced=state.forced,
        result=result,
        figures={
            "cutover": state.id,
            "generation": state.generation,
            "candidate": state.candidate,
            "share": state.intended.candidate,
            "mirror": state.intended.mirror,
            **({"change": state.serial} if change else {}),
            **(figures or {}),
        },
    )


def missing(state: State) -> None:
    """Write the line of the last change where its controller died before it could.

    Raises TamperedArtefact for a ledger that was changed, UnwritableOutput.
    """
    if state.serial == 0 or state.phase in GOING_HOME or (state.phase == "running" and state.entered_at is None):
        return  # nothing was done yet, or it is done again
    lines = ledger.read(folder_of(state))
    known = {(line["figures"].get("cutover"), line["figures"].get("change")) for line in lines if line.get("figures")}
    if (state.id, state.serial) not in known:
        what = state.phase if state.phase != "running" else f"{state.intended.name} entered"
        append(state, what, change=True, figures={"reason": state.why, "recorded": "after a restart"})


def folder_of(state: State) -> Path:
    """Where the ledger lies: beside the plan."""
    return Path(state.plan).parent
