"""The requests of one round, measured, in the order in which they ended, and how much information they hold."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ferry.traffic.gate.decision import Required
from ferry.traffic.gate.measures import COLUMNS, column
from ferry.traffic.gate.statistics import Floats

KINDS = (("ttft",), ("tpot", "tpot_bytes"), ("token_time", "token_time_bytes"))
"""Each latency, by the measures of which one is enough."""


@dataclass
class Samples:
    """Both sides of one round, each sorted by end within each `add`."""

    baseline: Floats = field(default_factory=lambda: np.empty((0, len(COLUMNS))))
    candidate: Floats = field(default_factory=lambda: np.empty((0, len(COLUMNS))))
    baseline_ends: Floats = field(default_factory=lambda: np.empty(0))
    candidate_ends: Floats = field(default_factory=lambda: np.empty(0))

    def add(self, baseline: tuple[Floats, Floats], candidate: tuple[Floats, Floats]) -> None:
        """Take rows of `measure` and the times at which they ended."""
        self.baseline, self.baseline_ends = _joined(self.baseline, self.baseline_ends, *baseline)
        self.candidate, self.candidate_ends = _joined(self.candidate, self.candidate_ends, *candidate)

    def after(self, baseline: int, candidate: int) -> Samples:
        """What is left when so many of each side are taken away."""
        return Samples(
            self.baseline[baseline:],
            self.candidate[candidate:],
            self.baseline_ends[baseline:],
            self.candidate_ends[candidate:],
        )

    def kinds(self) -> tuple[Floats, Floats]:
        """For each side, how many requests have each of KINDS."""
        return has_kinds(self.baseline).sum(axis=0), has_kinds(self.candidate).sum(axis=0)


@dataclass(frozen=True, kw_only=True)
class Events:
    """Requests of both sides in one order: after each, how many there were of each side and kind, and when."""

    ends: Floats
    baseline: Floats
    candidate: Floats
    baseline_kinds: Floats
    candidate_kinds: Floats

    @classmethod
    def of(cls, samples: Samples, *, recorded: bool) -> Events:
        """In the order in which they ended; a line that was read late counts from then on.

        `recorded`: all of the baseline was there before.
        """
        sides = [np.maximum.accumulate(times) for times in (samples.baseline_ends, samples.candidate_ends)]
        if recorded:
            sides[0] = np.full(len(sides[0]), -np.inf)
        ends = np.concatenate(sides)
        order = np.argsort(ends, kind="stable")
        is_candidate = (np.arange(len(ends)) >= len(samples.baseline))[order]
        kinds = np.concatenate([has_kinds(samples.baseline), has_kinds(samples.candidate)])[order]
        return cls(
            ends=ends[order],
            baseline=np.cumsum(~is_candidate).astype(np.float64),
            candidate=np.cumsum(is_candidate).astype(np.float64),
            baseline_kinds=np.cumsum(kinds * ~is_candidate[:, None], axis=0),
            candidate_kinds=np.cumsum(kinds * is_candidate[:, None], axis=0),
        )

    def information(self, need: Required, began_s: float, smallest_kind: float) -> Floats:
        """After each request, the share of what is required: of requests, latencies and time, whichever is least.

        A latency that fewer than `smallest_kind` of the requests of a side have is not waited for.
        """
        found = np.minimum.reduce(
            [
                (self.ends - began_s) / need.minimum_seconds,
                self.candidate / need.candidate,
                self.baseline / need.baseline,
            ]
        )
        for theirs, ours in zip(self.baseline_kinds.T, self.candidate_kinds.T, strict=True):
            least = np.minimum(theirs / np.maximum(1, self.baseline), ours / np.maximum(1, self.candidate))
            share = np.minimum(theirs / need.baseline_latencies, ours / need.candidate_latencies)
            found = np.where(least >= smallest_kind, np.minimum(found, share), found)
        return np.asarray(found)


def has_kinds(rows: Floats) -> Floats:
    """For each row, 1 for each of KINDS that it has."""
    known = ~np.isnan(rows)
    return np.stack([known[:, [column(name) for name in names]].any(axis=1) for names in KINDS], axis=1).astype(float)


def _joined(rows: Floats, ends: Floats, new_rows: Floats, new_ends: Floats) -> tuple[Floats, Floats]:
    if not len(new_ends):
        return rows, ends
    order = np.argsort(new_ends, kind="stable")
    return np.concatenate([rows, new_rows[order]]), np.concatenate([ends, new_ends[order]])
