"""Verify the chain: hashes, sequence, the signed heads, and continuity from object to object.

Of a request's line, only the beginning is looked at and the whole is hashed; nothing is parsed but heads and events.
What is proven ends with the last head whose signature fits. Lines after it, at most `shipper.EXPOSURE_S` of traffic
while the archive could be reached, are in no object, so that nobody can tell whether there were any.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from ferry import ledger
from ferry.errors import AuditError, TamperedArtefact, Untrusted
from ferry.traffic.audit.diagnosis import Fault, diagnose
from ferry.traffic.audit.head import Head, Sealed, Trusted, key_of, last_line, moment, parse
from ferry.traffic.audit.line import GENESIS, opening
from ferry.traffic.audit.place import Place
from ferry.traffic.audit.shipper import EXPOSURE_S

KINDS = (b'request":', b'unreadable":', b'event":')
"""Of lines that are no head."""


@dataclass(kw_only=True)
class Chain:
    """What was found of one chain. `fault`: the first thing that is wrong; what follows it was not looked at."""

    instance: str
    start: str
    first: int = 0
    """Sequence of the first line that was looked at."""
    proven: int | None = None
    """Sequence of the last head that fits; None: none does."""
    objects: int = 0
    lines: int = 0
    requests: int = 0
    unreadable: int = 0
    sealed_from: str | None = None
    sealed_until: str | None = None
    stopped: bool = False
    signed_with: list[str] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)
    """Requests that are known or feared to be missing from the log itself, each with its place."""
    clock_jumps: list[str] = field(default_factory=list)
    ledger: list[tuple[int, str]] = field(default_factory=list)
    """Ends of the ledger that the chain recorded: lines, hash."""
    fault: Fault | None = None
    looked_at: list[str] = field(default_factory=list)
    """Names of its objects."""

    def dump(self) -> dict[str, Any]:
        """For JSON, without the names."""
        fields = {**asdict(self), "fault": str(self.fault) if self.fault else None}
        del fields["looked_at"]
        return fields


@dataclass(frozen=True, kw_only=True)
class Verification:
    """All chains of a place."""

    chains: Sequence[Chain]
    faults: Sequence[str]
    """What is wrong besides the chains: with the ledger, with the archive's lock, with the trail."""
    notes: Sequence[str] = ()
    """What was looked at besides, or could not be."""

    @property
    def holds(self) -> bool:
        """Whether all that was looked at is what was put there."""
        return bool(self.chains) and not self.faults and all(chain.fault is None for chain in self.chains)

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "holds": self.holds,
            "exposure_seconds": EXPOSURE_S,
            "chains": [chain.dump() for chain in self.chains],
            "faults": list(self.faults),
            "notes": list(self.notes),
        }


def verify(
    place: Place,
    trusted: Trusted,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    told: Callable[[int, int], None] = lambda done, whole: None,
) -> Sequence[Chain]:
    """Verify every chain of a place, or the objects of each that were sealed from `since` on, to the first at `until`.

    A chain that ends before `until` without saying so has a fault: its end was cut off, or is not there yet. `told`
    gets objects done and to do. Raises FerryError where something cannot be read at all.
    """
    names = place.names()
    parts = [Part(place, trusted, list(group)) for _, group in groupby(names, _folder)]
    chosen = [(part, *part.choose(since, until)) for part in parts]
    whole, done, chains = sum(end - begin for _, begin, end in chosen), 0, []
    for part, begin, end in chosen:
        if begin < end:
            for _ in part.verify(begin, end):
                done += 1
                told(done, whole)
        elif part.ended():
            continue  # it is no part of this time
        part.require_end(until or since)
        chains.append(part.chain)
    return chains


