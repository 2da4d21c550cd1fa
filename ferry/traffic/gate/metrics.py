"""What the gate tests: each metric has a p-value for "no worse", whether the difference matters, and its figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ferry.traffic.gate import statistics
from ferry.traffic.gate.decision import FigureValue
from ferry.traffic.gate.measures import Measured
from ferry.traffic.gate.policy import CanaryPolicy
from ferry.traffic.gate.statistics import Floats

CONFIDENCE = 0.95
"""Of the intervals in the figures."""
P99 = 0.99
FAILURES = ("errors", "truncated", "hangs")
KNOWN_TOKENS = 0.9
"""With fewer token counts than this on a side, both are compared by bytes: who does not ask for `usage` gets none."""


class Metric(Protocol):
    """One test."""

    @property
    def name(self) -> str:
        """As in the figures."""

    def weigh(self, baseline: Measured, candidate: Measured) -> tuple[float, bool]:
        """The p-value, and whether the difference is one that matters."""

    def figures(self, baseline: Measured, candidate: Measured) -> dict[str, FigureValue]:
        """All that a person needs to check it."""

    def sentence(self, baseline: Measured, candidate: Measured) -> str:
        """How the candidate compares."""


@dataclass(frozen=True)
class Failures:
    """The share of requests that failed in one way, by Fisher's exact test."""

    name: str
    tolerated_excess: float

    def weigh(self, baseline: Measured, candidate: Measured) -> tuple[float, bool]:
        """See Metric."""
        bad, was = candidate.count(self.name), baseline.count(self.name)
        p_value = statistics.fisher(bad, len(candidate), was, len(baseline))
        excess = bad / max(1, len(candidate)) - was / max(1, len(baseline))
        return p_value, excess > self.tolerated_excess

    def figures(self, baseline: Measured, candidate: Measured) -> dict[str, FigureValue]:
        """See Metric."""
        found: dict[str, FigureValue] = {f"{self.name}.p_value": self.weigh(baseline, candidate)[0]}
        for side, requests in (("baseline", baseline), ("candidate", candidate)):
            found |= rate_figures(f"{self.name}.{side}", requests.count(self.name), len(requests))
        return found

    def sentence(self, baseline: Measured, candidate: Measured) -> str:
        """See Metric."""
        bad, was = candidate.count(self.name), baseline.count(self.name)
        return (
            f"{self.name} at {bad:,} of {len(candidate):,} requests of the candidate ({_share(bad, len(candidate))}) "
            f"against {was:,} of {len(baseline):,} of the baseline ({_share(was, len(baseline))})"
        )

    def is_measured(self, baseline: Measured, candidate: Measured) -> bool:
        """Of every request."""
        return True


@dataclass(frozen=True)
class SlowAnswers:
    """The share of answers slower than the baseline's P99, by the exact exceedance test."""

    name: str
    tolerated_ratio: float

    def weigh(self, baseline: Measured, candidate: Measured) -> tuple[float, bool]:
        """See Metric."""
        was, now, _ = self.values(baseline, candidate)
        if not len(was) or not len(now):
            return 1.0, False
        rank = statistics.upper_rank(P99, len(was))
        limit = _largest(was, rank)
        above = int((now > limit).sum())
        mine = _largest(now, statistics.upper_rank(P99, len(now)))
        return statistics.exceedance(above, len(now), rank, len(was)), mine > self.tolerated_ratio * limit

    def figures(self, baseline: Measured, candidate: Measured) -> dict[str, FigureValue]:
        """See Metric."""
        was, now, unit = self.values(baseline, candidate)
        found: dict[str, FigureValue] = {
            f"{self.name}.p_value": self.weigh(baseline, candidate)[0],
            f"{self.name}.unit": unit,
        }
        for side, values in (("baseline", was), ("candidate", now)):
            found |= quantile_figures(f"{self.name}.{side}", values)
        if len(was):
            limit = _largest(was, statistics.upper_rank(P99, len(was)))
            above = int((now > limit).sum())
            found |= rate_figures(f"{self.name}.candidate_above_baseline_p99", above, len(now))
        return found

    def sentence(self, baseline: Measured, candidate: Measured) -> str:
        """See Metric."""
        was, now, unit = self.values(baseline, candidate)
        mine = _largest(now, statistics.upper_rank(P99, len(now)))
        limit = _largest(was, statistics.upper_rank(P99, len(was)))
        above = int((now > limit).sum())
        return (
            f"{self.name}: P99 of the candidate {mine:.3g} {unit} against {limit:.3g} of the baseline, which "
            f"{above:,} of {len(now):,} answers ({_share(above, len(now))}) exceed"
        )

    def is_measured(self, baseline: Measured, candidate: Measured) -> bool:
        """Whether both sides have any."""
        was, now, _ = self.values(baseline, candidate)
        return len(was) > 0 and len(now) > 0

    def values(self, baseline: Measured, candidate: Measured) -> tuple[Floats, Floats, str]:
        """Of both sides, in the same unit: by tokens where both know them, else by bytes."""
        by_tokens = [side.known(self.name) for side in (baseline, candidate)]
        if self.name == "ttft":
            return by_tokens[0], by_tokens[1], "ms"
        by_bytes = [side.known(f"{self.name}_bytes") for side in (baseline, candidate)]
        if all(len(known) >= KNOWN_TOKENS * len(all_) for known, all_ in zip(by_tokens, by_bytes, strict=True)):
            return by_tokens[0], by_tokens[1], "ms a token"
        return by_bytes[0], by_bytes[1], "ms a byte, since tokens are not known on both sides"


