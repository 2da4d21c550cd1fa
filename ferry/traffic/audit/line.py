"""One line of the chain. Its hash is that of its bytes as they stand in the archive, without the newline.

    {"previous":"<sha256 of the line before>","sequence":17,"request":{…a line of the access log, byte for byte…}}

The members have this order and no spaces, so that a verifier compares the beginning of a line and hashes the rest,
and parses nothing. Instead of `request` there is `unreadable` (bytes of the log that are no JSON object, in base64),
`event` (what the chainer has to say) or `head` (a checkpoint, see `head`).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

GENESIS = "0" * 64
"""What the first line of a chain names as the one before."""


def opening(previous: str, sequence: int) -> bytes:
    """How a line at this place begins."""
    return f'{{"previous":"{previous}","sequence":{sequence},"'.encode()


def digest(line: bytes) -> str:
    """What the next line names this one by."""
    return hashlib.sha256(line).hexdigest()


def compact(value: Mapping[str, Any]) -> bytes:
    """JSON in as few bytes as it takes, members in their order."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def request(logged: bytes) -> bytes | None:
    """The rest of a line for a line of the log, or None where that is no JSON object."""
    try:
        # Of bytes, json.loads would take UTF-16, too.
        known = isinstance(json.loads(logged.decode()), dict)
    except (ValueError, RecursionError):
        return None
    return b'request":' + logged + b"}" if known else None


def unreadable(logged: bytes, *, torn: bool) -> bytes:
    """The rest of a line for bytes that are no line of the log. `torn`: it has no end, as Envoy died while writing."""
    return b'unreadable":' + compact({"torn": torn, "base64": base64.b64encode(logged).decode()}) + b"}"


def event(what: str, figures: Mapping[str, Any]) -> bytes:
    """The rest of a line that says what happened."""
    return b'event":' + compact({"event": what, **figures}) + b"}"
