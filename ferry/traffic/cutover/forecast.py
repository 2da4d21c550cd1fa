"""`ferry cutover start --dry-run`: the steps, what the gate will ask of each, and how long that takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ferry.artefacts import Figure, Plan, measured, unknown
from ferry.traffic.gate.policy import CanaryPolicy, Step
from ferry.traffic.requests import Offset, read

TAIL_BYTES = 4_000_000
"""Of the access log, some thousands of requests: the rate of now, not of last week."""


@dataclass(frozen=True, kw_only=True)
class StepForecast:
    """One step."""

    name: str
    baseline_requests: int
    candidate_requests: int
    minimum_seconds: float
    seconds: float | None
    """None: nobody knows the rate."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """All steps."""

    rate: Figure
    steps: tuple[StepForecast, ...]

    @property
    def seconds(self) -> float | None:
        """Of all steps together, if nothing holds them."""
        found = [step.seconds for step in self.steps if step.seconds is not None]
        return sum(found) if len(found) == len(self.steps) else None

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "requests_per_second": self.rate.model_dump(mode="json"),
            "steps": [asdict(step) for step in self.steps],
            "seconds": self.seconds,
        }


def forecast(policy: CanaryPolicy, steps: Sequence[Step], rate: Figure) -> Forecast:
    """What the gate requires of each step. `rate` is of all requests, per second."""
    from ferry.traffic.gate.gate import Gate  # loads the gate's statistics, which nothing else here needs

    found = []
    for step in steps:
        required = Gate(policy, step).required()
        found.append(
            StepForecast(
                name=step.name,
                baseline_requests=required.baseline,
                candidate_requests=required.candidate,
                minimum_seconds=required.minimum_seconds,
                seconds=required.seconds(rate.value) if rate.value else None,
            )
        )
    return Forecast(rate=rate, steps=tuple(found))


def rate_of(access_log: Path, plan: Plan) -> Figure:
    """Requests per second: of the gateway's own log, else the mean of the site's trace, else unknown.

    Raises UnreadableInput.
    """
    try:
        size, inode = access_log.stat().st_size, access_log.stat().st_ino
    except FileNotFoundError:
        size, inode = 0, 0
    found = read(access_log, Offset(inode=inode, position=max(0, size - TAIL_BYTES))).requests if size else ()
    if len(found) > 1:
        starts = [one.start_s for one in found]
        seconds = max(starts) - min(starts)
        if seconds > 0:
            source = f"{access_log}: its last {len(found)} requests, over {seconds:.0f} s"
            return measured((len(found) - 1) / seconds, "requests/s", source)
    trace = plan.serving_facts.trace
    return trace.mean_rps if trace is not None else unknown("requests/s", f"no requests in {access_log}, and no trace")