@dataclass(frozen=True)
class FailureLimit:
    """An absolute limit of the share of requests that fail in any way."""

    limit: float
    name: str = "slo.error_rate"

    def weigh(self, baseline: Measured, candidate: Measured) -> tuple[float, bool]:
        """See Metric."""
        return statistics.binomial(self._count(candidate), len(candidate), self.limit), True

    def figures(self, baseline: Measured, candidate: Measured) -> dict[str, FigureValue]:
        """See Metric."""
        return {
            f"{self.name}.limit": self.limit,
            f"{self.name}.p_value": self.weigh(baseline, candidate)[0],
        } | rate_figures(f"{self.name}.candidate", self._count(candidate), len(candidate))

    def sentence(self, baseline: Measured, candidate: Measured) -> str:
        """See Metric."""
        bad = self._count(candidate)
        return (
            f"{bad:,} of {len(candidate):,} requests of the candidate failed ({_share(bad, len(candidate))}), and the "
            f"limit is {self.limit:.2%}"
        )

    def is_exceeded(self, candidate: Measured) -> bool:
        """As far as was seen, however uncertain."""
        return self._count(candidate) > self.limit * len(candidate)

    def _count(self, requests: Measured) -> int:
        return sum(requests.count(name) for name in FAILURES)


@dataclass(frozen=True)
class P99Limit:
    """An absolute limit of a P99: more than 1 % of the answers are slower."""

    measure: str
    limit_ms: float

    @property
    def name(self) -> str:
        """As in the figures."""
        return f"slo.{self.measure}_p99_ms"

    def weigh(self, baseline: Measured, candidate: Measured) -> tuple[float, bool]:
        """See Metric."""
        values = candidate.known(self.measure)
        return statistics.binomial(int((values > self.limit_ms).sum()), len(values), 1 - P99), True

    def figures(self, baseline: Measured, candidate: Measured) -> dict[str, FigureValue]:
        """See Metric."""
        return {
            f"{self.name}.limit": self.limit_ms,
            f"{self.name}.p_value": self.weigh(baseline, candidate)[0],
        } | quantile_figures(f"{self.name}.candidate", candidate.known(self.measure))

    def sentence(self, baseline: Measured, candidate: Measured) -> str:
        """See Metric."""
        values = candidate.known(self.measure)
        mine = _largest(values, statistics.upper_rank(P99, len(values)))
        return f"{self.measure}: P99 of the candidate {mine:.3g} ms, and the limit is {self.limit_ms:g} ms"

    def is_exceeded(self, candidate: Measured) -> bool:
        """As far as was seen, however uncertain."""
        values = candidate.known(self.measure)
        return len(values) > 0 and _largest(values, statistics.upper_rank(P99, len(values))) > self.limit_ms


Limit = FailureLimit | P99Limit


def comparisons(policy: CanaryPolicy) -> tuple[Failures | SlowAnswers, ...]:
    """What is compared with the baseline."""
    gate = policy.gate
    return (
        *(Failures(name, gate.tolerated_error_excess) for name in (*FAILURES, "abandoned")),
        *(SlowAnswers(name, gate.tolerated_p99_ratio) for name in ("ttft", "tpot", "token_time")),
    )


def limits(policy: CanaryPolicy) -> tuple[Limit, ...]:
    """What is held against the policy's absolute limits."""
    slo, found = policy.slo, list[Limit]()
    if slo.error_rate is not None:
        found.append(FailureLimit(slo.error_rate))
    if slo.ttft_p99_ms is not None:
        found.append(P99Limit("ttft", slo.ttft_p99_ms))
    if slo.tpot_p99_ms is not None:
        found.append(P99Limit("tpot", slo.tpot_p99_ms))
    return tuple(found)


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


def _largest(values: Floats, rank: int) -> float:
    return float(np.partition(values, len(values) - rank)[len(values) - rank])


def _share(events: int, count: int) -> str:
    return f"{events / count:.2%}" if count else "no requests"
