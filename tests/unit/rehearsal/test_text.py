from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from ferry.artefacts import Crossing, Rehearsal
from ferry.rehearsal.text import describe


def rehearsal(*crossing: Crossing) -> Rehearsal:
    return Rehearsal(
        schema_=Rehearsal.SCHEMA,
        made_at=datetime(2026, 11, 24, tzinfo=UTC),
        made_from=[],
        environment="dev",
        region="us-east-1",
        front="in-process",
        emulator="moto",
        seconds=1,
        resources={},
        checks=[],
        not_emulated=[],
        seeded=[],
        conditions_evaluated=[],
        outputs={},
        crossing=list(crossing),
    )


def text(one: Rehearsal) -> str:
    console = Console(width=120, file=StringIO())
    with console.capture() as shown:
        console.print(describe(one))
    return " ".join(shown.get().split())


def test_a_crossing_is_a_line_for_each_thing_with_figures_or_the_reason() -> None:
    shown = text(
        rehearsal(
            Crossing(name="roll back by hand", result="done", seconds=0.25, figures={"cloud_percent": 0}),
            Crossing(name="ship the audit", result="skipped", seconds=0, why="envoy is nowhere"),
        )
    )
    assert "roll back by hand done 0.2 cloud percent 0" in shown
    assert "ship the audit skipped 0.0 envoy is nowhere" in shown


def test_a_crossing_that_was_left_out_is_said_to_be() -> None:
    assert "crossing: left out" in text(rehearsal())


@pytest.mark.parametrize(("result", "passed"), [("done", True), ("skipped", True), ("failed", False)])
def test_a_rehearsal_passes_unless_something_of_the_crossing_failed(result: str, passed: bool) -> None:
    line = Crossing.model_validate({"name": "roll back by hand", "result": result, "seconds": 1})
    assert rehearsal(line).passed is passed
