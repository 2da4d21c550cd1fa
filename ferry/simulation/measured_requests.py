"""Requests that a real engine served, with when their tokens came: what a calibration is fitted to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferry.errors import InvalidField, UnreadableInput

Floats = NDArray[np.float64]
Integers = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class MeasuredRequests:
    """Arrays of equal length N, sorted by arrival; times in seconds from the first arrival, on one clock.

    Raises InvalidField when lengths differ, arrivals are out of order, lengths are below 1, or tokens come before the
    request.
    """

    arrival_s: Floats
    input_tokens: Integers
    output_tokens: Integers
    first_token_s: Floats
    last_token_s: Floats

    def __post_init__(self) -> None:
        count = len(self.arrival_s)
        columns = (self.input_tokens, self.output_tokens, self.first_token_s, self.last_token_s)
        if count < 2 or any(len(column) != count for column in columns):
            raise InvalidField(f"measured requests: {count} arrivals; at least 2 are needed, and columns of one length")
        if not all(np.isfinite(column).all() for column in (self.arrival_s, *columns)):
            raise InvalidField("measured requests: a time is missing; leave out requests that did not finish")
        if (np.diff(self.arrival_s) < 0).any():
            raise InvalidField("measured requests: arrivals are out of order; sort them by arrival")
        if (self.input_tokens < 1).any() or (self.output_tokens < 1).any():
            raise InvalidField("measured requests: a request has less than 1 input or output token")
        if (self.first_token_s <= self.arrival_s).any() or (self.last_token_s < self.first_token_s).any():
            raise InvalidField("measured requests: a token comes before its request; the clocks do not agree")

    def __len__(self) -> int:
        return len(self.arrival_s)

    def serving_times(self) -> ServingTimes:
        """What was measured of each request."""
        return serving_times(self.arrival_s, self.output_tokens, self.first_token_s, self.last_token_s)


@dataclass(frozen=True, kw_only=True)
class ServingTimes:
    """Time to first token, mean time between output tokens (NaN for a single token) and latency, in seconds."""

    ttft_s: Floats
    tpot_s: Floats
    latency_s: Floats


def serving_times(
    arrival_s: Floats, output_tokens: Integers, first_token_s: Floats, last_token_s: Floats
) -> ServingTimes:
    """The three times that engines report, per request."""
    between = np.where(output_tokens > 1, output_tokens - 1, np.nan)
    return ServingTimes(
        ttft_s=first_token_s - arrival_s,
        tpot_s=(last_token_s - first_token_s) / between,
        latency_s=last_token_s - arrival_s,
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
        arrival_s=arrival - start,
        input_tokens=table[:, 4].astype(np.int32),
        output_tokens=table[:, 5].astype(np.int32),
        first_token_s=first - clocks - start,
        last_token_s=last - clocks - start,
    )
