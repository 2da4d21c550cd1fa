"""`ferry models pull`: from the bucket into a folder, which is whole and as it was signed, or is not there.

The version is fetched into `.<folder>.partial` beside the folder, every chunk checked by its CRC64NVME (and asked for
again where it arrived altered), every file by its SHA-256, flushed to the disk, and then renamed in one step. A pull that
broke off goes on where it was: what lies in the partial folder is hashed again, not believed.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from ferry.errors import Altered, Conflict, FerryError, InvalidField, UnwritableOutput
from ferry.models import names, verification
from ferry.models.checksums import Running, chunk_lengths, crc64nvme
from ferry.models.crew import Crew, Progress
from ferry.models.manifest import File
from ferry.models.repository import Repository, SignedManifest, verified
from ferry.models.transport import Transport

TRIES = 3
"""How often a chunk that arrives altered is asked for, before the store's copy is taken for altered."""
LOOK_AHEAD = 8
"""Chunks of one file that are asked for before the first of them is written."""


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """What a pull did."""

    name: str
    version: str
    folder: str
    files: int
    size_bytes: int
    fetched_bytes: int
    kept_bytes: int
    signed_with: str
    manifest_sha256: str
    in_place: bool
    """True: the folder held this version already. Its sizes were compared, its bytes were not hashed again."""

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def pull(
    repository: Repository, signed: SignedManifest, folder: Path, *, include: Sequence[str] = (), progress: Progress
) -> Pulled:
    """Pull a version whose manifest was verified. `include`: only files that match one of these patterns.

    Raises Altered for what is missing, added or not as it was signed, UnwritableOutput for a disk that is full or a
    folder that cannot be written, Conflict for a folder that holds something else, TransferError when the store gives up.
    """
    manifest = signed.manifest
    folder = folder.resolve()
    files = _included(manifest.files, include, str(signed.manifest.prefix))
    with _on_disk(folder):
        if _in_place(repository, signed, folder, files):
            return _result(signed, folder, files, fetched=0, in_place=True)
        _require_replaceable(repository, folder)
        listed = verification.sizes(repository.transport, manifest.prefix)
        if problems := verification.against_listing({file.path: file.size for file in manifest.files}, listed):
            raise Altered(
                f"{repository.place}/{manifest.prefix}: {'; '.join(problem.text for problem in problems[:5])}"
                f"{f' and {len(problems) - 5} more' if len(problems) > 5 else ''}; push the version again under a new name"
            )
        incoming = folder.with_name(f".{folder.name}.partial")
        incoming.mkdir(parents=True, exist_ok=True)
        _require_names_apart(incoming, files)
        _remove_others(incoming, files)
        _require_room(incoming, files)
        with Crew() as crew:
            fetched = _fetch_all(repository.transport, manifest.prefix, files, incoming, crew, progress)
        for name, content in ((names.MANIFEST, signed.content), (names.SIGNATURE, signed.signature)):
            _write_through(incoming / name, content)
        _flush_folders(incoming)
        _put_in_place(incoming, folder)
    return _result(signed, folder, files, fetched=fetched, in_place=False)


def _included(files: Sequence[File], include: Sequence[str], where: str) -> tuple[File, ...]:
    if not include:
        return tuple(files)
    chosen = tuple(file for file in files if any(fnmatch.fnmatchcase(file.path, pattern) for pattern in include))
    unused = [pattern for pattern in include if not any(fnmatch.fnmatchcase(file.path, pattern) for file in files)]
    if unused:
        raise InvalidField(
            f"--include {unused[0]!r} matches none of the {len(files)} files of {where}; see `ferry models diff`"
        )
    return chosen


def _result(signed: SignedManifest, folder: Path, files: Sequence[File], *, fetched: int, in_place: bool) -> Pulled:
    size = sum(file.size for file in files)
    return Pulled(
        name=signed.manifest.model,
        version=signed.manifest.version,
        folder=str(folder),
        files=len(files),
        size_bytes=size,
        fetched_bytes=fetched,
        kept_bytes=size - fetched,
        signed_with=signed.key_id,
        manifest_sha256=signed.sha256,
        in_place=in_place,
    )


