"""How many lines a log has got, while Envoy writes it and somebody else rotates it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

CHUNK_BYTES = 2**20


class LineCounter:
    """Counts the lines that come into a log from now on. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = 0
        self._file: BinaryIO | None = self._open()
        if self._file:
            self._file.seek(0, os.SEEK_END)

    def count(self) -> int:
        """The lines so far; reads what is new. A file that took the log's name is read after the end of the old one."""
        while True:
            while self._file and (chunk := self._file.read(CHUNK_BYTES)):
                self._lines += chunk.count(b"\n")
            if not self._renamed():
                return self._lines
            self.close()
            self._file = self._open()

    def close(self) -> None:
        """Close the log."""
        if self._file:
            self._file.close()

    def _open(self) -> BinaryIO | None:
        return self._path.open("rb") if self._path.exists() else None

    def _renamed(self) -> bool:
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        return self._file is None or os.fstat(self._file.fileno()).st_ino != named.st_ino
