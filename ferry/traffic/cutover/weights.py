"""Where the shares of traffic are set: `Weights`, and its first implementation, the gateway's routes.

The other one is `load_balancer.ListenerWeights`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Protocol

from ferry.errors import GatewayError
from ferry.traffic.cutover.state import Division
from ferry.traffic.gateway import Admin, GatewayFolder, Mirror, Routes
from ferry.traffic.gateway.admin import Mark

APPLY_SECONDS = 15.0
"""Envoy takes new routes within 1 s; one that was killed is back under its supervisor within seconds."""

POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Standing:
    """How traffic is divided now, and by which generation."""

    division: Division
    generation: int


class Weights(Protocol):
    """Divides traffic between a baseline and a candidate. All methods raise TrafficError where that is impossible."""

    @property
    def baseline(self) -> str:
        """Where traffic comes from, and goes back to."""

    @property
    def candidate(self) -> str:
        """Where it goes."""

    @property
    def listener_arn(self) -> str | None:
        """Of a load balancer; None: these are the gateway's."""

    @property
    def longest_tick_seconds(self) -> float:
        """How often who asks may ask."""

    @property
    def can_mirror(self) -> bool:
        """Whether a shadow step is possible."""

    def standing(self, generation: int) -> Standing:
        """What is in force; `generation` is the caller's, for a place that keeps none."""

    def take_over(self, above: int) -> int:
        """A generation above all others and above `above`: from now on, those below may not write."""

    def set(self, division: Division, *, before: Division, fence: int) -> None:
        """Divide traffic so, in one change, and wait until it is in force.

        Raises Superseded for a fence that is not the newest any more, GatewayError where it does not come into force;
        then traffic is as it was `before`.
        """


@dataclass(frozen=True)
class GatewayWeights:
    """The weights of the gateway's routes file, which Envoy watches."""

    folder: GatewayFolder
    admin: Admin
    baseline: str = "local"
    candidate: str = "cloud"
    can_mirror: bool = True
    listener_arn: None = None
    longest_tick_seconds: float = 1.0
    apply_seconds: float = APPLY_SECONDS

    def __post_init__(self) -> None:
        """Raise GatewayError for clusters that the gateway does not have, or one cluster twice."""
        known = self.folder.clusters()
        for name in (self.baseline, self.candidate):
            if name not in known:
                raise GatewayError(
                    f"{self.folder.envoy_file}: has no cluster {name!r}; it has {', '.join(known)}: name one of those"
                )
        if self.baseline == self.candidate:
            raise GatewayError(f"baseline and candidate are both {self.candidate}; name two clusters")

    def standing(self, generation: int) -> Standing:
        """What the routes file says. Raises GatewayError where a third cluster has a share."""
        routes = self.folder.read_routes()
        others = {name: share for name, share in routes.weights.items() if share and not self._moves(name)}
        if others:
            shares = ", ".join(f"{name} {share} %" for name, share in others.items())
            raise GatewayError(
                f"{self.folder.routes_file}: gives {shares}, and this cutover is between {self.baseline} and "
                f"{self.candidate}; bring all traffic to one of them first"
            )
        mirror = routes.mirror.percent if routes.mirror and routes.mirror.cluster == self.candidate else 0
        candidate = routes.weights.get(self.candidate, 0)
        return Standing(Division(candidate=candidate, mirror=mirror), routes.generation)

    def take_over(self, above: int) -> int:
        """Raise the generation in the routes file; a freshly rendered one counts from 0 again."""
        fence = self.folder.take_over()
        while fence <= above:
            fence = self.folder.take_over()
        return fence

    def set(self, division: Division, *, before: Division, fence: int) -> None:
        """One rename, then Envoy is asked until it says that it runs these routes."""
        since = self._mark()
        written = self._write(division, fence)
        try:
            self._wait(written, since)
        except GatewayError:
            # Envoy runs the old routes; the file has to say the same, or the next start of Envoy would move traffic.
            self._write(before, fence)
            raise

    def _wait(self, written: Routes, since: Mark | None) -> None:
        until = time.monotonic() + self.apply_seconds
        while True:
            left = until - time.monotonic()
            try:
                self.admin.wait_applied(written, max(left, 0), since=since)
            except GatewayError:
                # Of an Envoy that was killed, the supervisor starts the next one, which reads the new file.
                if left <= 0 or self.admin.ready():
                    raise
                since = None
                time.sleep(POLL_SECONDS)
            else:
                return

    def _mark(self) -> Mark | None:
        try:
            return self.admin.mark()
        except GatewayError:
            return None

    def _write(self, division: Division, fence: int) -> Routes:
        mirror = Mirror(cluster=self.candidate, percent=division.mirror) if division.mirror else None
        shares = {self.baseline: 100 - division.candidate, self.candidate: division.candidate}

        def divided(routes: Routes) -> Routes:
            return replace(routes, weights=dict.fromkeys(routes.weights, 0) | shares, mirror=mirror)

        return self.folder.change_routes(divided, fence=fence)

    def _moves(self, cluster: str) -> bool:
        return cluster in (self.baseline, self.candidate)