def ledger_faults(chains: Sequence[Chain], folder: Path) -> Iterator[str]:
    """Where a ledger is not the one whose ends the chains recorded. Raises TamperedArtefact where it breaks itself."""
    ledger.read(folder)
    for chain in chains:
        for lines, sha256 in chain.ledger:
            try:
                found = ledger.end(folder, lines)[1]
            except TamperedArtefact as error:
                yield str(error)
            else:
                if found != sha256:
                    yield f"{folder / ledger.NAME}:{lines}: another line was recorded here, the ledger was rewritten"


class Part:
    """The objects of one chain."""

    def __init__(self, place: Place, trusted: Trusted, names: Sequence[str]) -> None:
        self._place, self._trusted, self._names = place, trusted, names
        *_, instance, start, _ = ("", "", *names[0].split("/"))
        self.chain = Chain(instance=instance, start=start)
        self._last: Sealed | None = None

    # ---- which objects ----

    def choose(self, since: datetime | None, until: datetime | None) -> tuple[int, int]:
        """The objects from the first that was sealed at or after `since` to the first at or after `until`.

        Where a head on the way there cannot be read, the chain is looked at from its beginning: it has a fault.
        """
        try:
            begin = 0 if since is None else self._first_sealed(since)
            end = len(self._names) if until is None else min(len(self._names), self._first_sealed(until) + 1)
        except AuditError:
            return 0, len(self._names)
        return begin, end

    def ended(self) -> bool:
        """Whether the chain's last head says that it was meant to be the last."""
        return self._head(len(self._names) - 1).stopped

    def _first_sealed(self, at: datetime) -> int:
        return bisect_left(range(len(self._names)), at, key=lambda index: moment(self._head(index)))

    def _head(self, index: int) -> Head:
        name = self._names[index]
        return parse(last_line(self._place.end(name)), name).head

    # ---- what they hold ----

    def verify(self, begin: int, end: int) -> Iterator[None]:
        """Verify them; one step an object, to the first fault."""
        previous, wanted = GENESIS, 0
        if begin > 0:
            before = parse(last_line(self._place.end(self._names[begin - 1])), self._names[begin - 1])
            previous, wanted = before.digest, before.sequence + 1
        self.chain.first = wanted
        names = self._names[begin:end]
        for name, content in zip(names, self._place.contents(names), strict=True):
            self.chain.looked_at.append(name)
            self.chain.fault = self._object(name, content, wanted, previous)
            yield
            if self.chain.fault is not None or self._last is None:
                return
            previous, wanted = self._last.digest, self._last.sequence + 1

    def require_end(self, until: datetime | None) -> None:
        """A fault where the chain ends before `until`, and no head says that it was meant to."""
        if until is None or self.chain.fault is not None:
            return
        name = (self.chain.looked_at or self._names)[-1]
        sealed = self._last or parse(last_line(self._place.end(name)), name)
        if moment(sealed.head) < until and not sealed.head.stopped:
            what = (
                f"is not there: the last head was sealed at {sealed.head.sealed_at}, before {until.isoformat()}; what "
                "followed was cut off, or has not been shipped"
            )
            self.chain.fault = Fault(place=name, line=1, sequence=sealed.sequence + 1, what=what)

    def _object(self, name: str, content: bytes, first: int, previous: str) -> Fault | None:
        if not name.endswith(f"/{first:012d}.jsonl"):
            return self._misplaced(name, content, first)
        *lines, rest = content.split(b"\n")
        sealed, problem = self._sealed(name, lines)
        if rest or not lines:
            what = "is cut off: the object has no whole line there"
            return Fault(place=name, line=len(lines) + 1, sequence=first + len(lines), what=what)
        events = _follow(lines, first, previous)
        if events is None:
            return diagnose(name, lines, first, previous, head_holds=problem is None)
        if sealed is None or problem is not None:
            missing = lines[-1].startswith(KINDS, len(opening(GENESIS, first + len(lines) - 1)))
            what = "is missing: the object is cut off before its head" if missing else problem or ""
            last = len(lines) + missing
            return Fault(place=name, line=last, sequence=first + last - 1, what=what)
        self._last = sealed
        self._count(sealed, lines, events, name)
        return None

    def _sealed(self, name: str, lines: Sequence[bytes]) -> tuple[Sealed | None, str | None]:
        """The head that ends an object, and what is wrong with it."""
        try:
            sealed = parse(lines[-1] if lines else b"", name)
            self._trusted.verify(sealed.signed, sealed.signature, name, claimed=sealed.head.signed_with)
        except (AuditError, Untrusted) as error:
            return None, str(error).removeprefix(f"{name}: ")
        if not f"/{name}".endswith(key_of(sealed.head).removeprefix("requests")):
            return sealed, f"is the head of {key_of(sealed.head)}, which was put here"
        return sealed, None

    def _misplaced(self, name: str, content: bytes, first: int) -> Fault:
        """An object that is not the one that ought to follow."""
        number = name.rpartition("/")[2].removesuffix(".jsonl")
        if not (len(number) == 12 and number.isdecimal()):
            return Fault(place=name, line=1, sequence=first, what="is in a file that is no object of this chain")
        if int(number) > first:
            what = f"is missing, up to {int(number) - 1}: objects are gone, or the one before this was replaced"
        else:
            what = f"stands in another object: this one begins with {int(number)}, which the one before has, too"
        return Fault(place=name, line=1, sequence=first, what=what)

    def _count(self, sealed: Sealed, lines: Sequence[bytes], events: Sequence[tuple[int, bytes]], name: str) -> None:
        chain, head = self.chain, sealed.head
        chain.objects, chain.lines, chain.proven = chain.objects + 1, chain.lines + len(lines), sealed.sequence
        # All that are no requests are among the events, the head too.
        chain.requests += len(lines) - len(events)
        if chain.sealed_until is not None and head.sealed_at < chain.sealed_until:
            chain.clock_jumps.append(f"{name}: sealed at {head.sealed_at}, after one of {chain.sealed_until}")
        chain.sealed_from = chain.sealed_from or head.sealed_at
        chain.sealed_until, chain.stopped = head.sealed_at, head.stopped
        if head.signed_with not in chain.signed_with:
            chain.signed_with.append(head.signed_with)
        for index, line in events[:-1]:
            document = json.loads(line)
            if "unreadable" in document:
                chain.unreadable += 1
            else:
                self._tell(document["event"], f"{name}:{index + 1}")

    def _tell(self, event: Mapping[str, Any], where: str) -> None:
        chain, what = self.chain, event["event"]
        chain.events[what] = chain.events.get(what, 0) + 1
        if what == "ledger":
            chain.ledger.append((event["lines"], event["sha256"]))
        elif what == "log lost":
            chain.gaps.append(f"{where}: the log that was being read {event['why']}, after byte {event['after_byte']}")
        elif what == "gateway ends" and event["lost"]:
            chain.gaps.append(
                f"{where}: the gateway ended by {event['how']}; it counted {event['counted']} requests until "
                f"{event['counted_at']}, its log has {event['logged']}: at least {event['lost']} are missing"
            )
        elif what == "gateway starts" and not event["end_noted"]:
            chain.gaps.append(
                f"{where}: the gateway ended before {event['at']}, and nobody noted how or what it counted"
            )


def _follow(lines: Sequence[bytes], first: int, previous: str) -> list[tuple[int, bytes]] | None:
    """All lines that are no requests, with their index; None where a line does not follow the one before."""
    sha256 = hashlib.sha256
    others: list[tuple[int, bytes]] = []
    for index, line in enumerate(lines):
        begins = b'{"previous":"%b","sequence":%d,"' % (previous.encode(), first + index)
        if not line.startswith(begins):
            return None
        if not line.startswith(b'request":', len(begins)):
            others.append((index, line))
        previous = sha256(line).hexdigest()
    return others


def _folder(name: str) -> str:
    return name.rpartition("/")[0]
