"""Where a person gives orders: a gateway's folder with all that a cutover and a rollback need of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ferry.errors import FerryError, GatewayError, TrafficError
from ferry.traffic.cutover.controller import Controller, Told
from ferry.traffic.cutover.observation import GatewayLogs, Source
from ferry.traffic.cutover.rollback import Rollback, is_refused, roll_back, standing_of
from ferry.traffic.cutover.state import Alive, State, StateFile, Wanted
from ferry.traffic.cutover.text import Status
from ferry.traffic.cutover.warmth import Warmth, warmth_at_home
from ferry.traffic.cutover.weights import GatewayWeights, Weights
from ferry.traffic.gate.policy import CanaryPolicy
from ferry.traffic.gateway import Admin, GatewayFolder


@dataclass(frozen=True)
class _Side:
    """What moves traffic, what sees it, and whether it can come back."""

    weights: Weights
    source: Source
    home: Callable[[], Warmth]


AT_HOME = "local"
"""The cluster of the engine in the room."""
ABORT_SECONDS = 10.0
"""A controller of the gateway looks for orders once a second; one that has not acted by then is stopped or hangs."""


@dataclass(frozen=True)
class BehindListener:
    """A load balancer's listener, and the clients that reach it."""

    arn: str
    elbv2: Any
    cloudwatch: Any


