"""Opening the site's files: every failure becomes one line that names the file as site.yaml does."""

from __future__ import annotations

import codecs
import json
import stat
from pathlib import Path
from typing import Any

from ferry.errors import UnreadableInput

LARGEST_TEXT_BYTES = 256 * 2**20
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
ARCHIVES = {
    b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd",
}  # fmt: skip


def read_text(path: Path, label: str, largest_bytes: int = LARGEST_TEXT_BYTES) -> str:
    """A regular file's text, at most `largest_bytes` of it. UnreadableInput.

    Bytes that are not UTF-8 become replacement characters: logs have stray ones. A UTF-16 mark is honoured, as `>` of
    Windows PowerShell leaves one.
    """
    try:
        # A pipe would block, and a device never ends.
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableInput(f"{label}: is not a regular file")
        with path.open("rb") as file:
            content = file.read(largest_bytes + 1)
    except (OSError, ValueError) as error:
        raise UnreadableInput(f"{label}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > largest_bytes:
        raise UnreadableInput(f"{label}: is larger than {largest_bytes / 2**20:g} MiB; give a part of it")
    for magic, kind in ARCHIVES.items():
        if content.startswith(magic):
            raise UnreadableInput(f"{label}: is a {kind} archive; unpack it and name what is inside")
    return content.decode("utf-16" if content.startswith(UTF_16) else "utf-8-sig", "replace")


def json_object(text: str, label: str) -> dict[str, Any]:
    """A JSON text whose top is an object. Raises UnreadableInput."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableInput(f"{label}: is not JSON, or is cut off: {error}") from error
    if not isinstance(document, dict):
        raise UnreadableInput(f"{label}: expected a JSON object, found {type(document).__name__}")
    return document
