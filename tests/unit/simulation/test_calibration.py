"""Fitting what an iteration takes: to requests made with known coefficients, and to a real engine's."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ferry.errors import InvalidField, UnreadableInput
from ferry.simulation import calibration
from ferry.simulation.calibration import (
    Calibration,
    calibrate,
    calibrate_to_figures,
    calibrate_with_unknown_cache,
    errors_without_fit,
)
from ferry.simulation.calibration_errors import CalibrationError, figures_of
from ferry.simulation.calibration_start import start_from
from ferry.simulation.engine import simulate
from ferry.simulation.fleet import FleetSettings
from ferry.simulation.iteration_time import IterationTime
from ferry.simulation.measured_requests import MeasuredRequests, read_vllm_requests
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.workload import Workload

TRUE = IterationTime(
    fixed=2e-3,
    weights=12e-3,
    per_token=45e-6,
    per_sequence=2e-6,
    per_cached_token=1e-7,
    per_attention_pair=2e-9,
)
WRONG = IterationTime(
    fixed=3e-3,
    weights=15e-3,
    per_token=63e-6,
    per_sequence=1e-6,
    per_cached_token=1.3e-7,
    per_attention_pair=1.2e-9,
)
ONE = FleetSettings(initial_instances=1)


def workload(count: int = 300, seconds: float = 45) -> Workload:
    random = np.random.default_rng(3)
    return Workload(
        arrival_s=np.sort(random.uniform(0, seconds, count)),
        input_tokens=np.maximum(1, random.lognormal(math.log(900), 0.9, count)).astype(np.int32),
        output_tokens=np.maximum(1, random.exponential(300, count)).astype(np.int32),
    )


def replica(time: IterationTime, **changes: Any) -> ReplicaSettings:
    values: dict[str, Any] = {"max_sequences": 128, "max_batched_tokens": 2048, "kv_blocks": 40_000}
    return ReplicaSettings(iteration_time=time, **values | changes)


def served(requests: Workload, engine: ReplicaSettings) -> MeasuredRequests:
    result = simulate(requests, engine, ONE)
    return MeasuredRequests(workload=requests, first_token_s=result.first_token_s, last_token_s=result.last_token_s)


def step(time: IterationTime, sequences: int) -> float:
    """A decoding iteration with 1000 tokens of context each."""
    return time.seconds(tokens=sequences, sequences=sequences, cached_tokens=1000 * sequences, attention_pairs=0)


def prompt(time: IterationTime) -> float:
    """An iteration full of a prompt."""
    return time.seconds(tokens=2048, sequences=1, cached_tokens=0, attention_pairs=2048 * 2049 / 2)


def test_a_fit_finds_the_iterations_that_the_requests_were_made_with() -> None:
    found = calibrate(served(workload(), replica(TRUE)), replica(WRONG)).iteration_time
    assert step(WRONG, 64) / step(TRUE, 64) - 1 > 0.1
    assert prompt(WRONG) / prompt(TRUE) - 1 > 0.3
    for sequences in (1, 16, 64):
        assert step(found, sequences) == pytest.approx(step(TRUE, sequences), rel=0.05)
    assert prompt(found) == pytest.approx(prompt(TRUE), rel=0.03)


def test_the_held_out_half_decides_nothing() -> None:
    measured = served(workload(), replica(TRUE))
    late = np.arange(len(measured)) >= len(measured) // 2
    other = replace(measured, last_token_s=measured.last_token_s + np.where(late, 100.0, 0.0))
    fits = [calibrate(run, replica(WRONG)) for run in (measured, other)]
    assert fits[0].iteration_time == fits[1].iteration_time
    assert errors(fits[0], "fitted") == errors(fits[1], "fitted")
    assert errors(fits[0], "held out") != errors(fits[1], "held out")


def errors(found: Calibration, part: str) -> list[CalibrationError]:
    return [error for error in found.errors if error.part == part]


@pytest.fixture
def few_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each size of the cache that is tried costs a fit."""
    monkeypatch.setattr(calibration, "CACHE_FACTORS", (0.85, 1.15))


@pytest.mark.usefixtures("few_sizes")
def test_a_cache_that_is_smaller_than_estimated_is_found_out() -> None:
    measured = served(workload(200, 20), replica(TRUE, kv_blocks=3000))
    found = calibrate_with_unknown_cache(measured, replica(WRONG, kv_blocks=3500))
    assert found.kv_blocks == pytest.approx(3000, rel=0.06)


@pytest.mark.usefixtures("few_sizes")
def test_a_cache_that_never_fills_stays_as_estimated() -> None:
    measured = served(workload(40, 30), replica(TRUE))
    assert calibrate_with_unknown_cache(measured, replica(WRONG, kv_blocks=30_000)).kv_blocks == 30_000


def test_figures_of_a_metrics_server_scale_the_coefficients() -> None:
    requests = workload(300, 60)
    measured = served(requests, replica(TRUE))
    everything = np.ones(len(requests), dtype=np.bool_)
    wanted = figures_of(measured.serving_times(), everything, ("mean", "p50", "p95", "p99"))
    slower = IterationTime(**{name: 1.5 * seconds for name, seconds in asdict(TRUE).items()})
    found = calibrate_to_figures(wanted, requests, replica(slower))
    assert {(error.metric, error.figure): error.measured_s for error in found.errors} == wanted
    assert max(abs(error.relative) for error in found.errors) < 0.05
    assert step(found.iteration_time, 16) == pytest.approx(step(TRUE, 16), rel=0.03)
    assert found.cautions == ("fitted to aggregates of all requests: nothing was held out to check the prediction",)


