"""The beginning of a trace: what kind of file it is, judged from its first mebibyte alone."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from ferry.errors import UnreadableInput

HEAD_BYTES = 2**20
ARCHIVES = {
    b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd",
}  # fmt: skip
_STRIDE, _SAMPLE = 16 * 2**20, 2**16
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Head:
    """The first lines."""

    path: Path
    label: str
    size: int
    content: bytes

    @property
    def is_parquet(self) -> bool:
        """Whether it has the mark of Apache Parquet."""
        return self.content.startswith(b"PAR1")

    def has_huge_line(self) -> bool:
        """Whether a line is longer than some 48 MiB: DuckDB's parallel reader passes over such a line in silence."""
        with self.path.open("rb") as file:
            empty = 0
            for place in range(0, self.size, _STRIDE):
                file.seek(place)
                empty = 0 if b"\n" in file.read(_SAMPLE) else empty + 1
                # Two samples in a row may be of a long line or of two: what is read one by one is right for both.
                if empty == 2:
                    return True
        return False

    def lines(self) -> list[str]:
        """Whole lines without colours, blank ones left out; the last may be cut off only in a longer file."""
        text = self.content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
        lines = re.split(r"\r\n|\n|\r", text)
        if len(self.content) < self.size and len(lines) > 1:
            del lines[-1]
        return [ANSI.sub("", line) for line in lines if line.strip()]


def read_head(path: Path, label: str) -> Head:
    """The beginning of a regular file. Raises UnreadableInput for what no trace can be."""
    try:
        status = path.stat()
        # A pipe would block, and a device never ends.
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableInput(f"{label}: is not a regular file; give a trace or log as a file")
        with path.open("rb") as file:
            content = file.read(HEAD_BYTES)
    except (OSError, ValueError) as error:
        raise UnreadableInput(f"{label}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    for magic, kind in ARCHIVES.items():
        if content.startswith(magic):
            raise UnreadableInput(f"{label}: is a {kind} archive; unpack it and name what is inside")
    if content.startswith(UTF_16):
        raise UnreadableInput(f"{label}: is UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW")
    return Head(path, label, status.st_size, content)
