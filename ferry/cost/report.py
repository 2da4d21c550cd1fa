"""The whole of `ferry cost`: totals, ways to buy, break-evens, what matters, how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from ferry.artefacts import Assessment, Plan
from ferry.catalog import instance_types, prices
from ferry.cost import ranges as range_data
from ferry.cost.break_even import Steady, steady
from ferry.cost.by_month import ByMonth, by_month
from ferry.cost.horizon import Horizon
from ferry.cost.inputs import Inputs, gather, horizon_months
from ferry.cost.local import local_items
from ferry.cost.money import HOURS_PER_MONTH, cents
from ferry.cost.purchase import PURCHASES, Fleet, Purchase, fleet
from ferry.cost.rates import NO_RATES, Rates
from ferry.cost.sensitivity import DRAWS, SEED, MonteCarlo, Swing, monte_carlo, tornado
from ferry.cost.tco import CHOICES, Tco, tco
from ferry.errors import CatalogError, InvalidField

MOST_DRAWS = 100_000


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person may choose. `discount_rate` is a year's, 0 to below 1; `today` is what prices are dated against."""

    today: date
    rates: Rates = NO_RATES
    months: int | None = None
    purchase: Purchase = "on-demand"
    discount_rate: Decimal = Decimal(0)
    ranges: Path | None = None
    seed: int = SEED
    draws: int = DRAWS


@dataclass(frozen=True)
class SameWork:
    """The total with a fleet that does what the owned accelerators do at their measured utilisation."""

    instances: Decimal
    tco: Tco


@dataclass(frozen=True, kw_only=True)
class CostReport:
    """The result. `tco` has the fleet that the trace sizes, or an assumed load where there is no trace.

    `same_work` has as many instances as do the work of the site's own accelerators at their utilisation. It and the
    curves are None where what they need is unknown; `notes` says why.
    """

    site: str
    inputs: Inputs
    horizon: Horizon
    horizon_from: str
    tco: Tco
    same_work: SameWork | None
    ways: tuple[Fleet, ...]
    utilization: Decimal | None
    like_for_like: Steady | None
    without_staff: Steady | None
    by_trace: Steady | None
    by_month: ByMonth
    swings: tuple[Swing, ...]
    not_varied: tuple[str, ...]
    monte_carlo: MonteCarlo
    notes: tuple[str, ...]
    stale: tuple[str, ...]

    @property
    def contradicted(self) -> bool:
        """Whether the trace and the utilisation give opposite answers: one of them does not tell the whole load."""
        return self.same_work is not None and (self.same_work.tco.saving > 0) != (self.tco.saving > 0)

    def dump(self) -> dict[str, Any]:
        """Everything as JSON types; money as strings of the site's currency, to the cent."""
        curves = {"like_for_like": self.like_for_like, "by_trace": self.by_trace}
        simulated = self.monte_carlo
        return {
            "schema": "ferry/cost/v1",
            "site": self.site,
            "currency": self.inputs.currency,
            "horizon_months": self.horizon.months,
            "horizon_from": self.horizon_from,
            "discount_rate": str(self.horizon.discount_rate),
            "purchase": self.tco.purchase,
            "rows": [
                {
                    "item": row.item,
                    **{choice: _text(getattr(row, choice)) for choice in CHOICES},
                    "basis": row.basis,
                    "source": row.source,
                    "detail": row.detail,
                }
                for row in self.tco.rows
            ],
            "totals": {choice: _text(self.tco.total(choice)) for choice in CHOICES},
            "not_in_the_totals": self.tco.unknown,
            "cloud_saves": _text(self.tco.saving),
            "same_work": None
            if self.same_work is None
            else {
                "instances": f"{self.same_work.instances:.2f}",
                "totals": {choice: _text(self.same_work.tco.total(choice)) for choice in CHOICES},
                "cloud_saves": _text(self.same_work.tco.saving),
            },
            "ways_to_buy": [
                {"purchase": way.purchase, "amount": _text(way.amount), "detail": way.detail} for way in self.ways
            ],
            "utilization": None if self.utilization is None else str(self.utilization),
            "break_even_utilization": {
                **{name: _share(curve.break_even) if curve else None for name, curve in curves.items()},
                "without_staff": _share(self.without_staff.break_even) if self.without_staff else None,
            },
            "break_even_month": self.by_month.break_even,
            "lead_of_cloud_ends_in_month": self.by_month.lead_ends,
            "tornado": [
                {
                    "input": swing.range.name,
                    "low": str(swing.range.low),
                    "known": str(swing.range.base),
                    "high": str(swing.range.high),
                    "cloud_saves_at_low": _text(swing.at_low),
                    "cloud_saves_at_high": _text(swing.at_high),
                    "decides": swing.decides,
                    "drawn": swing.range.drawn,
                    "source": swing.range.source,
                }
                for swing in self.swings
            ],
            "not_varied": list(self.not_varied),
            "monte_carlo": {
                "seed": simulated.seed,
                "draws": simulated.draws,
                "cloud_cheaper": str(simulated.cloud_cheaper),
                **{
                    name: {"p10": _text(one.p10), "p50": _text(one.p50), "p90": _text(one.p90)}
                    for name, one in (*simulated.totals.items(), ("cloud_saves", simulated.saving))
                },
            },
            "notes": list(self.notes),
            "stale_prices": list(self.stale),
        }


