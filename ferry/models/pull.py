"""`ferry models pull`: from the bucket into a folder, which is whole and as it was signed, or is not there.

The version is fetched into `.<folder>.partial` beside the folder, every chunk checked by its CRC64NVME (and asked for
again where it arrived altered), every file by its SHA-256, flushed to the disk, and then renamed in one step. A pull
that broke off goes on where it was: what lies in the partial folder is hashed again, not believed. Files that the
replaced version has, too, are hashed there and linked.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ferry.errors import Altered, Conflict, FerryError, InvalidField, UnwritableOutput
from ferry.models import names, verification
from ferry.models.crew import Crew, Progress
from ferry.models.download import fetch_all
from ferry.models.manifest import File, Manifest, parse
from ferry.models.repository import Repository, SignedManifest
from ferry.models.reuse import reuse_all


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
    folder that cannot be written, Conflict for a folder that holds something else, TransferError when the store gives
    up.
    """
    manifest = signed.manifest
    folder = folder.resolve()
    files = _included(manifest.files, include, str(signed.manifest.prefix))
    with _on_disk(folder):
        if _in_place(repository, signed, folder, files):
            return _result(signed, folder, files, fetched=0, in_place=True)
        old = _replaceable(repository, folder)
        listed = verification.sizes(repository.transport, manifest.prefix)
        if problems := verification.against_listing({file.path: file.size for file in manifest.files}, listed):
            named = "; ".join(problem.text for problem in problems[:5])
            more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
            raise Altered(
                f"{repository.place}/{manifest.prefix}: {named}{more}; push the version again under a new name"
            )
        incoming = folder.with_name(f".{folder.name}.partial")
        incoming.mkdir(parents=True, exist_ok=True)
        _require_names_apart(incoming, files)
        _remove_others(incoming, files)
        with Crew() as crew:
            reused = frozenset() if old is None else reuse_all(old, folder, files, incoming, crew, progress)
            missing = [file for file in files if file.path not in reused]
            _require_room(incoming, missing)
            fetched = fetch_all(repository.transport, manifest.prefix, missing, incoming, crew, progress)
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
            f"--include {unused[0]!r} matches none of the {len(files)} files of {where}; its manifest lists them"
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


def _replaceable(repository: Repository, folder: Path) -> Manifest | None:
    """The version that a folder holds and that is replaced. One that Ferry did not pull is somebody's, and stays."""
    if not os.path.lexists(folder) or (folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())):
        return None
    problem = "is there and was not pulled from this repository"
    try:
        content, signature = ((folder / name).read_bytes() for name in (names.MANIFEST, names.SIGNATURE))
        repository.trusted.verify(content, signature, str(folder))
        return parse(content, str(folder / names.MANIFEST))
    except (OSError, FerryError) as error:
        raise Conflict(f"{folder}: {problem}; name another folder, or move that one away") from error


def _remove_others(folder: Path, files: Sequence[File]) -> None:
    wanted = {file.path for file in files}
    for path in _found(folder):
        # One that has a second name belongs to the folder that is replaced, too: it must not be written to.
        if path not in wanted or (folder / path).lstat().st_nlink > 1:
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
