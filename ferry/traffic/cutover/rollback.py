"""All traffic home in one step, whatever a controller does, and with the cloud out of reach: `ferry rollback`.

Nothing here asks AWS. A controller that runs is fenced off first; it sees that within a tick, says so and ends.

A cold engine at home is the one reason to refuse: where the candidate still answers, going home would turn some errors
into nothing but errors. Where the candidate is down as well, nothing can be lost, and where the engine cannot be asked
(it wants a key), refusing would be worse than going: both go, and say so.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ferry.errors import FerryError, GatewayError, TrafficError
from ferry.traffic.cutover import record
from ferry.traffic.cutover.state import HOME, Division, Holder, Order, Phase, State, StateFile
from ferry.traffic.cutover.warmth import Warmth
from ferry.traffic.cutover.weights import Weights


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """What became of it."""

    before: Division
    home: Warmth
    refused: bool = False
    confirmed: bool = True
    """Whether Envoy says that it runs the routes; where it does not answer, it takes them when it starts."""
    problems: tuple[str, ...] = ()
    """What went wrong beside the traffic, which is home."""

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "result": "refused" if self.refused else "home" if self.confirmed else "home, not confirmed",
            "before": self.before.model_dump(),
            "engine_at_home": {"state": self.home.state, "reason": self.home.reason},
            "problems": list(self.problems),
        }


def roll_back(
    states: StateFile,
    weights: Weights,
    *,
    home: Callable[[], Warmth],
    candidate_is_down: Callable[[], bool],
    force: bool,
    why: str,
    phase: Phase = "rolled back",
    verb: str = "rollback",
) -> Rollback:
    """Bring all traffic home; `phase` is what the cutover is afterwards.

    Raises GatewayError where the routes cannot be written, TrafficError where their lock cannot be had.
    """
    problems: list[str] = []
    found = _found(states, problems)
    before = standing_of(weights, found, problems)
    # An engine that hangs takes its time to be found cold: who forces it does not wait for that.
    warmth = None if force else home()
    if warmth is not None and is_refused(before, warmth, candidate_is_down):
        return Rollback(before=before, home=warmth, refused=True)
    fence = weights.take_over(0 if found is None else found.generation)
    # Where nobody knows a plan, the ledger lies beside the state.
    plan = str(states.path) if found is None else found.plan
    state = _intention(
        weights, found, before, plan=plan, generation=fence, holder=Holder.this(verb), why=why, forced=force
    )
    with _noting(problems):
        states.save(state)
    confirmed = True
    try:
        weights.set(HOME, before=HOME, fence=fence)
    except GatewayError as error:
        if weights.standing(fence).division != HOME:
            raise
        confirmed = False
        problems.append(str(error))
    warmth = warmth or home()
    state = state.model_copy(update={"phase": phase})
    with _noting(problems):
        states.save(state)
    with _noting(problems):
        figures = {
            "reason": why,
            "before": str(before),
            "engine_at_home": str(warmth),
            "confirmed": confirmed,
            "taken_over_from": None if found is None or found.ended else str(found.holder),
        }
        record.append(state, phase, change=True, figures=figures, verb="rollback")
    return Rollback(before=before, home=warmth, confirmed=confirmed, problems=tuple(problems))


def is_refused(before: Division, home: Warmth, candidate_is_down: Callable[[], bool]) -> bool:
    """Whether going home would turn some errors into nothing but errors."""
    return home.state == "cold" and before.candidate > 0 and not candidate_is_down()


@contextmanager
def _noting(problems: list[str]) -> Iterator[None]:
    """Traffic first: what cannot be written down is said, and stops nothing."""
    try:
        yield
    except FerryError as error:
        problems.append(str(error))


def _intention(weights: Weights, found: State | None, before: Division, **known: Any) -> State:
    """What is about to be done, so that the next one ends it if this one is killed."""
    going: dict[str, Any] = {
        "phase": "rolling back",
        "before": before,
        "intended": HOME,
        "serial": 1 if found is None else found.serial + 1,
        "order": Order(),
        **known,
    }
    if found is not None:
        return found.model_copy(update=going)
    return State(
        id=uuid.uuid4().hex,
        policy="",
        baseline=weights.baseline,
        candidate=weights.candidate,
        listener=weights.listener_arn,
        step=-1,
        **going,
    )


def _found(states: StateFile, problems: list[str]) -> State | None:
    try:
        return states.load()
    except TrafficError as error:
        problems.append(f"{error}; put aside as {states.path.name}.damaged")
        states.path.replace(states.path.with_name(f"{states.path.name}.damaged"))
        return None


def standing_of(weights: Weights, found: State | None, problems: list[str]) -> Division:
    """Where traffic is; all of it away from home where nobody can tell, and the problem says why."""
    try:
        return weights.standing(0 if found is None else found.generation).division
    except GatewayError as error:
        problems.append(str(error))
        return Division(candidate=100)
