"""The one chainer: reads the access log, chains it, and ships an object at least every ten seconds while there is
something to ship.

Nothing is remembered but the last head, which stands in the archive, too: what follows it in the log is read again.
An object is kept on the disk before it is sent, so that every try sends the same bytes; the store takes its name once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from ferry import ledger
from ferry.errors import AuditError, Conflict, InvalidField, TransferError
from ferry.traffic import restarts
from ferry.traffic.audit import line
from ferry.traffic.audit.access_log import AccessLog, Found, Line, Lost, Position, Rotated, Torn
from ferry.traffic.audit.head import INSTANCE, Head, Sealed, Signer, Trusted, key_of, last_line, parse, seal
from ferry.traffic.audit.spool import Spool
from ferry.traffic.restarts import Note

MOST_LINES = 10_000
"""Of an object; about 7 MB."""
SEAL_AFTER_S = 8.0
"""From the first line of an object; two seconds are left of the ten for the store."""
EXPOSURE_S = 10
"""What the last seconds hold is proven by no head yet, while the archive can be reached."""
IDLE_S = 60.0
"""Between heads where nothing is logged: they prove that nothing was cut off."""
POLL_S = 0.5
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 20.0
"""Between two tries while the archive, or the disk, refuses."""


class Named(Protocol):
    """An object of a listing."""

    @property
    def key(self) -> str:
        """Its name."""


class Store(Protocol):
    """The archive's bucket."""

    bucket: str

    def put_small(self, key: str, content: bytes, *, replacing: str | None) -> str:
        """Write where there is nothing. Raises Conflict where something else is, TransferError."""

    def get(self, key: str) -> tuple[bytes, str] | None:
        """An object and its etag. Raises TransferError."""

    def list(self, prefix: str) -> Iterator[Named]:
        """All objects whose key starts so. Raises TransferError."""


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """Whose log it is, and where what belongs to it lies."""

    instance: str
    log: Path
    state: Path
    """The gateway's state folder: the supervisor's notes are in it, and the spool in `audit`."""
    ledger: Path | None = None
    """Folder of a ledger whose end is recorded in the chain."""


@dataclass(frozen=True)
class Identity:
    """Who signs, and who is believed when the archive is asked how far it is."""

    signer: Signer
    key_id: str
    trusted: Trusted


