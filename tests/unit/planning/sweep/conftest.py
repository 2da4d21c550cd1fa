"""One small search, shared by the tests of the sweep: its first call compiles the simulation, or loads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from ferry.artefacts import Slo
from ferry.catalog import regions
from ferry.planning.demand import demand
from ferry.planning.sweep.grid import Grid
from ferry.planning.sweep.search import By, search
from ferry.planning.sweep.space import Space
from ferry.simulation.workload import Workload
from tests.sweeps import Searched, in_turn, requests

Run = Callable[..., Searched]


@pytest.fixture(scope="session")
def run(make: SimpleNamespace) -> Run:
    def build(
        slo: Slo,
        by: By = "cost",
        workload: Workload | None = None,
        places: Sequence[str] = ("us-east-1",),
        **grid: Any,
    ) -> Searched:
        serving = make.assessment(requests=make.trace(4, 8), slo=slo).serving[0]
        space = Space(
            serving=serving,
            demand=demand(serving),
            grid=Grid.model_validate(grid),
            places=[regions.find(name) for name in places],
            time_zone="Etc/UTC",
            started_at=datetime(2026, 11, 23, 9, tzinfo=UTC),
            seed=0,
        )
        requested = workload or requests()
        return Searched(space, requested, slo, search(space, requested, slo, by, in_turn(requested)))

    return build


@pytest.fixture(scope="session")
def searched(run: Run) -> Searched:
    """Most bounds rule something out here."""
    return run(
        Slo(ttft_p99_ms=1500, tpot_p99_ms=100),
        places=("us-east-1", "us-west-2"),
        instance_types=["g4dn.12xlarge", "g5.xlarge", "g5.2xlarge", "g6.xlarge", "g6e.xlarge", "p5.48xlarge"],
        quantizations=["as-is", "awq"],
        policies=["plan", "target-tracking", "none"],
        targets=[0.6],
        sizes=[[1, 1], [1, 4], [2, 2], [2, 4], [4, 4], [6, 6]],
    )
