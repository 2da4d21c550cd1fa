"""What this machine has seen of each channel, so that an older file put in its place is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ferry.artefacts.artefact import write_whole
from ferry.errors import UnreadableInput, Untrusted


@dataclass(frozen=True)
class Memory:
    """A folder with one small file for each channel. `least` is a sequence that was told from outside."""

    folder: Path
    least: int = 0

    def accept(self, bucket: str, name: str, channel: str, sequence: int, sha256: str, where: str) -> None:
        """Remember a channel, unless a newer one or another of the same sequence was seen. Raises Untrusted."""
        path = self._path(bucket, name, channel)
        seen, seen_sha256 = self._seen(path)
        if sequence < (known := max(seen, self.least)):
            raise Untrusted(
                f"{where}: has sequence {sequence}, this machine knows of {known}: an old channel was put back; "
                "find out who wrote it, then promote again"
            )
        if sequence == seen and sha256 != seen_sha256:
            raise Untrusted(
                f"{where}: this machine has seen another file with sequence {sequence}: two were signed; "
                "find out who signed them, then promote again"
            )
        if sequence > seen:
            write_whole(path, json.dumps({"sequence": sequence, "sha256": sha256}), durable=True)

    def expect_none(self, bucket: str, name: str, channel: str, where: str) -> None:
        """Refuse that a channel is gone which was there before. Raises Untrusted."""
        known = max(self._seen(self._path(bucket, name, channel))[0], self.least)
        if known:
            raise Untrusted(
                f"{where}: is gone, this machine knows of sequence {known}; restore the object's last version "
                "(its delete marker says who deleted it)"
            )

    def _path(self, bucket: str, name: str, channel: str) -> Path:
        return self.folder / bucket / name / f"{channel}.json"

    def _seen(self, path: Path) -> tuple[int, str]:
        if not path.exists():
            return 0, ""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            return int(document["sequence"]), str(document["sha256"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnreadableInput(
                f"{path}: cannot be read ({error!r}), so a replayed channel could not be told; "
                "delete it only if you know why"
            ) from error
