"""The candidates of a sweep: each fleet that the grid says, in each region that has a price for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import numpy as np

from ferry.artefacts import Serving
from ferry.catalog import carbon, instance_types, prices
from ferry.catalog.instance_types import InstanceType
from ferry.catalog.prices import Price
from ferry.catalog.regions import Region
from ferry.cost.money import HOURS_PER_MONTH
from ferry.errors import CatalogError, PlanError
from ferry.planning import fleet_size, memory
from ferry.planning.candidates import MAX_SEQUENCES
from ferry.planning.copies import quantised
from ferry.planning.demand import Demand
from ferry.planning.engines import planned
from ferry.planning.fleet_size import LEAST, LOAD_TARGET
from ferry.planning.memory import Fit, Misfit
from ferry.planning.replay.case import replica_of
from ferry.planning.replay.site_calibration import NOT_CALIBRATED, SiteCalibration
from ferry.planning.roofline import Roofline, batch_limit
from ferry.planning.sweep.grid import AS_IS, Grid
from ferry.planning.sweep.replaying import Measured, Task
from ferry.planning.sweep.scaling import Scaling
from ferry.simulation import boot, spot
from ferry.simulation.footprint import kilowatt_hours
from ferry.simulation.replica import ReplicaSettings

MONTH_S = float(HOURS_PER_MONTH * 3600)


@dataclass(frozen=True, eq=False, kw_only=True)
class Engine:
    """A model, as it is or quantised, on an instance type, with a batch limit."""

    serving: Serving
    quantization: str
    instance: InstanceType
    fit: Fit
    roofline: Roofline
    batch: int
    replica: ReplicaSettings
    start_s: float

    @property
    def interrupted_per_hour(self) -> float:
        """Of one Spot Instance; 0 where no rate of its family is known."""
        share = spot.MONTHLY_SHARE.get(self.instance.name.partition(".")[0])
        return 0.0 if share is None else spot.hazard_per_hour(share[1])


@dataclass(frozen=True, eq=False, kw_only=True)
class Point:
    """One candidate."""

    engine: Engine
    scaling: Scaling
    low: int
    high: int
    spot_percentage: int
    place: Region
    on_demand: Price
    spot: Price | None

    @property
    def least_cost(self) -> Decimal:
        """A month of the smallest size, at the lowest price that it may be had for: never more than the replay's."""
        each = self.on_demand.per_hour
        if self.spot is not None:
            each = min(each, self.spot.per_hour)
        return self.low * each * HOURS_PER_MONTH

    @property
    def least_gco2e(self) -> float:
        """A month of the smallest size that does nothing. Raises CatalogError when the region has no carbon figures."""
        return self._gco2e(self.low * MONTH_S, 0.0)

    def gco2e(self, measured: Measured) -> float:
        """What the replayed instances emit, for a month of 730 h. Raises CatalogError as `least_gco2e` does."""
        scale = MONTH_S / measured.end_s
        return self._gco2e((measured.on_demand_s + measured.spot_s) * scale, measured.busy_s * scale)

    def _gco2e(self, lifetime_s: float, busy_s: float) -> float:
        grid = carbon.find(self.place.name)
        kwh = kilowatt_hours(np.array([lifetime_s]), np.array([busy_s]), self.engine.instance)
        return kwh * grid.pue * grid.gco2e_per_kwh

    def cost(self, measured: Measured) -> Decimal:
        """What the replayed instances cost, for a month of 730 h."""
        hours = Decimal(repr(measured.on_demand_s)) * self.on_demand.per_hour
        if self.spot is not None:
            hours += Decimal(repr(measured.spot_s)) * self.spot.per_hour
        return hours / Decimal(repr(measured.end_s)) * HOURS_PER_MONTH


