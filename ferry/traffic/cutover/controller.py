"""The controller of a cutover: one step after the other, each held by the gate.

    claim ── enter ── watch ── enter ── … ── done
                        └── go home

It may die at any moment. Before it changes traffic it writes what it is about to do (`state.State`), afterwards that it
is in force, then the ledger's line; a new controller finds which of these is missing and does it. Without a controller
traffic stays as it is.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ferry.errors import GatewayError, Superseded, TrafficError, UnwritableOutput
from ferry.traffic.cutover import record
from ferry.traffic.cutover.observation import Source
from ferry.traffic.cutover.state import GOING_HOME, HOME, Division, Holder, Order, State, StateFile, superseded
from ferry.traffic.cutover.warmth import Warmth
from ferry.traffic.cutover.watch import Judged, Watch
from ferry.traffic.cutover.weights import Weights
from ferry.traffic.gate.policy import CanaryPolicy, Step

SUPERSEDED_SECONDS = 2.0
"""Between taking over and saying who did."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """Where it is, for whoever shows it."""

    step: str
    division: Division
    elapsed_seconds: float
    action: str
    reason: str
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Controller:
    """Moves traffic from a baseline to a candidate."""

    plan: Path
    policy_file: Path
    policy: CanaryPolicy
    states: StateFile
    weights: Weights
    source: Source
    home: Callable[[], Warmth]
    """Whether the baseline would answer if all traffic came back to it."""
    forced: bool = False
    verb: str = "cutover start"
    told: Callable[[Told], None] = lambda told: None
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    @property
    def steps(self) -> tuple[Step, ...]:
        """The policy's steps that these weights can do."""
        return tuple(step for step in self.policy.steps if self.weights.can_mirror or not step.shadow)

    def run(self) -> State:
        """Go on from where the cutover is, or begin one, until it has ended.

        Raises Superseded once somebody else has taken over, GatewayError where a step does not come into force,
        TrafficError where traffic is not as a cutover left it. Traffic stays as it was in each case.
        """
        state = self._claim()
        while not state.ended:
            if state.phase in GOING_HOME:
                state = self._go_home(state)
            elif state.step < 0:
                state = self._announce_first(state)
            elif state.entered_at is None:
                state = self._enter(state)
            else:
                state = self._next(state, self._watch(state))
        return state

    def _claim(self) -> State:
        """Take over what is there, or begin."""
        found = self.states.load()
        if found is not None:
            record.missing(found)
        begun = self._begun(found)  # refused before anybody is superseded
        if begun.ended:
            return begun
        fence = self.weights.take_over(0 if found is None else found.generation)
        # Only now nobody else moves anything any more.
        found = self.states.load()
        begun = self._begun(found)
        goes_on = found is not None and found.id == begun.id
        holder = Holder.this(self.verb)
        state = self._save(begun, generation=fence, holder=holder, forced=begun.forced or self.forced)
        record.append(
            state,
            f"{'goes on' if goes_on else 'begins'} at {state.before if state.entered_at is None else state.intended}",
            inputs=[self.plan, self.policy_file],
            figures={"taken_over_from": str(found.holder)} if found is not None and goes_on else {},
        )
        return state

    def _begun(self, found: State | None) -> State:
        """The cutover to go on with: the one that is under way, the one that is done, or a new one."""
        standing = self.weights.standing(0 if found is None else found.generation).division
        if found is None or (found.ended and not (found.phase == "done" and standing == found.intended)):
            return self._anew(standing)
        if not self._is_of(found):
            return self._anew(standing) if found.ended else self._refuse(found)
        return found if found.ended else self._again(found, standing)

    def _refuse(self, found: State) -> State:
        raise TrafficError(
            f"{self.states.path}: a cutover from {found.baseline} to {found.candidate} is under way, this one is from "
            f"{self.weights.baseline} to {self.weights.candidate}; end that one first: `ferry cutover abort`"
        )

    def _is_of(self, state: State) -> bool:
        return (state.baseline, state.candidate) == (self.weights.baseline, self.weights.candidate)

    def _anew(self, standing: Division) -> State:
        """A cutover that begins where traffic is: at home, or at a step of the policy."""
        return State(
            id=uuid.uuid4().hex,
            plan=str(self.plan.resolve()),
            policy=str(self.policy_file.resolve()),
            baseline=self.weights.baseline,
            candidate=self.weights.candidate,
            listener=self.weights.listener_arn,
            generation=0,
            holder=Holder.this(self.verb),
            step=-1 if standing == HOME else self._step_at(standing),
            before=standing,
            intended=standing,
            serial=0,
        )

    def _again(self, found: State, standing: Division) -> State:
        """The one that is under way; the policy may have changed, the place where traffic is may not."""
        pending = found.entered_at is None or found.phase in GOING_HOME
        if standing != found.intended and not (pending and standing == found.before):
            raise TrafficError(
                f"{found.candidate} has {standing}, the cutover left it {found.intended}: somebody else has changed "
                "that; `ferry rollback` brings all traffic home, then start again"
            )
        update: dict[str, Any] = {"plan": str(self.plan.resolve()), "policy": str(self.policy_file.resolve())}
        if found.phase == "running" and found.step >= 0:
            update["step"] = self._step_at(found.intended)
        return found.model_copy(update=update)

    def _step_at(self, division: Division) -> int:
        for index, step in enumerate(self.steps):
            if division_of(step) == division:
                return index
        known = ", ".join(step.name for step in self.steps)
        raise TrafficError(
            f"{self.weights.candidate} has {division}, which is no step of {self.policy_file} ({known}); give the "
            "policy that brought it there, or `ferry rollback` first"
        )

    def _announce_first(self, state: State) -> State:
        found = self.home()
        if found.state == "cold":
            raise TrafficError(
                f"the engine at home is {found}; a cutover needs a way back: start the engine, then run this again"
            )
        return self._announce(state, 0, f"the engine at home is {found}")

    def _announce(self, state: State, step: int, why: str) -> State:
        """Write what is about to be done, before it is done."""
        return self._save(
            state,
            step=step,
            before=state.intended,
            intended=division_of(self.steps[step]),
            serial=state.serial + 1,
            entered_at=None,
            earlier_marks=state.marks,
            why=why,
        )

    def _enter(self, state: State) -> State:
        self._tell(state, "enter", f"from {state.before} to {state.intended}")
        try:
            begun = self.weights.standing(state.generation).division == state.intended
            if not begun and self.source.candidate_is_down():
                raise GatewayError(
                    f"{state.candidate} has no healthy server as far as can be seen: traffic stays at {state.before}; "
                    "`ferry gateway status` says more"
                )
            self._set(state, before=state.before)
        except GatewayError as error:
            at = -1 if state.before == HOME else self._step_at(state.before)
            self._save(state, step=at, intended=state.before, serial=state.serial + 1, why=str(error))
            record.append(state, f"{state.intended.name} refused", figures={"reason": " ".join(str(error).split())})
            raise
        state = self._save(state, entered_at=self.clock(), marks=self.source.marks())
        record.append(state, f"{state.intended.name} entered", change=True, figures={"reason": state.why})
        return state

    def judge_now(self, state: State) -> Judged:
        """What a controller would make of a step at this moment; changes nothing."""
        return self._watching(state)[0].look(state.order, self.clock())

    def _watching(self, state: State) -> tuple[Watch, float]:
        """A watch over a step, and how often it looks, in seconds."""
        # Not above: statistics take a second to load, and a rollback must not wait for them.
        from ferry.traffic.gate.gate import Gate

        index = self._step_at(state.intended)
        step = self.steps[index]
        started_s = self.clock() if state.entered_at is None else state.entered_at
        gate = Gate(self.policy, step, started_s=started_s)
        last = index + 1 == len(self.steps)
        watch = Watch(gate, self.source, state, home=self.home, mirrored=step.shadow, last=last)
        return watch, min(self.weights.longest_tick_seconds, gate.required().minimum_seconds / 5)

    def _watch(self, state: State) -> Judged:
        """Watch one step until there is something to do."""
        watch, tick = self._watching(state)
        action, finding = "hold", None
        while True:
            judged = watch.look(self._orders(state), self.clock())
            self._tell(state, judged.action, judged.reason, judged.figures)
            if judged.ends:
                return judged
            if judged.action != action:
                action = judged.action
                record.append(state, action, figures={**judged.figures, "reason": judged.reason})
            if (judged.finding is None) != (finding is None):
                finding = judged.finding
                record.append(state, "finding" if finding else "finding is over", figures={"reason": finding or ""})
            self.sleep(tick)

    def _orders(self, state: State) -> Order:
        """What a person wants, and whether this controller may still act: a new generation is seen at once."""
        found = self.states.load()
        if found is None:
            raise TrafficError(f"{self.states.path} is gone; traffic stays at {state.intended}; start again")
        if found.generation > state.generation:
            raise superseded(found)
        standing = self.weights.standing(state.generation)
        if standing.generation > state.generation:
            raise self._superseded(state)
        if standing.division != state.intended:
            raise TrafficError(
                f"{state.candidate} has {standing.division}, this controller left it {state.intended}: somebody has "
                "changed that by hand; it stays so, and nothing is moved any more"
            )
        return found.order

    def _next(self, state: State, judged: Judged) -> State:
        if judged.action != "advance":
            aborted = judged.action == "abort"
            going: dict[str, Any] = {"phase": "aborting" if aborted else "rolling back", "why": judged.reason}
            going |= {"before": state.intended, "intended": HOME, "serial": state.serial + 1}
            state = state.model_copy(update=going)
            # A controller that is killed now is followed by one that goes home. A full disk keeps nobody from it.
            with suppress(UnwritableOutput):
                self.states.save(state)
            return self._go_home(state, judged.figures)
        record.append(state, "advance", figures={**judged.figures, "reason": judged.reason})
        if state.step + 1 < len(self.steps):
            return self._announce(state, state.step + 1, judged.reason)
        state = self._save(state, phase="done", serial=state.serial + 1, why=judged.reason)
        record.append(state, "done", change=True, figures={"reason": judged.reason})
        return state

    def _go_home(self, state: State, figures: Mapping[str, Any] | None = None) -> State:
        self._tell(state, state.phase, state.why)
        # Whatever Envoy says: the file has to say home, also for an Envoy that comes back later.
        self._set(state, before=HOME)
        state = self._save(state, phase=GOING_HOME[state.phase])
        record.append(state, state.phase, change=True, figures={**(figures or {}), "reason": state.why})
        return state

    def _set(self, state: State, *, before: Division) -> None:
        try:
            self.weights.set(state.intended, before=before, fence=state.generation)
        except Superseded as error:
            raise self._superseded(state) from error

    def _save(self, state: State, **changes: Any) -> State:
        return self.states.save(state.model_copy(update=changes))

    def _superseded(self, state: State) -> Superseded:
        """Who took over says so right after taking over."""
        until = time.monotonic() + SUPERSEDED_SECONDS
        while time.monotonic() < until:
            found = self.states.load()
            if found is not None and found.generation > state.generation:
                return superseded(found)
            time.sleep(0.02)
        return Superseded(
            f"somebody has taken over from generation {state.generation} and did not say who; this controller may "
            "change nothing any more: `ferry cutover status`"
        )

    def _tell(self, state: State, action: str, reason: str, figures: Mapping[str, Any] | None = None) -> None:
        step = self.steps[state.step].name if 0 <= state.step < len(self.steps) else "home"
        elapsed = 0.0 if state.entered_at is None else max(0.0, self.clock() - state.entered_at)
        self.told(
            Told(
                step=step,
                division=state.intended,
                elapsed_seconds=elapsed,
                action=action,
                reason=reason,
                figures=figures or {},
            )
        )


def division_of(step: Step) -> Division:
    """How traffic is divided in a step."""
    return Division(candidate=0, mirror=step.percent) if step.shadow else Division(candidate=step.percent)
