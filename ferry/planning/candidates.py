"""Every instance type in every allowed region: what it would take and cost, or why it is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from ferry.artefacts import Candidate, Serving
from ferry.catalog import instance_types, prices
from ferry.catalog.instance_types import InstanceType
from ferry.catalog.prices import Price
from ferry.catalog.regions import Region
from ferry.cost.money import HOURS_PER_MONTH, cents
from ferry.errors import CatalogError, PlanError
from ferry.planning import fleet_size, memory
from ferry.planning.demand import Demand
from ferry.planning.engines import planned
from ferry.planning.fleet_size import LOAD_TARGET, FleetSize
from ferry.planning.memory import GIB, Fit, Misfit
from ferry.planning.roofline import Roofline, batch_limit
from ferry.simulation import boot

MAX_SEQUENCES = 64
"""Batch limit of the engine: what the source article found best, and where decoding gains little more."""
_NEAREST_SHOWN = 2


@dataclass(frozen=True)
class Choice:
    """A candidate that serves, with what the rest of the plan needs of it."""

    candidate: Candidate
    instance: InstanceType
    price: Price
    fit: Fit
    roofline: Roofline
    batch: int
    size: FleetSize


@dataclass(frozen=True)
class _Refused:
    candidate: Candidate
    nodes: int | None = None
    fits_elsewhere: bool = False


@dataclass(frozen=True)
class _Serves:
    """How one instance type serves, whatever the region."""

    fit: Fit
    roofline: Roofline
    batch: int
    size: FleetSize


def choices(serving: Serving, demand: Demand, places: Sequence[Region]) -> tuple[list[Choice], list[Candidate]]:
    """Those that serve, cheapest first, and those that are refused. Raises PlanError when none serves."""
    accepted: list[Choice] = []
    refused: list[_Refused] = []
    for instance in instance_types.all_types():
        served = _serve(serving, demand, instance)
        if isinstance(served, Misfit):
            refused.append(_Refused(refusal(serving, instance, places, served.reason), served.nodes))
            continue
        missing: list[Region] = []
        for place in places:
            try:
                price = prices.on_demand(instance.name, place.name)
            except CatalogError:
                missing.append(place)
                continue
            candidate = _candidate(served, instance, price, place, serving)
            accepted.append(Choice(candidate, instance, price, served.fit, served.roofline, served.batch, served.size))
        if missing:
            without = refusal(serving, instance, missing, _no_price(instance, missing), served.fit)
            refused.append(_Refused(without, fits_elsewhere=bool(prices.regions_with(instance.name))))
    if not accepted:
        raise PlanError(_nothing(serving, places, refused))
    accepted.sort(key=_cost)
    return accepted, [refusal.candidate for refusal in refused]


def choice(
    serving: Serving,
    instance: InstanceType,
    place: Region,
    *,
    placed: Fit,
    roofline: Roofline,
    batch: int,
    size: FleetSize,
) -> Choice:
    """One instance type in one region with the fleet's size given. Raises CatalogError without an on-demand price."""
    price = prices.on_demand(instance.name, place.name)
    served = _Serves(placed, roofline, batch, size)
    return Choice(_candidate(served, instance, price, place, serving), instance, price, placed, roofline, batch, size)


def _serve(serving: Serving, demand: Demand, instance: InstanceType) -> _Serves | Misfit:
    placed = memory.fit(serving.model, planned(serving.engine), instance, demand.max_model_tokens)
    if isinstance(placed, Misfit):
        return placed
    roofline = Roofline(serving.model, instance, placed.tensor_parallel, demand.tokens)
    if broken := _breaks_slo(serving, roofline):
        return Misfit(broken)
    started = boot.seconds(memory.weight_bytes(serving.model), instance)
    if started > boot.LONGEST_SECONDS:
        return Misfit(f"a new instance would need {started:.0f} s to load the model, at most {boot.LONGEST_SECONDS}")
    batch = batch_limit(
        roofline,
        kv_tokens=placed.kv_tokens,
        max_sequences=MAX_SEQUENCES,
        ttft_slo_s=_seconds(serving.slo.ttft_p99_ms),
        tpot_slo_s=_seconds(serving.slo.tpot_p99_ms),
    )
    size = fleet_size.size(roofline, batch=batch, mean_rps=demand.mean_rps, peak_rps=demand.peak_rps)
    return _Serves(placed, roofline, batch, size)


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _breaks_slo(serving: Serving, roofline: Roofline) -> str | None:
    """The promise that the instance breaks even when idle."""
    slo = serving.slo
    first, pace = roofline.ttft_p99_seconds() * 1000, roofline.decode_seconds(1) * 1000
    if slo.ttft_p99_ms is not None and first > slo.ttft_p99_ms:
        return f"time to first token is {first:.0f} ms when idle, promised are {slo.ttft_p99_ms:g} (roofline)"
    if slo.tpot_p99_ms is not None and pace > slo.tpot_p99_ms:
        return f"a token takes {pace:.0f} ms when idle, promised are {slo.tpot_p99_ms:g} (roofline)"
    return None


