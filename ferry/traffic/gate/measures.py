"""What a request is to the gate: how it failed, if it did, and how long it took.

A request fails in one way only: it *hangs*, else its client left (*abandoned*), else it is an *error* (5xx, no answer,
or another side had to answer), else *refused* (4xx: mostly the client's fault, but an engine that does not know the
model says so too), else it was *truncated*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferry.traffic.gate.statistics import Floats, Positions
from ferry.traffic.gateway.routes import FAIL_OVER
from ferry.traffic.requests import Request

FAILURES = ("errors", "truncated", "hangs", "refused", "abandoned")
MEASURES = (*FAILURES, "ttft", "tpot", "tpot_bytes", "token_time", "token_time_bytes")
"""A failure is 1 where there is one. Times are in ms:

ttft              to the first byte of a streamed answer
tpot              (duration - ttft) / (tokens - 1) of a streamed answer; tpot_bytes: / bytes
token_time        duration / tokens of an answer that is not streamed, as vLLM's normalised latency (Kwon et al., SOSP
                  2023); token_time_bytes: / bytes
"""
CLIENT_LEFT = {"DC", "DR"}
"""Envoy's response flags for a client that ended the connection or the stream."""


@dataclass(frozen=True)
class Known:
    """A measure of the requests that have it."""

    at: Positions
    """Which requests, rising."""
    values: Floats


@dataclass(frozen=True)
class Measured:
    """Requests of one side in the order in which they ended: when, and what is known of each of MEASURES."""

    ends_s: Floats
    measures: Mapping[str, Known]

    def __len__(self) -> int:
        return len(self.ends_s)

    def part(self, start: int, stop: int) -> Measured:
        """The requests from `start` to before `stop`."""
        found = {}
        for name, known in self.measures.items():
            low, high = known.at.searchsorted(start) if start else 0, known.at.searchsorted(stop)
            found[name] = Known(known.at[low:high] - start if start else known.at[:high], known.values[low:high])
        return Measured(self.ends_s[start:stop], found)

    def followed_by(self, later: Measured) -> Measured:
        """Both, one after the other."""
        if not len(self) or not len(later):
            return later if len(later) else self
        return Measured(
            np.concatenate([self.ends_s, later.ends_s]),
            {
                name: Known(
                    np.concatenate([known.at, later.measures[name].at + len(self)]),
                    np.concatenate([known.values, later.measures[name].values]),
                )
                for name, known in self.measures.items()
            },
        )

    def count(self, name: str) -> int:
        """Requests that have this measure."""
        return len(self.measures[name].at)

    def values(self, name: str) -> Floats:
        """Of the requests that have it."""
        return self.measures[name].values

    def have(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Which requests have any of these."""
        found = np.zeros(len(self), dtype=np.bool_)
        for name in names:
            found[self.measures[name].at] = True
        return found


def measure(requests: Sequence[Request], hang_ms: float) -> Measured:
    """What the gate takes from requests."""
    ordered = sorted(requests, key=lambda one: one.end_s)
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in MEASURES}
    for at, request in enumerate(ordered):
        failure = _failure(request, hang_ms)
        if failure is not None:
            found[failure].append((at, 1.0))
        else:
            for name, value in _times(request):
                found[name].append((at, value))
    known = {
        name: Known(np.array([at for at, _ in pairs], np.int64), np.array([value for _, value in pairs], np.float64))
        for name, pairs in found.items()
    }
    return Measured(np.array([request.end_s for request in ordered], np.float64), known)


NOTHING = measure((), 0.0)


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
    if request.status >= 400:
        return "refused"
    return None if request.finished else "truncated"


def _times(request: Request) -> Iterator[tuple[str, float]]:
    first, tokens, size = request.first_byte_ms, request.completion_tokens or 0, request.answer_bytes
    if request.streamed and first is not None:
        after = max(0.0, request.duration_ms - first)
        yield "ttft", first
        if tokens > 1:
            yield "tpot", after / (tokens - 1)
        if size:
            yield "tpot_bytes", after / size
    elif not request.streamed:
        if tokens:
            yield "token_time", request.duration_ms / tokens
        if size:
            yield "token_time_bytes", request.duration_ms / size
