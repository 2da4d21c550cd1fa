"""Absolute limits of the candidate, whatever the baseline does: one-sided exact binomial tests."""

from __future__ import annotations

from dataclasses import dataclass

from ferry.traffic.gate import statistics
from ferry.traffic.gate.decision import FigureValue
from ferry.traffic.gate.measures import Measured
from ferry.traffic.gate.metrics import P99, quantile_figures, rate_figures, share_text
from ferry.traffic.gate.policy import CanaryPolicy

COUNTED = ("errors", "truncated", "hangs")
"""What a limit of the error rate counts."""


@dataclass(frozen=True)
class FailureLimit:
    """An absolute limit of the share of requests that fail in any way."""

    limit: float
    name: str = "slo.error_rate"

    def matters(self, baseline: Measured, candidate: Measured) -> bool:
        """See Metric."""
        return self.is_exceeded(candidate)

    def p_value(self, baseline: Measured, candidate: Measured) -> float:
        """See Metric."""
        return statistics.binomial(self._count(candidate), len(candidate), self.limit)

    def figures(self, baseline: Measured, candidate: Measured) -> dict[str, FigureValue]:
        """See Metric."""
        return {
            f"{self.name}.limit": self.limit,
            f"{self.name}.p_value": self.p_value(baseline, candidate),
        } | rate_figures(f"{self.name}.candidate", self._count(candidate), len(candidate))

    def sentence(self, baseline: Measured, candidate: Measured) -> str:
        """See Metric."""
        bad = self._count(candidate)
        return (
            f"{bad:,} of {len(candidate):,} requests of the candidate failed ({share_text(bad, len(candidate))}), "
            f"and the limit is {self.limit:.2%}"
        )

    def is_exceeded(self, candidate: Measured) -> bool:
        """As far as was seen, however uncertain."""
        return self._count(candidate) > self.limit * len(candidate)

    def _count(self, requests: Measured) -> int:
        return sum(requests.count(name) for name in COUNTED)


@dataclass(frozen=True)
class P99Limit:
    """An absolute limit of a P99: more than 1 % of the answers are slower."""

    measure: str
    limit_ms: float

    @property
    def name(self) -> str:
        """As in the figures."""
        return f"slo.{self.measure}_p99_ms"

    def matters(self, baseline: Measured, candidate: Measured) -> bool:
        """See Metric."""
        return self.is_exceeded(candidate)

    def p_value(self, baseline: Measured, candidate: Measured) -> float:
        """See Metric."""
        values = candidate.values(self.measure)
        return statistics.binomial(int((values > self.limit_ms).sum()), len(values), 1 - P99)

    def figures(self, baseline: Measured, candidate: Measured) -> dict[str, FigureValue]:
        """See Metric."""
        return {
            f"{self.name}.limit": self.limit_ms,
            f"{self.name}.p_value": self.p_value(baseline, candidate),
        } | quantile_figures(f"{self.name}.candidate", candidate.values(self.measure))

    def sentence(self, baseline: Measured, candidate: Measured) -> str:
        """See Metric."""
        values = candidate.values(self.measure)
        mine = statistics.largest(values, statistics.upper_rank(P99, len(values)))
        return f"{self.measure}: P99 of the candidate {mine:.3g} ms, and the limit is {self.limit_ms:g} ms"

    def is_exceeded(self, candidate: Measured) -> bool:
        """As far as was seen, however uncertain."""
        values = candidate.values(self.measure)
        return len(values) > 0 and statistics.largest(values, statistics.upper_rank(P99, len(values))) > self.limit_ms


Limit = FailureLimit | P99Limit


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
