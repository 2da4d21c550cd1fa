"""What is seen of the two sides: `Source`, and the gateway's logs as one, cross-checked with Envoy's counters.

Durations are from the logs, since Envoy's histograms are too coarse for a P99. What the logs could have lost is seen by
the counters: each request to an engine is one line of the upstream log and one of `upstream_rq_total`.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ferry.errors import GatewayError
from ferry.traffic.cutover.state import Mark
from ferry.traffic.gateway import Admin, GatewayFolder
from ferry.traffic.gateway.admin import ClusterCounters
from ferry.traffic.gateway.routes import FAIL_OVER
from ferry.traffic.requests import Offset, Reading, Request, read

FLUSH_SECONDS = 1.0
"""Envoy writes its log every 100 ms; counters of so long ago have their lines by now on a busy machine, too."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What came since the last look."""

    baseline: tuple[Request, ...] = ()
    candidate: tuple[Request, ...] = ()
    open_baseline: int | None = None
    open_candidate: int | None = None
    """Requests that are under way; None: nobody knows."""
    finding: str | None = None
    """Why what was seen cannot be trusted; None: it can."""


class Source(Protocol):
    """Where requests of both sides are seen. Its methods raise GatewayError where nothing can be seen at present."""

    def marks(self) -> Mapping[str, Mark]:
        """Where a test that begins now has to read from."""

    def begin(self, marks: Mapping[str, Mark], *, mirrored: bool) -> None:
        """Read from there on; `mirrored`: the candidate answers copies only."""

    def look(self) -> Seen:
        """What came since `begin` or the last look."""

    def last_of_baseline(self, marks: Mapping[str, Mark]) -> tuple[Request, ...]:
        """Requests at the baseline since then, for a step that leaves it none."""

    def candidate_is_down(self) -> bool:
        """Whether all of the candidate's servers are known to be unhealthy."""


@dataclass
class CrossCheck:
    """Lines of the upstream log against Envoy's counters, by cluster, from the first look on."""

    clock: Callable[[], float] = time.time
    _lines: Counter[str] = field(default_factory=Counter)
    _counted: deque[tuple[float, Mapping[str, ClusterCounters]]] = field(default_factory=deque)
    _first: Mapping[str, ClusterCounters] | None = None

    def lines(self, requests: tuple[Request, ...]) -> None:
        """Count what the log has."""
        self._lines.update(request.cluster or "" for request in requests)

    def compare(self, counted: Mapping[str, ClusterCounters]) -> str | None:
        """Take Envoy's counters, and say where the log has fewer lines than requests had ended a while ago.

        Beyond what is in flight, since the counters of one answer are not of one instant.
        """
        now, finding = self.clock(), None
        newest = self._counted[-1][1] if self._counted else counted
        if any(counted[name].requests < newest[name].requests for name in counted if name in newest):
            self._first = None
            finding = "Envoy was started anew, and what it had not written of its log is lost: counted from here on"
        if self._first is None:
            self._first, self._lines = counted, Counter()
            self._counted.clear()
        self._counted.append((now, counted))
        while len(self._counted) > 1 and self._counted[1][0] <= now - FLUSH_SECONDS:
            self._counted.popleft()
        at, then = self._counted[0]
        if at > now - FLUSH_SECONDS:
            return finding
        for name, counters in then.items():
            first = self._first[name]
            ended = _ended(counters) - _ended(first)
            in_flight = max(counters.active_requests, first.active_requests)
            if ended - self._lines[name] > in_flight:
                return (
                    f"Envoy counts {ended} requests that ended at {name} and its log has {self._lines[name]} "
                    f"({in_flight} in flight): lines are missing, or the log is another gateway's"
                )
        return finding


@dataclass
class GatewayLogs:
    """The gateway's two logs: requests of clients, and requests to engines, among them the mirrored ones."""

    folder: GatewayFolder
    admin: Admin
    baseline: str
    candidate: str
    _offsets: dict[str, Offset] = field(default_factory=dict)
    _mirrored: bool = False
    _check: CrossCheck = field(default_factory=CrossCheck)

    def marks(self) -> Mapping[str, Mark]:
        """The ends of both logs."""
        return {path.name: end_of(path) for path in self._logs()}

    def begin(self, marks: Mapping[str, Mark], *, mirrored: bool) -> None:
        """Read from there on. Lines that are there already are counted by nobody: the counters are of now."""
        self._offsets = {name: Offset(inode=mark.inode, position=mark.position) for name, mark in marks.items()}
        self._mirrored, self._check = mirrored, CrossCheck()

    def look(self) -> Seen:
        """New lines of both logs, divided by the side that the weights chose."""
        clients, engines = (self._new(path) for path in self._logs())
        self._check.lines(engines.requests)
        counted: Mapping[str, ClusterCounters] = {}
        try:
            counted = self.admin.counters()
            finding = self._check.compare(counted)
        except GatewayError as error:
            finding = str(error)
        for path, reading in zip(self._logs(), (clients, engines), strict=True):
            if reading.gap:
                finding = f"{path}: was cut, or rotated away before it was read to its end: requests are missing"
        copies = tuple(one for one in engines.requests if one.mirrored and one.cluster == self.candidate)
        return Seen(
            baseline=_aimed_at(self.baseline, clients),
            candidate=copies if self._mirrored else _aimed_at(self.candidate, clients),
            open_baseline=_open(counted, self.baseline),
            open_candidate=_open(counted, self.candidate),
            finding=finding,
        )

    def last_of_baseline(self, marks: Mapping[str, Mark]) -> tuple[Request, ...]:
        """What clients asked of the baseline since then."""
        mark = marks.get(self.folder.access_log.name, Mark())
        reading = read(self.folder.access_log, Offset(inode=mark.inode, position=mark.position))
        return _aimed_at(self.baseline, reading)

    def candidate_is_down(self) -> bool:
        """Whether Envoy's health checks and outlier detection left no member, or there is no Envoy to ask."""
        try:
            counters = self.admin.counters().get(self.candidate)
        except GatewayError:
            return True
        return counters is None or counters.healthy == 0

    def _logs(self) -> tuple[Path, Path]:
        return self.folder.access_log, self.folder.upstream_log

    def _new(self, path: Path) -> Reading:
        reading = read(path, self._offsets.get(path.name, Offset()))
        self._offsets[path.name] = reading.offset
        return reading


def end_of(path: Path) -> Mark:
    """How far a log goes."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return Mark()
    return Mark(inode=found.st_ino, position=found.st_size)


def _aimed_at(side: str, reading: Reading) -> tuple[Request, ...]:
    """Requests that the weights gave to a side, whoever answered in the end; not those that asked for a version."""
    aimed = FAIL_OVER.get(side, side)
    return tuple(one for one in reading.requests if one.aimed == aimed and one.model_version is None)


def _open(counted: Mapping[str, ClusterCounters], cluster: str) -> int | None:
    return counted[cluster].active_requests if cluster in counted else None


def _ended(counters: ClusterCounters) -> int:
    return counters.requests - counters.active_requests
