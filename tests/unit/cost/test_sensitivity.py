"""The tornado and the Monte Carlo simulation."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from ferry.cost.horizon import Horizon
from ferry.cost.inputs import Inputs
from ferry.cost.ranges import Range
from ferry.cost.sensitivity import monte_carlo, tornado
from ferry.cost.tco import tco

Make = Callable[..., Inputs]
YEARS = Horizon(36)


def between(name: str, low: str, base: str, high: str, *, drawn: bool = True) -> Range:
    return Range(name, Decimal(low), Decimal(base), Decimal(high), "a test", drawn)


def test_one_input_at_a_time_and_the_widest_first(inputs: Make) -> None:
    base = inputs()
    ranges = [between("price_per_kwh", "0.1", "0.1", "0.2"), between("mean_instances", "2", "3", "5")]
    swings = tornado(base, ranges, YEARS, "on-demand")
    assert [swing.range.name for swing in swings] == ["mean_instances", "price_per_kwh"]
    known = tco(base, YEARS).saving
    assert swings[0].at_low - known == 26_280  # an instance less, 730 x 36 h at 1 USD
    assert swings[0].at_high - known == -2 * 26_280
    assert swings[1].at_low == known
    # The serving half of the power doubles, less one month of running both.
    assert swings[1].at_high - known == 657 * 35


def test_an_input_alone_decides_when_it_turns_the_answer_round(inputs: Make) -> None:
    ranges = [between("mean_instances", "2", "3", "30"), between("server_price", "190000", "200000", "210000")]
    decides = {swing.range.name: swing.decides for swing in tornado(inputs(), ranges, YEARS, "on-demand")}
    assert decides == {"mean_instances": True, "server_price": False}


def test_an_input_that_moves_nothing_is_left_out(inputs: Make) -> None:
    ranges = [between("staff_people", "1", "1", "2")]
    assert tornado(inputs(), ranges, YEARS, "on-demand") == []


def test_a_seed_gives_the_same_draws_and_another_one_others(inputs: Make) -> None:
    ranges = [between("mean_instances", "2", "3", "5")]
    first, again, other = (monte_carlo(inputs(), ranges, YEARS, "on-demand", seed=seed, draws=50) for seed in (1, 1, 2))
    assert first == again
    assert first.savings != other.savings


def test_the_quantiles_are_those_of_the_triangle(inputs: Make) -> None:
    # Symmetric from 1 to 5 around 3: P10 is 1 + sqrt(0.1 x 4 x 2), P90 its mirror image; 26,280 USD an instance.
    found = monte_carlo(inputs(), [between("mean_instances", "1", "3", "5")], YEARS, "on-demand", draws=4000)
    known = float(tco(inputs(), YEARS).saving)
    step = 2 - (0.1 * 4 * 2) ** 0.5
    assert float(found.saving.p50) == pytest.approx(known, abs=2_000)
    assert float(found.saving.p10) == pytest.approx(known - 26_280 * step, abs=2_500)
    assert float(found.saving.p90) == pytest.approx(known + 26_280 * step, abs=2_500)
    assert found.saving.p10 <= found.saving.p50 <= found.saving.p90


def test_what_is_not_drawn_stays_as_known(inputs: Make) -> None:
    ranges = [between("staff_freed_share", "0", "0", "1", drawn=False)]
    found = monte_carlo(inputs(), ranges, YEARS, "on-demand", draws=10)
    assert set(found.savings) == {tco(inputs(), YEARS).saving}


def test_the_share_of_draws_in_which_moving_is_cheaper(inputs: Make) -> None:
    dear, cheap = (
        monte_carlo(inputs(on_demand_per_hour=Decimal(price)), [], YEARS, "on-demand", draws=4) for price in (99, 1)
    )
    assert (dear.cloud_cheaper, cheap.cloud_cheaper) == (0, 1)


def test_each_draw_is_told(inputs: Make) -> None:
    told: list[int] = []
    monte_carlo(inputs(), [], YEARS, "on-demand", draws=3, progress=told.append)
    assert told == [1, 2, 3]
