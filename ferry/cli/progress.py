"""How far a transfer is: a bar with rate and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ferry.cli.output import console, note

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

SECONDS_BETWEEN_LINES = 10.0


class Transfer:
    """Told by many threads how many bytes are done. Use as a context manager."""

    def __init__(self, *, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet, self._clock = quiet, clock
        self._lock, self._shown = threading.Lock(), ExitStack()
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._what, self._total, self._done = "", 0, 0
        self._began = self._said = 0.0

    def __enter__(self) -> Transfer:
        if not self._quiet and (terminal := console(stderr=True)).is_terminal:
            from rich import progress

            columns = (
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.DownloadColumn(),
                progress.TransferSpeedColumn(),
                progress.TimeRemainingColumn(),
            )
            self._bar = self._shown.enter_context(progress.Progress(*columns, console=terminal, transient=True))
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.close()

    def begin(self, what: str, total_bytes: int) -> None:
        """Start a stage."""
        with self._lock:
            self._what, self._total, self._done = what, total_bytes, 0
            self._began = self._said = self._clock()
            if self._bar is not None:
                if self._task is not None:
                    self._bar.remove_task(self._task)
                self._task = self._bar.add_task(what, total=total_bytes)

    def advance(self, count: int) -> None:
        """Count bytes that are done."""
        with self._lock:
            self._done += count
            if self._bar is not None and self._task is not None:
                self._bar.advance(self._task, count)
            elif not self._quiet and (now := self._clock()) - self._said >= SECONDS_BETWEEN_LINES:
                self._said = now
                note(_line(self._what, self._done, self._total, now - self._began), False)


def _line(what: str, done: int, total: int, seconds: float) -> str:
    rate = done / seconds
    left = f"{(total - done) / rate:.0f} s left" if rate else "time left unknown"
    return f"{what}: {done / 1e9:.2f} of {total / 1e9:.2f} GB, {rate / 1e6:.0f} MB/s, {left}"
