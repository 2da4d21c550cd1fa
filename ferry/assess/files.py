"""Opening the site's files: every failure becomes one line that names the file as site.yaml does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ferry.errors import UnreadableInput


def read_text(path: Path, label: str) -> str:
    """A file's text. Bytes that are not UTF-8 become replacement characters: logs have stray ones. UnreadableInput."""
    try:
        return path.read_bytes().decode("utf-8-sig", "replace")
    except OSError as error:
        raise UnreadableInput(f"{label}: cannot be read: {error.strerror or error}") from error


def json_object(text: str, label: str) -> dict[str, Any]:
    """A JSON text whose top is an object. Raises UnreadableInput."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableInput(f"{label}: is not JSON, or is cut off: {error}") from error
    if not isinstance(document, dict):
        raise UnreadableInput(f"{label}: expected a JSON object, found {type(document).__name__}")
    return document
