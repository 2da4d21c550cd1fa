"""`simulate`: what the plan's own policy, and those that Ferry ships, do with the site's requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ferry.artefacts import Outcome, Plan, Simulation, now, read, upstream
from ferry.planning.horizon import horizon_s
from ferry.planning.replay import batch_limits
from ferry.planning.replay.case import Case, case_of
from ferry.planning.replay.outcome import outcome
from ferry.planning.replay.spot_market import with_spot
from ferry.simulation import policies, policy_file
from ferry.simulation.autoscaler import compile_spec
from ferry.simulation.engine import simulate
from ferry.simulation.footprint import footprint
from ferry.simulation.result import Result
from ferry.simulation.scaling_spec import ScalingSpec

PLANNED = "plan"
FIXED = "none"
_SAID = {
    "article": "above 0.8 add 2, below 0.3 remove 1: the rule of the source article",
    "target-tracking": "AWS's target tracking of the load",
    "schedule": "the largest size from Monday to Friday, 8:00 to 20:00, else the smallest; looks at no metric",
}
EVERY = (PLANNED, *policies.SHIPPED)
Progress = Callable[[str], None]


def replay(
    plan_path: Path,
    *,
    names: Sequence[str] = EVERY,
    trace: Path | None = None,
    stretch: float = 1.0,
    load: float = 1.0,
    initial: int | None = None,
    spot_share: float | None = None,
    spot_recording: Path | None = None,
    seed: int = 0,
    with_batch_limits: bool = True,
    force: bool = False,
    artefact_folder: Path | None = None,
    progress: Progress = lambda what: None,
) -> tuple[Simulation, dict[str, Result]]:
    """Replay the requests against the plan's fleet under each policy of `names`: "plan", a shipped one, or a file.

    `stretch` multiplies the time between arrivals, `load` the number of requests (copies are shifted at random, by
    `seed`). `spot_recording` says when Spot Instances were taken back. Writes nothing. Raises what reading the plan,
    its trace and a policy raise.
    """
    plan = read(Plan, plan_path, force=force)
    progress("reading the requests")
    case = case_of(plan, plan_path, trace=trace, initial=initial)
    notes = list(case.notes)
    workload = case.workload
    if load != 1.0:
        workload = workload.scaled(load, seed)
        notes.append(f"{load:g} times the trace's requests; copies shifted by up to a minute, seed {seed}")
    if stretch != 1.0:
        workload = workload.stretched(stretch)
        notes.append(f"arrivals {stretch:g} times as far apart as in the trace")
    case = replace(case, workload=workload)
    until_s = horizon_s(case.hours * 3600)
    if spot_share is not None:
        case, said = with_spot(case, spot_share, recording=spot_recording, horizon_s=until_s, seed=seed)
        notes.append(said)
    outcomes: list[Outcome] = []
    results: dict[str, Result] = {}
    for name in names:
        first = "" if results else ", which compiles the simulation where that was not done before (half a minute)"
        progress(f"policy {name}{first}")
        spec, said = _policy(name, case)
        program = compile_spec(spec, start=case.started_at, horizon_s=until_s)
        fleet = replace(case.fleet, initial_instances=program.initial_instances)
        results[name] = simulate(workload, case.replica, fleet, program)
        used = footprint(results[name], case.instance, plan.region)
        outcomes.append(outcome(name, said, spec, case, results[name], used))
    notes += used.assumed
    points = []
    if with_batch_limits:
        progress("batch limits")
        points = batch_limits.batch_limits(case)
    return (
        Simulation(
            schema_=Simulation.SCHEMA,
            made_at=now(),
            made_from=[upstream(plan_path, artefact_folder or plan_path.parent)],
            site=plan.site,
            serving=plan.serving,
            region=plan.region,
            instance_type=case.instance.name,
            currency=used.currency,
            trace=case.trace,
            hours=case.hours,
            requests_per_s=len(workload) / (case.hours * 3600) if case.hours else 0.0,
            outcomes=outcomes,
            batch_limits=points,
            best_batch_limit=batch_limits.best(points, plan.slo.tpot_p99_ms) if points else None,
            assumptions=notes,
        ),
        results,
    )


def _policy(name: str, case: Case) -> tuple[ScalingSpec, str]:
    if name == PLANNED:
        scaling = case.stack.scaling
        said = (
            f"above {scaling.scale_out_above:g} add {scaling.scale_out_add}, below {scaling.scale_in_below:g} remove "
            f"{scaling.scale_in_remove}, warm-up {scaling.warmup_seconds} s, {case.stack.min_size} to "
            f"{case.stack.max_size} instances"
        )
        return policies.from_stack(case.stack, initial=case.sizes.initial), said
    if name == FIXED:
        largest = replace(case.sizes, initial=case.sizes.max_size)
        return policies.shipped(name, largest), f"{largest.initial} instances, always: what a server room has to have"
    if name in policies.SHIPPED:
        return policies.shipped(name, case.sizes), _SAID[name]
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return policy_file.read(path), path.name
    return policies.shipped(name, case.sizes), ""
