"""DuckDB, closed to everything but the one file that is read, with bounded memory and a folder that goes away."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb

from ferry.errors import UnreadableInput
from ferry.traces import values

Progress = Callable[[int, int], None]
"""Is called with the bytes that are read and the bytes that there are."""
MEMORY = "2GB"
LONGEST_LINE = 4_000_000
"""Bytes. A prompt of a million characters fits; what is longer is no log line, and is counted as damaged."""
_PROGRESS_FROM_BYTES = 64 * 2**20
_POLL_S = 0.25


class Database:
    """A connection of its own. `label` names the input in messages."""

    def __init__(self, path: Path, label: str) -> None:
        self.label = label
        self.path = str(path.resolve())
        self.size = path.stat().st_size
        self.folder = Path(tempfile.mkdtemp(prefix="ferry-trace-"))
        try:
            self.connection = duckdb.connect(
                self.folder / "trace.duckdb",
                config={
                    "memory_limit": MEMORY,
                    "temp_directory": str(self.folder / "spill"),
                    "autoinstall_known_extensions": "false",
                    "autoload_known_extensions": "false",
                },
            )
            self.connection.execute(f"SET allowed_paths = [{values.literal(self.path)}]")
            self.connection.execute("SET enable_external_access = false")
            # Without the bar, DuckDB does not keep count of how far it is.
            self.connection.execute("SET enable_progress_bar = true")
            self.connection.execute("SET enable_progress_bar_print = false")
            self.connection.execute("SET TimeZone = 'UTC'")
            self.connection.execute("SET lock_configuration = true")
            self.connection.execute(values.MACROS)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self._end = weakref.finalize(self, _close, self.connection, self.folder)

    def close(self) -> None:
        """End the connection and remove its folder."""
        self._end()

    def rows(self, sql: str, parameters: Sequence[Any] = (), progress: Progress | None = None) -> list[tuple[Any, ...]]:
        """Run a query. Raises UnreadableInput, on one line and without any of the file's text."""
        try:
            if progress is None or self.size < _PROGRESS_FROM_BYTES:
                return self.connection.execute(sql, list(parameters)).fetchall()
            return self._watched(sql, parameters, progress)
        except duckdb.Error as error:
            raise UnreadableInput(f"{self.label}: {_say(error)}") from error

    def _watched(self, sql: str, parameters: Sequence[Any], progress: Progress) -> list[tuple[Any, ...]]:
        """Run it in a thread, so that this one can tell how far it is, and end it when the user does."""
        found: list[list[tuple[Any, ...]]] = []
        failed: list[Exception] = []

        def work() -> None:
            try:
                found.append(self.connection.execute(sql, list(parameters)).fetchall())
            except Exception as error:
                failed.append(error)

        thread = threading.Thread(target=work, name="ferry-trace", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(_POLL_S)
                share = max(0.0, min(100.0, self.connection.query_progress())) / 100
                progress(int(share * self.size), self.size)
        except BaseException:
            self.connection.interrupt()
            thread.join()
            raise
        if failed:
            raise failed[0]
        progress(self.size, self.size)
        return found[0]


def _close(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    connection.close()
    shutil.rmtree(folder, ignore_errors=True)


def _say(error: duckdb.Error) -> str:
    """What went wrong, by DuckDB's kind of error: its own text may quote the file."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return f"needs more than {MEMORY} of memory, or more room in the folder for temporary files (TMPDIR)"
    if isinstance(error, duckdb.IOException | duckdb.PermissionException):
        return "cannot be read, or there is no room in the folder for temporary files (TMPDIR)"
    kind = type(error).__name__.removesuffix("Exception")
    return f"is damaged, or not of the format that it was taken for ({kind} while reading)"
