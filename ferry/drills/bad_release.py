"""bad-release: the release in the cloud turns bad while a cutover gives it traffic; the policy's gate has to see it.

The cutover is the real one, under the project's own policy but for its steps: it begins at the last share that leaves
home something to be compared with, since at the smaller ones these few requests a second would have to run for minutes.
"""

from __future__ import annotations

import importlib
import json
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ferry.artefacts import Drill
from ferry.drills.scene import Scene
from ferry.drills.timeline import Timeline
from ferry.drills.traffic import SOURCE, Happened, Traffic, seen_within, tell, under_load
from ferry.errors import InvalidField, RehearsalError, TrafficError
from ferry.traffic.cutover.controller import Told
from ferry.traffic.cutover.state import State
from ferry.traffic.gate.policy import CanaryPolicy

NAME = "bad-release"
BAD = {"error_rate": 0.5}
FAULT = "the release in the cloud answers half of its requests with 500"
BEGINS_S = 30.0
"""Until the first step is in force, and watched."""
PATIENCE_S = 8.0


def drill(scene: Scene) -> Drill:
    """One cutover, under load."""
    try:
        policy = CanaryPolicy.load(scene.policy)
    except InvalidField as error:
        missing = [f"{error}; `ferry cutover start` refuses it, too"]
        return Drill(name=NAME, fault=FAULT, target_s=scene.target_s, timeline=[], missing=missing)
    # Statistics take seconds to load, which are none of the gate's.
    importlib.import_module("ferry.traffic.gate.gate")
    with under_load(scene) as traffic:
        return _cut_over(scene, traffic, _shortened(policy))


def _shortened(policy: CanaryPolicy) -> CanaryPolicy:
    """The policy from the last share on at which home answers, too; a policy that has none stays as it is."""
    compared = [index for index, step in enumerate(policy.steps) if not step.shadow and not step.is_alone]
    return policy.model_copy(update={"steps": policy.steps[compared[-1] :]}) if compared else policy


def _cut_over(scene: Scene, traffic: Traffic, policy: CanaryPolicy) -> Drill:
    plan, policy_file = scene.scratch / "plan.yaml", scene.scratch / "canary.yaml"
    plan.write_text("", encoding="utf-8")
    # JSON is YAML.
    policy_file.write_text(policy.model_dump_json(by_alias=True), encoding="utf-8")
    seen = _Seen(traffic)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(traffic.site.desk.controller(plan, policy_file, told=seen.told).run)
        state = _ended(running, traffic, seen)
    ended_at = time.monotonic()
    traffic.load.stop()
    if seen.broken_at is None:
        raise RehearsalError(f"the cutover ended before anything was broken: it is {state.phase}: {state.why}")
    home = state.phase == "rolled back" and traffic.cloud_percent() == 0
    timeline = Timeline(NAME, f"{FAULT}, at {seen.step} of a cutover", scene.target_s)
    if home:
        seen.happened.append(Happened(ended_at, "recovered", "Envoy runs the routes that send everything home"))
    else:
        timeline.missing.append(_nobody_saw_it(scene.policy, policy, seen, traffic))
    tell(timeline, seen.broken_at, seen.happened, f"{SOURCE}; {scene.policy.name}")
    lost = traffic.lost()
    timeline.lost_requests = len(lost)
    if others := [answer for answer in lost if answer.engine != "cloud"]:
        timeline.missing.append(f"{len(others)} requests were lost that the bad release did not answer: look at Envoy")
    return timeline.end()


def _ended(running: Future[State], traffic: Traffic, seen: _Seen) -> State:
    """The cutover's end, by itself or, a while after the fault, by an order to abort."""
    seen_within(BEGINS_S, lambda: running.done() or seen.broken_at is not None)
    try:
        return running.result(PATIENCE_S)
    except NotYet:
        with suppress(TrafficError):  # it may have ended in this moment
            traffic.site.desk.states.order("abort", "ferry drill")
        return running.result()


@dataclass
class _Seen:
    """What the controller tells. As soon as the first step is in force, the release is broken."""

    traffic: Traffic
    broken_at: float | None = None
    step: str = ""
    reason: str = ""
    happened: list[Happened] = field(default_factory=list)

    def told(self, told: Told) -> None:
        """In the controller's thread."""
        now = time.monotonic()
        if told.action == "enter":
            return
        if self.broken_at is None:
            if told.action != "hold":
                return
            self.traffic.site.cloud.behave(**BAD)
            self.broken_at, self.step = time.monotonic(), told.step
            return
        self.reason = told.reason
        if told.action == "roll back":
            self.happened.append(Happened(now, "detected", f"the gate: {told.reason}"))
        elif told.action == "rolling back":
            self.happened.append(Happened(now, "decided", "the controller brings all traffic home"))


def _nobody_saw_it(file: Path, policy: CanaryPolicy, seen: _Seen, traffic: Traffic) -> str:
    bad = sum(answer.engine == "cloud" for answer in traffic.lost())
    gate = json.dumps(policy.gate.model_dump(exclude_defaults=True)).replace('"', "")
    return (
        f"{file}: gate: {gate}: {bad} requests failed in {PATIENCE_S:g} s, and the gate did not roll back "
        f"({seen.reason}); leave gate out for the default one"
    )
