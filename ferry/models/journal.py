"""What this machine has hashed already, so that a push that is run again reads only what has changed.

One line of JSON for each file, appended when its hash is known. It is believed for a file whose size, times, inode and
device are still the same, and only where the file had been still for a while when it was hashed: a change within the
clock's grain leaves no trace in the times (git calls such an entry racy). Losing the journal costs time, nothing else.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ferry.artefacts.artefact import write_whole
from ferry.errors import UnwritableOutput
from ferry.models.checksums import Digests
from ferry.models.tree import LocalFile, State

STILL_NS = 2_000_000_000
"""The coarsest grain of file times in use: FAT's two seconds."""


class Journal:
    """Digests by the place of a file. Threads may record at once."""

    def __init__(self, path: Path, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._path, self._clock_ns = path, clock_ns
        self._lock = threading.Lock()
        self._known, lines = _load(path)
        if lines > 2 * len(self._known) + 100:
            write_whole(path, "".join(_line(*entry) for entry in self._known.items()))

    def digests(self, file: LocalFile) -> Digests | None:
        """The digests of a file that has not changed since they were recorded."""
        known = self._known.get(file.source)
        return known[1] if known is not None and known[0] == file.state else None

    def record(self, file: LocalFile, digests: Digests) -> None:
        """Note the digests of a file. Raises UnwritableOutput."""
        if max(file.state.mtime_ns, file.state.ctime_ns) > self._clock_ns() - STILL_NS:
            return
        entry = (file.state, digests)
        with self._lock:
            self._known[file.source] = entry
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a", encoding="utf-8") as lines:
                    lines.write(_line(file.source, entry))
            except OSError as error:
                raise UnwritableOutput(
                    f"{self._path}: cannot be written: {error.strerror}; name another place with --state DIR"
                ) from error


def _line(source: str, entry: tuple[State, Digests]) -> str:
    return json.dumps({"source": source, "state": vars(entry[0]), "digests": vars(entry[1])}) + "\n"


def _load(path: Path) -> tuple[dict[str, tuple[State, Digests]], int]:
    known: dict[str, tuple[State, Digests]] = {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    for line in lines:
        try:
            entry: dict[str, Any] = json.loads(line)
            digests = entry["digests"] | {"chunks": tuple(entry["digests"]["chunks"])}
            known[entry["source"]] = (State(**entry["state"]), Digests(**digests))
        except (ValueError, KeyError, TypeError):
            continue  # the line that was being written when the process was killed
    return known, len(lines)
