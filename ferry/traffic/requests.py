"""The requests that Envoy logged, one JSON line each, as the gate and the rehearsal read them.

`read` reads what has been added since the last call, whole lines only, across a rotation and a truncation.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One answered, failed or abandoned request. What Envoy did not know is None."""

    request_id: str | None = None
    start_s: float
    """Seconds since 1970."""
    cluster: str | None = None
    model_version: str | None = None
    status: int | None = None
    """HTTP status; None or 0 where no answer had begun."""
    flags: str | None = None
    """Envoy's response flags."""
    details: str | None = None
    streamed: bool = False
    duration_ms: float
    first_byte_ms: float | None = None
    """From the request's start to the first byte of the answer."""
    completion_tokens: int | None = None
    bytes_sent: int = 0
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
