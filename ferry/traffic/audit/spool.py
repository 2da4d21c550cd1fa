"""state/audit: the object on its way and the last that arrived. Their heads say how far everything is.

    chainer.lock     held by the one chainer
    pending.jsonl    the object that is being shipped, byte for byte, so that it is the same at every try
    shipped.jsonl    the last that arrived: `pending.jsonl`, renamed

A process that dies leaves either of the states before and after each rename. What was not sealed is read again.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from ferry.errors import AuditError
from ferry.traffic.audit.head import LONGEST_BYTES, Sealed, last_line, parse


class Spool:
    """The folder. One object at a time: the log itself is what grows while the archive cannot be reached."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pending_file, self.shipped_file = folder / "pending.jsonl", folder / "shipped.jsonl"
        self._lock: IO[bytes] | None = None

    def lock(self) -> None:
        """Become the one chainer, until `unlock` or this process ends. Raises AuditError, OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = (self.folder / "chainer.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise AuditError(f"{self.folder}: another chainer is running here; stop the other") from error
        self._lock = lock

    def unlock(self) -> None:
        """Let another be the chainer."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def locked(self) -> bool:
        """Whether a chainer is running, this one or another."""
        try:
            with (self.folder / "chainer.lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def pending(self) -> bytes | None:
        """The object that is on its way."""
        return self.pending_file.read_bytes() if self.pending_file.exists() else None

    def shipped(self) -> Sealed | None:
        """The head of the last that arrived, or None where none did. Raises AuditError."""
        if not self.shipped_file.exists():
            return None
        with self.shipped_file.open("rb") as file:
            file.seek(max(0, self.shipped_file.stat().st_size - LONGEST_BYTES))
            return parse(last_line(file.read()), str(self.shipped_file))

    def put(self, content: bytes) -> None:
        """Keep an object that is to be shipped. Raises OSError; then it is not kept."""
        temporary = self.folder / ".pending"
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.pending_file)
        self._sync()

    def arrived(self) -> None:
        """The pending object is in the archive. Raises OSError."""
        self.pending_file.replace(self.shipped_file)
        self._sync()

    def _sync(self) -> None:
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
