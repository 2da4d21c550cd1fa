"""`ferry report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ferry.cli.options import Force, PlanFile
from ferry.cli.output import note


def report(
    plan_file: PlanFile,
    assessment: Annotated[
        Path | None, typer.Option(metavar="FILE", help="[default: the one that the plan was made from]")
    ] = None,
    rehearsal: Annotated[
        Path | None, typer.Option(metavar="FILE", help="[default: rehearsal.yaml beside the plan, where there is one]")
    ] = None,
    drills: Annotated[
        Path | None, typer.Option(metavar="FILE", help="[default: drills.yaml beside the plan, where there is one]")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE")] = Path("report.html"),
    force: Force = False,
) -> None:
    """Write one HTML page that works offline: verdict, evidence, architecture, costs, checks, drills."""
    from ferry import ledger
    from ferry.artefacts import write_whole
    from ferry.report import report as make_report
    from ferry.report import sources

    files = sources(plan_file, assessment, rehearsal, drills)
    write_whole(output, make_report(files, force=force))
    ledger.append(output.parent, "report", inputs=files.all, outputs=[output], forced=force, result="done")
    note(f"wrote {output}{'' if files.rehearsal else '; no rehearsal was found, and the page says so'}", False)
