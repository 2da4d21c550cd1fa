"""The files of a version on their way out of the bucket: chunks asked for ahead, and verified as they come."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ferry.errors import Altered
from ferry.models.checksums import Running, chunk_lengths, crc64nvme
from ferry.models.crew import Crew, Progress
from ferry.models.manifest import File
from ferry.models.transport import Transport

TRIES = 3
"""How often a chunk that arrives altered is asked for, before the store's copy is taken for altered."""
LOOK_AHEAD = 8
"""Chunks of one file that are asked for before the first of them is written."""


def fetch_all(
    transport: Transport, prefix: str, files: Sequence[File], folder: Path, crew: Crew, progress: Progress
) -> int:
    """Fetch what is not there yet, each file flushed to the disk. Returns the bytes that were fetched.

    Raises Altered for a file that is not as it was signed, TransferError when the store gives up.
    """
    progress.begin("pulling", sum(file.size for file in files))
    for file in files:
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
    small: list[Callable[[], int]] = []
    large: list[Callable[[], int]] = []
    for file in sorted(files, key=lambda file: -file.size):
        task = partial(_fetch, transport, prefix, file, folder / file.path, crew, progress)
        (large if file.chunks else small).append(task)
    return sum(crew.run(small, large))


def _fetch(transport: Transport, prefix: str, file: File, target: Path, crew: Crew, progress: Progress) -> int:
    lengths = chunk_lengths(file.size, file.chunk_bytes)
    if target.is_symlink():
        target.unlink()
    with os.fdopen(os.open(target, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644), "r+b") as out:
        running = Running()
        done = _keep(out, file, lengths, running, crew)
        out.seek(running.size)
        out.truncate()
        progress.advance(running.size)
        kept = running.size
        for content in chunks(transport, prefix + file.path, file, lengths, done, crew):
            running.add(content)
            out.write(content)
            progress.advance(len(content))
        out.flush()
        os.fsync(out.fileno())
    digests = running.done()
    if digests.sha256 != file.sha256:
        target.unlink()
        raise Altered(
            f"{prefix}{file.path} was altered: sha256 is {digests.sha256}, {file.sha256} was signed; "
            "push the version again under a new name"
        )
    return file.size - kept


def _keep(out: BinaryIO, file: File, lengths: Sequence[int], running: Running, crew: Crew) -> int:
    """Hash what an earlier run wrote, as far as it is right. Returns the number of whole chunks."""
    for number, length in enumerate(lengths):
        crew.check()
        with crew.chunk(length):
            content = out.read(length)
            if len(content) < length or crc64nvme(content) != file.chunk_checksums[number]:
                return number
            running.add(content)
    return len(lengths)


def chunks(
    transport: Transport, key: str, file: File, lengths: Sequence[int], first: int, crew: Crew
) -> Iterator[bytes | bytearray]:
    """The chunks of a file from `first` on, in order, some asked for ahead. Memory is held until each is used.

    Raises Altered for the first that is not as it was signed.
    """
    ahead: deque[Future[bytes | bytearray]] = deque()
    asked = first
    held = 0
    try:
        for length in lengths[first:]:
            if not ahead:
                crew.take(lengths[asked])
                held += lengths[asked]
                ahead.append(crew.part(partial(_chunk, transport, key, file, asked, lengths[asked], crew)))
                asked += 1
            while asked < len(lengths) and len(ahead) < LOOK_AHEAD and crew.take_if_free(lengths[asked]):
                held += lengths[asked]
                ahead.append(crew.part(partial(_chunk, transport, key, file, asked, lengths[asked], crew)))
                asked += 1
            yield ahead.popleft().result()
            crew.give(length)
            held -= length
    finally:
        crew.give(held)


def _chunk(transport: Transport, key: str, file: File, number: int, length: int, crew: Crew) -> bytes | bytearray:
    start = number * file.chunk_bytes
    for _ in range(TRIES):
        crew.check()
        content = transport.read(key, start, length)
        found = crc64nvme(content)
        if (len(content), found) == (length, file.chunk_checksums[number]):
            return content
    raise Altered(
        f"{key} was altered between bytes {start} and {start + length}: CRC64NVME is {found}, "
        f"{file.chunk_checksums[number]} was signed; push the version again under a new name"
    )
