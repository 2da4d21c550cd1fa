"""Lists what lies in a folder, within bounds, and opens nothing: no link is followed, no pipe or device touched."""

from __future__ import annotations

import os
import stat
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ferry.errors import UnreadableInput

MOST_ENTRIES = 100_000
DEEPEST = 32
LINK_OUT = "is a link out of the folder, and is not followed; name its target"
OTHERS = (
    (stat.S_ISFIFO, "is a pipe"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a device"),
    (stat.S_ISBLK, "is a device"),
)


@dataclass(frozen=True)
class Found:
    """A regular file. `path` is relative to the folder that was walked."""

    path: str
    bytes: int


@dataclass(frozen=True)
class Skipped:
    """What is not used, and why. `path` is relative to the folder that was walked."""

    path: str
    reason: str


@dataclass
class Walk:
    """What lies below `root`. `links` are links to files below it, with the file that each leads to."""

    root: Path
    files: list[Found] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)


def walk(folder: Path) -> Walk:
    """Everything below a folder, the nearest first and by name. Raises UnreadableInput when it is no folder.

    At most MOST_ENTRIES entries and DEEPEST levels; what that leaves out is named.
    """
    try:
        root = folder.resolve(strict=True)
        is_folder = root.is_dir()
    except (OSError, ValueError, RuntimeError) as error:
        raise UnreadableInput(
            f"{shown(str(folder))}: cannot be read: {getattr(error, 'strerror', None) or error}; name a folder"
        ) from error
    if not is_folder:
        raise UnreadableInput(f"{shown(str(folder))}: is not a folder; name the folder that holds the files")
    found = Walk(root, folders=[""])
    waiting = deque([("", 0)])
    seen = 0
    while waiting:
        at, depth = waiting.popleft()
        try:
            with os.scandir(root / at) as entries:
                # Sorted: the same tree gives the same answer, and a cut at the bound always the same one.
                ordered = sorted(islice(entries, MOST_ENTRIES + 1), key=lambda entry: entry.name)
        except OSError as error:
            found.skipped.append(Skipped(at or ".", f"the folder cannot be opened: {error.strerror or error}"))
            continue
        for entry in ordered:
            if seen >= MOST_ENTRIES:
                reason = (
                    f"the rest of it, and of folders below, lies beyond {MOST_ENTRIES} entries: name a smaller folder"
                )
                found.skipped.append(Skipped(at or ".", reason))
                return found
            seen += 1
            path = join(at, entry.name)
            if _is_folder(entry, path, found):
                if entry.name == ".git":
                    found.skipped.append(Skipped(path, "git's own folder"))
                elif depth + 1 > DEEPEST:
                    found.skipped.append(Skipped(path, f"lies deeper than {DEEPEST} folders; name a nearer one"))
                else:
                    found.folders.append(path)
                    waiting.append((path, depth + 1))
    return found


def _is_folder(entry: os.DirEntry[str], path: str, found: Walk) -> bool:
    """Whether it has to be opened as a folder; anything else is noted as what it is."""
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError as error:
        found.skipped.append(Skipped(path, f"cannot be examined: {error.strerror or error}"))
        return False
    if stat.S_ISDIR(status.st_mode):
        return True
    if stat.S_ISREG(status.st_mode):
        found.files.append(Found(path, status.st_size))
    elif stat.S_ISLNK(status.st_mode):
        _link(path, found)
    else:
        kind = next((name for is_kind, name in OTHERS if is_kind(status.st_mode)), "is no regular file")
        found.skipped.append(Skipped(path, kind))
    return False


def _link(path: str, found: Walk) -> None:
    try:
        target = (found.root / path).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        found.skipped.append(Skipped(path, "is a link that leads nowhere"))
        return
    if not target.is_relative_to(found.root):
        found.skipped.append(Skipped(path, LINK_OUT))
    elif target.is_file():
        found.links[path] = str(target.relative_to(found.root))
    else:
        found.skipped.append(Skipped(path, "is a link to what is listed by itself"))


def join(folder: str, name: str) -> str:
    """The path of an entry; the root is ""."""
    return f"{folder}/{name}" if folder else name


def shown(path: str) -> str:
    """A path for people: what is not printable, and bytes that are not UTF-8, as escapes."""
    return "".join(
        letter
        if letter.isprintable()
        else f"\\x{ord(letter) - 0xDC00:02x}"
        if "\udc80" <= letter <= "\udcff"
        else letter.encode("unicode_escape", "backslashreplace").decode()
        for letter in path
    )
