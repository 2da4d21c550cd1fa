"""What a cutover has to remember when its controller dies: `state/cutover.json`, written before each change of traffic.

Envoy's routes say where traffic is, the ledger says what was decided. Neither says where in the logs the gate's test of
this step began, which change was about to be made, or what a person asked of a controller in another process: that is
all that stands here.

Fencing: who takes over gets a generation that is greater than all before it, and whoever has a smaller one may not
write any more. A lock is held for one write only, so that a controller that was stopped in its sleep blocks nobody.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError

from ferry.artefacts import Frozen, first_problem, write_whole
from ferry.errors import Superseded, TrafficError, UnwritableOutput
from ferry.traffic.lock import locked

SCHEMA: Literal["ferry/cutover/v1"] = "ferry/cutover/v1"
Phase = Literal["running", "rolling back", "aborting", "done", "rolled back", "aborted"]
Wanted = Literal["run", "pause", "abort"]
GOING_HOME: Mapping[Phase, Phase] = {"rolling back": "rolled back", "aborting": "aborted"}
"""A way home that has begun, and what it is once it is over."""
ENDED: frozenset[Phase] = frozenset({"done", "rolled back", "aborted"})


class Division(Frozen):
    """How traffic is divided: the candidate's share, and how much of the rest is copied to it."""

    candidate: int = Field(ge=0, le=100, description="percent")
    mirror: int = Field(default=0, ge=0, le=100, description="percent of requests that are copied, answers thrown away")

    @property
    def name(self) -> str:
        """Of the step that divides so: `shadow` or `25 %`."""
        return "shadow" if self.mirror else f"{self.candidate} %"

    def __str__(self) -> str:
        """For people."""
        return f"{self.candidate} %" + (f", {self.mirror} % mirrored" if self.mirror else "")


HOME = Division(candidate=0)


class Holder(Frozen):
    """The process that acts, or acted last."""

    pid: int
    host: str
    user: str
    verb: str
    since: float = Field(description="seconds since 1970")

    @classmethod
    def this(cls, verb: str) -> Self:
        """The process that asks."""
        try:
            user = getpass.getuser()
        except (OSError, KeyError):  # a user id without a name
            user = str(os.getuid())
        return cls(pid=os.getpid(), host=socket.gethostname(), user=user, verb=verb, since=time.time())

    def __str__(self) -> str:
        """For people."""
        at = time.strftime("%H:%M:%S", time.localtime(self.since))
        return f"`ferry {self.verb}` of {self.user}@{self.host} (process {self.pid}, since {at})"


class Mark(Frozen):
    """How far a log went at one moment."""

    inode: int = 0
    position: int = Field(default=0, description="bytes")


class Order(Frozen):
    """What a person asked of the cutover."""

    wanted: Wanted = "run"
    by: str = ""


class State(Frozen):
    """Where a cutover is."""

    schema_: Literal["ferry/cutover/v1"] = Field(default=SCHEMA, alias="schema")
    id: str = Field(description="of this cutover, in each of its ledger lines")
    plan: str
    policy: str
    forced: bool = False
    baseline: str = Field(description="cluster, or target group")
    candidate: str
    listener: str | None = Field(default=None, description="of a load balancer; None: the gateway's routes")
    generation: int
    holder: Holder
    phase: Phase = "running"
    step: int = Field(description="index into the policy's steps; -1: none was entered")
    before: Division = Field(description="traffic before this change")
    intended: Division = Field(description="traffic after it")
    serial: int = Field(description="number of this change; it is in the ledger once it was made")
    entered_at: float | None = Field(default=None, description="since when it is in force; None: not yet")
    marks: Mapping[str, Mark] = Field(default={}, description="how far each log went then, by file name")
    earlier_marks: Mapping[str, Mark] = Field(default={}, description="the same of the step before")
    why: str = ""
    order: Order = Order()

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.phase in ENDED


@dataclass(frozen=True)
class StateFile:
    """The file, its lock, and the fence."""

    path: Path
    lock: Path

    def load(self) -> State | None:
        """The state; None where no cutover was ever started. Raises TrafficError for a damaged file."""
        try:
            return State.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise TrafficError(
                f"{self.path}: {first_problem(error)}; `ferry rollback` brings all traffic home without it, or remove "
                "it to start over"
            ) from error

    def save(self, state: State) -> State:
        """Write what the holder of a generation knows; orders that came meanwhile are kept.

        Raises Superseded where somebody has a greater generation by now.
        """

        def change(found: State | None) -> State:
            if found is None:
                return state
            if found.generation > state.generation:
                raise superseded(found)
            return state if found.id != state.id else state.model_copy(update={"order": found.order})

        return self._change(change)

    def order(self, wanted: Wanted, by: str) -> State:
        """Ask something of the cutover. Raises TrafficError where none is under way."""

        def change(found: State | None) -> State:
            if found is None or found.ended:
                at = "none was started" if found is None else f"the last one is {found.phase}"
                raise TrafficError(f"no cutover is under way ({at}); `ferry cutover start PLAN` begins one")
            return found.model_copy(update={"order": Order(wanted=wanted, by=by)})

        return self._change(change)

    def _change(self, change: Callable[[State | None], State]) -> State:
        with locked(self.lock):
            state = change(self.load())
            write_whole(self.path, state.model_dump_json(by_alias=True, indent=1), durable=True)
        return state


def superseded(found: State) -> Superseded:
    """Who took over."""
    return Superseded(
        f"{found.holder} has taken over (generation {found.generation}); this controller may change nothing any more, "
        "and traffic is as the other one says: `ferry cutover status`"
    )


class Alive:
    """A lock that a controller holds as long as it lives, so that the next one knows; it ends with the process.

    It keeps a person from starting two by mistake, and guards nothing: the fence does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: int | None = None

    def take(self, *, by_force: bool = False) -> bool:
        """Take it; False where a living process has it. `by_force` takes it away from one that does not answer."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if by_force:
                self._path.unlink(missing_ok=True)  # the other one keeps its lock on a file without a name
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UnwritableOutput(f"{self._path}: cannot be locked: {error.strerror}") from error
        if not _free(handle, fcntl.LOCK_EX):
            os.close(handle)
            return False
        self._held = handle
        return True

    def held_by_somebody(self) -> bool:
        """Whether a living process has it."""
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _free(handle, fcntl.LOCK_SH)
        finally:
            os.close(handle)

    def release(self) -> None:
        """Let go of it."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _free(handle: int, kind: int) -> bool:
    """Whether the lock could be had; who only looks has it for a moment, so that it is tried more than once."""
    for _ in range(20):
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        else:
            return True
    return False