class Shipper:
    """Use it as a context: it is the one chainer from `with` to the end. Raises AuditError where there is another."""

    def __init__(
        self,
        gateway: Gateway,
        store: Store,
        identity: Identity,
        *,
        most_lines: int = MOST_LINES,
        seal_after_s: float = SEAL_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if not INSTANCE.fullmatch(gateway.instance):
            raise InvalidField(f"instance {gateway.instance!r}: allowed are 1 to 63 of a-z 0-9 . -; rename it")
        self._gateway, self._store, self._identity = gateway, store, identity
        self._most_lines, self._seal_after_s, self._clock, self._now = most_lines, seal_after_s, clock, now
        self.spool = Spool(gateway.state / "audit")
        self.log = AccessLog(gateway.log)
        self._lines: list[bytes] = []
        self._begun_at = self._sealed_at = clock()
        self._ledger: tuple[int, str] | None = None
        self._unsure = self._finished = False

    def __enter__(self) -> Shipper:
        try:
            self.spool.lock()
            self._recover("chainer starts")
        except BaseException as error:
            self.spool.unlock()
            if isinstance(error, OSError):
                what = f"{error.filename or self._gateway.state}: {error.strerror}"
                raise AuditError(
                    f"{what}; let this user read the gateway's log and write {self.spool.folder}"
                ) from error
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.spool.unlock()

    # ---- where it is ----

    @property
    def sequence(self) -> int:
        """Of the next line."""
        return self._sequence

    def _recover(self, why: str) -> None:
        self._lines = []
        pending = self.spool.pending()
        if pending is not None:
            last: Sealed | None = parse(last_line(pending), str(self.spool.pending_file))
        else:
            last = self.spool.shipped() or self._archived()
        if last is None:
            self._start = self._time()
            self._previous, self._sequence, self._first = line.GENESIS, 0, 0
            self.position, self._notes, self._requests = Position(), 0, 0
            self._since_start: int | None = None
            self._say("chain begins", instance=self._gateway.instance, start=self._start)
            return
        head = last.head
        if head.instance != self._gateway.instance:
            raise AuditError(
                f"{self.spool.folder}: belongs to instance {head.instance!r}, not to {self._gateway.instance!r}; "
                "name that, or give this gateway a folder of its own"
            )
        self._start, self._previous, self._sequence = head.start, last.digest, last.sequence + 1
        self._first = self._sequence
        self.position = Position(head.log, head.offset, head.passed)
        self._notes, self._requests, self._since_start = head.notes, head.requests, head.since_start
        self._say(why, after_stop=head.stopped, lines_read_again=self.log.unread_lines(self.position))

    def _archived(self) -> Sealed | None:
        """The last head of this gateway that the archive has: this machine's own state is gone, or new."""
        keys = sorted(one.key for one in self._store.list(f"requests/{self._gateway.instance}/"))
        found = self._store.get(keys[-1]) if keys else None
        if found is None:
            return None
        where = f"s3://{self._store.bucket}/{keys[-1]}"
        last = parse(last_line(found[0]), where)
        self._identity.trusted.verify(last.signed, last.signature, where, claimed=last.head.signed_with)
        return last

    # ---- one round ----

    def step(self) -> bool:
        """Read what there is, seal what is due, ship it. False: there was nothing to do.

        Raises TransferError while the archive cannot be reached, OSError where the disk refuses: then the next call
        goes on from here. Raises AuditError where the archive has another object of that name.
        """
        if self._unsure:
            self._recover("chainer goes on after a disk error")
            self._unsure = False
        self._ship()
        busy = self._read()
        if self._due():
            self._seal(stopped=False)
            self._ship()
            return True
        return busy

    def finish(self) -> None:
        """Ship all that stands in the log, with a head that says so. Raises as `step`."""
        if not self._finished:
            while self.step():
                pass
            self._say("chainer stops")
            self._seal(stopped=True)
            self._finished = True
        self._ship()

    def _read(self) -> bool:
        busy = False
        while not self._due():
            found, position = self.log.read(self.position, self._new_notes)
            for one in found:
                self._take(one)
            if position == self.position and not found:
                return busy
            self.position, busy = position, True
        return busy

    def _new_notes(self) -> Sequence[Note]:
        try:
            return restarts.read(self._gateway.state, skip=self._notes)
        except ValueError as error:
            raise AuditError(f"{error}; move the file away, then its starts are not in the chain") from error

    def _due(self) -> bool:
        now = self._clock()
        return (
            len(self._lines) >= self._most_lines
            or (bool(self._lines) and now - self._begun_at >= self._seal_after_s)
            or now - self._sealed_at >= IDLE_S
        )

    def _seal(self, *, stopped: bool) -> None:
        self._record_ledger()
        head = Head(
            instance=self._gateway.instance,
            start=self._start,
            first=self._first,
            requests=self._requests,
            log=self.position.log,
            offset=self.position.offset,
            passed=self.position.passed,
            notes=self._notes,
            since_start=self._since_start,
            sealed_at=self._time(),
            stopped=stopped,
            signed_with=self._identity.key_id,
        )
        last = seal(head, self._previous, self._sequence, self._identity.signer)
        # Where the disk refuses, it may have kept the object or not: it is asked again before anything else is done.
        self._unsure = True
        self.spool.put(b"".join(one + b"\n" for one in (*self._lines, last)))
        self._unsure = False
        self._previous, self._sequence = line.digest(last), self._sequence + 1
        self._first, self._lines, self._sealed_at = self._sequence, [], self._clock()

    def _ship(self) -> None:
        content = self.spool.pending()
        if content is None:
            return
        key = key_of(parse(last_line(content), str(self.spool.pending_file)).head)
        try:
            self._store.put_small(key, content, replacing=None)
        except Conflict as error:
            raise AuditError(
                f"s3://{self._store.bucket}/{key}: holds something else than this chainer wants to put there: another "
                "ships under the same name, or an old state folder was put back; find out which, then name another "
                f"instance, or move {self.spool.folder} away to go on from the archive"
            ) from error
        self.spool.arrived()

    # ---- lines ----

    def _take(self, found: Found) -> None:
        if isinstance(found, (Line, Torn)):
            self._requests += 1
            if self._since_start is not None:
                self._since_start += 1
            torn = isinstance(found, Torn)
            whole = None if torn else line.request(found.content)
            self._add(line.unreadable(found.content, torn=torn) if whole is None else whole)
        elif isinstance(found, Rotated):
            self._say("log rotated", old=found.old, old_bytes=found.old_bytes, new=found.new)
        elif isinstance(found, Lost):
            self._say("log lost", log=found.log, after_byte=found.offset, why=found.why)
        else:
            self._take_note(found)

    def _take_note(self, note: Note) -> None:
        self._notes += 1
        logged = self._since_start
        if note.event == "started":
            self._say("gateway starts", at=note.at, end_noted=logged is None)
            self._since_start = 0
            return
        known = logged is not None and note.requests is not None
        lost = max(0, (note.requests or 0) - (logged or 0)) if known else None
        figures = {"at": note.at, "how": note.how, "counted": note.requests, "counted_at": note.counted_at}
        self._say("gateway ends", **figures, logged=logged, lost=lost)
        self._since_start = None

    def _record_ledger(self) -> None:
        if self._gateway.ledger is None:
            return
        end = ledger.end(self._gateway.ledger)
        if end != self._ledger:
            self._say("ledger", lines=end[0], sha256=end[1])
            self._ledger = end

    def _say(self, what: str, **figures: Any) -> None:
        self._add(line.event(what, figures))

    def _add(self, rest: bytes) -> None:
        if not self._lines:
            self._begun_at = self._clock()
        whole = line.opening(self._previous, self._sequence) + rest
        self._lines.append(whole)
        self._previous, self._sequence = line.digest(whole), self._sequence + 1

    def _time(self) -> str:
        return self._now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def run(shipper: Shipper, stopped: Callable[[float], bool], told: Callable[[str], None], *, once: bool = False) -> None:
    """Ship until told to stop, then all that is left. `stopped(s)` waits that long and says whether to stop.

    What passes (the link, the store, a full disk) is told and tried again. Raises AuditError.
    """
    wait_s, ending = 0.0, once
    while True:
        try:
            if ending:
                shipper.finish()
                return
            busy = shipper.step()
        except (TransferError, OSError) as error:
            wait_s = min(2 * wait_s or FIRST_WAIT_S, LONGEST_WAIT_S)
            told(f"waiting {wait_s:.0f} s: {error}")
            if stopped(wait_s) or (ending and not once):
                raise AuditError(f"stopped before all was in the archive; the next start ships it: {error}") from error
            continue
        wait_s = 0.0
        ending = stopped(0.0 if busy else POLL_S)
