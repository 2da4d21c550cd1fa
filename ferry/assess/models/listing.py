"""Reads what `ls -l`, `ls -lh` or `du` printed of a model folder that is elsewhere: which weights, and how large.

`ls -h` and `du -h` of GNU coreutils round up to one decimal below ten and to whole numbers above, in powers of 1024, so
that each size is known to lie in an interval. A sum of 163 of them says a total to about 1 %.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ferry.artefacts import Finding
from ferry.assess.models import safetensors
from ferry.errors import UnreadableInput

LONGEST_LINE = 4096
LARGEST_SIZE = 2**63
UNITS = {"": 0, "B": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt", ".pth")
LARGEST_POINTER_BYTES = 200
"""A git-lfs pointer has 127 to 139 bytes: no weight file is as small."""

_SIZE = r"(?P<number>\d{1,19}(?:[.,]\d{1,3})?)(?P<unit>[KMGTP]?)(?:iB|B)?"
LS = re.compile(
    rf"^\s*(?:\d+\s+)?(?P<kind>[-dlbcps])[-rwxsStT]{{9}}[.+@]?\s+\d+\s+\S+\s+(?:\S+\s+)??{_SIZE}\s+(?P<rest>\S.*)$"
)
DU = re.compile(rf"^\s*{_SIZE}\s+(?P<rest>\S+)\s*$")
# The time that ls prints before the name: "Mar 31 17:04", "31. Mär 2024", "2025-03-31 17:04", "3月 31 17:04".
TIME = re.compile(
    r"^(?:\d{4}-\d\d-\d\d\s+\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:\s+[+-]\d{4})?|\S{1,10}\s+\S{1,10}\s+(?:\d{1,2}:\d\d|\d{4}))"
    r"\s+(?P<name>\S.*)$"
)


@dataclass(frozen=True)
class Entry:
    """One weight file: its size lies above `above` and is at most `at_most` bytes."""

    name: str
    line: int
    above: int
    at_most: int


@dataclass(frozen=True)
class Listing:
    """The weight files of one set that a listing names. `rounded`: their sizes are, and the total is the middle."""

    file: str
    program: Literal["ls", "du"]
    entries: list[Entry]

    @property
    def rounded(self) -> bool:
        """Whether the sizes are rounded ones."""
        return any(entry.above + 1 < entry.at_most for entry in self.entries)

    @property
    def bounds(self) -> tuple[int, int]:
        """What the weights have at least and at most, in bytes."""
        return sum(entry.above for entry in self.entries), sum(entry.at_most for entry in self.entries)

    @property
    def total_bytes(self) -> int:
        """The exact total, or the middle of the bounds."""
        low, high = self.bounds
        return round((low + high) / 2) if self.rounded else high

    @property
    def source(self) -> str:
        """Where the total comes from and what its rounding leaves open."""
        lines = f"{self.file}:{self.entries[0].line}-{self.entries[-1].line}"
        if not self.rounded:
            return f"{lines}: {len(self.entries)} sizes"
        low, high = self.bounds
        return (
            f"{lines}: {len(self.entries)} sizes that {self.program} rounded, together {low / 1e9:.1f} to "
            f"{high / 1e9:.1f} GB, the middle of it"
        )


def parse(text: str, file: str) -> Listing | None:
    """The weights that a listing names; None when the text is no listing. UnreadableInput when it lacks a shard."""
    rows = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if len(line) <= LONGEST_LINE]
    entries = [entry for number, line in rows if (entry := _ls(line, number)) is not None]
    program: Literal["ls", "du"] = "ls"
    of_ls = any(LS.match(line) for _, line in rows)
    if not of_ls:
        written = [(number, line) for number, line in rows if line.strip()]
        if 2 * sum(DU.match(line) is not None for _, line in written) <= len(written):
            return None
        entries, program = [entry for number, line in written if (entry := _du(line, number)) is not None], "du"
    chosen = _one_set(entries)
    if not chosen:
        if not of_ls:
            return None
        raise UnreadableInput(f"{file}: is a listing that names no weight files ({', '.join(WEIGHTS)})")
    if len({entry.name for entry in chosen}) < len(chosen):
        raise UnreadableInput(f"{file}: lists {chosen[0].name[:80]} twice; give the listing of one folder")
    if (missing := safetensors.first_missing(entry.name for entry in chosen)) is not None:
        raise UnreadableInput(
            f"{file}: lists shards numbered up to {missing[1]}, and not number {missing[0]}: the copy is broken, or "
            "the listing cut off; list the folder again, or finish the copy: git lfs pull"
        )
    return Listing(file, program, chosen)


def about(listing: Listing) -> list[Finding]:
    """What a listing leaves open."""
    found = []
    pointers = [entry for entry in listing.entries if entry.at_most <= LARGEST_POINTER_BYTES]
    if pointers:
        found.append(
            Finding(
                severity="warning",
                code="weights-are-pointers",
                seen=f"{len(pointers)} of {len(listing.entries)} files are of at most {LARGEST_POINTER_BYTES} bytes",
                where=f"{listing.file}:{pointers[0].line}",
                means="they are git-lfs pointers: the weights were never pulled to that folder",
                remedy="git lfs pull there, and list the folder again",
            )
        )
    if listing.rounded:
        low, high = listing.bounds
        found.append(
            Finding(
                severity="info",
                code="listing-is-rounded",
                seen=f"{len(listing.entries)} sizes as {listing.program} -h rounds them up, {listing.entries[0].name}: "
                f"{listing.entries[0].at_most / 2**30:.1f} GiB at most",
                where=f"{listing.file}:{listing.entries[0].line}",
                means=f"the weights have {low / 1e9:.1f} to {high / 1e9:.1f} GB",
                remedy="for the exact bytes: ls -l (without -h), or model.safetensors.index.json",
            )
        )
    if listing.program == "du":
        found.append(
            Finding(
                severity="info",
                code="listing-counts-disk-blocks",
                seen=f"{len(listing.entries)} sizes of du",
                where=f"{listing.file}:{listing.entries[0].line}",
                means="du counts blocks on the disk; numbers without a unit were taken as KiB, its default",
                remedy="for the exact bytes: ls -l (without -h), or model.safetensors.index.json",
            )
        )
    return found


def _ls(line: str, number: int) -> Entry | None:
    match = LS.match(line)
    if match is None or match["kind"] != "-":
        return None
    named = TIME.match(match["rest"])
    name = (named["name"] if named else match["rest"].split()[-1]).strip().strip("'\"")
    return _entry(name, number, match, block=1)


def _du(line: str, number: int) -> Entry | None:
    match = DU.match(line)
    return _entry(match["rest"].strip(), number, match, block=1024) if match else None


def _entry(name: str, number: int, match: re.Match[str], block: int) -> Entry | None:
    name = name.rsplit("/", 1)[-1]
    if not name.endswith(WEIGHTS):
        return None
    text, power = match["number"].replace(",", "."), UNITS[match["unit"]]
    unit = 1024**power if power else block
    value = float(text) * unit
    if value >= LARGEST_SIZE:
        return None
    if power == 0:
        exact = int(float(text)) * block
        return Entry(name, number, exact if block == 1 else max(exact - block, 0), exact)
    step = (0.1 if "." in text else 1.0) * unit
    return Entry(name, number, max(round(value - step), 0), round(value))


def _one_set(entries: list[Entry]) -> list[Entry]:
    """The weights that an engine loads: the numbered safetensors, else all of the first ending that is there.

    A folder may hold the same model again as consolidated.safetensors or pytorch_model.bin.
    """
    for ending in WEIGHTS:
        of_kind = [entry for entry in entries if entry.name.endswith(ending)]
        numbered = [entry for entry in of_kind if safetensors.NUMBERED.search(entry.name)]
        if numbered or of_kind:
            return numbered or of_kind
    return []
