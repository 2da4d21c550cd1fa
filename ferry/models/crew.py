"""Threads that move bytes: as many files and parts at a time as memory allows, and all stop when one fails."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ferry.errors import RepositoryError

T = TypeVar("T")

PARTS_AT_ONCE = 12
SMALL_FILES_AT_ONCE = 16
LARGE_FILES_AT_ONCE = max(2, min(4, os.cpu_count() or 2))
"""Each hashes on a core of its own; more would only make the disk jump."""
BUDGET_BYTES = 128 * 2**20
"""Chunks in memory, of all files together."""


class Progress(Protocol):
    """Is told how far it is. Called from many threads."""

    def begin(self, what: str, total_bytes: int) -> None:
        """A stage starts that has so much to go through."""

    def advance(self, count: int) -> None:
        """So many bytes are done."""


@dataclass(frozen=True)
class Silent:
    """Tells nobody."""

    def begin(self, what: str, total_bytes: int) -> None:
        """Nothing."""

    def advance(self, count: int) -> None:
        """Nothing."""


class Stopped(RepositoryError):
    """Another file has failed, so this one does not go on. The other's error is what is reported."""


class Crew:
    """Two pools: one for files, one for the parts of large files. Use as a context manager."""

    def __init__(self) -> None:
        self._files = ThreadPoolExecutor(SMALL_FILES_AT_ONCE, "files")
        self._large = ThreadPoolExecutor(LARGE_FILES_AT_ONCE, "large-files")
        self._parts = ThreadPoolExecutor(PARTS_AT_ONCE, "parts")
        self._stop = threading.Event()
        self._room = threading.Condition()
        self._free = BUDGET_BYTES

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with self._room:
            self._room.notify_all()
        for pool in (self._large, self._files, self._parts):
            pool.shutdown(cancel_futures=True)

    def run(self, small: Iterable[Callable[[], T]], large: Iterable[Callable[[], T]]) -> list[T]:
        """Do all of it, and return the results in no order. The first error stops the rest and is raised."""
        futures = [self._large.submit(task) for task in large] + [self._files.submit(task) for task in small]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        failed = [error for future in done if (error := future.exception()) is not None]
        if failed:
            self._stop.set()
            with self._room:
                self._room.notify_all()
            raise next((error for error in failed if not isinstance(error, Stopped)), failed[0])
        return [future.result() for future in futures]

    def part(self, task: Callable[[], T]) -> Future[T]:
        """Do one part of a large file beside the others."""
        return self._parts.submit(task)

    def check(self) -> None:
        """Raise Stopped when another has failed."""
        if self._stop.is_set():
            raise Stopped("stopped, because another file failed")

    @contextmanager
    def chunk(self, size: int) -> Iterator[None]:
        """Memory for one chunk, for as long as it is held."""
        self.take(size)
        try:
            yield
        finally:
            self.give(size)

    def take(self, size: int) -> None:
        """Wait until there is memory for a chunk. One that is larger than all there is waits to be alone."""
        size = min(size, BUDGET_BYTES)
        with self._room:
            self._room.wait_for(lambda: self._stop.is_set() or self._free >= size)
            self.check()
            self._free -= size

    def take_if_free(self, size: int) -> bool:
        """Take memory for a chunk if there is some. Whoever holds chunks already must not wait for more with `take`:
        all who wait would hold what the others wait for.
        """
        size = min(size, BUDGET_BYTES)
        with self._room:
            if self._free < size:
                return False
            self._free -= size
            return True

    def give(self, size: int) -> None:
        """Return a chunk's memory."""
        with self._room:
            self._free += min(size, BUDGET_BYTES)
            self._room.notify_all()
