"""The growing access log, read in its order over rotations, and the supervisor's notes where they belong in it.

Rotated files stand beside the log as logrotate names them: `access.jsonl.1` is younger than `access.jsonl.2`. Envoy
closes the old file before it opens the new one (`/reopen_logs`), so a file that has a successor does not grow any more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ferry.traffic.restarts import Note, identity, identity_in

CHUNK_BYTES = 2**22
SHORT = 16
"""Digits by which files that have been passed are remembered."""


@dataclass(frozen=True)
class Position:
    """How far the log was read: all before `offset` of the file `log` (None: nothing yet)."""

    log: str | None = None
    offset: int = 0
    passed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """A whole line, without its newline."""

    content: bytes


@dataclass(frozen=True)
class Torn:
    """A line without an end, which will not get one: Envoy died, or the file has a successor."""

    content: bytes


@dataclass(frozen=True)
class Rotated:
    """The next file begins. `old` is None where it is the first."""

    old: str | None
    new: str
    old_bytes: int


@dataclass(frozen=True)
class Lost:
    """The file that was being read is gone, or shorter than what was read of it: nobody knows what stood there."""

    log: str
    offset: int
    why: str


Found = Line | Torn | Rotated | Lost | Note


class AccessLog:
    """One log with its rotated files."""

    def __init__(self, path: Path, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.path, self._chunk_bytes = path, chunk_bytes

    def files(self) -> list[tuple[str, Path]]:
        """Identity and path of each file that has a whole line, the oldest first. Raises OSError."""
        rotated = {
            int(path.name.removeprefix(self.path.name + ".")): path
            for path in self.path.parent.glob(f"{self.path.name}.*")
            if path.name.removeprefix(self.path.name + ".").isdecimal()
        }
        paths = [*(rotated[number] for number in sorted(rotated, reverse=True)), self.path]
        found: dict[str, Path] = {}
        for path in reversed(paths):
            # While logrotate copies before it truncates, two are the same: the newer one is the whole.
            if (name := identity(path)) is not None:
                found.setdefault(name, path)
        return list(reversed(found.items()))

    def unread_lines(self, position: Position) -> int:
        """Whole lines after a position, over all files that follow. Raises OSError."""
        files = self.files()
        names = [name for name, _ in files]
        if position.log in names:
            files = files[names.index(position.log) :]
        else:
            files = [(name, path) for name, path in files if name[:SHORT] not in position.passed]
        count = 0
        for name, path in files:
            with path.open("rb") as file:
                file.seek(position.offset if name == position.log else 0)
                while chunk := file.read(self._chunk_bytes):
                    count += chunk.count(b"\n")
        return count

    def read(self, position: Position, notes: Callable[[], Sequence[Note]]) -> tuple[list[Found], Position]:
        """What follows a position, at most a chunk of one file, and the position after it.

        `notes` gives those that have not been found yet. They are asked for after the log was read: what a newer Envoy
        logged can so not be taken in before the note of its start. Raises OSError.
        """
        files = self.files()
        names = [name for name, _ in files]
        if not files:
            return list(notes()), position
        if position.log not in names:
            return self._step(position, names)
        index = names.index(position.log)
        path, last = files[index][1], index == len(files) - 1
        with path.open("rb") as file:
            if identity_in(file) != position.log:
                return [], position  # it was renamed in this moment
            size = os.fstat(file.fileno()).st_size
            if size < position.offset:
                why = f"has {size} bytes only"
                return [Lost(names[index], position.offset, why)], replace(position, offset=size)
            data = os.pread(file.fileno(), self._chunk_bytes, position.offset)
        found, taken = self._split(data, position, notes(), names)
        if taken == 0 and len(data) == self._chunk_bytes:
            found, taken = [Torn(data)], len(data)
        position = replace(position, offset=position.offset + taken)
        if not last and len(data) < self._chunk_bytes:
            rest = data[taken:]
            ended: list[Found] = [Torn(rest)] if rest else []
            passed = tuple(name[:SHORT] for name in names[: index + 1])
            ended.append(Rotated(names[index], names[index + 1], position.offset + len(rest)))
            return found + ended, Position(names[index + 1], 0, passed)
        return found, position

    def _step(self, position: Position, names: list[str]) -> tuple[list[Found], Position]:
        """Begin with the oldest file, or go on after one that has vanished."""
        fresh = [name for name in names if name[:SHORT] not in position.passed]
        if not fresh:
            return [], position
        passed = tuple(name[:SHORT] for name in names if name[:SHORT] in position.passed)
        new = Position(fresh[0], 0, passed)
        if position.log is None:
            return [Rotated(None, fresh[0], 0)], new
        return [Lost(position.log, position.offset, "is gone"), Rotated(position.log, fresh[0], position.offset)], new

    def _split(
        self, data: bytes, position: Position, notes: Sequence[Note], names: list[str]
    ) -> tuple[list[Found], int]:
        """Whole lines of a chunk with the notes between them, and how many bytes they are."""
        found: list[Found] = []
        taken = 0
        for note in notes:
            if note.log == position.log:
                end = note.log_bytes - position.offset
                if end > len(data):
                    break
                if end > taken:
                    lines, torn = _lines(data[taken:end])
                    found += [*lines, *([Torn(torn)] if torn else [])]
                    taken = end
            elif note.log is not None and note.log in names and names.index(note.log) > names.index(position.log or ""):
                break
            found.append(note)
        lines, torn = _lines(data[taken:])
        return found + list(lines), len(data) - len(torn)


def _lines(data: bytes) -> tuple[list[Line], bytes]:
    """Whole lines, and what follows the last."""
    *whole, rest = data.split(b"\n")
    return [Line(content) for content in whole], rest