# ---- the folder ----


def _in_place(repository: Repository, signed: SignedManifest, folder: Path, files: Sequence[File]) -> bool:
    """Whether the folder holds this version. It got its name only when every byte was verified."""
    try:
        if (folder / names.MANIFEST).read_bytes() != signed.content:
            return False
    except OSError:
        return False
    found = _found(folder)
    return found == {file.path for file in files} and all(_has_size(folder / file.path, file) for file in files)


def _require_replaceable(repository: Repository, folder: Path) -> None:
    """A folder of another version is replaced; one that Ferry did not pull is somebody's, and stays."""
    if not os.path.lexists(folder) or (folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())):
        return
    problem = "is there and was not pulled from this repository"
    try:
        content, signature = ((folder / name).read_bytes() for name in (names.MANIFEST, names.SIGNATURE))
        repository.trusted.verify(content, signature, str(folder))
    except (OSError, FerryError) as error:
        raise Conflict(f"{folder}: {problem}; name another folder, or move that one away") from error


def _remove_others(folder: Path, files: Sequence[File]) -> None:
    for path in _found(folder) - {file.path for file in files}:
        (folder / path).unlink()
    # A folder where a file has to be, or the other way round, is what another version left.
    for file in files:
        if (folder / file.path).is_dir():
            shutil.rmtree(folder / file.path)


def _found(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.relative_to(folder).as_posix() for path in found} - {names.MANIFEST, names.SIGNATURE}


def _has_size(path: Path, file: File) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size == file.size


def _require_room(folder: Path, files: Sequence[File]) -> None:
    there = sum(min((folder / file.path).stat().st_size, file.size) for file in files if (folder / file.path).is_file())
    needed, free = sum(file.size for file in files) - there, shutil.disk_usage(folder).free
    if needed > free:
        raise UnwritableOutput(
            f"{folder.parent}: has room for {free} bytes, {needed} are to be fetched; make room, or name another"
        )


def _require_names_apart(folder: Path, files: Sequence[File]) -> None:
    """Some file systems take Model.bin and model.bin for one: look whether this one does."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".ferry-Case-") as probe:
        folds = Path(probe.name.replace("ferry-Case", "ferry-cASE")).exists()
    if both := names.collision((file.path for file in files), folding_case=folds):
        raise UnwritableOutput(
            f"{folder.parent}: takes {both[0]!r} and {both[1]!r} for one name; pull to another file system"
        )


def _put_in_place(incoming: Path, folder: Path) -> None:
    if folder.exists():
        # No system call that Python has swaps two folders. Killed between the two renames, the next run finds the whole
        # version in `incoming` and only renames it.
        outgoing = folder.with_name(f".{folder.name}.outgoing")
        shutil.rmtree(outgoing, ignore_errors=True)
        folder.rename(outgoing)
        incoming.rename(folder)
        shutil.rmtree(outgoing)
    else:
        incoming.rename(folder)
    _flush_folder(folder.parent)


@contextmanager
def _on_disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UnwritableOutput(
                f"{folder}: the disk is full; make room and pull again, it goes on from here"
            ) from error
        place = error.filename or folder
        raise UnwritableOutput(f"{place}: cannot be written: {error.strerror}; name another folder") from error


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_folders(root: Path) -> None:
    for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
        _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# ---- the bytes ----


def _fetch_all(
    transport: Transport, prefix: str, files: Sequence[File], folder: Path, crew: Crew, progress: Progress
) -> int:
    """Fetch what is not there yet. Returns the bytes that were fetched."""
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
        for content in _chunks(transport, prefix + file.path, file, lengths, done, crew):
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


def _chunks(
    transport: Transport, key: str, file: File, lengths: Sequence[int], first: int, crew: Crew
) -> Iterator[bytes]:
    """The chunks of a file from `first` on, in order, some of them asked for ahead. Memory is held until each is used."""
    ahead: deque[Future[bytes]] = deque()
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


def _chunk(transport: Transport, key: str, file: File, number: int, length: int, crew: Crew) -> bytes:
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
