"""A gateway's folder whose log grows as told, an archive in memory that fails as told, and a clock that we move."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry.errors import Conflict, TransferError
from ferry.models.signature import FileSigner, TrustedKeys, key_id
from ferry.traffic.audit.shipper import Gateway, Identity, Shipper
from ferry.traffic.restarts import Note, append, position

SIGNER = FileSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
TRUSTED = TrustedKeys([SIGNER.public_key])
IDENTITY = Identity(SIGNER, key_id(SIGNER.public_key), TRUSTED)
START = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Stored:
    key: str
    size: int


@dataclass
class Archive:
    bucket: str = "archive"
    objects: dict[str, bytes] = field(default_factory=dict)
    before_put: Callable[[str], None] = lambda key: None
    after_put: Callable[[str], None] = lambda key: None
    puts: list[str] = field(default_factory=list)

    def put_small(self, key: str, content: bytes, *, replacing: str | None) -> str:
        assert replacing is None
        self.puts.append(key)
        self.before_put(key)
        if self.objects.get(key, content) != content:
            raise Conflict(f"{key}: somebody else wrote it meanwhile")
        self.objects[key] = content
        self.after_put(key)
        return "etag"

    def get(self, key: str) -> tuple[bytes, str] | None:
        return (self.objects[key], "etag") if key in self.objects else None

    def list(self, prefix: str) -> Iterator[Stored]:
        return (Stored(key, len(content)) for key, content in sorted(self.objects.items()) if key.startswith(prefix))

    def read(self, key: str, start: int, length: int) -> bytes:
        return self.objects[key][start : start + length]


def unreachable(key: str) -> None:
    raise TransferError(f"s3://archive/{key}: HTTP 503 SlowDown, 10 times; run the same command again")


@dataclass
class World:
    path: Path
    archive: Archive = field(default_factory=Archive)
    seconds: float = 0.0
    wall: datetime = START
    logged: list[str] = field(default_factory=list)
    instance: str = "home"
    ledger: Path | None = None

    @property
    def log(self) -> Path:
        return self.path / "logs" / "access.jsonl"

    @property
    def state(self) -> Path:
        return self.path / "state"

    @property
    def spool(self) -> Path:
        return self.state / "audit"

    def write(self, count: int) -> None:
        """Log some requests."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"request_id": f"r{len(self.logged) + number}", "status": 200}) for number in range(count)]
        with self.log.open("a") as file:
            file.writelines(line + "\n" for line in lines)
        self.logged += lines

    def write_torn(self, text: str) -> None:
        """Log the beginning of a line."""
        with self.log.open("a") as file:
            file.write(text)

    def rotate(self) -> None:
        """As logrotate does; the next file comes with the next line."""
        number = 1
        while (self.log.parent / f"access.jsonl.{number}").exists():
            number += 1
        for one in range(number, 1, -1):
            (self.log.parent / f"access.jsonl.{one - 1}").rename(self.log.parent / f"access.jsonl.{one}")
        self.log.rename(self.log.parent / "access.jsonl.1")

    def note(self, event: str, how: str = "", requests: int | None = None) -> None:
        log, size = position(self.log)
        at = self.wall.isoformat()
        append(
            self.state,
            Note(
                at=at,
                event=event,  # type: ignore[arg-type]
                log=log,
                log_bytes=size,
                how=how,
                requests=requests,
                counted_at=at if requests is not None else None,
            ),
        )

    def shipper(self, **more: object) -> Shipper:
        gateway = Gateway(instance=self.instance, log=self.log, state=self.state, ledger=self.ledger)
        clock = lambda: self.seconds  # noqa: E731
        return Shipper(gateway, self.archive, IDENTITY, clock=clock, now=lambda: self.wall, **more)  # type: ignore[arg-type]

    def pass_time(self, seconds: float) -> None:
        self.seconds += seconds
        self.wall += timedelta(seconds=seconds)

    def ship(self, **more: object) -> None:
        """A chainer that starts, ships what there is, and is told to stop."""
        with self.shipper(**more) as shipper:
            shipper.finish()

    def archived(self) -> list[bytes]:
        """All lines of the archive."""
        return [line for key in sorted(self.archive.objects) for line in self.archive.objects[key].splitlines()]

    def requests(self) -> list[str]:
        """What the archive has of the log."""
        documents = [(json.loads(line), line) for line in self.archived()]
        return [line.split(b',"request":', 1)[1][:-1].decode() for document, line in documents if "request" in document]

    def events(self) -> list[dict[str, object]]:
        documents = [json.loads(line) for line in self.archived()]
        return [document["event"] for document in documents if "event" in document]

    def download(self, name: str = "download") -> Path:
        folder = self.path / name
        for key, content in self.archive.objects.items():
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(content)
        return folder
