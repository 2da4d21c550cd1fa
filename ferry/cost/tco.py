"""The total cost of the whole site over a horizon, for three choices.

`local`: everything stays. `cloud`: serving runs on AWS, training stays, and the freed servers are sold. `hybrid`:
serving runs on AWS, and the servers that served are kept warm as a fallback, idle. Training's part is in all three.
All figures are worth today's money where a discount rate is stated; else they are added as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from ferry.artefacts import Basis
from ferry.cost.horizon import Horizon
from ferry.cost.inputs import AVAILABILITY_SOURCE, Inputs
from ferry.cost.local import power_per_month, staff_per_month
from ferry.cost.money import HOURS_PER_MONTH
from ferry.cost.purchase import Purchase, fleet
from ferry.cost.servers import Ownership, lifetime_purchases

Choice = Literal["local", "cloud", "hybrid"]
CHOICES: tuple[Choice, ...] = ("local", "cloud", "hybrid")
STATED = "stated in site.yaml"


@dataclass(frozen=True)
class Row:
    """One item over the horizon, for each choice; `known` is False where an amount is missing, and then all are None.

    A row that is unknown for one choice is left out of all three: what one side lacks must not decide. `detail` says
    what it is made of, or what to state.
    """

    item: str
    local: Decimal | None
    cloud: Decimal | None
    hybrid: Decimal | None
    basis: Basis
    source: str
    detail: str

    @property
    def known(self) -> bool:
        """Whether the row is part of the totals."""
        return self.basis != "unknown"


@dataclass(frozen=True)
class Tco:
    """The rows, and their totals."""

    horizon: Horizon
    purchase: Purchase
    rows: tuple[Row, ...]

    def total(self, choice: Choice) -> Decimal:
        """Of the known rows."""
        return sum((getattr(row, choice) for row in self.rows if row.known), Decimal(0))

    @property
    def unknown(self) -> list[str]:
        """The rows that are in no total."""
        return [row.item for row in self.rows if not row.known]

    @property
    def saving(self) -> Decimal:
        """What `cloud` costs less than `local`; negative where it costs more."""
        return self.total("local") - self.total("cloud")


def tco(inputs: Inputs, horizon: Horizon, purchase: Purchase = "on-demand") -> Tco:
    """All rows. Pure: the same inputs give the same rows."""
    rows = (
        *_servers(inputs, horizon),
        _lifetime(inputs, horizon, "NVMe array", inputs.nvme_array, "costs.nvme_array"),
        _lifetime(inputs, horizon, "cooling", inputs.cooling, "costs.cooling"),
        _racks(inputs, horizon),
        _power(inputs, horizon),
        _staff(inputs, horizon),
        _downtime(inputs, horizon),
        _delay(inputs, horizon),
        _instances(inputs, horizon, purchase),
        *_services(inputs, horizon),
    )
    return Tco(horizon, purchase, rows)


def _servers(inputs: Inputs, horizon: Horizon) -> Iterator[Row]:
    count, price, life = inputs.server_count, inputs.server_price, inputs.lifetime_months
    if count is None or price is None or life is None:
        yield _unknown("server purchases", "state costs.servers: count, price_each, lifetime_months")
        return
    everything = Ownership(
        count * price, inputs.residual_share or Decimal(0), life, inputs.age_months or Decimal(0), horizon
    )
    stays = 1 - inputs.serving_share
    bought = everything.purchases()
    months = ", ".join(f"{month:.0f}" for month in everything.purchase_months)
    detail = f"{count} x {price:,} bought anew in month {months}" if months else "none is due: those there are paid"
    yield _row("server purchases", bought, bought * stays, bought, detail)
    if inputs.residual_share is None:
        yield _unknown("value of servers", "state costs.servers.residual_share")
        return
    back = everything.returns()
    residual = everything.price * inputs.residual_share
    today = residual + inputs.resale_share * (everything.book_value_today() - residual)
    detail = (
        f"book value of {everything.book_value_at_end():,.0f} at the end; freed servers are sold today for "
        f"{today * inputs.serving_share:,.0f}"
    )
    yield _row("value of servers", -back, -back * stays - today * inputs.serving_share, -back, detail)


def _lifetime(inputs: Inputs, horizon: Horizon, item: str, price: Decimal | None, key: str) -> Row:
    amount = None if price is None else lifetime_purchases(inputs, price, horizon)
    if amount is None:
        return _unknown(item, f"state {key}, and costs.servers.lifetime_months")
    detail = "bought anew with the servers; it does not shrink with their number"
    return _row(item, amount, amount, amount, detail)


def _racks(inputs: Inputs, horizon: Horizon) -> Row:
    if inputs.racks is None or inputs.rack_price_per_month is None:
        return _unknown("racks", "state costs.racks: count, price_per_month")
    amount = inputs.racks * inputs.rack_price_per_month * horizon.monthly()
    detail = f"{_plain(inputs.racks)} racks at {inputs.rack_price_per_month:,} a month"
    return _row("racks", amount, amount * (1 - inputs.serving_share), amount, detail)


def _power(inputs: Inputs, horizon: Horizon) -> Row:
    full, idle, tariff = inputs.kw_full_load, inputs.kw_idle, inputs.price_per_kwh
    if full is None or idle is None or tariff is None:
        return _unknown("power", "state costs.power: kw_full_load, kw_idle, price_per_kwh")
    busy = inputs.utilization or Decimal(0)
    now, resting = (
        power_per_month(full_kw=full, idle_kw=idle, busy=share, pue=inputs.pue, tariff=tariff)
        for share in (busy, Decimal(0))
    )
    share = inputs.serving_share
    parallel = share * now * horizon.monthly(min(round(inputs.parallel_months), horizon.months))
    local = now * horizon.monthly()
    cloud = local * (1 - share) + parallel
    hybrid = local * (1 - share) + share * resting * horizon.monthly()
    detail = f"{_plain(idle)} to {_plain(full)} kW at {busy:.0%} use, PUE {_plain(inputs.pue)}, {tariff} a kWh"
    return _row("power", local, cloud, hybrid, detail)


def _staff(inputs: Inputs, horizon: Horizon) -> Row:
    if inputs.staff_people is None or inputs.price_per_person_year is None:
        return _unknown("staff", "state costs.staff: people, price_per_person_year")
    amount = staff_per_month(inputs.staff_people, inputs.price_per_person_year) * horizon.monthly()
    freed = inputs.serving_share * inputs.staff_freed_share
    detail = f"{_plain(inputs.staff_people)} people; {freed:.0%} of their time is freed by the move"
    return _row("staff", amount, amount * (1 - freed), amount, detail)


def _downtime(inputs: Inputs, horizon: Horizon) -> Row:
    between, repair, price = inputs.mtbf_hours, inputs.mttr_hours, inputs.price_per_hour_down
    if between is None or repair is None or price is None:
        return _unknown("downtime", "state costs.reliability: mtbf_hours, mttr_hours, price_per_hour_down")
    at_home, on_aws = repair / (between + repair), 1 - inputs.aws_availability
    cost = price * HOURS_PER_MONTH * horizon.monthly()
    detail = (
        f"{at_home:.3%} of the time at home (MTBF {_plain(between)} h, MTTR {_plain(repair)} h), {on_aws:.3%} on AWS, "
        f"at {price:,} an hour; with a fallback both have to fail"
    )
    source = f"{STATED}; {AVAILABILITY_SOURCE}"
    return Row("downtime", cost * at_home, cost * on_aws, cost * at_home * on_aws, "assumed", source, detail)


def _delay(inputs: Inputs, horizon: Horizon) -> Row:
    home, aws = inputs.delay_days_at_home, inputs.delay_days_on_aws
    often, price = inputs.delays_per_year, inputs.price_per_day_of_delay
    if home is None or aws is None or often is None or price is None:
        return _unknown("delay", "state costs.delay: days_at_home, days_on_aws, times_per_year, price_per_day")
    each = often / 12 * price * horizon.monthly()
    detail = (
        f"{_plain(often)} changes a year wait {_plain(home)} days at home, {_plain(aws)} on AWS, at {price:,} a day"
    )
    return _row("delay", home * each, aws * each, aws * each, detail)


def _instances(inputs: Inputs, horizon: Horizon, purchase: Purchase) -> Row:
    bought = fleet(inputs, horizon, purchase)
    if bought.amount is None:
        return _unknown("AWS: instances", bought.detail)
    return Row(
        "AWS: instances", Decimal(0), bought.amount, bought.amount, "assumed", f"price list, {purchase}", bought.detail
    )


def _services(inputs: Inputs, horizon: Horizon) -> Iterator[Row]:
    for service in inputs.services:
        if service.per_month is None:
            yield _unknown(f"AWS: {service.item}", service.source)
            continue
        amount = service.per_month * inputs.services_factor * horizon.monthly()
        yield Row(f"AWS: {service.item}", Decimal(0), amount, amount, "assumed", service.source, service.detail)


def _plain(value: Decimal) -> str:
    return f"{float(value):g}"


def _row(item: str, local: Decimal, cloud: Decimal, hybrid: Decimal, detail: str) -> Row:
    return Row(item, local, cloud, hybrid, "assumed", STATED, detail)


def _unknown(item: str, remedy: str) -> Row:
    return Row(item, None, None, None, "unknown", "", remedy)
