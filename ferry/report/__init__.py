"""One self-contained HTML page about a move: the verdict, the evidence, the architecture, the plan, costs, checks."""

from __future__ import annotations

from pathlib import Path

import templates
from ferry import __version__, ledger
from ferry.artefacts import Assessment, Plan, Rehearsal, now, read
from ferry.report.charts import monthly_bars
from ferry.report.evidence import evidence, figure_text, money_text, number_text


def report(plan_path: Path, assessment_path: Path, rehearsal_path: Path | None, *, force: bool = False) -> str:
    """The page as HTML: works offline, asks nothing of any server.

    Without a rehearsal the page says that none was run. Raises ArtefactError or UnreadableInput for files that
    cannot be trusted.
    """
    plan = read(Plan, plan_path, force=force)
    assessment = read(Assessment, assessment_path, force=force)
    rehearsal = read(Rehearsal, rehearsal_path, force=force) if rehearsal_path else None
    return templates.render(
        "report/report.html.j2",
        plan=plan,
        assessment=assessment,
        rehearsal=rehearsal,
        evidence=evidence(assessment),
        bars=monthly_bars(plan),
        ledger=ledger.read(plan_path.parent),
        version=__version__,
        made_at=now(),
        figure=figure_text,
        money=money_text,
        number=number_text,
    )