def evaluate(
    assessment: Assessment, plan: Plan, options: Options, *, progress: Callable[[int], None] | None = None
) -> CostReport:
    """Everything about the cost of one plan. `progress` is told each draw of the simulation.

    Raises InvalidField for options out of range or a currency without a rate, CatalogError for a way to buy that has
    no price, UnreadableInput or UnknownSchema for a file of ranges.
    """
    _check(options)
    gathered = gather(assessment, plan, options.rates, options.today)
    inputs = gathered.inputs
    months, horizon_from = horizon_months(inputs, options.months)
    horizon = Horizon(months, options.discount_rate)
    ways = tuple(fleet(inputs, horizon, way) for way in PURCHASES)
    chosen = next(way for way in ways if way.purchase == options.purchase)
    if chosen.amount is None:
        raise CatalogError(f"--purchase {options.purchase}: {chosen.detail}")
    varied, unknown = range_data.around(inputs, *range_data.load(options.ranges))
    like_for_like, without_staff, by_trace = _curves(assessment, plan, inputs, chosen, horizon)
    result = tco(inputs, horizon, options.purchase)
    return CostReport(
        site=assessment.site,
        inputs=inputs,
        horizon=horizon,
        horizon_from=horizon_from,
        tco=result,
        same_work=_same_work(inputs, like_for_like, chosen, horizon),
        ways=ways,
        utilization=inputs.utilization,
        like_for_like=like_for_like,
        without_staff=without_staff,
        by_trace=by_trace,
        by_month=by_month(inputs, horizon, options.purchase),
        swings=tuple(tornado(inputs, varied, horizon, options.purchase)),
        not_varied=tuple(unknown),
        monte_carlo=monte_carlo(
            inputs, varied, horizon, options.purchase, seed=options.seed, draws=options.draws, progress=progress
        ),
        notes=(*gathered.assumptions, *_notes(assessment, plan, result, like_for_like)),
        stale=tuple(prices.stale_sources(gathered.used, options.today)),
    )


def _check(options: Options) -> None:
    if not (options.discount_rate.is_finite() and 0 <= options.discount_rate < 1):
        raise InvalidField(f"--discount-rate {options.discount_rate}: expected a year's rate from 0 to below 1")
    if not 1 <= options.draws <= MOST_DRAWS:
        raise InvalidField(f"--draws {options.draws}: expected 1 to {MOST_DRAWS:,}")
    if options.seed < 0:
        raise InvalidField(f"--seed {options.seed}: expected 0 or more")


def _curves(
    assessment: Assessment, plan: Plan, inputs: Inputs, chosen: Fleet, horizon: Horizon
) -> tuple[Steady | None, Steady | None, Steady | None]:
    """Owning against renting a month: like for like, the same without staff, and by the fleet that the trace sizes."""
    services = sum((one.per_month or Decimal(0) for one in inputs.services), Decimal(0))
    local = local_items(assessment)
    hourly = _hourly(inputs, chosen, horizon)
    curve = steady(
        assessment, local, instance_types.find(plan.chosen.instance_type), per_hour=hourly, services=services
    )
    if curve is None:
        return None, None, None
    staff = next((item.serving_amount for item in local if item.ends == "with the people"), None) or Decimal(0)
    leaner = replace(curve, owned_idle=curve.owned_idle - staff)
    if not inputs.utilization or plan.serving_facts.trace is None:
        return curve, leaner, None
    month = inputs.mean_instances * hourly * HOURS_PER_MONTH
    least = min(inputs.least_instances, inputs.mean_instances) * hourly * HOURS_PER_MONTH
    return curve, leaner, replace(curve, rented_busy=month / inputs.utilization, least=least)


def _same_work(inputs: Inputs, curve: Steady | None, chosen: Fleet, horizon: Horizon) -> SameWork | None:
    if curve is None or inputs.utilization is None:
        return None
    instances = curve.rented_busy * inputs.utilization / (_hourly(inputs, chosen, horizon) * HOURS_PER_MONTH)
    return SameWork(instances, tco(replace(inputs, mean_instances=instances), horizon, chosen.purchase))


def _hourly(inputs: Inputs, chosen: Fleet, horizon: Horizon) -> Decimal:
    """What an hour of one instance costs on the mean, bought in the way that was chosen."""
    return (chosen.amount or Decimal(0)) / (inputs.mean_instances * HOURS_PER_MONTH * horizon.monthly())


def _notes(assessment: Assessment, plan: Plan, result: Tco, curve: Steady | None) -> Sequence[str]:
    said = []
    if plan.serving_facts.trace is None:
        said.append("no request trace: the fleet on AWS is sized for an assumed load, so its cost is assumed too")
    if curve is None:
        said.append(
            f"no break-even utilisation: the catalogue does not know {assessment.cluster.accelerator!r}, training "
            "uses every node, or nothing is known of the costs at home"
        )
    at_home = [item.line.item for item in local_items(assessment) if item.serving and item.line.amount.amount is None]
    if curve is not None and at_home:
        said.append(f"the break-even utilisation is higher than shown: {', '.join(at_home)} at home is not stated")
    on_aws = [item.removeprefix("AWS: ") for item in result.unknown if item.startswith("AWS: ")]
    if on_aws:
        said.append(f"AWS costs more than shown: the prices of {', '.join(on_aws)} are unknown in {plan.region}")
    return said


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(cents(amount))


def _share(value: Decimal | None) -> str | None:
    return None if value is None else str(value.quantize(Decimal("0.0001")))
