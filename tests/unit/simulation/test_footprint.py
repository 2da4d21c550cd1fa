from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from ferry.catalog import carbon, instance_types, regions
from ferry.errors import CatalogError
from ferry.simulation.engine import simulate
from ferry.simulation.fleet import FleetSettings
from ferry.simulation.footprint import footprint
from ferry.simulation.iteration_time import IterationTime
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.result import Result
from ferry.simulation.workload import Workload

G5 = instance_types.find("g5.xlarge")
"""One A10G of 150 W; 1.006 USD an hour in us-east-1, Spot 0.37222."""


def result(output_tokens: int, fleet: FleetSettings) -> Result:
    """One request at 0 s, with a token a second."""
    requests = Workload(
        arrival_s=np.zeros(1), input_tokens=np.ones(1, np.int32), output_tokens=np.array([output_tokens])
    )
    engine = ReplicaSettings(
        iteration_time=IterationTime(fixed=1.0), max_sequences=1, max_batched_tokens=16, kv_blocks=10_000
    )
    return simulate(requests, engine, fleet)


def test_a_busy_hour_of_one_instance_costs_its_price_and_takes_its_full_power() -> None:
    found = footprint(result(3600, FleetSettings(initial_instances=1)), G5, "us-east-1")
    assert (found.cost, found.currency) == (Decimal("1.006"), "USD")
    assert (found.on_demand_hours, found.spot_hours) == (1.0, 0.0)
    assert found.kwh == pytest.approx(1.38 * 0.150 * 1.15)
    assert found.gco2e == pytest.approx(1.38 * 0.150 * 1.15 * 396.25)
    assert [price.per_hour for price in found.prices] == [Decimal("1.006")]


def test_idle_spot_instances_cost_their_own_price_and_take_idle_power() -> None:
    found = footprint(
        result(7200, FleetSettings(initial_instances=2, on_demand_base=1, spot_share=1.0)), G5, "us-east-1"
    )
    assert found.cost == 2 * Decimal("1.006") + 2 * Decimal("0.37222")
    assert found.kwh == pytest.approx(1.38 * 0.150 * (2 + 2 * 0.2) * 1.15)


def test_a_few_seconds_are_billed_as_a_minute() -> None:
    found = footprint(result(6, FleetSettings(initial_instances=1)), G5, "us-east-1")
    assert found.on_demand_hours == 60 / 3600
    assert found.kwh == pytest.approx(1.38 * 0.150 * 6 / 3600 * 1.15)


def test_what_is_assumed_is_said() -> None:
    assumed = footprint(result(6, FleetSettings(initial_instances=1)), G5, "cn-north-1").assumed
    assert assumed == (
        "an idle server takes 20% of its full power",
        "the PUE of cn-north-1 is the operator's global average, 1.15",
        "the grid's figure of cn-north-1 is of CO2 alone, not to be compared with other regions",
    )


def test_a_price_or_a_grid_that_is_missing_is_an_error() -> None:
    with pytest.raises(CatalogError, match="no carbon figures of region 'ca-west-1'"):
        footprint(result(6, FleetSettings(initial_instances=1)), G5, "ca-west-1")
    with pytest.raises(CatalogError, match=r"no on-demand price of g5\.xlarge in af-south-1"):
        footprint(result(6, FleetSettings(initial_instances=1)), G5, "af-south-1")


def test_carbon_figures_are_of_known_regions_and_within_reason() -> None:
    for region in (row["region"] for row in carbon.table.rows("carbon")):
        figures = carbon.find(region)
        assert regions.known(region)
        assert 10 < figures.gco2e_per_kwh < 1000
        assert 1 <= figures.pue < 2
        assert figures.source