@dataclass(frozen=True)
class Desk:
    """One gateway; with a listener, the load balancer behind it, whose cutovers are remembered beside the gateway's."""

    folder: GatewayFolder
    listener: BehindListener | None = None

    @property
    def admin(self) -> Admin:
        """Of the Envoy that runs with this folder. Raises GatewayError for a folder without envoy.yaml."""
        return self.folder.admin()

    @property
    def states(self) -> StateFile:
        """Of its cutover."""
        return StateFile(self.folder.state / f"{self._name}.json", self.folder.state / f"{self._name}-state.lock")

    @property
    def alive(self) -> Alive:
        """Held by a controller that runs."""
        return Alive(self.folder.state / f"{self._name}-controller.lock")

    @property
    def _name(self) -> str:
        if self.listener is None:
            return "cutover"
        return f"cutover-{hashlib.sha256(self.listener.arn.encode()).hexdigest()[:12]}"

    def controller(
        self,
        plan_file: Path,
        policy_file: Path,
        *,
        baseline: str = AT_HOME,
        candidate: str = "cloud",
        forced: bool = False,
        verb: str = "cutover start",
        told: Callable[[Told], None] = lambda told: None,
    ) -> Controller:
        """A controller. Raises InvalidField, UnreadableInput for the policy, TrafficError for names nobody has."""
        side = self._side(baseline, candidate)
        return Controller(
            plan=plan_file,
            policy_file=policy_file,
            policy=CanaryPolicy.load(policy_file),
            states=self.states,
            weights=side.weights,
            source=side.source,
            home=side.home,
            forced=forced,
            verb=verb,
            told=told,
        )

    def status(self) -> Status:
        """Where it is: the state, the routes, Envoy, and what a gate makes of the step's requests so far.

        Raises TrafficError for a damaged state, GatewayError for routes that cannot be read.
        """
        state = self.states.load()
        if self.listener is not None:
            return self._listener_status(self.listener, state)
        routes = self.folder.read_routes()
        candidate = "cloud" if state is None else state.candidate
        try:
            runs = self.admin.applied_version() == routes.version
            envoy = "runs these routes" if runs else "runs other routes than the file's"
        except GatewayError as error:
            envoy = str(error)
        return Status(
            state=state,
            controller_alive=self.alive.held_by_somebody(),
            candidate=candidate,
            candidate_percent=routes.weights.get(candidate, 0),
            mirrored_percent=routes.mirror.percent if routes.mirror else 0,
            envoy=envoy,
            reason=self._gate_says(state),
        )

    def _listener_status(self, listener: BehindListener, state: State | None) -> Status:
        if state is None:
            raise TrafficError(f"{listener.arn}: no cutover was started here")
        standing = self._side(state.baseline, state.candidate).weights.standing(state.generation)
        return Status(
            state=state,
            controller_alive=self.alive.held_by_somebody(),
            candidate=state.candidate,
            candidate_percent=standing.division.candidate,
            mirrored_percent=0,
            envoy="not asked, these are a listener's weights",
            reason=self._gate_says(state),
        )

    def _gate_says(self, state: State | None) -> str:
        if state is None or state.ended or state.entered_at is None:
            return ""
        try:
            controller = self.controller(
                Path(state.plan), Path(state.policy), baseline=state.baseline, candidate=state.candidate
            )
            return controller.judge_now(state).reason
        except FerryError as error:
            return f"the gate cannot be asked: {error}"

    def go_home(self, *, force: bool, why: str) -> Rollback:
        """`ferry rollback`: everything to the engine in the room, whatever a cutover moved."""
        return self._roll_back(AT_HOME, force=force, why=why, aborts=False)

    def abort(self, by: str, *, force: bool) -> Rollback | State:
        """End the cutover, all traffic back where it came from: by the controller that runs, or without one.

        Raises TrafficError where none is under way.
        """
        found = self.states.load()
        if found is not None and not found.ended and not force:
            # Before it is ordered: an order that was given stays, and the controller does not ask the engine.
            side = self._side(found.baseline, found.candidate)
            before, home = standing_of(side.weights, found, []), side.home()
            if is_refused(before, home, side.source.candidate_is_down):
                return Rollback(before=before, home=home, refused=True)
        state = self.states.order("abort", by)
        until = time.monotonic() + ABORT_SECONDS
        while self.alive.held_by_somebody() and time.monotonic() < until:
            time.sleep(0.1)
        found = self.states.load()
        if found is not None and found.ended:
            return found
        return self._roll_back(state.baseline, force=force, why=f"aborted by {by}", aborts=True)

    def order(self, wanted: Wanted, by: str) -> tuple[State, bool]:
        """Pause or resume; the state, and whether a controller runs that will see it."""
        return self.states.order(wanted, by), self.alive.held_by_somebody()

    def _roll_back(self, baseline: str, *, force: bool, why: str, aborts: bool) -> Rollback:
        side = self._side(baseline, self._candidate(baseline))
        return roll_back(
            self.states,
            side.weights,
            home=side.home,
            candidate_is_down=side.source.candidate_is_down,
            force=force,
            why=why,
            phase="aborted" if aborts else "rolled back",
            verb="cutover abort" if aborts else "rollback",
        )

    def _side(self, baseline: str, candidate: str) -> _Side:
        if self.listener is None:
            admin = self.admin
            return _Side(
                GatewayWeights(self.folder, admin, baseline, candidate),
                GatewayLogs(self.folder, admin, baseline, candidate),
                lambda: warmth_at_home(self.folder, admin, baseline),
            )
        # Not above: a rollback at home must not wait for, nor need, what speaks to AWS.
        from ferry.traffic.cutover.cloudwatch import ListenerLogs
        from ferry.traffic.cutover.load_balancer import ListenerWeights

        found = ListenerWeights.find(self.listener.elbv2, self.listener.arn, baseline, candidate)
        log = self.folder.access_log if self.folder.access_log.exists() else None
        return _Side(found, ListenerLogs(found, self.listener.cloudwatch, log), found.warmth)

    def _candidate(self, baseline: str) -> str:
        """The other side: the cutover's, or the one that has most of the traffic."""
        try:
            state = self.states.load()
        except TrafficError:
            state = None
        if self.listener is not None:
            return "" if state is None else state.candidate
        others = [name for name in self.folder.clusters() if name != baseline]
        if state is not None and state.candidate in others:
            return state.candidate
        shares = self.folder.read_routes().weights
        return max(others, key=lambda name: shares.get(name, 0))
