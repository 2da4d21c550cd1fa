"""A cutover without Envoy: the routes are a field, the gate says what the test wants, a tick is nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ferry.errors import GatewayError, Superseded
from ferry.traffic.cutover.controller import Controller, Told
from ferry.traffic.cutover.observation import Seen
from ferry.traffic.cutover.state import HOME, Division, StateFile
from ferry.traffic.cutover.warmth import Warmth
from ferry.traffic.cutover.weights import Standing
from ferry.traffic.gate.decision import Decision, Required
from ferry.traffic.gate.policy import CanaryPolicy, Step
from tests.plans import write_plan


class Killed(BaseException):
    """A controller that dies here: nothing of it runs any more."""


@dataclass
class Road:
    """Traffic, as one place that all controllers see."""

    division: Division = HOME
    generation: int = 0
    seen: list[Division] = field(default_factory=list)
    refuses: Division | None = None
    dies: str | None = None
    """`before` or `after` the next change of traffic."""
    baseline: str = "local"
    candidate: str = "cloud"
    can_mirror: bool = True
    listener_arn: str | None = None
    longest_tick_seconds: float = 1.0
    keeps_generation: bool = True
    """False: as a load balancer."""

    def standing(self, generation: int) -> Standing:
        return Standing(self.division, self.generation if self.keeps_generation else generation)

    def take_over(self, above: int) -> int:
        self.generation = max(self.generation, above) + 1
        return self.generation

    def set(self, division: Division, *, before: Division, fence: int) -> None:
        if self.dies == "before":
            raise Killed
        if self.keeps_generation and fence < self.generation:
            raise Superseded("an old generation")
        if division == self.refuses:
            raise GatewayError("Envoy refuses the routes: no such cluster")
        if division != self.division:
            self.division = division
            self.seen.append(division)
        if self.dies == "after":
            raise Killed


@dataclass
class Eyes:
    """Sees nothing but what a test says."""

    finding: str | None = None
    down: bool = False
    began: list[bool] = field(default_factory=list)

    def marks(self) -> dict[str, Any]:
        return {}

    def begin(self, marks: object, *, mirrored: bool) -> None:
        self.began.append(mirrored)

    def look(self) -> Seen:
        return Seen(finding=self.finding)

    def last_of_baseline(self, marks: object) -> tuple[()]:
        return ()

    def candidate_is_down(self) -> bool:
        return self.down


@dataclass
class Site:
    """What a test turns."""

    folder: Path
    road: Road = field(default_factory=Road)
    eyes: Eyes = field(default_factory=Eyes)
    warmths: list[Warmth] = field(default_factory=lambda: [Warmth("warm", "a token came")])
    says: Callable[[str, int], str] = lambda step, look: "advance"
    """Of the gate: the step and how often it was asked of it, to an action."""
    told: list[Told] = field(default_factory=list)
    on_tick: Callable[[], None] = lambda: None
    ticks: int = 0
    plan: Path = Path()
    policy: Path = Path()

    @property
    def states(self) -> StateFile:
        return StateFile(self.folder / "state" / "cutover.json", self.folder / "state" / "lock")

    def controller(self, **changes: Any) -> Controller:
        values: dict[str, Any] = {
            "plan": self.plan,
            "policy_file": self.policy,
            "policy": CanaryPolicy.load(self.policy),
            "states": self.states,
            "weights": self.road,
            "source": self.eyes,
            "home": lambda: self.warmths[0] if len(self.warmths) == 1 else self.warmths.pop(0),
            "told": self.told.append,
            "clock": lambda: 1000.0,
            "sleep": self._sleep,
        }
        return Controller(**values | changes)

    def _sleep(self, seconds: float) -> None:
        self.ticks += 1
        assert self.ticks < 1000, "nothing ends this cutover"
        self.on_tick()

    def actions(self) -> list[str]:
        return [told.action for told in self.told]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    found = Site(tmp_path, plan=write_plan(tmp_path / "plan.yaml"), policy=tmp_path / "canary.yaml")
    found.policy.write_text("schema: ferry/canary/v1\nsteps: [shadow, 5, 50, 100]\n")

    class ScriptedGate:
        def __init__(self, policy: CanaryPolicy, step: Step, *, started_s: float = 0.0) -> None:
            self.step, self.looks = step, 0

        def required(self) -> Required:
            return Required(baseline=1, candidate=1, minimum_seconds=0.1, candidate_share=1.0)

        def observe(self, *seen: object, **open_requests: object) -> Decision:
            self.looks += 1
            action = found.says(self.step.name, self.looks)
            assert action in ("advance", "hold", "roll back")
            return Decision(action=action, reason=f"{action} at {self.step.name}", figures={"looks": self.looks})  # type: ignore[arg-type]

    monkeypatch.setitem(sys.modules, "ferry.traffic.gate.gate", SimpleNamespace(Gate=ScriptedGate))
    return found
