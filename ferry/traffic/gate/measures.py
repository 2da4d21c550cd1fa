"""What a request is to the gate: how it failed, if it did, and how long it took.

A request fails in one way only: it *hangs*, else its client left (*abandoned*), else it is an *error* (5xx, no answer,
or another side had to answer), else it was *truncated*. Answers of 4xx are neither failures nor measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ferry.traffic.gate.statistics import Floats
from ferry.traffic.gateway.routes import FAIL_OVER
from ferry.traffic.requests import Request

MEASURES = (
    "errors", "truncated", "hangs", "abandoned",
    "ttft", "tpot", "tpot_bytes", "token_time", "token_time_bytes",
)  # fmt: skip
"""Failures are 0 or 1. Times are in ms, NaN where there is none:

ttft              to the first byte of a streamed answer
tpot              (duration - ttft) / (tokens - 1) of a streamed answer; tpot_bytes: / bytes
token_time        duration / tokens of an answer that is not streamed, as vLLM's normalised latency (Kwon et al., SOSP
                  2023); token_time_bytes: / bytes
"""
CLIENT_LEFT = {"DC", "DR"}
"""Envoy's response flags for a client that ended the connection or the stream."""
_NO_TIMES = (math.nan,) * 5


@dataclass(frozen=True)
class Measured:
    """Requests of one side in the order in which they ended."""

    values: Floats
    """One row for each of MEASURES, one column a request."""
    ends_s: Floats

    def __len__(self) -> int:
        return len(self.ends_s)

    def __getitem__(self, part: slice) -> Measured:
        return Measured(self.values[:, part], self.ends_s[part])

    def of(self, name: str) -> Floats:
        """One measure of each request."""
        row: Floats = self.values[MEASURES.index(name)]
        return row

    def count(self, name: str) -> int:
        """Requests that failed in this way."""
        return int(self.of(name).sum())

    def known(self, name: str) -> Floats:
        """A time of the requests that have it."""
        times = self.of(name)
        return times[~np.isnan(times)]

    def followed_by(self, later: Measured) -> Measured:
        """Both, one after the other."""
        if not len(later):
            return self
        values = np.concatenate([self.values, later.values], axis=1)
        return Measured(values, np.concatenate([self.ends_s, later.ends_s]))


NOTHING = Measured(np.empty((len(MEASURES), 0)), np.empty(0))


def measure(requests: Sequence[Request], hang_ms: float) -> Measured:
    """What the gate takes from requests."""
    ordered = sorted(requests, key=lambda one: one.end_s)
    values = np.full((len(MEASURES), len(ordered)), math.nan)
    values[:4] = 0.0
    for at, request in enumerate(ordered):
        failure = _failure(request, hang_ms)
        if failure is not None:
            values[MEASURES.index(failure), at] = 1.0
        elif request.status is not None and request.status < 400:
            values[4:, at] = _times(request)
    return Measured(values, np.array([request.end_s for request in ordered], dtype=np.float64))


def failed_over(request: Request) -> bool:
    """Whether the side that the weights chose could not answer, and the other one did."""
    chosen = [side for side, aggregate in FAIL_OVER.items() if aggregate == request.aimed]
    return request.cluster is not None and bool(chosen) and request.cluster not in chosen


def _failure(request: Request, hang_ms: float) -> str | None:
    first = request.first_byte_ms
    if request.duration_ms >= hang_ms and (first is None or (request.streamed and first >= hang_ms)):
        return "hangs"
    if request.flags is not None and CLIENT_LEFT & set(request.flags.split(",")):
        return "abandoned"
    if request.status is None or request.status >= 500 or failed_over(request):
        return "errors"
    if request.status < 400 and not request.finished:
        return "truncated"
    return None


def _times(request: Request) -> tuple[float, ...]:
    first, tokens, size = request.first_byte_ms, request.completion_tokens or 0, request.bytes_sent
    if not request.streamed:
        whole = request.duration_ms
        return (*_NO_TIMES[:3], whole / tokens if tokens else math.nan, whole / size if size else math.nan)
    if first is None:
        return _NO_TIMES
    after = max(0.0, request.duration_ms - first)
    return (
        first,
        after / (tokens - 1) if tokens > 1 else math.nan,
        after / size if size else math.nan,
        *_NO_TIMES[3:],
    )
