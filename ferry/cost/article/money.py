"""The claims about money and energy."""

from __future__ import annotations

from decimal import Decimal

from ferry.catalog import prices
from ferry.cost.article.claim import (
    ARTICLE,
    CLOUD_USE,
    HOME_USE,
    LIFE_MONTHS,
    PUE,
    REGION,
    RENTED,
    RESIDUAL,
    SERVER_KW,
    SERVER_PRICE,
    TARIFF,
    Claim,
    Given,
    owned_per_month,
    rent,
)
from ferry.cost.money import HOURS_PER_MONTH

HOURS_PER_YEAR = HOURS_PER_MONTH * 12
LIST_PRICE = Given("list price of a DGX A100 (8 x 40 GB)", Decimal(199_000), "USD", "NVIDIA, at its launch in May 2020")
USED_LOW = Given("used A100-80GB, low", Decimal(8_000), "USD", "mercatus-ai.com, 2026, a weak source")
USED_HIGH = Given("used A100-80GB, high", Decimal(15_000), "USD", "mercatus-ai.com, 2026, a weak source")
YEARLY_HOME = Given("a year at home", Decimal(1_200_000), "USD", ARTICLE)
YEARLY_AWS = Given("a year on AWS", Decimal(380_000), "USD", ARTICLE)


def advantage() -> Claim:
    """Read as: money for an hour that a GPU works."""
    hourly = rent()
    owned = owned_per_month() + SERVER_KW.value * PUE.value * TARIFF.value * HOURS_PER_MONTH
    rented = hourly.value * HOURS_PER_MONTH
    value = (owned / HOME_USE.value) / (rented / CLOUD_USE.value)
    needed = owned * CLOUD_USE.value / (Decimal("7.2") * rented)
    equal = owned * CLOUD_USE.value / rented
    own_figures = YEARLY_HOME.value / YEARLY_AWS.value * CLOUD_USE.value / HOME_USE.value
    return Claim(
        says="7.2 x the value for money (read as: cost of an hour that a GPU works)",
        formula="((price x (1 - residual) / lifetime + power at full load) / use at home) / (rent / use on AWS)",
        inputs=(
            SERVER_PRICE,
            RESIDUAL,
            LIFE_MONTHS,
            SERVER_KW,
            PUE,
            TARIFF,
            hourly,
            HOME_USE,
            CLOUD_USE,
        ),
        result=f"{value:.2f} x on the same accelerators: owning is the cheaper one",
        value=value,
        outcome="does not come out",
        holds_when=f"the servers at home work {needed:.1%} of the time. The article's other figures give "
        f"{own_figures:.1f} x if the saving of 1.2 to 0.38 million is multiplied with the gain in utilisation; but "
        "that gain is why the bill is smaller, so it counts twice",
        false_from=f"above {needed:.1%} use at home it is less than 7.2 x; from {equal:.0%} on, owning is cheaper",
    )


def server_price() -> Claim:
    """What eight A100 cost."""
    hourly = rent()
    off = SERVER_PRICE.value / LIST_PRICE.value - 1
    each = SERVER_PRICE.value / (LIFE_MONTHS.value * HOURS_PER_MONTH * 8)
    equal = each / (hourly.value / 8)
    return Claim(
        says="200,000 USD for 8 x A100",
        formula="quoted price / list price - 1",
        inputs=(SERVER_PRICE, LIST_PRICE, USED_LOW, USED_HIGH, LIFE_MONTHS, hourly),
        result=f"{off:+.1%} from the list price of 2020; eight used A100-80GB are {8 * USED_LOW.value:,.0f} to "
        f"{8 * USED_HIGH.value:,.0f} USD today, without their server",
        value=off,
        outcome="comes out",
        holds_when="a new DGX A100 with 40 GB at its list price of 2020, without network, racks and power",
        false_from=f"true at any use; but written off over {LIFE_MONTHS.value} months it is {each:.2f} USD per GPU and "
        f"hour, dear only if the GPUs work less than {equal:.0%} of the time ({RENTED}: {hourly.value / 8:.2f})",
    )


