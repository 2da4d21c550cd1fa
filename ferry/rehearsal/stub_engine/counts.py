"""Who asked the stub engine, how often, and what became of it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Literal, get_args

End = Literal["answered", "error", "cut", "hung", "left"]
"""What became of a request. `left`: the client, or the gateway in between, went away before the end."""

COPY = " (copy)"
"""After the id of a mirrored request, in counts and journal."""


class Counts:
    """In memory; and in a journal, which survives a kill -9: what arrived in it and has no end was in flight."""

    def __init__(self, journal: Path | None) -> None:
        self._requests = 0
        self._seen: Counter[str] = Counter()
        self._ends: Counter[str] = Counter()
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) if journal else None

    def arrived(self, request_id: str) -> None:
        """A request came in; without an id it cannot be told from others."""
        self._requests += 1
        if request_id:
            self._seen[request_id] += 1
        self._note(request_id, "arrived")

    def ended(self, request_id: str, end: End) -> None:
        """What became of it."""
        self._ends[end] += 1
        self._note(request_id, end)

    def clear(self) -> None:
        """Count from zero again. The journal keeps what it has."""
        self._requests = 0
        self._seen.clear()
        self._ends.clear()

    def as_dict(self) -> dict[str, object]:
        """`requests`, `distinct` ids, `repeated` (id to times), and how many met each end."""
        repeated = {request_id: times for request_id, times in self._seen.items() if times > 1}
        return {
            "requests": self._requests,
            "distinct": len(self._seen),
            "repeated": repeated,
            **{end: self._ends[end] for end in get_args(End)},
        }

    def _note(self, request_id: str, what: str) -> None:
        if self._journal is not None:
            os.write(self._journal, f"{request_id}\t{what}\n".encode())
