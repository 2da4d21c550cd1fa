"""The requests that a simulation replays: when each comes, and how many tokens it brings and wants."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ferry.errors import InvalidField

Floats = NDArray[np.float64]
Integers = NDArray[np.int32]

MOST_TOKENS = 10_000_000
"""Above this a count of tokens is a mistake: no model has such a context."""
MOST_SECONDS = 366 * 86400
"""Above this an arrival is a mistake: a moment instead of a time since the start, or milliseconds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """Arrays of equal length N, sorted by arrival. They are not copied when they have the types below already.

    arrival_s:      float64[N], seconds from the trace's start, 0 … a year, ascending (equal ones are served in order)
    input_tokens:   int32[N], 1 … 10 million
    output_tokens:  int32[N], 1 … 10 million
    cached_tokens:  int32[N] or None (0 everywhere): tokens of the prompt that a prefix cache holds when the request is
                    admitted, less than its input_tokens

    Raises InvalidField naming the first request that is wrong.
    """

    arrival_s: Floats
    input_tokens: Integers
    output_tokens: Integers
    cached_tokens: Integers | None = None

    def __post_init__(self) -> None:
        arrival = np.ascontiguousarray(self.arrival_s, dtype=np.float64)
        if arrival.ndim != 1 or not len(arrival):
            raise InvalidField("workload: it has no requests; give at least one")
        object.__setattr__(self, "arrival_s", arrival)
        for name in ("input_tokens", "output_tokens"):
            object.__setattr__(self, name, _tokens(name, getattr(self, name), len(arrival), least=1))
        beyond = ~np.isfinite(arrival) | (arrival < 0) | (arrival > MOST_SECONDS)
        _refuse("arrival_s", arrival, beyond, f"0 … {MOST_SECONDS}, seconds from the start")
        backwards = np.flatnonzero(np.diff(arrival) < 0)
        if len(backwards):
            at = int(backwards[0]) + 1
            raise InvalidField(
                f"workload: request {at} arrives at {arrival[at]:g} s, before request {at - 1} at "
                f"{arrival[at - 1]:g} s; sort the requests by arrival"
            )
        if self.cached_tokens is not None:
            cached = _tokens("cached_tokens", self.cached_tokens, len(arrival), least=0)
            _refuse("cached_tokens", cached, cached >= self.input_tokens, "less than the request's input_tokens")
            object.__setattr__(self, "cached_tokens", cached)

    def __len__(self) -> int:
        return len(self.arrival_s)

    def stretched(self, factor: float) -> Workload:
        """The same requests, with arrivals `factor` times as far apart: 2 halves the load."""
        if not (np.isfinite(factor) and factor > 0):
            raise InvalidField(f"workload: cannot be stretched by {factor!r}; give a number above 0")
        return replace(self, arrival_s=self.arrival_s * factor)

    def scaled(self, factor: float, seed: int, jitter_s: float = 60.0) -> Workload:
        """`factor` times as many requests in the same time, with the trace's own mix and its ups and downs.

        Each request is kept floor(factor) times, and once more with the probability of the rest (thinning). Copies
        after a request's first are shifted by a uniform -jitter_s … +jitter_s, so that they do not come at once; the
        trace's first and last arrival bound them.
        """
        if not (np.isfinite(factor) and factor > 0):
            raise InvalidField(f"workload: load cannot be scaled by {factor!r}; give a number above 0")
        random = np.random.default_rng(seed)
        copies = np.floor(factor + random.random(len(self))).astype(np.int64)
        chosen = np.repeat(np.arange(len(self)), copies)
        if not len(chosen):
            raise InvalidField(f"workload: no request is left of {len(self)} at {factor:g} of the load")
        again = np.concatenate([[False], chosen[1:] == chosen[:-1]])
        arrival = self.arrival_s[chosen]
        arrival = arrival + np.where(again, random.uniform(-jitter_s, jitter_s, len(chosen)), 0.0)
        arrival = np.clip(arrival, self.arrival_s[0], self.arrival_s[-1])
        order = np.argsort(arrival, kind="stable")
        picked = chosen[order]
        return Workload(
            arrival_s=arrival[order],
            input_tokens=self.input_tokens[picked],
            output_tokens=self.output_tokens[picked],
            cached_tokens=None if self.cached_tokens is None else self.cached_tokens[picked],
        )


def _tokens(name: str, values: NDArray[np.generic], count: int, least: int) -> Integers:
    given = np.asarray(values)
    if given.shape != (count,):
        raise InvalidField(f"workload: {name} has the shape {given.shape}, but there are {count} arrivals")
    if not np.issubdtype(given.dtype, np.integer):
        whole = given.astype(np.float64)
        _refuse(name, whole, ~np.isfinite(whole) | (whole != np.floor(whole)), "a whole number")
    _refuse(name, given, (given < least) | (given > MOST_TOKENS), f"{least} … {MOST_TOKENS}")
    return np.ascontiguousarray(given, dtype=np.int32)


def _refuse(name: str, values: NDArray[np.generic], wrong: NDArray[np.bool_], allowed: str) -> None:
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise InvalidField(f"workload: request {at} has {name} {values[at]}; it must be {allowed}")
