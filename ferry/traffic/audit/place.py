"""Where objects of the chain lie: a folder that they were downloaded or copied to, or the bucket itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ferry.errors import AuditError, UnreadableInput
from ferry.traffic.audit.head import LONGEST_BYTES

AT_ONCE = 16
"""Objects that are fetched ahead."""


class Place(Protocol):
    """Objects by name. Names of one chain sort by their sequence. All methods raise FerryError."""

    def names(self) -> Sequence[str]:
        """All objects of request logs."""

    def contents(self, names: Sequence[str]) -> Iterator[bytes]:
        """Each of them, in this order."""

    def end(self, name: str) -> bytes:
        """The end of one, long enough for a head."""


@dataclass(frozen=True)
class Folder:
    """A folder, with the bucket's layout below it or above it: `requests/INSTANCE/START/SEQUENCE.jsonl`."""

    path: Path

    def names(self) -> Sequence[str]:
        """Absolute paths, so that the layout is seen whatever part of it was named."""
        if not self.path.is_dir():
            raise UnreadableInput(f"{self.path}: is no folder; name one with objects of the archive, or s3://BUCKET")
        return sorted(str(path) for path in self.path.resolve().rglob("*.jsonl"))

    def contents(self, names: Sequence[str]) -> Iterator[bytes]:
        """Read one after the other."""
        for name in names:
            try:
                content = Path(name).read_bytes()
            except OSError as error:
                raise UnreadableInput(f"{name}: cannot be read: {error.strerror}") from error
            yield content

    def end(self, name: str) -> bytes:
        """The end of a file."""
        try:
            with Path(name).open("rb") as file:
                file.seek(max(0, Path(name).stat().st_size - LONGEST_BYTES))
                return file.read()
        except OSError as error:
            raise UnreadableInput(f"{name}: cannot be read: {error.strerror}") from error


class Listed(Protocol):
    """An object of a listing."""

    @property
    def key(self) -> str:
        """Its name."""

    @property
    def size(self) -> int:
        """In bytes."""


class Readable(Protocol):
    """A bucket that can be read."""

    bucket: str

    def list(self, prefix: str) -> Iterator[Listed]:
        """All objects whose key starts so."""

    def read(self, key: str, start: int, length: int) -> bytes | bytearray:
        """Bytes of an object."""

    def get(self, key: str) -> tuple[bytes, str] | None:
        """An object, whole, and its etag."""


class Bucket:
    """The archive itself, below a prefix."""

    def __init__(self, store: Readable, prefix: str = "requests/") -> None:
        self._store, self._prefix = store, prefix
        self._sizes: dict[str, int] = {}

    def names(self) -> Sequence[str]:
        """Keys."""
        self._sizes = {one.key: one.size for one in self._store.list(self._prefix)}
        return sorted(self._sizes)

    def contents(self, names: Sequence[str]) -> Iterator[bytes]:
        """Fetched ahead, some at a time."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            ahead: deque[Future[bytes]] = deque()
            for name in names:
                ahead.append(pool.submit(self._get, name))
                if len(ahead) == AT_ONCE:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def end(self, name: str) -> bytes:
        """One ranged read."""
        start = max(0, self._sizes[name] - LONGEST_BYTES)
        return bytes(self._store.read(name, start, self._sizes[name] - start)) if self._sizes[name] else b""

    def _get(self, name: str) -> bytes:
        found = self._store.get(name)
        if found is None:
            raise AuditError(f"s3://{self._store.bucket}/{name}: was listed and is gone; look who deletes there")
        return found[0]
