"""A folder as it is pushed: plain files with plain names, and nothing from outside of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ferry.errors import Altered, InputError, UnreadableInput
from ferry.models import names

POINTER = b"version https://git-lfs.github.com/spec/v1\n"
"""First line of what git-lfs leaves in place of a file: github.com/git-lfs/git-lfs/blob/main/docs/spec.md"""
LONGEST_POINTER_BYTES = 1024
NO_PART_OF_A_MODEL = {".git": "the repository's own", ".cache/huggingface": "the download's own notes"}


@dataclass(frozen=True)
class State:
    """What changes when a file's content does. ctime cannot be set back, not even by its owner."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @staticmethod
    def of(found: os.stat_result) -> State:
        """From what the kernel says."""
        return State(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)


@dataclass(frozen=True)
class LocalFile:
    """A file to push: its path in the model, and where its bytes lie. `sha256` where it is known from elsewhere."""

    path: str
    source: str
    state: State
    sha256: str | None = None

    def require_unchanged(self, found: os.stat_result) -> None:
        """Raise Altered when the file is not as it was at first."""
        if State.of(found) != self.state:
            raise Altered(
                f"{self.source}: changed while it was pushed; nothing was published: push again when it is still"
            )


@dataclass(frozen=True)
class Tree:
    """The files of a folder in the order of their paths, and what was left out, with the reason."""

    files: tuple[LocalFile, ...]
    left_out: tuple[str, ...] = field(default=())


def scan(folder: Path) -> Tree:
    """Look at everything below a folder. Raises InputError or UnreadableInput for what cannot be pushed."""
    if not folder.is_dir():
        raise UnreadableInput(f"{folder}: is no folder; name the folder that the engine loads the model from")
    root = folder.resolve()
    left_out = [f"{path}/: {reason}" for path, reason in NO_PART_OF_A_MODEL.items() if (root / path).is_dir()]
    own = [name for name in (names.MANIFEST, names.SIGNATURE) if (root / name).is_file()]
    if len(own) == 2:
        left_out += [f"{name}: of the version that this folder was pulled as" for name in own]
    files: list[LocalFile] = []
    for path, entry in _walk(str(root), "", left_out):
        if len(own) == 2 and path in own:
            continue
        files.append(_file(path, entry, root))
    if not files:
        raise InputError(f"{folder}: has no files, so there is no model in it; name the folder with config.json")
    files.sort(key=lambda file: file.path)
    return Tree(tuple(files), tuple(left_out))


def _walk(folder: str, prefix: str, left_out: list[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise UnreadableInput(f"{folder}: cannot be read: {error.strerror}") from error
    if not entries and prefix:
        left_out.append(f"{prefix}: empty, and S3 keeps no folders")
    for entry in entries:
        path = prefix + entry.name
        if not entry.is_dir(follow_symlinks=False):
            yield path, entry
        elif path not in NO_PART_OF_A_MODEL:
            yield from _walk(entry.path, f"{path}/", left_out)


def _file(path: str, entry: os.DirEntry[str], root: Path) -> LocalFile:
    source = entry.path
    if problem := names.path_problem(path):
        raise InputError(f"{_shown(source)}: its name {problem}; rename it, so that it can be pulled anywhere")
    if entry.is_symlink():
        source = os.path.realpath(source)  # which, unlike resolve(), leaves a loop of links to stat()
        if not Path(source).is_relative_to(root):
            raise InputError(
                f"{entry.path}: is a link to {source}, outside of the folder; push a copy with the files in it "
                "(`cp -rL`)"
            )
    try:
        found = entry.stat()
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{entry.path}: is no plain file; a model has only plain files, take it out")
        if found.st_size <= LONGEST_POINTER_BYTES and _is_pointer(source):
            raise InputError(
                f"{entry.path}: is a pointer that git-lfs left, not the file itself; run `git lfs pull` there, or push "
                "with `ferry models import-lfs`"
            )
    except OSError as error:
        raise UnreadableInput(f"{entry.path}: cannot be read: {error.strerror}") from error
    return LocalFile(path, source, State.of(found))


def _is_pointer(source: str) -> bool:
    file = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, len(POINTER)) == POINTER
    finally:
        os.close(file)


def _shown(path: str) -> str:
    """A name that may not be UTF-8, as text."""
    return path.encode(errors="backslashreplace").decode()
