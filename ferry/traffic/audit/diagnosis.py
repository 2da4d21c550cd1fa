"""What is wrong with an object whose chain does not hold: the first line that was altered, is missing, or was moved."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ferry.traffic.audit.line import digest, opening

SEQUENCE = re.compile(rb'\{"previous":"[0-9a-f]{64}","sequence":(0|[1-9][0-9]*),"')


@dataclass(frozen=True, kw_only=True)
class Fault:
    """The first thing that is wrong with a chain."""

    place: str
    """The object."""
    line: int
    """Counted from 1; one more than the object has where its end is missing."""
    sequence: int
    """That the line has, or ought to have."""
    what: str

    def __str__(self) -> str:
        return f"{self.place}:{self.line}: sequence {self.sequence}: {self.what}"


def diagnose(place: str, lines: list[bytes], first: int, previous: str, *, head_holds: bool) -> Fault | None:
    """The first fault of lines that ought to begin with this sequence, after a line with this hash.

    None: they follow one another. `head_holds`: the signature of the last line does.
    """
    found = [_sequence(line) for line in lines]
    for index, line in enumerate(lines):
        wanted = first + index
        if found[index] != wanted:
            return Fault(place=place, line=index + 1, sequence=wanted, what=_out_of_place(found, index, wanted))
        if not line.startswith(opening(previous, wanted)):
            named = index + 1 < len(lines) and lines[index + 1].startswith(opening(digest(line), wanted + 1))
            return _altered(place, index, first, intact=named or (head_holds and index + 1 == len(lines)))
        previous = digest(line)
    return None


def _out_of_place(found: list[int | None], index: int, wanted: int) -> str:
    """Why another sequence stands where this one ought to."""
    if wanted in found[index + 1 :]:
        return f"was moved: line {found.index(wanted, index + 1) + 1} has it"
    here, after = found[index], found[index + 1] if index + 1 < len(found) else None
    if here is None or after == wanted + 1:
        return "was altered"
    if here > wanted and (after is None or after == here + 1):
        return f"is missing, up to {here - 1}" if here > wanted + 1 else "is missing"
    if here < wanted:
        return f"was moved: sequence {here} stands here, out of its place"
    return "was altered"


def _altered(place: str, index: int, first: int, *, intact: bool) -> Fault:
    """A line names another hash than the line before has: one of them was altered, not this if it is `intact`."""
    if intact and index == 0:
        what = "does not follow the end of the object before: that one was replaced, or this one"
        return Fault(place=place, line=1, sequence=first, what=what)
    index -= intact
    return Fault(place=place, line=index + 1, sequence=first + index, what="was altered")


def _sequence(line: bytes) -> int | None:
    match = SEQUENCE.match(line)
    return int(match[1]) if match else None
