"""Requests that have begun and not ended, by Envoy's counters: what is never answered has no line in the log."""

from __future__ import annotations

from ferry.traffic.gate import looks, statistics
from ferry.traffic.gate.decision import FigureValue

SMALLEST_RATIO = 2.0
"""Twice the baseline's share of open requests: a candidate that is somewhat slower has somewhat more of them."""


class OpenRequests:
    """Compares the shares of requests that are still open, by Fisher's exact test, each look with its part of alpha.

    Requests that were open at the candidate when the step began are left out as long as they have not ended; those of
    the baseline count, which favours the candidate.
    """

    def __init__(self, alpha: float, started_s: float) -> None:
        self._alpha, self._started_s = alpha, started_s
        self._ended_baseline = self._ended_candidate = self._looked = 0
        self._from_before: int | None = None
        self._figures: dict[str, FigureValue] = {"open.baseline": None, "open.candidate": None}

    def ended(self, baseline: int, candidate: int) -> None:
        """Count requests of this step that have ended."""
        self._ended_baseline += baseline
        self._ended_candidate += candidate

    def from_before_ended(self, candidate: int) -> None:
        """Of the candidate's requests from before the step, these are none of those open now."""
        if self._from_before is not None:
            self._from_before = max(0, self._from_before - candidate)

    def look(self, baseline: int, candidate: int, at_s: float) -> str | None:
        """Take the counters of now. Why to roll back, or None."""
        if self._from_before is None:
            self._from_before = candidate
        candidate = max(0, candidate - self._from_before)
        begun_baseline, begun_candidate = self._ended_baseline + baseline, self._ended_candidate + candidate
        p_value = statistics.fisher(candidate, begun_candidate, baseline, begun_baseline)
        self._figures = {
            "open.baseline": baseline,
            "open.baseline_begun": begun_baseline,
            "open.candidate": candidate,
            "open.candidate_begun": begun_candidate,
            "open.p_value": p_value,
        }
        due = looks.open_looks(at_s - self._started_s)
        if due <= self._looked or not begun_candidate or not begun_baseline:
            return None
        may_spend = self._alpha * sum(looks.open_share(number) for number in range(self._looked + 1, due + 1))
        self._looked = due
        if p_value > may_spend or candidate / begun_candidate < SMALLEST_RATIO * baseline / begun_baseline:
            return None
        return (
            f"{candidate:,} of {begun_candidate:,} requests of the candidate have no end yet, against {baseline:,} of "
            f"{begun_baseline:,} of the baseline; p = {p_value:.2g}, and this look refuses from {may_spend:.2g} on"
        )

    def figures(self) -> dict[str, FigureValue]:
        """Of the last look; None where the counters are unknown."""
        return self._figures