def test_without_hardware_a_fit_starts_from_the_run_itself() -> None:
    measured = served(workload(), replica(TRUE))
    found = calibrate(measured, replica(start_from(measured))).iteration_time
    assert step(found, 16) == pytest.approx(step(TRUE, 16), rel=0.05)


def test_a_fit_that_misses_says_by_how_much() -> None:
    measured = served(workload(), replica(TRUE))
    late = np.arange(len(measured)) >= len(measured) // 2
    slow = replace(measured, last_token_s=measured.last_token_s + np.where(late, 100.0, 0.0))
    cautions = calibrate(slow, replica(TRUE)).cautions
    assert any(caution.startswith("held out: latency mean is off by -") for caution in cautions)
    assert any("more than the 5% that are tolerated" in caution for caution in cautions)


def test_what_was_never_measured_is_said() -> None:
    requests = workload(100, 100)
    requests.input_tokens[80] = 30_000
    said = calibrate(served(requests, replica(TRUE)), replica(TRUE)).cautions
    assert any("sequences were not fitted: up to 128 is extrapolated" in caution for caution in said)
    assert any("tokens were not fitted: up to 30000 is extrapolated" in caution for caution in said)
    busy = served(workload(300, 1), replica(TRUE, max_sequences=16))
    said = calibrate(busy, replica(TRUE, max_sequences=16)).cautions
    assert any("the first token at low load is extrapolated" in caution for caution in said)


def test_what_cannot_be_fitted_is_refused() -> None:
    measured = served(workload(), replica(TRUE))
    with pytest.raises(InvalidField, match="5 requests to fit; at least 10"):
        calibrate(measured, replica(TRUE), fitted=np.arange(len(measured)) < 5)
    with pytest.raises(InvalidField, match="every coefficient must be more than 0"):
        calibrate(measured, replica(IterationTime(fixed=1e-3)))
    with pytest.raises(InvalidField, match="of 300 measured requests do not fit the replica"):
        calibrate(measured, replica(TRUE, kv_blocks=100))
    with pytest.raises(InvalidField, match="no figure of TTFT"):
        calibrate_to_figures({}, measured.workload, replica(TRUE))


def line(**changes: Any) -> str:
    values = {
        "input_toks": 10,
        "output_toks": 5,
        "arrival_time": 1_777_000_000.0,
        "queued_ts": 500.25,
        "first_token_ts": 500.5,
        "last_token_ts": 501.5,
    }
    return json.dumps(values | changes)


def test_vllm_s_two_clocks_are_brought_together(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    second = {"arrival_time": 1_777_000_001.0, "queued_ts": 501.0, "first_token_ts": 501.25, "last_token_ts": 502.0}
    path.write_text(f"{line(**second)}\n\n{line()}\n", encoding="utf-8")
    measured = read_vllm_requests(path)
    # The second request's way was the shortest: 0 s by assumption, and the first's 0.25 s.
    assert measured.workload.arrival_s.tolist() == [0, 1]
    assert measured.first_token_s.tolist() == [0.5, 1.25]
    assert measured.last_token_s.tolist() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no request in it"),
        ('{"input_toks": 1}', ":1: not a request with the numbers arrival_time, queued_ts"),
        ("[1]", ":1: not a request"),
        ("{", ":1: not a request"),
        (line(first_token_ts="soon"), ":1: not a request"),
        (line(first_token_ts=None), ":1: not a request"),
    ],
)
def test_lines_that_are_no_requests_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableInput, match=message):
        read_vllm_requests(path)


def test_a_file_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match="cannot be read as text"):
        read_vllm_requests(tmp_path / "none")


@pytest.mark.parametrize(
    "changes",
    [
        {"first_token_s": np.array([0.5])},
        {"last_token_s": np.array([1.0, np.nan])},
        {"first_token_s": np.array([0.5, 0.9])},
        {"last_token_s": np.array([0.4, 2.0])},
    ],
)
def test_times_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    values = {"first_token_s": np.array([0.5, 1.5]), "last_token_s": np.array([1.0, 2.0])}
    two = Workload(arrival_s=np.array([0.0, 1.0]), input_tokens=np.array([5, 5]), output_tokens=np.array([2, 2]))
    with pytest.raises(InvalidField, match="measured requests: "):
        MeasuredRequests(workload=two, **values | changes)


@pytest.mark.shared
def test_half_of_a_real_run_predicts_the_other_half(shared: Path) -> None:
    measured = read_vllm_requests(shared / "traces/vllm-measured/rtxpro6000-llama-3.1-8b/requests.jsonl")
    for start in (HARDWARE, start_from(measured)):
        engine = replica(start, kv_blocks=31_000)
        found = calibrate(measured, engine)
        assert [error for error in found.errors if not error.is_within] == []
        assert len(found.errors) == 24


@pytest.mark.shared
def test_hardware_figures_alone_are_within_a_fifth_of_a_real_run_s_time_a_token(shared: Path) -> None:
    measured = read_vllm_requests(shared / "traces/vllm-measured/rtxpro6000-llama-3.1-8b/requests.jsonl")
    found = errors_without_fit(measured, replica(HARDWARE, kv_blocks=31_000))
    assert max(abs(error.relative) for error in found if error.metric == "tpot") < 0.2


# What ferry.planning.iteration_time gives for Llama-3.1-8B on an RTX PRO 6000, which its own tests hold.
HARDWARE = IterationTime(
    fixed=1.696e-3,
    weights=12.12e-3,
    per_token=5.496e-5,
    per_sequence=1.548e-6,
    per_cached_token=9.888e-8,
    per_attention_pair=1.794e-9,
)
