"""One self-contained HTML page about a move: the verdict, the evidence, the architecture, the plan, costs, checks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import templates
from ferry import __version__, ledger
from ferry.artefacts import Assessment, Drills, Plan, Rehearsal, Simulation, now, read
from ferry.artefacts.drills import minutes
from ferry.cost.plots import plots
from ferry.cost.report import Options, evaluate
from ferry.cost.tco import CHOICES
from ferry.errors import UnreadableInput
from ferry.report.charts import monthly_bars
from ferry.report.evidence import evidence, figure_text, money_text, number_text
from ferry.report.pictures import beside, data_uri
from ferry.report.timelines import WIDTH, pictures
from stacks.settings import Settings


@dataclass(frozen=True)
class Sources:
    """The artefacts that a page is made from."""

    plan: Path
    assessment: Path
    rehearsal: Path | None
    simulation: Path | None = None
    drills: Path | None = None

    @property
    def all(self) -> list[Path]:
        """The files that are there."""
        return [path for path in (self.plan, self.assessment, self.rehearsal, self.simulation, self.drills) if path]


def sources(plan: Path, assessment: Path | None, rehearsal: Path | None, drills: Path | None = None) -> Sources:
    """The files as named; else the assessment that the plan was made from, and what lies beside the plan."""
    if assessment is None:
        made_from = read(Plan, plan, force=True).made_from
        if not made_from:
            raise UnreadableInput(f"{plan}: does not say what it was made from; name the assessment with --assessment")
        assessment = plan.parent / made_from[0].path
    if rehearsal is None and (beside := plan.with_name("rehearsal.yaml")).is_file():
        rehearsal = beside
    simulation = plan.with_name("simulation.yaml")
    if drills is None and (beside := plan.with_name("drills.yaml")).is_file():
        drills = beside
    return Sources(plan, assessment, rehearsal, simulation if simulation.is_file() else None, drills)


def report(files: Sources, *, force: bool = False) -> str:
    """The page as HTML: works offline, asks nothing of any server.

    Without a rehearsal the page says that none was run. Raises ArtefactError or UnreadableInput for files that
    cannot be trusted.
    """
    plan = read(Plan, files.plan, force=force)
    assessment = read(Assessment, files.assessment, force=force)
    rehearsal = read(Rehearsal, files.rehearsal, force=force) if files.rehearsal else None
    simulation = read(Simulation, files.simulation, force=force) if files.simulation else None
    drills = read(Drills, files.drills, force=force) if files.drills else None
    cost = evaluate(assessment, plan, Options(today=now().date()))
    return templates.render(
        "report/report.html.j2",
        simulation=simulation,
        simulation_pictures=beside(files.simulation) if files.simulation else [],
        cost=cost,
        cost_choices=CHOICES,
        cost_pictures=[data_uri(picture) for picture in plots(cost).values()],
        plan=plan,
        stack=Settings.from_config(plan.config),
        assessment=assessment,
        rehearsal=rehearsal,
        drills=drills,
        drill_pictures=pictures(drills) if drills else [],
        drill_width=WIDTH,
        minutes=minutes,
        evidence=evidence(assessment),
        bars=monthly_bars(plan),
        ledger=ledger.read(files.plan.parent),
        version=__version__,
        made_at=now(),
        figure=figure_text,
        money=money_text,
        number=number_text,
    )
