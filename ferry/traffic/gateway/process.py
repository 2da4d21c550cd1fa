"""Envoy under a supervisor: started, started again when it dies, drained when it is to stop.

While it runs it is asked once a second how many requests it has completed, and the lines of its access log are counted,
so that after a kill the lines that were lost with its memory are bounded. Each start and end is noted in
state/restarts.jsonl, which the audit reads.
"""

from __future__ import annotations

import fcntl
import queue
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from ferry.errors import GatewayError
from ferry.traffic import restarts
from ferry.traffic.gateway.command import ARGUMENTS, DRAIN_SECONDS
from ferry.traffic.gateway.folder import GatewayFolder
from ferry.traffic.gateway.lines import LineCounter

COMPLETED = "http.inference.downstream_rq_completed"
ACTIVE = "http.inference.downstream_rq_active"
ASK_SECONDS = 1.0
READY_POLL_SECONDS = 0.02
READY_SECONDS = 60.0
"""Of the first start. Envoy waits for its first health check of the engine at home, which may take 5 s."""
SHORTEST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 5.0
"""Of an Envoy that dies before it serves, each next start waits twice as long."""
EXIT_SECONDS = 5.0

STOP = 0
"""In the queue of events, beside the ids of processes that ended."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened to Envoy."""

    what: Literal["serving", "died", "stopped"]
    pid: int
    gap_ms: float | None = None
    """Of `serving` after a death: how long nobody was served, from when the death was seen."""
    how: str | None = None
    """Of an end: `stopped`, `signal 9`, `exit code 1`."""
    completed: int | None = None
    """Of an end: requests that Envoy had completed when it was last asked; None: it was never asked."""
    logged: int | None = None
    """Of an end: lines that it had added to the access log."""
    unasked_seconds: float | None = None
    """Of an end: how long ago it was last asked. What it completed since then may be missing, and is not counted."""
    not_noted: str | None = None
    """Why its start or its end is not in state/restarts.jsonl: the disk is full. The audit will lack it."""

    @property
    def lost_lines(self) -> int | None:
        """Lines of the access log that are missing for sure."""
        return None if self.completed is None or self.logged is None else max(0, self.completed - self.logged)


@dataclass
class Supervisor:
    """Runs Envoy in a gateway's folder until it is told to stop."""

    folder: GatewayFolder
    envoy: Path
    report: Callable[[Event], None] = field(default=lambda event: None)
    drain_seconds: float = DRAIN_SECONDS
    _events: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue, repr=False)

    def stop(self) -> None:
        """Drain, then end; told twice, end at once. For signal handlers and other threads."""
        self._events.put(STOP)

    def run(self) -> None:
        """Run until `stop`.

        Raises GatewayError where another one runs here, or where Envoy does not come up the first time: then its
        configuration or its ports are wrong. Later it is started again for as long as it takes.
        """
        self.folder.make_folders()
        with self._alone():
            died_at: float | None = None
            wait_seconds = 0.0
            while True:
                one = _Envoy(self.folder, self.envoy, self._events)
                stopped = False
                try:
                    stopped = self._serve(one, died_at)
                finally:
                    self.report(one.end(stopped=stopped))
                if stopped:
                    return
                if one.served:
                    died_at, wait_seconds = one.died_at, 0.0
                elif died_at is None:
                    raise GatewayError(f"envoy ended before it served anybody ({one.how}): {self._last_words()}")
                else:
                    wait_seconds = min(LONGEST_WAIT_SECONDS, max(SHORTEST_WAIT_SECONDS, 2 * wait_seconds))
                if wait_seconds and self._stop_within(wait_seconds):
                    return

    def _serve(self, one: _Envoy, died_at: float | None) -> bool:
        """Wait until it ends by itself (False), or end it because it is to stop (True)."""
        started = time.monotonic()
        while True:
            try:
                event = self._events.get(timeout=ASK_SECONDS if one.served else READY_POLL_SECONDS)
            except queue.Empty:
                if one.served:
                    one.ask()
                elif one.admin.ready():
                    one.served = True
                    gap_ms = None if died_at is None else round(1000 * (time.monotonic() - died_at), 1)
                    self.report(Event(what="serving", pid=one.pid, gap_ms=gap_ms, not_noted=one.not_noted))
                elif died_at is None and time.monotonic() - started > READY_SECONDS:
                    raise GatewayError(
                        f"envoy did not serve within {READY_SECONDS:g} s: {self._last_words()}"
                    ) from None
                continue
            if event == one.pid:
                return False
            if event == STOP:
                self._drain(one)
                return True

    def _drain(self, one: _Envoy) -> None:
        """Until no request is running, the time is over, Envoy is gone, or somebody is impatient."""
        end = time.monotonic() + self.drain_seconds
        with suppress(GatewayError):
            one.admin.drain()
            while one.admin.stats(f"^{re.escape(ACTIVE)}$").get(ACTIVE, 0) and time.monotonic() < end:
                with suppress(queue.Empty):
                    if self._events.get(timeout=0.1) in (STOP, one.pid):
                        break
            one.ask()

    def _stop_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            with suppress(queue.Empty):
                if self._events.get(timeout=left) == STOP:
                    return True
        return False

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.folder.state / "supervisor.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise GatewayError(f"{self.folder.path}: another `ferry gateway run` is in charge of it") from error
            # Two Envoys would share the port, and each get half of the connections.
            if self.folder.admin().ready():
                raise GatewayError(
                    f"{self.folder.admin_url()}: an Envoy runs here already, which nobody supervises; end it first"
                )
            yield

    def _last_words(self) -> str:
        """The last line of Envoy's log that says why it ends."""
        try:
            text = self.folder.envoy_log.read_bytes()[-65536:].decode(errors="replace")
        except OSError:
            return "it said nothing"
        said = [line for line in text.splitlines() if re.search(r"\[(critical|error)\]", line)]
        lines = said or [line for line in text.splitlines() if line.strip()] or ["it said nothing"]
        return re.sub(r"^(\[[^]]*\])+ *(\[[^]]*\] *)?", "", lines[-1]).strip()


