"""state/restarts.jsonl: what the gateway's supervisor notes when Envoy starts and when it ends.

The audit sets each note into its chain exactly where it belongs, between two lines of the access log, and compares
what Envoy counted with what it logged. For that a note says how far the log went at that moment: a supervisor writes
`ended` after Envoy is gone and before it starts another, and `started` right before it starts one.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Literal

NAME = "restarts.jsonl"
FIRST_LINE_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class Note:
    """One start or end of Envoy. A line of the file is this as JSON."""

    at: str
    """RFC 3339, UTC."""
    event: Literal["started", "ended"]
    log: str | None
    """`identity` of the access log at that moment, or, while that has no whole line, of the one before; None: neither
    had one."""
    log_bytes: int
    """Its size."""
    how: str = ""
    """Of an end: `signal 9`, `exit code 1`, `stopped`."""
    requests: int | None = None
    """Of an end: requests of clients that Envoy had completed (downstream_rq_completed of their listener) when it was
    last asked, or None: never asked."""
    counted_at: str | None = None
    """When it was last asked."""


def append(state: Path, note: Note) -> None:
    """Add a note and flush it to the disk. Raises OSError."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / NAME).open("ab", buffering=0) as file:
        file.write(json.dumps(asdict(note)).encode() + b"\n")
        os.fsync(file.fileno())


def read(state: Path, *, skip: int = 0) -> list[Note]:
    """All whole notes after the first `skip`. A line that is no note raises ValueError naming it. Raises OSError."""
    path = state / NAME
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    notes = []
    for number, line in enumerate(lines[skip:], start=skip + 1):
        try:
            notes.append(Note(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}:{number}: is no note of a start or an end: {error}") from error
    return notes


def identity(log: Path) -> str | None:
    """What tells one access log from another, however it is renamed: sha256 of its first line. None: it has none yet.

    An inode would not do: the next file may get that of one which was deleted.
    """
    try:
        with log.open("rb") as file:
            return identity_in(file)
    except FileNotFoundError:
        return None


def identity_in(file: BinaryIO) -> str | None:
    """The same, of a file that was just opened."""
    first = file.readline(FIRST_LINE_BYTES)
    return hashlib.sha256(first).hexdigest() if first.endswith(b"\n") else None


def position(log: Path) -> tuple[str | None, int]:
    """`log` and `log_bytes` of a note that is written now: how far the log goes, or the one before it, rotated away."""
    for path in (log, log.with_name(f"{log.name}.1")):
        if (name := identity(path)) is not None:
            return name, path.stat().st_size
    return None, 0
