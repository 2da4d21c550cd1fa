"""What a pull takes from the version that it replaces: files with the same content need not come over the link."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ferry.models.checksums import Running, chunk_lengths
from ferry.models.crew import Crew, Progress
from ferry.models.manifest import File, Manifest

NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK}


def reuse_all(
    old: Manifest, folder: Path, files: Sequence[File], incoming: Path, crew: Crew, progress: Progress
) -> frozenset[str]:
    """Link files of the old version into the new one, each hashed first. Returns the paths of those that now lie there.

    `old` is the signed manifest of `folder`. Raises OSError when the disk does not take it.
    """
    there = {file.digests: file for file in old.files if file.size}
    small: list[Callable[[], str | None]] = []
    large: list[Callable[[], str | None]] = []
    for file in files:
        target = incoming / file.path
        if file.digests not in there or target.exists():
            continue
        task = partial(_reuse, folder / there[file.digests].path, file, target, crew, progress)
        (large if file.chunks else small).append(task)
    progress.begin("looking at what is there", sum(file.size for file in files if file.digests in there))
    return frozenset(path for path in crew.run(small, large) if path is not None)


def _reuse(source: Path, file: File, target: Path, crew: Crew, progress: Progress) -> str | None:
    running = Running()
    try:
        handle = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None  # somebody took it away: it is fetched
    with os.fdopen(handle, "rb", buffering=0) as content:
        for length in chunk_lengths(file.size, file.chunk_bytes):
            crew.check()
            with crew.chunk(length):
                running.add(content.read(length))
            progress.advance(length)
        if content.read(1) or running.done() != file.digests:
            return None
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copyfile(source, target)
        _flush(target)
    return file.path


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
