"""Everything that the cost over a horizon rests on, as one flat record that the sensitivity analysis can vary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from ferry.artefacts import Assessment, Figure, Money, Plan
from ferry.catalog import prices
from ferry.cost.local import serving_nodes
from ferry.cost.rates import Rates
from ferry.errors import CatalogError, InvalidField

AWS_AVAILABILITY = Decimal("0.9999")
AVAILABILITY_SOURCE = "EC2's region-level SLA, two zones (aws.amazon.com/compute/sla); a promise, not a measurement"
PARALLEL_MONTHS = Decimal(1)
"""Both sides run while traffic moves: shadow traffic, then weighted steps. Assumed."""
MOST_MONTHS = 240
SHORTEST_LIFE_MONTHS = 12
"""With less than this left, a remaining life is no horizon to decide over."""
DEFAULT_MONTHS = 36


@dataclass(frozen=True)
class Service:
    """A line of the monthly AWS bill beside the instances, in the site's currency; None: its price is unknown."""

    item: str
    per_month: Decimal | None
    source: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """All money in `currency`. None is unknown, and makes the lines that need it unknown. Shares are 0 to 1.

    `age_months` is the servers' age; `serving_share` the part of the nodes that serves. Prices of instances are an
    hour each. `spot_per_hour` and the savings rates are None where the catalogue has none.
    """

    currency: str
    region: str
    instance_type: str
    serving_share: Decimal

    server_count: Decimal | None
    server_price: Decimal | None
    lifetime_months: Decimal | None
    age_months: Decimal | None
    residual_share: Decimal | None
    resale_share: Decimal
    nvme_array: Decimal | None
    cooling: Decimal | None
    racks: Decimal | None
    rack_price_per_month: Decimal | None
    kw_full_load: Decimal | None
    kw_idle: Decimal | None
    utilization: Decimal | None
    pue: Decimal
    price_per_kwh: Decimal | None
    staff_people: Decimal | None
    price_per_person_year: Decimal | None
    staff_freed_share: Decimal
    mtbf_hours: Decimal | None
    mttr_hours: Decimal | None
    price_per_hour_down: Decimal | None
    delay_days_at_home: Decimal | None
    delay_days_on_aws: Decimal | None
    delays_per_year: Decimal | None
    price_per_day_of_delay: Decimal | None

    on_demand_per_hour: Decimal
    spot_per_hour: Decimal | None
    savings_1yr_per_hour: Decimal | None
    savings_3yr_per_hour: Decimal | None
    mean_instances: Decimal
    least_instances: Decimal
    services: tuple[Service, ...]
    unstated: frozenset[str] = frozenset()
    """Names of inputs that the site leaves out, and that are taken at the end that is against the cloud."""
    services_factor: Decimal = Decimal(1)
    aws_availability: Decimal = AWS_AVAILABILITY
    parallel_months: Decimal = PARALLEL_MONTHS


@dataclass(frozen=True)
class Gathered:
    """The inputs, what was assumed in gathering them, and source and date of each price in them."""

    inputs: Inputs
    assumptions: tuple[str, ...]
    used: tuple[tuple[str, date], ...]


