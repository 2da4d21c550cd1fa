"""The requests of a trace as a simulation takes them, and where a site's trace lies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from ferry.artefacts import Assessment, TraceFacts
from ferry.errors import PlanError
from ferry.simulation.workload import Workload
from ferry.traces import open_trace

A_MONDAY = datetime(2024, 1, 1)  # noqa: DTZ001  (the site's time zone is put to it)


@dataclass(frozen=True, kw_only=True)
class Requests:
    """A workload, the name of its file, the moment of its first request, and what was assumed of it."""

    workload: Workload
    label: str
    started_at: datetime
    notes: tuple[str, ...]


def read_requests(path: Path, facts: TraceFacts | None, time_zone: str) -> Requests:
    """Read a trace, as `facts` says where they are given; times without a zone are those of `time_zone`.

    Raises what opening a trace raises.
    """
    with open_trace(
        path,
        columns=facts.columns if facts else None,
        log_format=facts.log_format if facts else None,
        paths=tuple(facts.paths) if facts else (),
        label=path.name,
    ) as opened:
        workload = Workload(**opened.arrays()._asdict())
        first_us = opened.database.rows("SELECT min(arrival_us) FROM requests")[0][0]
        zone = ZoneInfo("UTC") if opened.zoned else ZoneInfo(time_zone)
        notes: tuple[str, ...] = ()
        if damaged := opened.counts.damaged:
            notes += (f"{damaged} damaged rows of the trace are left out ({', '.join(opened.counts.damaged_at)}, …)",)
        if opened.layout.relative:
            started_at = A_MONDAY.replace(tzinfo=zone)
            notes += ("the trace has no dates: schedules take it as if it began on a Monday at midnight",)
        else:
            started_at = datetime.fromtimestamp(first_us / 1e6, UTC)
            if not opened.zoned:
                started_at = started_at.replace(tzinfo=zone)
    return Requests(workload=workload, label=path.name, started_at=started_at, notes=notes)


def trace_of(assessment: Assessment, assessment_path: Path, facts: TraceFacts) -> Path:
    """Where the trace lies: it is named relative to the site.yaml, the first file that an assessment is made from.

    Raises PlanError when it is not there.
    """
    sites = [assessment_path.parent / source.path for source in assessment.made_from[:1]]
    path = next((site.parent / facts.file for site in sites), Path(facts.file))
    if not path.is_file():
        raise PlanError(f"the trace {facts.file} is not there any more: name it with --trace FILE")
    return path
