"""How far the chainer is, read from its folder and the log while it runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ferry.errors import AuditError
from ferry.traffic.audit.access_log import AccessLog, Position
from ferry.traffic.audit.head import last_line, parse
from ferry.traffic.audit.shipper import EXPOSURE_S, Gateway
from ferry.traffic.audit.spool import Spool


@dataclass(frozen=True, kw_only=True)
class Status:
    """A gateway's chain as this machine knows it. What was never shipped has neither times nor numbers."""

    running: bool
    """Whether a chainer holds the folder."""
    instance: str | None
    sequence: int | None
    """Of the last head that is in the archive."""
    requests: int | None
    """Lines of the log that are in the archive."""
    sealed_at: str | None
    on_its_way: bool
    """An object is sealed and not in the archive yet."""
    lines_behind: int
    """Lines of the log that no sealed object has."""

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "exposure_seconds": EXPOSURE_S}


def status(gateway: Gateway) -> Status:
    """Look. Raises AuditError where the folder or the log cannot be read."""
    spool = Spool(gateway.state / "audit")
    try:
        shipped, pending = spool.shipped(), spool.pending()
        last = shipped if pending is None else parse(last_line(pending), str(spool.pending_file))
        position = Position(last.head.log, last.head.offset, last.head.passed) if last else Position()
        behind = AccessLog(gateway.log).unread_lines(position)
        running = spool.locked()
    except OSError as error:
        raise AuditError(f"{gateway.state}: cannot be read: {error}; run it as the user that ships") from error
    return Status(
        running=running,
        instance=shipped.head.instance if shipped else None,
        sequence=shipped.sequence if shipped else None,
        requests=shipped.head.requests if shipped else None,
        sealed_at=shipped.head.sealed_at if shipped else None,
        on_its_way=pending is not None,
        lines_behind=behind,
    )
