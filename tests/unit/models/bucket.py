"""An S3 bucket in memory, behind the transport's protocol: it refuses what S3 refuses, counts, and fails on demand."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ferry.errors import Altered, Conflict, TransferError
from ferry.models.checksums import combined, crc64nvme
from ferry.models.transport import Part, Stored, Upload


@dataclass
class Bucket:
    bucket: str = "weights"
    keeps_versions: bool = True
    objects: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    under_way: dict[str, dict[int, tuple[bytes, Part]]] = field(default_factory=dict)
    """Parts by upload id; the id names the key."""
    marked: list[str] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    bytes_in: int = 0
    bytes_out: int = 0
    before: Callable[[str, str], None] = lambda operation, key: None
    """Called before each request, outside of the lock: to fail, to change a file, to promote in between."""
    on_the_wire: Callable[[str, bytes], bytes] = lambda key, content: content
    in_copies: Callable[[bytes], bytes] = lambda content: content
    part_copies_tell: bool = True
    """False: as versitygw 1.8.0, which reports the whole source's checksum for a copied part."""

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._numbers = 0

    def _ask(self, operation: str, key: str) -> None:
        self.before(operation, key)
        with self._lock:
            self.requests.append((operation, key))

    def asked(self, *operations: str) -> list[str]:
        return sorted(key for operation, key in self.requests if operation in operations)

    def write(self, key: str, content: bytes) -> str:
        """Put an object past all checks, as whoever may write into the bucket can."""
        with self._lock:
            self._numbers += 1
            self.objects[key] = content
            self.etags[key] = f'"{hashlib.md5(content).hexdigest()}-{self._numbers}"'
            return self.etags[key]

    def remove(self, key: str) -> None:
        del self.objects[key], self.etags[key]

    def _stored(self, key: str) -> Stored:
        content = self.objects[key]
        return Stored(key, len(content), self.etags[key], crc64nvme(content))

    def _require(self, key: str, replacing: str | None) -> None:
        if self.etags.get(key) != replacing:
            raise Conflict(f"s3://{self.bucket}/{key}: somebody else wrote it meanwhile; look who, and start again")

    # ---- the protocol ----

    def head(self, key: str) -> Stored | None:
        self._ask("head", key)
        with self._lock:
            return self._stored(key) if key in self.objects else None

    def list(self, prefix: str) -> Iterator[Stored]:
        self._ask("list", prefix)
        with self._lock:
            found = [
                replace(self._stored(key), crc64nvme=None) for key in sorted(self.objects) if key.startswith(prefix)
            ]
        yield from found

    def list_folders(self, prefix: str) -> Sequence[str]:
        self._ask("list", prefix)
        rests = (key.removeprefix(prefix) for key in self.objects if key.startswith(prefix))
        return sorted({rest.split("/")[0] for rest in rests if "/" in rest})

    def get(self, key: str) -> tuple[bytes, str] | None:
        self._ask("get", key)
        with self._lock:
            return (self.objects[key], self.etags[key]) if key in self.objects else None

    def put_small(self, key: str, content: bytes, *, replacing: str | None) -> str:
        self._ask("put_small", key)
        with self._lock:
            self._require(key, replacing)
            return self.write(key, content)

    def versioned(self) -> bool:
        self._ask("versioned", "")
        return self.keeps_versions

    def mark_deleted(self, keys: Sequence[str]) -> None:
        if keys:
            self._ask("mark_deleted", keys[0])
        for key in keys:
            self.remove(key)
            self.marked.append(key)

    def copy(self, source: Stored, key: str, *, replacing: str | None) -> Stored:
        self._ask("copy", key)
        with self._lock:
            if self.etags.get(source.key) != source.etag:
                raise Conflict(f"{source.key}: has changed meanwhile; start again")
            self._require(key, replacing)
            self.write(key, self.in_copies(self.objects[source.key]))
            return self._stored(key)

    def uploads(self, prefix: str) -> Iterator[Upload]:
        self._ask("uploads", prefix)
        for upload_id in list(self.under_way):
            key = upload_id.rsplit("#", 1)[0]
            if key.startswith(prefix):
                yield Upload(key, upload_id)

    def begin_upload(self, key: str) -> Upload:
        self._ask("begin_upload", key)
        with self._lock:
            self._numbers += 1
            upload = Upload(key, f"{key}#{self._numbers}")
            self.under_way[upload.upload_id] = {}
            return upload

    def parts(self, upload: Upload) -> dict[int, Part] | None:
        self._ask("parts", upload.key)
        held = self.under_way.get(upload.upload_id)
        return None if held is None else {number: part for number, (_, part) in held.items()}

    def _place(self, upload: Upload, number: int, content: bytes) -> Part:
        part = Part(number, len(content), f'"{hashlib.md5(content).hexdigest()}"', crc64nvme(content))
        self.under_way[upload.upload_id][number] = (content, part)
        return part

    def copy_part(self, upload: Upload, number: int, source: Stored, start: int, length: int) -> Part:
        self._ask("copy_part", f"{upload.key}#{number}")
        with self._lock:
            if self.etags.get(source.key) != source.etag:
                raise Conflict(f"{source.key}: has changed meanwhile; start again")
            part = self._place(upload, number, self.objects[source.key][start : start + length])
            return part if self.part_copies_tell else replace(part, crc64nvme=source.crc64nvme)

    def complete_upload(
        self, upload: Upload, parts: Sequence[Part], size: int, crc64nvme: str, *, replacing: str | None
    ) -> Stored:
        self._ask("complete_upload", upload.key)
        with self._lock:
            self._require(upload.key, replacing)
            held = self.under_way[upload.upload_id]
            content = b"".join(held[part.number][0] for part in sorted(parts, key=lambda part: part.number))
            if any(held[part.number][1].etag != part.etag for part in parts) or len(content) != size:
                raise Altered(f"{upload.key}: the store refuses what arrived: InvalidPart; look for a faulty link")
            if combined([part.crc64nvme or "" for part in parts], [part.size for part in parts]) != crc64nvme:
                raise Altered(f"{upload.key}: the store refuses what arrived: BadDigest; look for a faulty link")
            del self.under_way[upload.upload_id]
            self.write(upload.key, content)
            return self._stored(upload.key)

    def put(self, key: str, content: bytes | memoryview, crc64nvme: str, *, replacing: str | None) -> Stored:
        self._ask("put", key)
        with self._lock:
            self._require(key, replacing)
            self.bytes_in += len(content)
            self.write(key, bytes(content))
            assert self._stored(key).crc64nvme == crc64nvme
            return self._stored(key)

    def upload_part(self, upload: Upload, number: int, content: bytes | memoryview, crc64nvme: str) -> Part:
        self._ask("upload_part", f"{upload.key}#{number}")
        with self._lock:
            self.bytes_in += len(content)
            part = self._place(upload, number, bytes(content))
            assert part.crc64nvme == crc64nvme
            return part

    def read(self, key: str, start: int, length: int) -> bytes:
        self._ask("read", key)
        with self._lock:
            if key not in self.objects:
                raise TransferError(f"s3://{self.bucket}/{key}: NoSuchKey; run the same command again")
            content = self.objects[key][start : start + length]
            self.bytes_out += len(content)
        return self.on_the_wire(key, content)
