"""The gate of one step: a sequential comparison of candidate and baseline."""

from __future__ import annotations

from collections.abc import Sequence

from ferry.traffic.gate.decision import Decision, Required
from ferry.traffic.gate.policy import CanaryPolicy, Step
from ferry.traffic.requests import Request


class Gate:
    """Gathers the requests of one step and decides. Pure: no clock, no files.

    `started_s` is when the step's weights were applied (seconds since 1970): requests that began earlier were shared
    out by other weights and are left out.
    """

    def __init__(self, policy: CanaryPolicy, step: Step, *, started_s: float = 0.0) -> None:
        raise NotImplementedError

    def required(self) -> Required:
        """What this step takes before it may advance."""
        raise NotImplementedError

    def observe(
        self,
        baseline: Sequence[Request],
        candidate: Sequence[Request],
        at_s: float,
        *,
        open_baseline: int | None = None,
        open_candidate: int | None = None,
    ) -> Decision:
        """Take the requests that have come since the last call, and decide.

        `at_s`: now, seconds since 1970. The open requests are Envoy's counters `upstream_rq_active`. A controller that
        starts anew gives everything since the step began in one call and gets the same decision. At 100 % `baseline` is
        what was recorded last at the baseline, given once.
        """
        raise NotImplementedError
