"""Replays in other processes: the same figures, whatever the number of workers, joblib's or Dask's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from ferry.planning.sweep.replaying import Measured, Task, arrays_of, measure
from ferry.planning.sweep.workers import workers
from ferry.simulation.iteration_time import IterationTime
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.scaling_spec import ScalingSpec, TargetTracking
from tests.sweeps import requests

pytestmark = pytest.mark.xdist_group("simulation")


def task(high: int) -> Task:
    return Task(
        replica=ReplicaSettings(
            iteration_time=IterationTime(fixed=0.02, per_token=1e-4),
            max_sequences=16,
            max_batched_tokens=512,
            kv_blocks=2000,
        ),
        spec=ScalingSpec(
            min_size=1, max_size=high, initial=1, policies=(TargetTracking(target=0.6),) if high > 1 else ()
        ),
        start_s=300.0,
        spot_percentage=50,
        interrupted_per_hour=0.5,
        started_at=datetime(2026, 11, 23, tzinfo=UTC),
        seed=7,
    )


TASKS = [task(1 + number % 9) for number in range(20)]
WORKLOAD = requests(2.0)


@pytest.fixture(scope="module")
def expected() -> list[Measured]:
    return [measure(WORKLOAD, task) for task in TASKS]


def test_two_processes_give_what_this_one_gives(expected: list[Measured]) -> None:
    with workers(arrays_of(WORKLOAD), count=2) as replay:
        assert list(replay(TASKS)) == expected
        assert list(replay(TASKS[:3])) == expected[:3]


@pytest.fixture
def scheduler() -> Iterator[str]:
    distributed = pytest.importorskip("distributed")
    # Workers in this process start in a second; what they are sent goes through loopback sockets all the same.
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=None,
    ) as cluster:
        yield cluster.scheduler_address


def test_a_dask_cluster_gives_what_this_process_gives(expected: list[Measured], scheduler: str) -> None:
    with workers(arrays_of(WORKLOAD), dask=scheduler) as replay:
        assert list(replay(TASKS)) == expected
