"""The engine against what queueing theory says of queues that it can be made into."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from ferry.simulation.engine import simulate
from ferry.simulation.fleet import FleetSettings
from ferry.simulation.iteration_time import IterationTime
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.result import Result
from ferry.simulation.workload import Workload

COUNT = 500_000
STEPS = 200
"""Iterations of a mean service of 1 s."""
BATCHES = 40
T_99 = 2.708
"""Student's t for 39 degrees of freedom, two-sided 99 %."""


def queue(arrivals_per_s: float, servers: int, services: NDArray[np.int64], seed: int) -> Result:
    """An engine whose iterations take 1/STEPS s whatever is in them is a queue with a server for each sequence."""
    random = np.random.default_rng(seed)
    workload = Workload(
        arrival_s=np.cumsum(random.exponential(1 / arrivals_per_s, len(services))),
        input_tokens=np.ones(len(services), np.int32),
        output_tokens=services,
    )
    replica = ReplicaSettings(
        iteration_time=IterationTime(fixed=1 / STEPS),
        max_sequences=servers,
        max_batched_tokens=servers,
        kv_blocks=10**7,
        lookahead_iterations=0,
    )
    return simulate(workload, replica, FleetSettings(initial_instances=1))


def mean_and_half_width(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and half of its 99 % confidence interval, by batch means: neighbours in a queue are not independent."""
    means = values[len(values) // 10 :][: len(values) * 9 // 10 // BATCHES * BATCHES].reshape(BATCHES, -1).mean(axis=1)
    return float(means.mean()), T_99 * float(means.std(ddof=1)) / math.sqrt(BATCHES)


def erlang_c(servers: int, offered: float) -> float:
    """Probability that an arrival waits in an M/M/c queue."""
    last = offered**servers / math.factorial(servers) / (1 - offered / servers)
    return last / (sum(offered**busy / math.factorial(busy) for busy in range(servers)) + last)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_equal_requests_wait_as_in_an_m_d_1_queue(load: float) -> None:
    result = queue(load, 1, np.full(COUNT, STEPS), seed=1)
    mean, half_width = mean_and_half_width(result.ttft_s - 1 / STEPS)
    assert abs(mean - load / (2 * (1 - load))) < half_width  # Pollaczek and Khinchine, with services of 1 s
    assert half_width < 0.05 * mean


@pytest.mark.parametrize(("servers", "load"), [(1, 0.7), (4, 0.8), (16, 0.9)])
def test_random_requests_wait_as_in_an_m_m_c_queue(servers: int, load: float) -> None:
    services = np.random.default_rng(2).geometric(1 / STEPS, COUNT)
    result = queue(load * servers, servers, services, seed=3)
    mean, half_width = mean_and_half_width(result.ttft_s - 1 / STEPS)
    waiting = erlang_c(servers, load * servers) / (servers * (1 - load))
    # A free sequence is taken at the next iteration's start, within 1/STEPS s.
    assert -half_width < mean - waiting < half_width + 1 / STEPS
    assert half_width < 0.15 * mean


def test_little_s_law_holds_exactly_up_to_each_minute() -> None:
    # Of the system: what is in it is what came less what left, so the law's two integrals are the same.
    result = queue(3.2, 4, np.random.default_rng(4).geometric(1 / STEPS, 20_000), seed=5)
    at = result.periods.end_s
    came = np.searchsorted(result.workload.arrival_s, at, side="right")
    left = np.searchsorted(np.sort(result.last_token_s), at, side="right")
    np.testing.assert_array_equal(result.periods.running + result.periods.waiting, came - left)
    assert (came > left).sum() > 90


def test_little_s_law_holds_exactly_of_the_server() -> None:
    services = np.random.default_rng(6).geometric(1 / STEPS, 20_000)
    result = queue(0.7, 1, services, seed=7)
    assert result.instances.busy_s.sum() == pytest.approx(services.sum() / STEPS, rel=1e-12)
    assert result.iterations == services.sum()
