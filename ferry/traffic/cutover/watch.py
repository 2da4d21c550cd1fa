"""One step under watch: the gate's decision, and what else has to be true before it is acted on.

* Roll back, but not to a cold engine while the candidate still answers: that would lose every request, not some.
* Advance, but not while paused, not on logs that miss lines, and not without a warm engine to come back to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ferry.traffic.cutover.observation import Seen, Source
from ferry.traffic.cutover.state import Order, State
from ferry.traffic.cutover.warmth import Warmth
from ferry.traffic.gate.decision import Decision

if TYPE_CHECKING:
    from ferry.traffic.gate.gate import Gate

TICKS_BETWEEN_WARMTHS = 5

Action = Literal["advance", "hold", "paused", "roll back", "stuck", "abort"]
ENDS_THE_WATCH: frozenset[Action] = frozenset({"advance", "roll back", "abort"})


@dataclass(frozen=True)
class Judged:
    """What is to be done, why, and on which figures."""

    action: Action
    reason: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    finding: str | None = None
    """Why what was seen cannot be trusted."""

    @property
    def ends(self) -> bool:
        """Whether the step is over."""
        return self.action in ENDS_THE_WATCH


class Watch:
    """The watch over one step. A new one of the same step sees the same requests, from the logs."""

    def __init__(
        self, gate: Gate, source: Source, state: State, *, home: Callable[[], Warmth], mirrored: bool, last: bool
    ) -> None:
        self._gate, self._source, self._home = gate, source, home
        self._shifted = state.intended.candidate > 0
        self._last = last
        self._warmth: Warmth | None = None
        self._looks = 0
        source.begin(state.marks, mirrored=mirrored)
        # A step that leaves the baseline nothing is compared with what it answered in the step before.
        alone = state.intended.candidate == 100
        self._before = source.last_of_baseline(state.earlier_marks) if alone else ()

    def look(self, order: Order, at_s: float) -> Judged:
        """Look once."""
        seen = self._source.look()
        decision = self._gate.observe(
            (*self._before, *seen.baseline),
            seen.candidate,
            at_s,
            open_baseline=seen.open_baseline,
            open_candidate=seen.open_candidate,
        )
        self._before = ()
        action, reason = self._judge(order, decision, seen)
        if seen.finding is not None and action != "advance":
            reason = f"{reason}; {seen.finding}" if reason else seen.finding
        return Judged(action, reason, decision.figures, seen.finding)

    def _judge(self, order: Order, decision: Decision, seen: Seen) -> tuple[Action, str]:
        if order.wanted == "abort":
            return "abort", f"aborted by {order.by}"
        if decision.action == "roll back":
            return self._roll_back(decision)
        if order.wanted == "pause":
            return "paused", f"paused by {order.by}; {decision.reason}"
        if decision.action == "hold" or seen.finding is not None:
            self._warmth = None
            return "hold", decision.reason
        if not self._last and (found := self._warm()).state == "cold":
            return "hold", f"no way back, the engine at home is {found}"
        return "advance", decision.reason

    def _roll_back(self, decision: Decision) -> tuple[Action, str]:
        if self._shifted and (found := self._warm()).state == "cold" and not self._source.candidate_is_down():
            return "stuck", (
                f"the gate says roll back ({decision.reason}), but the engine at home is {found}; traffic stays until "
                "it is warm; `ferry rollback --force` goes home all the same"
            )
        return "roll back", decision.reason

    def _warm(self) -> Warmth:
        """Asked once for a decision, and now and then while it is cold."""
        if self._warmth is None or self._looks % TICKS_BETWEEN_WARMTHS == 0:
            self._warmth = self._home()
        self._looks += 1
        return self._warmth
