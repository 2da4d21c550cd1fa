"""What a search found, as the artefact of the sweep and as the plan of its best candidate; or why there is none."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

from ferry.artefacts import Assessment, Candidate, Plan, Sweep, SweepBound, SweepPoint, now
from ferry.catalog import instance_types
from ferry.cost.cloud import SpotUse
from ferry.cost.money import cents
from ferry.errors import CatalogError
from ferry.planning import candidates
from ferry.planning.candidates import Choice
from ferry.planning.fleet_size import LOAD_TARGET, FleetSize
from ferry.planning.planner import Composition, compose
from ferry.planning.replay.requests import Requests
from ferry.planning.sweep.front import front
from ferry.planning.sweep.grid import AS_IS
from ferry.planning.sweep.search import Answer, By, Found, objective
from ferry.planning.sweep.space import Point, Space


def sweep_of(site: str, space: Space, requests: Requests, found: Found, best: Answer, *, by: By, load: float) -> Sweep:
    """The artefact, but for what it was made from."""
    workload = requests.workload
    bounds: Counter[str] = Counter()
    for one in found.ruled_out:
        bounds[one.bound] += one.count
    return Sweep(
        schema_=Sweep.SCHEMA,
        made_at=now(),
        site=site,
        serving=space.serving.name,
        by=by,
        slo=space.serving.slo,
        currency=best.point.on_demand.currency,
        trace=requests.label,
        requests=len(workload),
        hours=float(workload.arrival_s[-1] - workload.arrival_s[0]) / 3600,
        load=load,
        seed=space.seed,
        grid=space.grid.model_dump(mode="json", by_alias=True),
        candidates=found.candidates,
        replayed=sum(not answer.is_shared for answer in found.answers),
        shared=sum(answer.is_shared for answer in found.answers),
        bounds=dict(bounds.most_common()),
        holding=sum(answer.holds for answer in found.answers),
        chosen=_point(best),
        compared=_compared(found, best, by),
        front=[_point(answer) for answer in front(found.answers)],
        ruled_out=[
            SweepBound(
                bound=one.bound,
                instance_type=one.instance_type,
                quantization=one.quantization,
                reason=one.reason,
                count=one.count,
            )
            for one in found.ruled_out
        ],
        assumptions=[*requests.notes, *_assumptions(best)],
    )


def plan_of(
    assessment: Assessment,
    path: Path,
    environment: str,
    space: Space,
    found: Found,
    best: Answer,
    folder: Path,
    today: date | None,
) -> Plan:
    """The plan of the best candidate: its sizes, scaling and Spot share are the stack's, its bill is the replay's."""
    point, measured = best.point, best.measured
    fleet = point.scaling.fleet(point.low, point.high, start_s=point.engine.start_s, time_zone=space.time_zone)
    spot_size = measured.spot_s / measured.end_s
    chosen = _choice(best)
    return compose(
        Composition(
            assessment=assessment,
            path=path,
            environment=environment,
            service=point.engine.serving,
            demand=space.demand,
            choice=chosen,
            candidates=_candidates(space, found, best, chosen),
            is_quantised=point.engine.quantization != AS_IS,
            fleet={**fleet, "spot_percentage": point.spot_percentage},
            spot=SpotUse(price=point.spot, mean_size=spot_size) if point.spot is not None else None,
            sizing=(
                "the trace stands for every hour of the month",
                f"sizes and scaling ({point.scaling.name}) are the best of {found.candidates} candidates that a sweep "
                "searched with the whole trace",
                *_assumptions(best),
            ),
        ),
        artefact_folder=folder,
        today=today,
    )


def nothing_holds(space: Space, found: Found) -> str:
    """One line: that nothing holds, and what comes nearest."""
    lead = f"{space.serving.name}: none of {found.candidates} candidates holds what is promised"
    if found.answers:
        nearest = min(found.answers, key=lambda answer: (answer.miss, answer.cost))
        measured, slo = nearest.measured, space.serving.slo
        said = [
            f"{name} {seconds * 1000:.0f} ms, promised {promised:g}"
            for name, seconds, promised in (
                ("TTFT P99", measured.ttft_p99_s, slo.ttft_p99_ms),
                ("TPOT P99", measured.tpot_p99_s, slo.tpot_p99_ms),
            )
            if promised is not None
        ]
        if nearest.holds:
            return (
                f"{lead} and can be provisioned; {_label(nearest.point)} holds, but no component makes its policy: "
                "search others under policies, or larger sizes"
            )
        return (
            f"{lead}; nearest is {_label(nearest.point)}: {', '.join(said)}, {measured.refused} refused, "
            f"{nearest.miss:.2f} times what is allowed; search larger sizes, or promise less"
        )
    reachable = [one for one in found.ruled_out if one.miss < float("inf")]
    if reachable:
        near = min(reachable, key=lambda one: one.miss)
        return (
            f"{lead}; nearest is {near.instance_type} ({near.quantization}): {near.reason}, {near.miss:.2f} times what "
            "is allowed"
        )
    if not found.ruled_out:
        return f"{space.serving.name}: the grid has no candidate; name more policies, sizes or instance types"
    largest = max(
        found.ruled_out,
        key=lambda one: (
            one.bound == "no price",
            instance_types.find(one.instance_type).total_accelerator_memory_gib,
            one.quantization == AS_IS,
        ),
    )
    return f"{lead}; {largest.instance_type} ({largest.quantization}): {largest.reason}"


def _choice(answer: Answer) -> Choice:
    point, measured = answer.point, answer.measured
    engine = point.engine
    made = candidates.choice(
        engine.serving,
        engine.instance,
        point.place,
        placed=engine.fit,
        roofline=engine.roofline,
        batch=engine.batch,
        size=FleetSize(
            requests_per_s=engine.roofline.requests_per_second(LOAD_TARGET * engine.batch),
            min_size=point.low,
            max_size=point.high,
            mean_size=measured.instances_mean,
        ),
    )
    currency = point.on_demand.currency.lower()
    broken = "" if answer.holds else f"breaks what is promised, {answer.miss:.2f} times what is allowed; "
    said = (
        f"{broken}{made.candidate.reason}; replayed with {point.scaling.name}, {point.spot_percentage}% Spot: TTFT P99 "
        f"{measured.ttft_p99_s * 1000:.0f} ms, TPOT P99 {measured.tpot_p99_s * 1000:.0f} ms"
    )
    update = {f"{currency}_per_month": cents(answer.cost), "reason": said, "fits": answer.holds}
    return replace(made, candidate=made.candidate.model_copy(update=update))


def _candidates(space: Space, found: Found, best: Answer, chosen: Choice) -> list[Candidate]:
    """The best of each instance type, quantisation and region; then those of which none holds, and why."""
    nearest: dict[tuple[str, str, str], Answer] = {}
    for answer in (one for one in found.answers if one.point.scaling.is_provisioned):
        key = (answer.point.engine.instance.name, answer.point.engine.quantization, answer.point.place.name)
        if key not in nearest or _rank(answer) < _rank(nearest[key]):
            nearest[key] = answer
    own = (best.point.engine.instance.name, best.point.engine.quantization, best.point.place.name)
    others = sorted((answer for key, answer in nearest.items() if key != own), key=_rank)
    tried = {(one.point.engine.instance.name, one.point.engine.quantization) for one in found.answers}
    refused: dict[tuple[str, str], Candidate] = {}
    for one in found.ruled_out:
        name = (one.instance_type, one.quantization)
        if name not in tried and name not in refused:
            refused[name] = candidates.refusal(
                space.serving, instance_types.find(one.instance_type), space.places, f"{one.quantization}: {one.reason}"
            )
    return [chosen.candidate, *(_choice(answer).candidate for answer in others), *refused.values()]


def _rank(answer: Answer) -> tuple[bool, float, Decimal]:
    return (not answer.holds, 0.0 if answer.holds else answer.miss, answer.cost)


def _compared(found: Found, best: Answer, by: By) -> SweepPoint | None:
    """The best policy that no component makes, where it is better than the chosen candidate."""
    others = [one for one in found.answers if one.holds and not one.point.scaling.is_provisioned]
    if not others:
        return None
    other = min(others, key=lambda one: (objective(one, by), one.cost))
    return _point(other) if objective(other, by) < objective(best, by) else None


def _point(answer: Answer) -> SweepPoint:
    point, measured = answer.point, answer.measured
    return SweepPoint(
        instance_type=point.engine.instance.name,
        region=point.place.name,
        quantization=point.engine.quantization,
        max_sequences=point.engine.batch,
        scaling=point.scaling.name,
        min_size=point.low,
        max_size=point.high,
        spot_percentage=point.spot_percentage,
        cost_per_month=cents(answer.cost),
        gco2e_per_month=_emitted(answer),
        ttft_p99_ms=round(measured.ttft_p99_s * 1000, 3),
        tpot_p99_ms=round(measured.tpot_p99_s * 1000, 3),
        latency_p99_ms=round(measured.latency_p99_s * 1000, 3),
        refused=measured.refused,
        retried=measured.retried,
        instances_mean=round(measured.instances_mean, 4),
        instances_max=measured.instances_max,
        utilization=round(measured.utilization, 4),
    )


def _emitted(answer: Answer) -> float | None:
    try:
        return round(answer.point.gco2e(answer.measured))
    except CatalogError:
        return None


def _label(point: Point) -> str:
    return (
        f"{point.engine.instance.name} ({point.engine.quantization}) in {point.place.name}, {point.low} to "
        f"{point.high}, {point.scaling.name}"
    )


def _assumptions(best: Answer) -> list[str]:
    said = [
        "iterations take what the hardware's figures give: uncalibrated, off by up to 20 % where that was measured",
        "instances are as many as are asked for: capacity and quotas are not simulated",
    ]
    if best.point.spot_percentage:
        rate = best.point.engine.interrupted_per_hour
        said.append(
            f"each Spot Instance is interrupted {rate:.5f} times an hour (the advisor's upper band)"
            if rate
            else "no Spot Instance is interrupted: no rate is known for this type"
        )
    return said
