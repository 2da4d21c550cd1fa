"""How much information the requests of a step hold, after each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ferry.traffic.gate.decision import Required
from ferry.traffic.gate.measures import Measured
from ferry.traffic.gate.statistics import Floats

KINDS = (("ttft",), ("tpot", "tpot_bytes"), ("token_time", "token_time_bytes"))
"""Each latency, by the measures of which one is enough."""


@dataclass(frozen=True, kw_only=True)
class Events:
    """Requests of both sides in one order: after each, how many there were of each side and kind, and when."""

    ends_s: Floats
    baseline: Floats
    candidate: Floats
    baseline_kinds: tuple[Floats, ...]
    candidate_kinds: tuple[Floats, ...]

    @classmethod
    def of(cls, baseline: Measured, candidate: Measured, *, recorded: bool) -> Events:
        """In the order in which they ended; a line that was read late counts from then on.

        `recorded`: all of the baseline was there before.
        """
        sides = [np.maximum.accumulate(side.ends_s) for side in (baseline, candidate)]
        if recorded:
            sides[0] = np.full(len(baseline), -np.inf)
        ends = np.concatenate(sides)
        order = np.argsort(ends, kind="stable")
        is_candidate = order >= len(baseline)
        counts = np.cumsum(~is_candidate), np.cumsum(is_candidate)
        kinds = [
            [np.concatenate([[0.0], np.cumsum(side.have(names))])[count] for names in KINDS]
            for side, count in zip((baseline, candidate), counts, strict=True)
        ]
        return cls(
            ends_s=ends[order],
            baseline=counts[0].astype(np.float64),
            candidate=counts[1].astype(np.float64),
            baseline_kinds=tuple(kinds[0]),
            candidate_kinds=tuple(kinds[1]),
        )

    def information(self, need: Required, began_s: float, smallest_kind: float) -> Floats:
        """After each request, the share of what is required: of requests, latencies and time, whichever is least.

        A latency that fewer than `smallest_kind` of the requests of a side have is not waited for.
        """
        found = np.minimum(self.candidate / need.candidate, self.baseline / need.baseline)
        found = np.minimum(found, (self.ends_s - began_s) / need.minimum_seconds)
        for theirs, ours in zip(self.baseline_kinds, self.candidate_kinds, strict=True):
            least = np.minimum(theirs / np.maximum(1, self.baseline), ours / np.maximum(1, self.candidate))
            share = np.minimum(theirs / need.baseline_latencies, ours / need.candidate_latencies)
            found = np.where(least >= smallest_kind, np.minimum(found, share), found)
        return found