def gather(assessment: Assessment, plan: Plan, rates: Rates, today: date) -> Gathered:
    """Take the inputs from an assessment and its plan, converted into the site's currency.

    Raises InvalidField where the region bills in another currency and no rate is stated.
    """
    costs, chosen = assessment.costs, plan.chosen
    billed = "USD" if chosen.usd_per_hour is not None else "CNY"
    factor = rates.factor(billed, costs.currency)
    said = list(_said(assessment, billed, rates))
    used: list[tuple[str, date]] = []
    for line in plan.cloud_monthly:
        used += prices.dated(line.amount.source)
    hourly = chosen.usd_per_hour if chosen.usd_per_hour is not None else chosen.cny_per_hour
    if hourly is None or chosen.mean_size is None or chosen.min_size is None:
        raise InvalidField("the plan's chosen candidate has no price or no size; make the plan again with ferry plan")
    offers: dict[str, Decimal | None] = {}
    for kind, find in (
        ("spot", prices.spot),
        ("savings_1yr", lambda name, region: prices.savings_plan(name, region, 1)),
        ("savings_3yr", lambda name, region: prices.savings_plan(name, region, 3)),
    ):
        try:
            price = find(chosen.instance_type, chosen.region)
        except CatalogError:
            offers[kind] = None
            continue
        offers[kind] = price.per_hour * factor
        used.append((price.source, price.as_of))
    utilization = assessment.cluster.gpu_utilization.value
    inputs = Inputs(
        currency=costs.currency,
        region=chosen.region,
        instance_type=chosen.instance_type,
        serving_share=Decimal(serving_nodes(assessment)) / assessment.cluster.nodes,
        server_count=None if costs.server_count is None else Decimal(costs.server_count),
        server_price=costs.server_price_each.amount,
        lifetime_months=_number(costs.server_lifetime_months),
        age_months=age_months(assessment, today),
        residual_share=_number(costs.server_residual_share),
        resale_share=_number(costs.further.server_resale_share) or Decimal(0),
        nvme_array=costs.nvme_array.amount,
        cooling=costs.cooling.amount,
        racks=_number(costs.further.racks),
        rack_price_per_month=_amount(costs.further.rack_price_per_month),
        kw_full_load=_number(costs.power_kw_full_load),
        kw_idle=_number(costs.power_kw_idle),
        utilization=None if utilization is None else Decimal(repr(utilization)) / 100,
        pue=_number(costs.power_usage_effectiveness) or Decimal(1),
        price_per_kwh=costs.power_price_per_kwh.amount,
        staff_people=_number(costs.staff_people),
        price_per_person_year=costs.staff_price_per_person_year.amount,
        staff_freed_share=_number(costs.further.staff_freed_share) or Decimal(0),
        mtbf_hours=_number(costs.mtbf_hours),
        mttr_hours=_number(costs.mttr_hours),
        price_per_hour_down=_amount(costs.further.price_per_hour_down),
        delay_days_at_home=_number(costs.further.delay_days_at_home),
        delay_days_on_aws=_number(costs.further.delay_days_on_aws),
        delays_per_year=_number(costs.further.delays_per_year),
        price_per_day_of_delay=_amount(costs.further.price_per_day_of_delay),
        on_demand_per_hour=hourly * factor,
        spot_per_hour=offers["spot"],
        savings_1yr_per_hour=offers["savings_1yr"],
        savings_3yr_per_hour=offers["savings_3yr"],
        mean_instances=Decimal(repr(chosen.mean_size)),
        least_instances=Decimal(chosen.min_size),
        services=tuple(
            Service(
                line.item,
                None if line.amount.amount is None else line.amount.amount * factor,
                line.amount.source,
                line.detail,
            )
            for line in plan.cloud_monthly
            if line.item != "instances"
        ),
        unstated=frozenset(
            name
            for name, figure in (
                ("resale_share", costs.further.server_resale_share),
                ("staff_freed_share", costs.further.staff_freed_share),
            )
            if figure is None
        ),
    )
    return Gathered(inputs, tuple(said), tuple(used))


def age_months(assessment: Assessment, today: date) -> Decimal | None:
    """How old the servers are, in whole months; None when the day of purchase is unknown."""
    if assessment.cluster.purchased is None:
        return None
    bought = date.fromisoformat(assessment.cluster.purchased)
    return Decimal(max(0, (today.year - bought.year) * 12 + today.month - bought.month - (today.day < bought.day)))


def horizon_months(inputs: Inputs, wanted: int | None) -> tuple[int, str]:
    """The horizon, and where it comes from: the one wanted, else the servers' remaining life, else 36 months.

    Raises InvalidField for a horizon that is not between 1 and 240 months.
    """
    if wanted is not None:
        if not 1 <= wanted <= MOST_MONTHS:
            raise InvalidField(f"--horizon-months {wanted}: expected 1 to {MOST_MONTHS}")
        return wanted, "as asked for"
    if inputs.lifetime_months is not None and inputs.age_months is not None:
        left = round(inputs.lifetime_months - inputs.age_months)
        if left >= SHORTEST_LIFE_MONTHS:
            return min(left, MOST_MONTHS), "what is left of the servers' life"
        return DEFAULT_MONTHS, f"the servers' life has {max(left, 0)} months left: new ones have to be bought"
    return DEFAULT_MONTHS, "the servers' remaining life is unknown"


def _said(assessment: Assessment, billed: str, rates: Rates) -> Iterator[str]:
    costs, cluster = assessment.costs, assessment.cluster
    converted = rates.between(billed, costs.currency)
    if converted and billed != costs.currency:
        yield f"AWS bills in {billed}, converted at {converted[1]}"
    if cluster.purchased is None:
        yield "the day of purchase is unknown: the servers are taken as new, which is in favour of keeping them"
    used = cluster.gpu_utilization
    if used.value is not None:
        yield f"the GPUs are busy {used.value:.0f} % of the time: {used.basis}, {used.source}"
    else:
        yield "GPU utilisation is unknown: power is taken as idle, which is in favour of keeping the servers"
    if costs.power_usage_effectiveness.value is None:
        yield "no PUE is stated: 1 is taken, which is in favour of keeping the servers"
    if costs.further.server_resale_share is None:
        yield "freed servers bring their residual value and nothing above it (costs.servers.resale_share)"
    if costs.further.staff_freed_share is None:
        yield "nobody's time is freed by the move (costs.staff.freed_share)"
    yield f"{PARALLEL_MONTHS} month in which both sides run while traffic moves"
    yield f"AWS is up {AWS_AVAILABILITY:.2%} of the time: {AVAILABILITY_SOURCE}"


def _number(figure: Figure | None) -> Decimal | None:
    return None if figure is None or figure.value is None else Decimal(repr(figure.value))


def _amount(money: Money | None) -> Decimal | None:
    return None if money is None else money.amount
