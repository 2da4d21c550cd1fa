"""The beginning and the end of a file: what its recognition starts from. The whole is read only by what may read it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ferry.assess.files import ARCHIVES, UTF_16, read_text
from ferry.errors import UnreadableInput

HEAD_BYTES = 256 * 2**10
TAIL_BYTES = 64 * 2**10
"""A job's output may begin with pages of its set-up; the table that it ends with is what matters."""
BINARY_WITHIN = 8192


@dataclass(frozen=True)
class Sample:
    """A regular file below the root. `label` is how it is named to people and in site.yaml."""

    path: Path
    label: str
    size: int
    head: bytes
    tail: bytes

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.name

    @property
    def archive(self) -> str | None:
        """The kind of archive that it is."""
        return next((kind for magic, kind in ARCHIVES.items() if self.head.startswith(magic)), None)

    @cached_property
    def is_binary(self) -> bool:
        """Whether it is no text: a zero byte near its start, unless it is marked as UTF-16."""
        return not self.head.startswith(UTF_16) and b"\0" in self.head[:BINARY_WITHIN]

    @cached_property
    def ends(self) -> str:
        """The text of its beginning and its end."""
        if self.head.startswith(UTF_16):
            return (self.head + self.tail[: len(self.tail) // 2 * 2]).decode("utf-16", "replace")
        # Joined by a line end: the two do not touch in the file.
        tail = "\n" + self.tail.decode("utf-8", "replace") if self.tail else ""
        return self.head.decode("utf-8-sig", "replace") + tail

    @cached_property
    def starts_as_json(self) -> bool:
        """Whether its first letter is one that JSON begins with."""
        return self.ends[:1000].lstrip()[:1] in ("{", "[")

    def text(self, largest_bytes: int) -> str:
        """The whole text. Raises UnreadableInput, without reading it, where it is larger."""
        if self.size > largest_bytes:
            raise UnreadableInput(f"{self.label}: is larger than {largest_bytes / 2**20:g} MiB; give a part of it")
        return self._whole

    @cached_property
    def _whole(self) -> str:
        return read_text(self.path, self.label)


def sample(path: Path, label: str, size: int) -> Sample:
    """Read the beginning and the end of a file. Raises UnreadableInput."""
    try:
        # It may have become a link or a pipe since it was listed; neither is followed or waited for.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise UnreadableInput(f"{label}: is not a regular file")
            head = file.read(HEAD_BYTES)
            tail = b""
            if size > HEAD_BYTES and b"\0" not in head[:BINARY_WITHIN]:
                file.seek(max(HEAD_BYTES, size - TAIL_BYTES))
                tail = file.read(TAIL_BYTES)
    except (OSError, ValueError) as error:
        raise UnreadableInput(f"{label}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return Sample(path, label, size, head, tail)
