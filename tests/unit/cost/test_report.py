"""`ferry cost` from an assessment to numbers, text and pictures."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ferry.artefacts import Assessment, ExchangeRate, FurtherCosts, Money, Plan
from ferry.cost.inputs import age_months, gather
from ferry.cost.plots import plots, utilization_curve
from ferry.cost.rates import NO_RATES, rates
from ferry.cost.report import CostReport, Options, evaluate
from ferry.cost.text import describe
from ferry.errors import CatalogError, InvalidField
from tests.plans import make_plan
from tests.unit.cost.sites import assessment, figure, money, plan

TODAY = date(2026, 11, 24)
Cost = Callable[..., CostReport]


@pytest.fixture(scope="module")
def cost() -> Cost:
    """Evaluates a site with few draws."""

    def run(site: Assessment | None = None, made: Plan | None = None, **options: Any) -> CostReport:
        return evaluate(site or assessment(), made or plan(), Options(**{"today": TODAY, "draws": 20, **options}))

    return run


def test_the_horizon_is_what_is_left_of_the_servers_life(cost: Cost) -> None:
    assert (cost().horizon.months, cost().horizon_from) == (30, "what is left of the servers' life")
    assert cost(months=7).horizon.months == 7


@pytest.mark.parametrize(
    ("purchased", "said"),
    [
        ("2022-01-01", "the servers' life has 0 months left: new ones have to be bought"),
        ("2024-02-24", "the servers' life has 7 months left: new ones have to be bought"),
        (None, "the servers' remaining life is unknown"),
    ],
)
def test_else_it_is_three_years(cost: Cost, purchased: str | None, said: str) -> None:
    found = cost(assessment(purchased=purchased))
    assert (found.horizon.months, found.horizon_from) == (36, said)


@pytest.mark.parametrize(("day", "age"), [("2026-11-24", 0), ("2026-10-25", 0), ("2026-10-24", 1), ("2027-02-01", 0)])
def test_servers_age_by_whole_months(day: str, age: int) -> None:
    assert age_months(assessment(purchased=day), TODAY) == age


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"months": 0}, "--horizon-months 0: expected 1 to 240"),
        ({"months": 241}, "--horizon-months 241: expected 1 to 240"),
        ({"discount_rate": Decimal("-0.1")}, "--discount-rate -0.1: expected a year's rate from 0 to below 1"),
        ({"discount_rate": Decimal(8)}, "--discount-rate 8: expected"),
        ({"discount_rate": Decimal("NaN")}, "--discount-rate NaN: expected"),
        ({"draws": 0}, "--draws 0: expected 1 to 100,000"),
        ({"seed": -1}, "--seed -1: expected 0 or more"),
    ],
)
def test_options_out_of_range_are_refused(cost: Cost, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidField, match=said):
        cost(**options)


def test_a_way_to_buy_without_a_price_is_an_error(cost: Cost) -> None:
    made = plan(instance_type="p4de.24xlarge", accelerator="A100-80GB", accelerators=8)
    with pytest.raises(CatalogError, match="no 3-year savings-plan rate of p4de"):
        cost(made=made, purchase="savings-3yr")


def test_amounts_in_two_currencies_are_refused_without_a_rate(cost: Cost) -> None:
    with pytest.raises(InvalidField, match="amounts in USD and CNY cannot be added: give a rate with --rate USD/CNY=…"):
        cost(assessment(currency="CNY"))


def test_with_a_rate_everything_is_in_the_sites_currency(cost: Cost) -> None:
    found = cost(assessment(currency="CNY"), rates=rates(["USD/CNY=7.1"]))
    rented = next(row for row in found.tco.rows if row.item == "AWS: instances")
    assert rented.cloud == Decimal("1.006") * Decimal("7.1") * 3 * 730 * 30
    assert found.inputs.currency == "CNY"
    assert found.inputs.savings_1yr_per_hour == Decimal("0.63378") * Decimal("7.1")
    assert "AWS bills in USD, converted at USD/CNY 7.1, given with --rate" in found.notes


def test_the_sites_own_rate_says_its_source_and_date() -> None:
    stated = ExchangeRate(base="USD", quote="CNY", rate=Decimal(7), as_of="2026-11-20", source="a bank")
    found = gather(assessment(currency="CNY"), plan(), rates(site=[stated]), TODAY)
    assert found.assumptions[0] == "AWS bills in USD, converted at USD/CNY 7, a bank, 2026-11-20"


def test_two_sites_that_differ_in_utilisation_have_the_break_even_between_them(cost: Cost) -> None:
    idle, busy = cost(assessment(15)), cost(assessment(90))
    assert idle.like_for_like == busy.like_for_like
    even = busy.like_for_like.break_even if busy.like_for_like else None
    # Half of servers 16,000, staff 12,000 and idle power 1,095; 16 GPUs x 312/70 x 1.006 x 730; power 547.5 at most.
    assert float(even or 0) == pytest.approx(14_547.5 / (16 * 312 / 70 * 1.006 * 730 - 547.5))
    assert Decimal("0.15") < (even or 0) < Decimal("0.9")


def test_at_a_high_steady_utilisation_the_text_says_that_owning_is_cheaper(cost: Cost) -> None:
    text = spoken(cost(assessment(90)))
    assert "against renting the same work; today: 90%)" in text
    assert "like for like, accelerator for accelerator: 28%; above it owning is cheaper" in text


def test_a_small_fleet_by_the_trace_does_not_hide_that_the_gpus_are_busy(cost: Cost) -> None:
    due = {"purchased": "2022-01-01"}
    idle, busy = cost(assessment(5, **due)), cost(assessment(90, **due))
    assert idle.same_work is not None
    assert busy.same_work is not None
    assert float(busy.same_work.instances) == pytest.approx(16 * 312 / 70 * 0.9)
    assert busy.tco.saving > 0 > busy.same_work.tco.saving
    assert (idle.contradicted, busy.contradicted) == (False, True)
    text = spoken(busy)
    assert "with what does the work of your GPUs at 90% use, 64.18 instances, it costs " in text
    assert "the two disagree: the trace may not hold all of the load" in text
    assert "the two disagree" not in spoken(idle)
    assert Decimal(busy.dump()["same_work"]["cloud_saves"]) < 0


def test_the_same_work_is_that_of_the_curve(cost: Cost) -> None:
    found = cost(months=12)
    assert found.same_work is not None
    assert found.like_for_like is not None
    rented = next(row for row in found.same_work.tco.rows if row.item == "AWS: instances").cloud
    month = found.like_for_like.rented(Decimal("0.4")) - found.like_for_like.services
    assert float(rented or 0) == pytest.approx(float(month * 12))
    assert cost(assessment(None)).same_work is None


def test_without_a_trace_no_fleet_is_scaled_and_the_load_is_said_to_be_assumed(cost: Cost) -> None:
    bare = plan().model_copy(update={"serving_facts": make_plan().serving_facts})
    found = cost(made=bare)
    assert found.by_trace is None
    assert any(
        note.startswith("no request trace: the fleet on AWS is sized for an assumed load") for note in found.notes
    )


def test_what_the_site_leaves_out_is_taken_against_the_cloud_and_said(cost: Cost) -> None:
    found = cost(assessment(None, purchased=None))
    assert found.inputs.unstated == {"resale_share", "staff_freed_share"}
    for said in ("the day of purchase is unknown", "GPU utilisation is unknown", "nobody's time is freed by the move"):
        assert any(note.startswith(said) for note in found.notes)
    told = FurtherCosts(server_resale_share=figure(0.5), staff_freed_share=figure(0.3))
    assert cost(assessment(further=told)).inputs.unstated == frozenset()


def test_prices_older_than_ninety_days_are_named_once_per_source_and_date(cost: Cost) -> None:
    lines = [
        line.model_copy(update={"amount": money("5", "USD").model_copy(update={"source": source})})
        for line, source in zip(
            plan().cloud_monthly * 3,
            ("a list, 2026-01-01", "a list, 2026-01-01; another, v2, 2026-11-01", "a list, 2026-02-01"),
            strict=True,
        )
    ]
    made = plan().model_copy(update={"cloud_monthly": lines})
    assert cost(made=made).stale == (
        "prices from ec2instances.info dump are of 2025-05-28, 545 days old: check them",
        "prices from a list are of 2026-01-01, 327 days old: check them",
        "prices from a list are of 2026-02-01, 296 days old: check them",
    )


def test_unknown_costs_at_home_make_the_break_even_a_least(cost: Cost) -> None:
    found = cost(assessment(staff_people=figure(None)))
    assert "the break-even utilisation is higher than shown: staff at home is not stated" in found.notes
    assert "the GPUs are busy 40 % of the time: measured, nvidia-smi" in found.notes
    assert not any("higher than shown" in note for note in cost().notes)


def test_unknown_prices_on_aws_make_its_total_a_least(cost: Cost) -> None:
    line = (
        plan()
        .cloud_monthly[0]
        .model_copy(update={"item": "keys", "amount": Money(currency="USD", basis="unknown", source="no price")})
    )
    found = cost(made=plan().model_copy(update={"cloud_monthly": [*plan().cloud_monthly, line]}))
    assert "AWS costs more than shown: the prices of keys are unknown in us-east-1" in found.notes


def spoken(found: CostReport) -> str:
    written = io.StringIO()
    Console(width=200, file=written).print(describe(found))
    return written.getvalue()


def test_the_text_says_the_answer_the_rows_and_what_is_missing(cost: Cost) -> None:
    found = cost()
    text = spoken(found)
    assert f"costs {abs(found.tco.saving):,.0f} USD" in text
    assert "unknown: downtime; state costs.reliability: mtbf_hours, mttr_hours, price_per_hour_down" in text
    assert "draws (seed 1)" in text
    for row in found.tco.rows:
        assert row.item in text


def test_the_json_holds_the_same_numbers_as_strings(cost: Cost) -> None:
    found = cost()
    document = json.loads(json.dumps(found.dump()))
    assert document["totals"]["cloud"] == str(found.tco.total("cloud").quantize(Decimal("0.01")))
    assert document["break_even_utilization"]["like_for_like"] == "0.2807"
    assert document["monte_carlo"]["draws"] == 20
    assert [row["item"] for row in document["rows"] if row["basis"] == "unknown"] == ["racks", "downtime", "delay"]
    assert len(document["tornado"]) == len(found.swings)


def test_the_pictures_are_svg_that_asks_nothing_of_a_network_and_is_the_same_each_time(cost: Cost) -> None:
    drawn = plots(cost())
    assert sorted(drawn) == ["break-even.svg", "monte-carlo.svg", "tornado.svg", "total.svg"]
    for content in drawn.values():
        text = content.decode()
        assert text.startswith("<?xml")
        assert not re.search(r"(href|src)=[\"']https?:", text)
    assert plots(cost()) == drawn


def test_the_curve_that_is_drawn_is_the_one_that_decides(cost: Cost) -> None:
    curve = cost().like_for_like
    assert curve is not None
    percent, owned, rented = utilization_curve(curve)
    assert (percent[0], percent[-1], len(percent)) == (0, 100, 101)
    crossing = next(at for at, (own, rent) in enumerate(zip(owned, rented, strict=True)) if own < rent)
    assert percent[crossing] == 29


def test_no_break_even_is_drawn_for_an_accelerator_that_nobody_knows(cost: Cost, tmp_path: Path) -> None:
    site = assessment()
    site = site.model_copy(update={"cluster": site.cluster.model_copy(update={"accelerator": "abacus"})})
    found = cost(site, rates=NO_RATES)
    assert "break-even.svg" not in plots(found)
    assert any(
        note.startswith("no break-even utilisation: the catalogue does not know 'abacus'") for note in found.notes
    )