def _candidate(served: _Serves, instance: InstanceType, price: Price, place: Region, serving: Serving) -> Candidate:
    month = cents(price.per_hour * HOURS_PER_MONTH * Decimal(repr(served.size.mean_size)))
    in_dollars = price.currency == "USD"
    return Candidate(
        instance_type=instance.name,
        region=place.name,
        accelerator=instance.accelerator.name,
        accelerators=instance.accelerators,
        memory_gib=instance.total_accelerator_memory_gib,
        fits=True,
        reason=_why(served, instance, serving),
        weights_gib=round(served.fit.weights_gib, 2),
        kv_cache_gib=round(served.fit.kv_cache_gib, 2),
        max_sequences=served.batch,
        requests_per_s=round(served.size.requests_per_s, 4),
        min_size=served.size.min_size,
        max_size=served.size.max_size,
        mean_size=round(served.size.mean_size, 3),
        tensor_parallel=served.fit.tensor_parallel,
        engine=planned(serving.engine).name,
        quantization=serving.model.quantization,
        ttft_p99_ms=round(served.roofline.ttft_p99_seconds() * 1000, 1),
        tpot_ms=round(served.roofline.tpot_seconds(LOAD_TARGET * served.batch) * 1000, 1),
        usd_per_hour=price.per_hour if in_dollars else None,
        usd_per_month=month if in_dollars else None,
        cny_per_hour=None if in_dollars else price.per_hour,
        cny_per_month=None if in_dollars else month,
    )


def _why(served: _Serves, instance: InstanceType, serving: Serving) -> str:
    width = served.fit.tensor_parallel
    said = [f"{served.fit.weights_gib:.1f} GiB of weights over {width} accelerator{'s' if width > 1 else ''}"]
    if width < instance.accelerators:
        said.append(f"{instance.accelerators - width} idle: the heads divide by {width} only")
    if memory.weight_only_fp8(serving.model, instance):
        said.append(f"{instance.accelerator.name} keeps FP8 weights and computes in 16 bit (Marlin kernels)")
    said.append(
        f"{served.batch} sequences at once, {served.size.requests_per_s:.2f} requests/s at {LOAD_TARGET:.0%} load"
    )
    return "; ".join(said)


def refusal(
    serving: Serving, instance: InstanceType, places: Sequence[Region], reason: str, placed: Fit | None = None
) -> Candidate:
    """An instance type that does not serve, and why."""
    return Candidate(
        instance_type=instance.name,
        region=", ".join(place.name for place in places),
        accelerator=instance.accelerator.name,
        accelerators=instance.accelerators,
        memory_gib=instance.total_accelerator_memory_gib,
        fits=False,
        reason=reason,
        weights_gib=round(memory.weight_bytes(serving.model) / GIB, 2),
        engine=planned(serving.engine).name,
        quantization=serving.model.quantization,
        kv_cache_gib=round(placed.kv_cache_gib, 2) if placed else None,
    )


def _no_price(instance: InstanceType, missing: Sequence[Region]) -> str:
    known = prices.regions_with(instance.name)
    where = ", ".join(place.name for place in missing)
    return f"fits, but the catalogue has no on-demand price in {where}; it has in {', '.join(known) or 'no region'}"


def _cost(choice: Choice) -> tuple[Decimal, str, str]:
    candidate = choice.candidate
    month = candidate.usd_per_month if candidate.usd_per_month is not None else candidate.cny_per_month
    return (month or Decimal("Infinity"), candidate.instance_type, candidate.region)


def _nothing(serving: Serving, places: Sequence[Region], refused: Sequence[_Refused]) -> str:
    """One line: what cannot be served where, then what would do elsewhere and how the nearest candidates here fail."""
    where = ", ".join(place.name for place in places)
    here = [refusal for refusal in refused if _offered(refusal.candidate.instance_type, places)]
    elsewhere = [refusal for refusal in refused if refusal.fits_elsewhere]
    nearest = sorted(here, key=lambda refusal: (-refusal.candidate.memory_gib, refusal.candidate.instance_type))
    shown = [*elsewhere[:1], *nearest[:_NEAREST_SHOWN]]
    said = "; ".join(f"{refusal.candidate.instance_type}: {refusal.candidate.reason}" for refusal in shown)
    several = any(refusal.nodes for refusal in here)
    lead = "fits only over several nodes per replica in" if several else "fits no instance type of"
    return f"{serving.name}: {serving.model.architecture} {lead} {where}; {said or 'the catalogue has none there'}"


def _offered(instance_type: str, places: Sequence[Region]) -> bool:
    return bool(set(prices.regions_with(instance_type)) & {place.name for place in places})
