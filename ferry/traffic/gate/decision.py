"""What the gate answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Action = Literal["advance", "hold", "roll back"]
FigureValue = float | int | str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """An action, why, and every figure that it rests on, by dotted names (`errors.candidate.rate`)."""

    action: Action
    reason: str
    figures: Mapping[str, FigureValue]


@dataclass(frozen=True, kw_only=True, slots=True)
class Required:
    """How many requests a step takes on each side before it may advance, and for how long at least."""

    baseline: int
    candidate: int
    baseline_latencies: int = 1
    """Of these, how many have to have each latency that is waited for."""
    candidate_latencies: int = 1
    minimum_seconds: float
    candidate_share: float
    """Of all requests that clients send, those that also, or instead, go to the candidate."""

    def seconds(self, requests_per_second: float) -> float:
        """How long the step lasts at this rate of all requests, if enough of them have each latency."""
        return max(self.minimum_seconds, self.candidate / (requests_per_second * self.candidate_share))
