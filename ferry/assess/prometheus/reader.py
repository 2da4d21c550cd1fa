"""Opens a saved page or answer, whatever of the two it is, and refuses what is neither before it costs anything."""

from __future__ import annotations

from pathlib import Path

from ferry.assess.files import read_text
from ferry.assess.prometheus import exposition, response
from ferry.assess.prometheus.series import Page
from ferry.errors import UnreadableInput

LARGEST_BYTES = 32 * 2**20
"""A page of a busy node has half a megabyte."""


def read(path: Path, label: str) -> Page:
    """Read a saved page or answer. Raises UnreadableInput: missing, no regular file, too large, or not metrics."""
    return parse(read_text(path, label, LARGEST_BYTES), label)


def parse(text: str, label: str) -> Page:
    """Read the text of a page or an answer. Raises UnreadableInput."""
    if "\0" in text[:4096]:
        raise UnreadableInput(
            f"{label}: is binary (Prometheus's protobuf format?); save it as text: curl -s -H 'Accept: text/plain' …"
        )
    if text.lstrip("\ufeff \t\r\n")[:1] in ("{", "["):
        return response.parse(text, label)
    return exposition.parse(text, label)
