"""The requests that Envoy logged, one JSON line each, as the gate and the rehearsal read them.

`read` reads what has been added since the last call, whole lines only, across a rotation and a truncation. Keys are
those of the rendered `logs/access.jsonl` and `logs/upstream.jsonl`; others are ignored, and a line that is no request
is counted.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from ferry.errors import UnreadableInput


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One answered, failed or abandoned request. What Envoy did not know is None."""

    request_id: str | None = None
    start_s: float
    """Seconds since 1970."""
    cluster: str | None = None
    """Whose engine answered, or was tried last."""
    aimed: str | None = None
    """What the weights chose."""
    model_version: str | None = None
    status: int | None = None
    """HTTP status; None where no answer had begun."""
    flags: str | None = None
    """Envoy's response flags, comma-separated; None where there are none."""
    details: str | None = None
    streamed: bool = False
    duration_ms: float
    first_byte_ms: float | None = None
    """From the first byte of the request to the first byte of the answer's body."""
    completion_tokens: int | None = None
    answer_bytes: int = 0
    """Of the answer's body."""
    finished: bool = True
    """False where the answer was cut."""
    mirrored: bool = False
    """An answer that nobody waited for."""

    @property
    def end_s(self) -> float:
        """Seconds since 1970."""
        return self.start_s + self.duration_ms / 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Offset:
    """How far a log has been read. `inode` tells a rotated file from the one that took its name."""

    inode: int = 0
    position: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What `read` found: the new requests in the order of the log, and from where to go on."""

    requests: tuple[Request, ...]
    offset: Offset
    unreadable: int = 0
    """Lines that are no JSON object with a start time and a duration."""
    gap: bool = False
    """Lines may be missing: the file that was read before was truncated, or is gone."""


def read(path: Path, offset: Offset | None = None) -> Reading:
    """The requests that were added to a log since `offset`; without one, all. A log that is not there yet is empty.

    A rotated file is looked for beside the log by its inode and read to its end first, then the new one from its start.
    Raises UnreadableInput.
    """
    offset = offset or Offset()
    found: list[Request] = []
    unreadable, gap = 0, False
    try:
        with path.open("rb") as log:
            status = os.fstat(log.fileno())
            start = Offset(inode=status.st_ino)
            if offset.inode == status.st_ino:
                gap = status.st_size < offset.position
                start = start if gap else offset
            elif offset.inode:
                rotated = _beside(path, offset.inode)
                gap = rotated is None
                if rotated is not None:
                    with rotated.open("rb") as earlier:
                        unreadable += _take(earlier, offset.position, found)[1]
            position, refused = _take(log, start.position, found)
            return Reading(
                requests=tuple(found),
                offset=Offset(inode=status.st_ino, position=position),
                unreadable=unreadable + refused,
                gap=gap,
            )
    except FileNotFoundError:
        return Reading(requests=(), offset=offset)
    except OSError as error:
        raise UnreadableInput(f"{path}: cannot be read: {error.strerror}; Envoy writes it, name a log file") from error


def _beside(path: Path, inode: int) -> Path | None:
    """The file of that inode whose name begins with the log's: access.jsonl.1, access.jsonl-20261124."""
    with os.scandir(path.parent) as entries:
        for entry in entries:
            if entry.name.startswith(path.name) and entry.is_file() and entry.inode() == inode:
                return Path(entry.path)
    return None


def _take(log: BinaryIO, position: int, found: list[Request]) -> tuple[int, int]:
    """Append the requests of the whole lines from a position on; the position after them, and the unreadable lines."""
    log.seek(position)
    unreadable = 0
    for line in _whole_lines(log):
        position += len(line)
        request = parse(line)
        if request is None:
            unreadable += 1
        else:
            found.append(request)
    return position, unreadable


def _whole_lines(log: BinaryIO) -> Iterator[bytes]:
    for line in log:
        if not line.endswith(b"\n"):
            return
        yield line


def parse(line: bytes | str) -> Request | None:
    """The request of a line; None where it is no JSON object with a start time and a duration."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    start, duration = _seconds(entry.get("start_time")), _number(entry.get("duration_ms"))
    if start is None or duration is None:
        return None
    status = _number(entry.get("status"))
    tokens = _number(entry.get("completion_tokens"))
    # The upstream log counts from the engine's side: what is received is the answer. It alone has `mirrored`.
    answer = entry.get("bytes_received" if "mirrored" in entry else "bytes_sent")
    return Request(
        request_id=_text(entry.get("request_id")),
        start_s=start,
        cluster=_text(entry.get("cluster")),
        aimed=_text(entry.get("aimed")),
        model_version=_text(entry.get("model_version")),
        status=int(status) if status else None,
        flags=_text(entry.get("flags")),
        details=_text(entry.get("details")),
        streamed=_is_true(entry.get("streamed")),
        duration_ms=duration,
        first_byte_ms=_number(entry.get("first_byte_ms")),
        completion_tokens=None if tokens is None else int(tokens),
        answer_bytes=int(_number(answer) or 0),
        finished=_is_true(entry.get("finished", True)),
        mirrored=_is_true(entry.get("mirrored")),
    )


def _seconds(value: Any) -> float | None:
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def _number(value: Any) -> float | None:
    """A number that is not negative; Envoy writes some of its operators as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value not in {"", "-"} else None


def _is_true(value: Any) -> bool:
    return value is True or value == "true"
