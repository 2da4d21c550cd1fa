"""A cutover and a rollback in words."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ferry.traffic.cutover.controller import Told
from ferry.traffic.cutover.forecast import Forecast
from ferry.traffic.cutover.rollback import Rollback
from ferry.traffic.cutover.state import GOING_HOME, State

LAST_STEP = (
    "All traffic goes to {candidate}, and still through the gateway in this room, which stays a single point of "
    "failure. The stack's gateway_tier runs it in the cloud, too, and its DNS record moves the clients (docs/aws.md). "
    "`ferry rollback` is the way back from here."
)

PROMOTED = (
    "The listener's weights are not what the stack file says: write them to the weights of ferry:model_versions, or "
    "the next `pulumi up` undoes this."
)


@dataclass(frozen=True, kw_only=True)
class Status:
    """Where a cutover is, as another process sees it."""

    state: State | None
    controller_alive: bool
    candidate: str
    candidate_percent: int
    mirrored_percent: int
    envoy: str
    """What Envoy says of it: `runs these routes`, or why not."""
    reason: str = ""
    """What the gate says of this step now, from the logs."""

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"state": None if self.state is None else self.state.model_dump(mode="json")}


def describe_status(now: Status) -> str:
    """Where it is."""
    mirrored = f", {now.mirrored_percent} % mirrored" if now.mirrored_percent else ""
    lines = [f"traffic to {now.candidate}: {now.candidate_percent} %{mirrored}; Envoy: {now.envoy}"]
    if now.state is None:
        return "\n".join([*lines, "no cutover was started here"])
    state = now.state
    lines.append(f"cutover {state.baseline} → {state.candidate}: {state.phase}{_because(state.why)}")
    if state.ended:
        return "\n".join(lines)
    if state.entered_at is not None:
        at = time.strftime("%H:%M:%S", time.localtime(state.entered_at))
        lines.append(f"step {state.intended.name} since {at}{_because(now.reason)}")
    if state.order.wanted != "run":
        lines.append(f"{state.order.wanted} was asked for by {state.order.by}")
    if now.controller_alive:
        lines.append(f"controller: {state.holder}")
    else:
        lines.append(
            f"no controller runs (the last was {state.holder}): traffic stays as it is; `ferry cutover resume` goes "
            "on, `ferry cutover abort` brings it home"
        )
    return "\n".join(lines)


def describe_end(state: State) -> str:
    """What became of a cutover."""
    if state.phase == "done":
        last = LAST_STEP if state.listener is None else PROMOTED
        return f"done: 100 % to {state.candidate}{_because(state.why)}\n{last.format(candidate=state.candidate)}"
    return f"{state.phase}: all traffic is at {state.baseline}{_because(state.why)}"


def describe_interrupted(state: State | None) -> str:
    """Where a controller leaves traffic that was told to end."""
    if state is None:
        at = "as it was"
    elif state.entered_at is None or state.phase in GOING_HOME:
        at = f"at {state.before} or at {state.intended} to {state.candidate}, as `ferry cutover status` says"
    else:
        at = f"at {state.intended} to {state.candidate}"
    return f"interrupted; traffic stays {at}; `ferry cutover resume` goes on, `abort` brings it home"


def describe_rollback(done: Rollback) -> str:
    """What became of a rollback."""
    if done.refused:
        return (
            f"NOT rolled back: the engine at home is {done.home}, and {done.before} still goes to a side that answers; "
            "going home now would fail every request. Start the engine and run this again, or go all the same with "
            "--force"
        )
    lines = ["all traffic is at home" + ("" if done.before.candidate else ", where it was already")]
    if done.home.state != "warm":
        lines.append(f"WARNING: the engine there is {done.home}")
    if not done.confirmed:
        lines = ["the routes say home, but Envoy did not confirm it: it takes them when it starts", *lines[1:]]
    return "\n".join([*lines, *(f"also: {problem}" for problem in done.problems)])


def describe_forecast(found: Forecast) -> str:
    """The steps, one a line."""
    rate = f"{found.rate.value:.1f} requests/s ({found.rate.source})" if found.rate.value else "unknown"
    lines = [
        f"rate of all requests: {rate}",
        f"{'step':<8}{'baseline':>10}{'candidate':>11}{'at least':>10}{'about':>10}",
    ]
    for step in found.steps:
        about = "unknown" if step.seconds is None else duration(step.seconds)
        lines.append(
            f"{step.name:<8}{step.baseline_requests:>10}{step.candidate_requests:>11}"
            f"{duration(step.minimum_seconds):>10}{about:>10}"
        )
    whole = "unknown" if found.seconds is None else duration(found.seconds)
    return "\n".join([*lines, f"all steps together, if nothing holds them: {whole}"])


def describe_tick(told: Told) -> str:
    """One line of progress."""
    return f"{told.step}: {told.action}{_because(told.reason)}"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def figure(figures: Mapping[str, Any], name: str, unit: str = "") -> str:
    """A figure of the gate with the unit that another figure names, for a table; or a dash."""
    value = figures.get(name)
    if value is None:
        return "–"
    return f"{value:.4g} {figures.get(unit, '')}".rstrip() if isinstance(value, float) else f"{value:,}"


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""