@dataclass(frozen=True, kw_only=True)
class RuledOut:
    """Candidates that are not replayed, and why. `miss`: by what factor the promise is missed at least."""

    bound: str
    instance_type: str
    quantization: str
    reason: str
    count: int
    miss: float = float("inf")
    points: tuple[Point, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Space:
    """What is searched of one service."""

    serving: Serving
    demand: Demand
    grid: Grid
    places: Sequence[Region]
    time_zone: str
    started_at: datetime
    seed: int
    calibration: SiteCalibration = NOT_CALIBRATED

    def engines(self) -> Iterator[Engine | RuledOut]:
        """Each instance type with each quantisation and batch limit, or why it is none."""
        names = self.grid.instance_types
        for kind in instance_types.all_types() if names is None else [instance_types.find(name) for name in names]:
            for quantization in self.grid.quantizations:
                yield from self._engines(kind, quantization)

    def points(self, engine: Engine) -> Iterator[Point | RuledOut]:
        """Each fleet of an engine in each region, or why it has none there."""
        each_share = self._combinations // len(self.grid.spot_percentages)
        for place in self.places:
            try:
                on_demand = prices.on_demand(engine.instance.name, place.name)
            except CatalogError:
                yield _unpriced(engine, "on-demand", place, self._combinations)
                continue
            for percentage in self.grid.spot_percentages:
                try:
                    as_spot = prices.spot(engine.instance.name, place.name) if percentage else None
                except CatalogError:
                    yield _unpriced(engine, "Spot", place, each_share)
                    continue
                for scaling, low, high in self._shapes(engine):
                    yield Point(
                        engine=engine,
                        scaling=scaling,
                        low=low,
                        high=high,
                        spot_percentage=percentage,
                        place=place,
                        on_demand=on_demand,
                        spot=as_spot,
                    )

    def task(self, point: Point) -> Task:
        """What decides the times of a candidate."""
        engine = point.engine
        rate = engine.interrupted_per_hour if point.spot_percentage else 0.0
        spec = point.scaling.spec(point.low, point.high, start_s=engine.start_s, time_zone=self.time_zone)
        return Task(
            replica=engine.replica,
            spec=spec,
            start_s=engine.start_s if spec.min_size < spec.max_size or rate else 0.0,
            spot_percentage=point.spot_percentage,
            interrupted_per_hour=rate,
            started_at=self.started_at,
            seed=self.seed,
        )

    def _engines(self, instance: InstanceType, quantization: str) -> Iterator[Engine | RuledOut]:
        serving = self.serving
        everywhere = self._combinations * len(self.places)
        if quantization != AS_IS:
            try:
                serving = serving.model_copy(update={"model": quantised(serving.model, quantization)})
            except PlanError as error:
                yield _out(instance, quantization, "no copy", str(error), everywhere)
                return
        placed = memory.fit(serving.model, planned(serving.engine), instance, self.demand.max_model_tokens)
        if isinstance(placed, Misfit):
            yield _out(instance, quantization, "does not fit", placed.reason, everywhere)
            return
        start_s = boot.seconds(memory.weight_bytes(serving.model), instance)
        if start_s > boot.LONGEST_SECONDS:
            reason = f"a new instance would need {start_s:.0f} s to load the model, at most {boot.LONGEST_SECONDS}"
            yield _out(instance, quantization, "starts too slowly", reason, everywhere)
            return
        roofline = Roofline(serving.model, instance, placed.tensor_parallel, self.demand.tokens)
        for batch in self._batches(roofline, placed):
            yield Engine(
                serving=serving,
                quantization=quantization,
                instance=instance,
                fit=placed,
                roofline=roofline,
                batch=batch,
                replica=self.calibration.applied(replica_of(roofline, placed, batch, self.demand.max_model_tokens)),
                start_s=start_s,
            )

    def _batches(self, roofline: Roofline, placed: Fit) -> list[int]:
        """What the cache holds, and the smaller limit with which the roofline keeps the promise, if there is one."""
        limit = {"kv_tokens": placed.kv_tokens, "max_sequences": MAX_SEQUENCES}
        slo = self.serving.slo
        promised = batch_limit(
            roofline,
            **limit,
            ttft_slo_s=None if slo.ttft_p99_ms is None else slo.ttft_p99_ms / 1000,
            tpot_slo_s=None if slo.tpot_p99_ms is None else slo.tpot_p99_ms / 1000,
        )
        most = batch_limit(roofline, **limit)
        return [most] if promised in (1, most) else [most, promised]

    def _shapes(self, engine: Engine) -> Iterator[tuple[Scaling, int, int]]:
        """Policy with least and most instances, without repetition."""
        sizes = self.grid.sizes or self._sizes(engine)
        for scaling in self.grid.scalings():
            for low, high in sizes:
                if scaling.has_one_size == (low == high):
                    yield scaling, low, high

    def _sizes(self, engine: Engine) -> list[tuple[int, int]]:
        each = engine.roofline.requests_per_second(LOAD_TARGET * engine.batch)
        peak = fleet_size.instances(self.demand.peak_rps, each)
        ladder = sorted({max(LEAST, round(factor * peak)) for factor in self.grid.size_factors})
        return [(low, high) for low in ladder for high in ladder if low <= high]

    @property
    def _combinations(self) -> int:
        """Policies, sizes and shares of Spot, as the grid counts them where an engine is none and has no sizes."""
        steps = len(self.grid.size_factors)
        pairs = self.grid.sizes or [(low, high) for low in range(steps) for high in range(low, steps)]
        equal = sum(low == high for low, high in pairs)
        shapes = sum(equal if one.has_one_size else len(pairs) - equal for one in self.grid.scalings())
        return shapes * len(self.grid.spot_percentages)


def _out(instance: InstanceType, quantization: str, bound: str, reason: str, count: int) -> RuledOut:
    return RuledOut(bound=bound, instance_type=instance.name, quantization=quantization, reason=reason, count=count)


def _unpriced(engine: Engine, what: str, place: Region, count: int) -> RuledOut:
    reason = f"the catalogue has no {what} price in {place.name}"
    return _out(engine.instance, engine.quantization, "no price", reason, count)
