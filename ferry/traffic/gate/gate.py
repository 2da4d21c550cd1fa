"""The gate of one step: a sequential comparison of candidate and baseline.

Every request that clients send is given to a side by chance, so at equal quality it does not matter which requests are
whose, and the tests are exact, whatever the latencies' distribution and however load changes meanwhile. `looks` says
when the gate looks and how it holds its error; `metrics`, what it tests.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ferry.traffic.gate import looks, statistics
from ferry.traffic.gate.decision import Action, Decision, FigureValue, Required
from ferry.traffic.gate.events import Events
from ferry.traffic.gate.limits import Limit, limits
from ferry.traffic.gate.measures import NOTHING, Measured, measure
from ferry.traffic.gate.metrics import SlowAnswers, comparisons
from ferry.traffic.gate.missing import missing
from ferry.traffic.gate.open_requests import OpenRequests
from ferry.traffic.gate.policy import CanaryPolicy, Step
from ferry.traffic.requests import Request


class Gate:
    """Gathers the requests of one step and decides. Pure: no clock, no files.

    `started_s` is when the step's weights were applied (seconds since 1970): requests that began earlier were shared
    out by other weights and are left out.
    """

    def __init__(self, policy: CanaryPolicy, step: Step, *, started_s: float = 0.0) -> None:
        self._policy, self._step, self._started_s = policy, step, started_s
        self._comparisons, self._limits = comparisons(policy), limits(policy)
        self._baseline, self._candidate = NOTHING, NOTHING
        """Of this round."""
        self._round, self._next_look, self._spent, self._may_spend = 0, 0, 0.0, 0.0
        self._alpha = looks.alpha_of_round(policy, 0)
        """Of one test in this round."""
        self._round_began_s = started_s
        self._levels = looks.levels(self.required().candidate)
        self._open = OpenRequests(looks.alpha_per_test(policy), started_s)
        self._left_out = 0
        self._passed: Decision | None = None
        self._refused: Decision | None = None
        self._beyond: Limit | None = None

    def required(self) -> Required:
        """What this step takes before it may advance."""
        return looks.required(self._policy, self._step)

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
        starts anew gives everything since the step began in one call and gets the same decision; only the looks at open
        requests start over. At 100 %, `baseline` of the first call is what was recorded last at the baseline.

        Once it says `roll back` it keeps to that.
        """
        ours = [one for one in candidate if one.start_s >= self._started_s]
        theirs = list(baseline) if self._step.is_alone else [one for one in baseline if one.start_s >= self._started_s]
        earlier = len(candidate) - len(ours)
        self._left_out += earlier + len(baseline) - len(theirs)
        hang_ms = self._policy.gate.hang_seconds * 1000
        self._open.from_before_ended(earlier)
        decision = self.take(measure(theirs, hang_ms), measure(ours, hang_ms))
        if self._refused is None and open_baseline is not None and open_candidate is not None:
            decision = self.look_at_open(open_baseline, open_candidate, at_s) or decision
        return decision or self._holding(at_s)

    def take(self, baseline: Measured, candidate: Measured) -> Decision | None:
        """Take requests that began in this step, and look wherever a look is due. None: hold."""
        self._open.ended(len(baseline), len(candidate))
        self._baseline = self._baseline.followed_by(baseline)
        self._candidate = self._candidate.followed_by(candidate)
        while self._refused is None and self._look():
            pass
        return self._refused or self._passed

    def look_at_open(self, baseline: int, candidate: int, at_s: float) -> Decision | None:
        """Take the numbers of requests that are open now. None: they are no reason to roll back."""
        found = self._open.look(baseline, candidate, at_s)
        # At 100 % the baseline's requests are those of another time, and none of them is open.
        if found is not None and not self._step.is_alone:
            self._refused = self._decision("roll back", found, self._baseline, self._candidate)
        return self._refused

    def _look(self) -> bool:
        """All looks of this round that are due; whether it was completed, so that a further round has begun."""
        if not len(self._candidate) or not len(self._baseline):
            return False
        events = Events.of(self._baseline, self._candidate, recorded=self._step.is_alone)
        information = events.information(self.required(), self._round_began_s, self._policy.gate.smallest_kind)
        while True:
            reached = information >= self._levels[self._next_look]
            if not reached.any():
                return False
            at = int(reached.argmax())
            # Several looks at once, where one request was worth as much: one look, with what all of them may spend.
            self._next_look = int(np.searchsorted(self._levels, information[at], side="right"))
            baseline = self._baseline.part(0, int(events.baseline[at]))
            candidate = self._candidate.part(0, int(events.candidate[at]))
            if self._is_refused(baseline, candidate):
                return False
            if self._next_look == len(self._levels):
                self._complete(baseline, candidate, ended_s=float(events.ends_s[at]))
                return True

    def _is_refused(self, baseline: Measured, candidate: Measured) -> bool:
        spent = statistics.spent(self._levels[self._next_look - 1], self._alpha)
        self._may_spend, self._spent = spent - self._spent, spent
        for metric in (*self._comparisons, *self._limits):
            if (
                metric.matters(baseline, candidate)
                and (p_value := metric.p_value(baseline, candidate)) <= self._may_spend
            ):
                reason = (
                    f"{metric.sentence(baseline, candidate)}; p = {p_value:.2g}, and this look refuses from "
                    f"{self._may_spend:.2g} down"
                )
                self._refused = self._decision("roll back", reason, baseline, candidate)
                return True
        return False

    def _complete(self, baseline: Measured, candidate: Measured, *, ended_s: float) -> None:
        """A round ends without a rejection: the candidate has passed, unless it is beyond a limit."""
        self._beyond = next((limit for limit in self._limits if limit.is_exceeded(candidate)), None)
        if self._passed is None and self._beyond is None:
            reason = (
                f"nothing is worse at {len(candidate):,} requests of the candidate against {len(baseline):,} of the "
                f"baseline{self._not_compared(baseline, candidate)}"
            )
            self._passed = self._decision("advance", reason, baseline, candidate)
        self._candidate = self._candidate.part(len(candidate), len(self._candidate))
        if not self._step.is_alone:
            self._baseline = self._baseline.part(len(baseline), len(self._baseline))
        self._round += 1
        self._alpha = looks.alpha_of_round(self._policy, self._round)
        self._next_look, self._spent, self._round_began_s = 0, 0.0, ended_s

    def _not_compared(self, baseline: Measured, candidate: Measured) -> str:
        none = [
            metric.name
            for metric in self._comparisons
            if isinstance(metric, SlowAnswers) and not metric.answers(baseline, candidate).are_there
        ]
        return f"; not compared, since a side has none: {', '.join(none)}" if none else ""

    def _holding(self, at_s: float) -> Decision:
        elapsed = max(0.0, at_s - self._round_began_s)
        reason = missing(
            self._baseline,
            self._candidate,
            self.required(),
            elapsed,
            self._policy.gate.smallest_kind,
            recorded=self._step.is_alone,
        )
        if self._beyond is not None:
            reason = (
                f"{self._beyond.name} was beyond its limit when the step was complete, though not surely, so it is "
                f"measured once more: {reason}"
            )
        return self._decision("hold", reason, self._baseline, self._candidate)

    def _decision(self, action: Action, reason: str, baseline: Measured, candidate: Measured) -> Decision:
        need = self.required()
        figures: dict[str, FigureValue] = {
            "step": self._step.name,
            "round": self._round,
            "look": self._next_look,
            "looks": len(self._levels),
            "alpha_per_test": looks.alpha_per_test(self._policy),
            "refuses_from": self._may_spend,
            "baseline.requests": len(baseline),
            "baseline.required": need.baseline,
            "candidate.requests": len(candidate),
            "candidate.required": need.candidate,
            "left_out": self._left_out,
        }
        for metric in (*self._comparisons, *self._limits):
            figures |= metric.figures(baseline, candidate)
        figures |= self._open.figures()
        if self._step.is_alone:
            reason += (
                f"; at 100 % none answers beside the candidate: it is compared with {len(baseline):,} requests "
                "recorded before, and with the limits"
            )
        return Decision(action=action, reason=reason, figures=figures)
