"""What the gate tests: each metric has a p-value for "no worse", whether the difference matters, and its figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from ferry.traffic.gate import statistics
from ferry.traffic.gate.decision import FigureValue
from ferry.traffic.gate.measures import FAILURES, Measured
from ferry.traffic.gate.policy import CanaryPolicy
from ferry.traffic.gate.statistics import Floats

CONFIDENCE = 0.95
"""Of the intervals in the figures."""
P99 = 0.99
KNOWN_TOKENS = 0.9
"""With fewer token counts than this on a side, both are compared by bytes: who does not ask for `usage` gets none."""


class Metric(Protocol):
    """One test."""

    @property
    def name(self) -> str:
        """As in the figures."""

    def matters(self, baseline: Measured, candidate: Measured) -> bool:
        """Whether the difference, as far as was seen, is a reason to roll back if it is no chance."""

    def p_value(self, baseline: Measured, candidate: Measured) -> float:
        """The probability of such a difference or more, at most, where the candidate is no worse."""

    def figures(self, baseline: Measured, candidate: Measured) -> dict[str, FigureValue]:
        """All that a person needs to check it."""

    def sentence(self, baseline: Measured, candidate: Measured) -> str:
        """How the candidate compares."""


@dataclass(frozen=True)
class Failures:
    """The share of requests that failed in one way, by Fisher's exact test."""

    name: str
    tolerated_excess: float

    def matters(self, baseline: Measured, candidate: Measured) -> bool:
        """See Metric."""
        bad, was = candidate.count(self.name), baseline.count(self.name)
        return bad / max(1, len(candidate)) - was / max(1, len(baseline)) > self.tolerated_excess

    def p_value(self, baseline: Measured, candidate: Measured) -> float:
        """See Metric."""
        bad, was = candidate.count(self.name), baseline.count(self.name)
        return statistics.fisher(bad, len(candidate), was, len(baseline))

    def figures(self, baseline: Measured, candidate: Measured) -> dict[str, FigureValue]:
        """See Metric."""
        found: dict[str, FigureValue] = {f"{self.name}.p_value": self.p_value(baseline, candidate)}
        for side, requests in (("baseline", baseline), ("candidate", candidate)):
            found |= rate_figures(f"{self.name}.{side}", requests.count(self.name), len(requests))
        return found

    def sentence(self, baseline: Measured, candidate: Measured) -> str:
        """See Metric."""
        bad, was = candidate.count(self.name), baseline.count(self.name)
        return (
            f"{self.name} at {bad:,} of {len(candidate):,} requests of the candidate "
            f"({share_text(bad, len(candidate))}) against {was:,} of {len(baseline):,} of the baseline "
            f"({share_text(was, len(baseline))})"
        )


@dataclass(frozen=True)
class Answers:
    """Times of both sides in the same unit."""

    baseline: Floats
    candidate: Floats
    unit: str

    @cached_property
    def rank(self) -> int:
        """Of the baseline's P99, the largest being 1."""
        return statistics.upper_rank(P99, len(self.baseline))

    @cached_property
    def limit(self) -> float:
        """The baseline's P99."""
        return statistics.largest(self.baseline, self.rank)

    @property
    def are_there(self) -> bool:
        """On both sides."""
        return len(self.baseline) > 0 and len(self.candidate) > 0

    def above(self, times: float) -> int:
        """Of the candidate's, those above so many times the baseline's P99."""
        return int((self.candidate > times * self.limit).sum())


@dataclass(frozen=True)
class SlowAnswers:
    """The share of answers slower than the baseline's P99, by the exact exceedance test."""

    name: str
    tolerated_ratio: float

    def matters(self, baseline: Measured, candidate: Measured) -> bool:
        """See Metric. The candidate's P99 is above a limit where as many answers are as its rank says."""
        found = self.answers(baseline, candidate)
        return found.are_there and found.above(self.tolerated_ratio) >= statistics.upper_rank(P99, len(found.candidate))

    def p_value(self, baseline: Measured, candidate: Measured) -> float:
        """See Metric."""
        found = self.answers(baseline, candidate)
        if not found.are_there:
            return 1.0
        return statistics.exceedance(found.above(1.0), len(found.candidate), found.rank, len(found.baseline))

    def figures(self, baseline: Measured, candidate: Measured) -> dict[str, FigureValue]:
        """See Metric."""
        answers = self.answers(baseline, candidate)
        found: dict[str, FigureValue] = {
            f"{self.name}.p_value": self.p_value(baseline, candidate),
            f"{self.name}.unit": answers.unit,
            **quantile_figures(f"{self.name}.baseline", answers.baseline),
            **quantile_figures(f"{self.name}.candidate", answers.candidate),
        }
        if answers.are_there:
            found |= rate_figures(f"{self.name}.above_baseline_p99", answers.above(1.0), len(answers.candidate))
        return found

    def sentence(self, baseline: Measured, candidate: Measured) -> str:
        """See Metric."""
        found = self.answers(baseline, candidate)
        mine = statistics.largest(found.candidate, statistics.upper_rank(P99, len(found.candidate)))
        above, of = found.above(1.0), len(found.candidate)
        return (
            f"{self.name}: P99 of the candidate {mine:.3g} {found.unit} against {found.limit:.3g} of the baseline, "
            f"which {above:,} of {of:,} answers ({share_text(above, of)}) exceed"
        )

    def answers(self, baseline: Measured, candidate: Measured) -> Answers:
        """By tokens where both sides know them, else by bytes."""
        by_bytes = f"{self.name}_bytes"
        if self.name == "ttft":
            name, unit = self.name, "ms"
        elif all(side.count(self.name) >= KNOWN_TOKENS * side.count(by_bytes) for side in (baseline, candidate)):
            name, unit = self.name, "ms a token"
        else:
            name, unit = by_bytes, "ms a byte, since tokens are not known on both sides"
        return Answers(baseline.values(name), candidate.values(name), unit)


def comparisons(policy: CanaryPolicy) -> tuple[Failures | SlowAnswers, ...]:
    """What is compared with the baseline."""
    gate = policy.gate
    return (
        *(Failures(name, gate.tolerated_error_excess) for name in FAILURES),
        *(SlowAnswers(name, gate.tolerated_p99_ratio) for name in ("ttft", "tpot", "token_time")),
    )


def rate_figures(name: str, events: int, count: int) -> dict[str, FigureValue]:
    """A count, its rate and the rate's interval."""
    low, high = statistics.rate_interval(events, count, CONFIDENCE)
    return {
        f"{name}.count": events,
        f"{name}.of": count,
        f"{name}.rate": events / count if count else None,
        f"{name}.rate_low": low,
        f"{name}.rate_high": high,
    }


def quantile_figures(name: str, values: Floats) -> dict[str, FigureValue]:
    """How many values there are, their P99 and its interval; None where so few cannot tell."""
    low, p99, high = statistics.quantile_interval(values, P99, CONFIDENCE) if len(values) else (None, None, None)
    return {f"{name}.count": len(values), f"{name}.p99": p99, f"{name}.p99_low": low, f"{name}.p99_high": high}


def share_text(events: int, count: int) -> str:
    """For people."""
    return f"{events / count:.2%}" if count else "no requests"
