"""`sweep`: from an assessment and its requests to the plan of the best candidate, and what was searched for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import get_args

from ferry.artefacts import Assessment, Plan, Serving, Sweep, read
from ferry.catalog import carbon
from ferry.errors import PlanError
from ferry.planning import places
from ferry.planning.demand import demand
from ferry.planning.planner import service_named
from ferry.planning.replay.case import BLOCK_TOKENS
from ferry.planning.replay.requests import Requests, read_requests, trace_of
from ferry.planning.replay.site_calibration import calibrate_to_site
from ferry.planning.sweep.grid import Grid, read_grid
from ferry.planning.sweep.outcome import nothing_holds, plan_of, sweep_of
from ferry.planning.sweep.replaying import arrays_of
from ferry.planning.sweep.search import By, Found, search
from ferry.planning.sweep.space import Space
from ferry.planning.sweep.workers import workers


@dataclass(frozen=True, kw_only=True)
class Swept:
    """The plan of the best candidate, what was searched, and all that was found."""

    plan: Plan
    sweep: Sweep
    found: Found


def sweep(
    assessment_path: Path,
    *,
    environment: str,
    serving: str | None = None,
    region: str | None = None,
    by: str = "cost",
    grid_path: Path | None = None,
    trace: Path | None = None,
    load: float = 1.0,
    seed: int = 0,
    worker_count: int | None = None,
    dask: str | None = None,
    force: bool = False,
    artefact_folder: Path | None = None,
    today: date | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Swept:
    """Search the cheapest (`by` "cost") or the fastest ("ttft", "latency": 99th percentiles) that holds the SLO.

    The file `grid_path` says what is searched; `trace` replaces the site's own, `load` scales it with `seed`.
    `worker_count` processes replay (None: a core each), or those of the Dask cluster at `dask`; the result is the same.
    Writes nothing. Raises PlanError when there is no promise, no trace, or nothing holds; InvalidField; what reading
    the inputs raises.
    """
    objective = _objective(by)
    assessment = read(Assessment, assessment_path, force=force)
    service = service_named(assessment, serving)
    _promised(service)
    grid = read_grid(grid_path) if grid_path else Grid()
    allowed = places.allowed(assessment, region)
    requests = _requests(assessment, assessment_path, service, trace)
    if load != 1.0:
        said = f"{load:g} times the trace's requests; copies shifted by up to a minute, seed {seed}"
        requests = replace(requests, workload=requests.workload.scaled(load, seed), notes=(*requests.notes, said))
    if objective == "carbon":
        _comparable([place.name for place in allowed])
    calibration = calibrate_to_site(service, assessment.cluster, requests.workload, BLOCK_TOKENS)
    requests = replace(requests, notes=(*requests.notes, *calibration.notes))
    wanted = demand(service)
    space = Space(
        serving=service,
        demand=replace(wanted, mean_rps=load * wanted.mean_rps, peak_rps=load * wanted.peak_rps),
        grid=grid,
        places=allowed,
        time_zone=assessment.location.time_zone,
        started_at=requests.started_at,
        seed=seed,
        calibration=calibration,
    )
    with workers(arrays_of(requests.workload), count=worker_count, dask=dask) as replay:
        found = search(space, requests.workload, service.slo, objective, replay, progress)
    if found.best is None:
        raise PlanError(nothing_holds(space, found))
    folder = artefact_folder or assessment_path.parent
    inputs = [path for path in (assessment_path, trace, grid_path) if path is not None]
    swept = sweep_of(assessment.site, space, requests, found, found.best, by=objective, load=load)
    made = plan_of(assessment, assessment_path, environment, space, found, found.best, folder, today)
    return Swept(plan=made, sweep=swept.made_of(inputs, folder), found=found)


def _objective(by: str) -> By:
    for known in get_args(By):
        if by == known:
            return by  # type: ignore[return-value]
    raise PlanError(f"nothing is known by {by!r}; search by {', '.join(get_args(By))}")


def _comparable(regions: Sequence[str]) -> None:
    """Raises CatalogError when a region has no figures, PlanError when some count CO2 alone and others all gases."""
    alone = [region for region in regions if carbon.find(region).co2_only]
    if alone and len(alone) < len(regions):
        raise PlanError(
            f"the carbon figures of {', '.join(alone)} are of CO2 alone, not to be compared with other regions: name "
            "one kind with --region, or search by cost"
        )


def _promised(service: Serving) -> None:
    if service.slo.ttft_p99_ms is None and service.slo.tpot_p99_ms is None:
        raise PlanError(
            f"{service.name} has promised nothing that a fleet could hold: state ttft_p99_ms or tpot_p99_ms under "
            "serving.slo in site.yaml, and run ferry assess again"
        )


def _requests(assessment: Assessment, path: Path, service: Serving, given: Path | None) -> Requests:
    zone = assessment.location.time_zone
    if given is not None:
        return read_requests(given, None, zone)
    if service.trace is None:
        raise PlanError(
            f"{service.name} has no request trace to replay: name one with --trace FILE, or under serving.requests in "
            "site.yaml"
        )
    return read_requests(trace_of(assessment, path, service.trace), service.trace, zone)
