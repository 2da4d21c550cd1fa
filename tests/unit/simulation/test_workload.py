from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from ferry.errors import InvalidField
from ferry.simulation.fleet import FleetSettings
from ferry.simulation.iteration_time import IterationTime
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.workload import Workload


def workload(**changes: Any) -> Workload:
    values: dict[str, Any] = {"arrival_s": [0.0, 1.0, 2.5], "input_tokens": [5, 6, 7], "output_tokens": [1, 2, 3]}
    return Workload(**values | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arrival_s": [], "input_tokens": [], "output_tokens": []}, "it has no requests"),
        ({"arrival_s": [0.0, 2.0, 1.0]}, "request 2 arrives at 1 s, before request 1 at 2 s; sort"),
        (
            {"arrival_s": [-1.0, 0.0, 1.0]},
            "request 0 has arrival_s -1.0; it must be 0 … 31622400, seconds from the start",
        ),
        ({"arrival_s": [0.0, np.nan, 1.0]}, "request 1 has arrival_s nan"),
        ({"arrival_s": [0.0, 1.0, 1.7e9]}, "request 2 has arrival_s 1700000000.0"),
        ({"input_tokens": [5, 0, 7]}, "request 1 has input_tokens 0; it must be 1 … 10000000"),
        ({"output_tokens": [1, 2, -3]}, "request 2 has output_tokens -3"),
        ({"output_tokens": [1, 2, 10_000_001]}, "request 2 has output_tokens 10000001"),
        ({"output_tokens": [1, 2.5, 3]}, "request 1 has output_tokens 2.5; it must be a whole number"),
        ({"input_tokens": [5, 6]}, "input_tokens has the shape (2,), but there are 3 arrivals"),
        (
            {"cached_tokens": [0, 6, 0]},
            "request 1 has cached_tokens 6; it must be less than the request's input_tokens",
        ),
    ],
)
def test_a_workload_that_cannot_be_is_refused_with_the_request(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidField, match=re.escape(message)):
        workload(**changes)


def test_stretching_moves_arrivals_apart() -> None:
    assert workload().stretched(2.0).arrival_s.tolist() == [0.0, 2.0, 5.0]


def test_scaling_the_load_keeps_the_span_the_mix_and_the_order() -> None:
    random = np.random.default_rng(3)
    inputs = random.integers(10, 20, 4000)
    many = Workload(
        arrival_s=np.sort(random.uniform(0, 3600, 4000)),
        input_tokens=inputs,
        output_tokens=inputs * 2,
        cached_tokens=inputs - 1,
    )
    more, fewer = many.scaled(2.5, seed=1), many.scaled(0.25, seed=1)
    assert [len(more), len(fewer)] == pytest.approx([10_000, 1_000], rel=0.02)
    for scaled in (more, fewer):
        assert (np.diff(scaled.arrival_s) >= 0).all()
        assert scaled.arrival_s[0] >= many.arrival_s[0]
        assert scaled.arrival_s[-1] <= many.arrival_s[-1]
        assert (scaled.output_tokens == 2 * scaled.input_tokens).all()
        assert scaled.cached_tokens is not None
        assert (scaled.cached_tokens == scaled.input_tokens - 1).all()
    assert np.isin(fewer.arrival_s, many.arrival_s).all()
    assert more.arrival_s.tolist() == many.scaled(2.5, seed=1).arrival_s.tolist()


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_a_factor_that_is_no_factor_is_refused(factor: float) -> None:
    with pytest.raises(InvalidField, match="give a number above 0"):
        workload().stretched(factor)
    with pytest.raises(InvalidField, match="give a number above 0"):
        workload().scaled(factor, seed=0)


def test_a_load_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidField, match="no request is left of 3 at 1e-09 of the load"):
        workload().scaled(1e-9, seed=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_sequences": 0}, "max_sequences is 0"),
        ({"max_batched_tokens": 63}, "max_batched_tokens is 63, less than max_sequences, 64"),
        ({"kv_blocks": -1}, "kv_blocks is -1; it must be 1 … 1073741824"),
        ({"iteration_time": IterationTime(fixed=1e-9)}, "an iteration takes 1e-09 s"),
        ({"block_tokens": 24}, "block_tokens is 24; it must be a power of two"),
        ({"max_model_len": 1}, "max_model_len is 1"),
        ({"lookahead_iterations": 2}, "lookahead_iterations is 2; it must be 0 or 1"),
    ],
)
def test_an_engine_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {
        "iteration_time": IterationTime(fixed=1.0),
        "max_sequences": 64,
        "max_batched_tokens": 64,
        "kv_blocks": 10,
    }
    with pytest.raises(InvalidField, match=message):
        ReplicaSettings(**values | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"routing": "random"}, "routing is 'random'; it must be one of least_outstanding_requests, round_robin"),
        ({"initial_instances": -1}, "initial_instances is -1"),
        ({"start_s": float("inf")}, "start_s is inf"),
        ({"deregistration_delay_s": -1.0}, "deregistration_delay_s is -1.0"),
        ({"spot_share": 1.5}, "spot_share is 1.5; it must be 0 … 1"),
        ({"spot_interruptions_s": np.array([2.0, 1.0])}, "ascending order"),
        ({"spot_interruptions_s": np.ones(2), "spot_interruption_slots": np.zeros(1)}, "must be 2 numbers"),
    ],
)
def test_a_fleet_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {"initial_instances": 1}
    with pytest.raises(InvalidField, match=message):
        FleetSettings(**values | changes)
