"""Requests that a real engine served, with when their tokens came: what a calibration is fitted to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ferry.errors import InvalidField, UnreadableInput
from ferry.simulation.workload import Floats, Workload


@dataclass(frozen=True, kw_only=True, eq=False)
class ServingTimes:
    """float64[N] each, in seconds: time to first token, mean time between tokens (NaN for a single one), latency."""

    ttft_s: Floats
    tpot_s: Floats
    latency_s: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredRequests:
    """A workload of N requests, and float64[N] when their first and last tokens came, on the same clock.

    Raises InvalidField when lengths differ, a time is missing, or a token comes before its request.
    """

    workload: Workload
    first_token_s: Floats
    last_token_s: Floats

    def __post_init__(self) -> None:
        count, arrival = len(self.workload), self.workload.arrival_s
        for name in ("first_token_s", "last_token_s"):
            times = getattr(self, name)
            if times.shape != (count,) or not np.isfinite(times).all():
                raise InvalidField(
                    f"measured requests: {name} must be {count} finite times; leave out requests that did not finish"
                )
        early = np.flatnonzero((self.first_token_s <= arrival) | (self.last_token_s < self.first_token_s))
        if len(early):
            raise InvalidField(
                f"measured requests: request {early[0]} comes at {arrival[early[0]]:g} s, its first token at "
                f"{self.first_token_s[early[0]]:g} s, its last at {self.last_token_s[early[0]]:g} s; they must be in "
                "this order, on one clock"
            )

    def __len__(self) -> int:
        return len(self.workload)

    def serving_times(self) -> ServingTimes:
        """What was measured of each request."""
        return serving_times(self.workload, self.first_token_s, self.last_token_s)


def serving_times(workload: Workload, first_token_s: Floats, last_token_s: Floats) -> ServingTimes:
    """The three times that engines report, per request."""
    between = np.where(workload.output_tokens > 1, workload.output_tokens - 1, np.nan)
    return ServingTimes(
        ttft_s=first_token_s - workload.arrival_s,
        tpot_s=(last_token_s - first_token_s) / between,
        latency_s=last_token_s - workload.arrival_s,
    )


def read_vllm_requests(path: Path) -> MeasuredRequests:
    """Read JSON lines with `input_toks`, `output_toks`, `arrival_time` and vLLM's `queued_ts`, `first_token_ts`, …

    Arrivals are stamped by the client's wall clock, all else by the engine's monotonic one. The engine takes requests
    in between two steps, so the least difference between arrival and `queued_ts` is taken for the clocks' difference;
    what a request needs at least on its way is lost in it. Raises UnreadableInput naming the line.
    """
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableInput(f"{path}: cannot be read as text: {error}") from error
    names = ("arrival_time", "queued_ts", "first_token_ts", "last_token_ts", "input_toks", "output_toks")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            rows.append([float(record[name]) for name in names])
        except (ValueError, TypeError, KeyError) as error:
            raise UnreadableInput(
                f"{path}:{number}: not a request with the numbers {', '.join(names)} ({error!r})"
            ) from error
    if not rows:
        raise UnreadableInput(f"{path}: no request in it")
    table = np.array(sorted(rows))
    arrival, queued, first, last = table[:, :4].T
    clocks = np.min(queued - arrival)
    start = arrival[0]
    return MeasuredRequests(
        workload=Workload(arrival_s=arrival - start, input_tokens=table[:, 4], output_tokens=table[:, 5]),
        first_token_s=first - clocks - start,
        last_token_s=last - clocks - start,
    )