def energy() -> Claim:
    """What a server of eight draws."""
    claimed = Decimal(15)
    value = SERVER_KW.value * PUE.value
    return Claim(
        says="15 kWh an hour for 8 x A100",
        formula="kW of the server at full load x PUE",
        inputs=(SERVER_KW, PUE, TARIFF),
        result=f"{value:.2f} kWh an hour, {value * TARIFF.value:.2f} USD; the GPUs alone draw 8 x 400 W = 3.2 kW",
        value=value,
        outcome="does not come out",
        holds_when=f"a PUE of {claimed / SERVER_KW.value:.2f}, or two servers at a PUE of "
        f"{claimed / (2 * SERVER_KW.value):.2f}",
        false_from="it is a figure of full load: at 35 % use a server draws less, whatever the PUE",
    )


def hardware_saving() -> Claim:
    """What renting saves of the hardware's cost."""
    hourly, spot = rent(), prices.spot(RENTED, REGION)
    owned, rented = owned_per_month(), hourly.value * HOURS_PER_MONTH
    share = HOME_USE.value / CLOUD_USE.value
    value = 1 - share * rented / owned
    left = Decimal(1) - Decimal("0.68")
    on_demand, on_spot = (
        left * owned * CLOUD_USE.value / (price * HOURS_PER_MONTH) for price in (hourly.value, spot.per_hour)
    )
    equal = owned * CLOUD_USE.value / rented
    of_spot = Given(
        f"{RENTED} on Spot in {REGION}", spot.per_hour, "USD/h", f"{spot.source}, {spot.as_of}", is_price=True
    )
    return Claim(
        says="68 % less hardware cost",
        formula="1 - (use at home / use on AWS) x rented a month / owned a month",
        inputs=(SERVER_PRICE, RESIDUAL, LIFE_MONTHS, hourly, of_spot, HOME_USE, CLOUD_USE),
        result=f"{-value:.0%} more at the article's own {HOME_USE.value:.0%}, on demand",
        value=value,
        outcome="does not come out",
        holds_when=f"the servers are used less than {on_demand:.1%} of the time ({on_spot:.0%} on Spot, at its "
        "day's price and without what interruptions cost)",
        false_from=f"68 % ends at {on_demand:.1%} use, any saving at {equal:.0%}: above it owning is cheaper",
    )


def yearly_cost() -> Claim:
    """What a year costs before and after."""
    hourly = rent()
    servers = YEARLY_HOME.value / SERVER_PRICE.value
    hardware = SERVER_PRICE.value * (1 - RESIDUAL.value) / (LIFE_MONTHS.value / 12)
    power = SERVER_KW.value * PUE.value * TARIFF.value * HOURS_PER_YEAR
    home = servers * (hardware + power)
    needed = servers * HOME_USE.value / CLOUD_USE.value
    aws = needed * hourly.value * HOURS_PER_YEAR
    use = YEARLY_AWS.value / (servers * hourly.value * HOURS_PER_YEAR) * CLOUD_USE.value
    return Claim(
        says="1.2 million USD become 0.38 million a year",
        formula="servers x (price x (1 - residual) / years + kW x PUE x tariff x 8,760 h), against "
        "servers x (use at home / use on AWS) x rent x 8,760 h",
        inputs=(
            YEARLY_HOME,
            YEARLY_AWS,
            SERVER_PRICE,
            RESIDUAL,
            LIFE_MONTHS,
            SERVER_KW,
            PUE,
            TARIFF,
            hourly,
            HOME_USE,
            CLOUD_USE,
        ),
        result=f"1.2 million buys {servers:.0f} servers; a year of owning them is {home:,.0f} USD, a year of the same "
        f"work on {needed:.2f} x {RENTED} is {aws:,.0f} USD",
        value=aws / home,
        outcome="does not come out",
        holds_when="a purchase that serves for years is set against one year's bill; year against year, 0.38 "
        "million is what owning costs",
        false_from=f"0.38 million a year pays for the work of {servers:.0f} servers up to {use:.0%} use",
    )
