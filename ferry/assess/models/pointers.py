"""git-lfs: pointer files, and what the history of a repository costs beside its checkout.

A pointer is a few lines of text in the place of a file (github.com/git-lfs/git-lfs, docs/spec.md); the objects of all
versions that were ever pulled or committed lie in .git/lfs/objects.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ferry.artefacts import Finding

POINTER = re.compile(
    rb"version https://(?:git-lfs|hawser)\.github\.com/spec/v1\r?\n(?:[^\n]*\n){0,8}?size (\d{1,18})\r?(?:\n|\Z)"
)
LARGEST_POINTER_BYTES = 1024
OID = re.compile(r"[0-9a-f]{64}")
MOST_FILES = 200_000
"""A walk stops there and says so; the largest model repositories have some thousand objects."""
NAMES_IN_GIT = "gitdir: "


@dataclass(frozen=True)
class History:
    """Bytes and number of the stored objects, and of those that the checkout holds too."""

    objects: int
    bytes: int
    checked_out: int
    checked_out_bytes: int
    whole: bool


def regular_size(path: Path) -> int | None:
    """The size of a regular file, links followed; None for anything else, and for what cannot be looked at."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def pointer_size(path: Path) -> int | None:
    """The size that a git-lfs pointer names; None for any other file."""
    size = regular_size(path)
    if size is None or size > LARGEST_POINTER_BYTES:
        return None
    try:
        match = POINTER.match(path.read_bytes()[:LARGEST_POINTER_BYTES])
    except OSError:
        return None
    return int(match[1]) if match else None


def history(folder: Path) -> History | None:
    """What .git/lfs/objects of a checkout holds; None where there is no such folder.

    An object counts as checked out when a file of the checkout has its size, or is a pointer to that size: reading
    the files for their SHA-256 would take hours.
    """
    objects = _git_folder(folder) / "lfs" / "objects"
    if not objects.is_dir():
        return None
    sizes: Counter[int] = Counter()
    seen = 0
    for path, size in _files(objects):
        seen += 1
        if OID.fullmatch(path.name):
            sizes[size] += 1
    stored = sum(size * number for size, number in sizes.items())
    here: Counter[int] = Counter()
    looked = 0
    for path, size in _files(folder):
        looked += 1
        pointed = pointer_size(path) if size <= LARGEST_POINTER_BYTES else None
        here[size if pointed is None else pointed] += 1
    present = sizes & here
    return History(
        objects=sizes.total(),
        bytes=stored,
        checked_out=present.total(),
        checked_out_bytes=sum(size * number for size, number in present.items()),
        whole=seen < MOST_FILES and looked < MOST_FILES,
    )


def about_history(kept: History | None, label: str) -> list[Finding]:
    """A finding where the repository holds more than its checkout needs."""
    if kept is None or kept.objects == 0:
        return []
    older = kept.bytes - kept.checked_out_bytes
    at_least = "" if kept.whole else "at least "
    return [
        Finding(
            severity="warning" if older > kept.checked_out_bytes else "info",
            code="git-lfs-history",
            seen=f"{at_least}{kept.objects} objects of {kept.bytes / 1e9:.3g} GB; the checkout has {kept.checked_out} "
            f"of them, {kept.checked_out_bytes / 1e9:.3g} GB (by size)",
            where=f"{label}/.git/lfs/objects",
            means=f"{older / 1e9:.3g} GB are earlier versions or not checked out, and the rest is on this disk twice; "
            "a copy of the whole repository would carry all of it",
            remedy="copy the checkout without .git; to free the disk: git lfs prune --verify-remote",
        )
    ]


def _git_folder(folder: Path) -> Path:
    """.git itself, or where the file .git of a worktree or submodule points to."""
    git = folder / ".git"
    size = regular_size(git)
    if size is not None and size <= 4096:
        try:
            text = git.read_text(encoding="utf-8", errors="replace").strip()
            if text.startswith(NAMES_IN_GIT) and text.isprintable():
                return (folder / text.removeprefix(NAMES_IN_GIT)).resolve()
        except (OSError, ValueError, RuntimeError):
            return git
    return git


def _files(top: Path) -> Iterator[tuple[Path, int]]:
    """Regular files under a folder and their sizes, links not followed, .git left out, at most MOST_FILES."""
    left = MOST_FILES
    for folder, folders, names in os.walk(top, followlinks=False):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in sorted(names):
            path = Path(folder) / name
            try:
                status = path.lstat()
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                yield path, status.st_size
            left -= 1
            if left == 0:
                return
