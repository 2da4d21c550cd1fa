"""What a request is to the gate: how it failed, if it did, and how long it took.

A request fails in one way only: it *hangs*, else its client left (*abandoned*), else it is an *error* (5xx, no answer,
or another side had to answer), else it was *truncated*. Answers of 4xx are neither failures nor measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ferry.traffic.gate.statistics import Floats
from ferry.traffic.gateway.routes import FAIL_OVER
from ferry.traffic.requests import Request

COLUMNS = (
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


def column(name: str) -> int:
    """Where a measure stands."""
    return COLUMNS.index(name)


def measure(requests: Sequence[Request], hang_ms: float) -> Floats:
    """One row a request, with COLUMNS."""
    rows = np.full((len(requests), len(COLUMNS)), math.nan)
    rows[:, :4] = 0.0
    for row, request in zip(rows, requests, strict=True):
        failure = _failure(request, hang_ms)
        if failure is not None:
            row[column(failure)] = 1.0
        elif request.status is not None and request.status < 400:
            row[4:] = _times(request)
    return rows


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