class _Envoy:
    """One process of Envoy, from its start to its end."""

    def __init__(self, folder: GatewayFolder, envoy: Path, events: queue.SimpleQueue[int]) -> None:
        self.served = False
        self.died_at: float | None = None
        self.how = ""
        self.not_noted: str | None = None
        self.admin = replace(folder.admin(), timeout_seconds=1.0)
        self._folder = folder
        self._lines = LineCounter(folder.access_log)
        self._completed: int | None = None
        self._asked_at: tuple[float, str] | None = None
        self._note("started")
        with folder.envoy_log.open("ab") as log:
            # A session of its own: Ctrl-C reaches the supervisor alone, which drains before it ends Envoy.
            self._process = subprocess.Popen(  # noqa: S603
                [envoy, *ARGUMENTS],
                cwd=folder.path,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._process.pid
        threading.Thread(target=self._reap, args=(events,), daemon=True).start()

    def ask(self) -> None:
        """How many requests it has completed, and the lines that are in the log."""
        self._lines.count()
        with suppress(GatewayError):
            self._completed = self.admin.stats(f"^{re.escape(COMPLETED)}$").get(COMPLETED, self._completed)
            self._asked_at = (time.monotonic(), _now())

    def end(self, *, stopped: bool) -> Event:
        """End it, if it has not ended, and say what is known of its end. `stopped`: it was meant to."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(EXIT_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self.how = "stopped" if stopped and self._process.returncode == 0 else _how(self._process.returncode)
        self._note("ended")
        logged = self._lines.count()
        self._lines.close()
        return Event(
            what="stopped" if stopped else "died",
            pid=self.pid,
            how=self.how,
            completed=self._completed,
            logged=logged,
            unasked_seconds=round(time.monotonic() - self._asked_at[0], 3) if self._asked_at else None,
            not_noted=self.not_noted,
        )

    def _reap(self, events: queue.SimpleQueue[int]) -> None:
        self._process.wait()
        self.died_at = time.monotonic()
        events.put(self.pid)

    def _note(self, event: Literal["started", "ended"]) -> None:
        log, log_bytes = restarts.position(self._folder.access_log)
        ended = event == "ended"
        note = restarts.Note(
            at=_now(),
            event=event,
            log=log,
            log_bytes=log_bytes,
            how=self.how,
            requests=self._completed if ended else None,
            counted_at=self._asked_at[1] if ended and self._asked_at else None,
        )
        try:
            restarts.append(self._folder.state, note)
        except OSError as error:
            # A full disk would otherwise end the gateway with the Envoy that died.
            self.not_noted = error.strerror


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
