"""What tells bytes apart: SHA-256 of a whole file, which is signed, and CRC64NVME of the file and of its chunks.

S3 computes CRC64NVME itself, over each part and over the whole object whatever its parts were, so it can be asked about
without fetching anything (docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html). It finds what
went wrong by accident. It is no proof against someone who may write into the bucket: SHA-256 is, and pull checks it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from awscrt import checksums

SMALLEST_CHUNK_BYTES = 16 * 2**20
MOST_CHUNKS = 10_000
"""Parts of a multipart upload: docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""


@dataclass(frozen=True)
class Digests:
    """What identifies a file's content. `chunks` has the CRC64NVME of each chunk of a file that has more than one.

    Checksums are base64, as S3 reports them; `sha256` is hex.
    """

    size: int
    sha256: str
    crc64nvme: str
    chunks: tuple[str, ...] = ()


@dataclass
class Running:
    """Digests of a file that is read chunk by chunk, in order."""

    size: int = 0
    chunks: list[str] = field(default_factory=list)
    _sha256: hashlib._Hash = field(default_factory=hashlib.sha256)
    _crc: int = 0

    def add(self, chunk: bytes | bytearray | memoryview) -> str:
        """Take the next chunk, and return its CRC64NVME."""
        self._sha256.update(chunk)
        crc = checksums.crc64nvme(chunk)
        self._crc = checksums.combine_crc64nvme(self._crc, crc, len(chunk)) if self.chunks else crc
        self.size += len(chunk)
        self.chunks.append(to_base64(crc))
        return self.chunks[-1]

    def done(self) -> Digests:
        """The digests of all that was added."""
        several = tuple(self.chunks) if len(self.chunks) > 1 else ()
        return Digests(self.size, self._sha256.hexdigest(), to_base64(self._crc), several)


def chunk_bytes_of(size: int) -> int:
    """Chunk size for a file: 16 MiB, doubled until the file has no more chunks than an upload may have parts."""
    chunk = SMALLEST_CHUNK_BYTES
    while chunk * MOST_CHUNKS < size:
        chunk *= 2
    return chunk


def has_several_chunks(size: int) -> bool:
    """Whether a file is sent in parts."""
    return size > chunk_bytes_of(size)


def chunk_lengths(size: int, chunk_bytes: int) -> list[int]:
    """Length of each chunk of a file; an empty file has none."""
    whole, rest = divmod(size, chunk_bytes)
    return [chunk_bytes] * whole + ([rest] if rest else [])


def crc64nvme(content: bytes | bytearray) -> str:
    """CRC64NVME of some bytes."""
    return to_base64(checksums.crc64nvme(content))


def combined(chunks: Sequence[str], lengths: Iterable[int]) -> str:
    """CRC64NVME of the file whose chunks have these. Raises ValueError for a text that is no checksum."""
    total = 0
    for chunk, length in zip(chunks, lengths, strict=True):
        total = checksums.combine_crc64nvme(total, from_base64(chunk), length)
    return to_base64(total)


def to_base64(crc: int) -> str:
    """Write a checksum as S3 does: its 8 bytes, the highest first, in base64."""
    return base64.b64encode(crc.to_bytes(8, "big")).decode()


def from_base64(text: str) -> int:
    """Read a checksum as S3 writes it. Raises ValueError."""
    content = base64.b64decode(text, validate=True)
    if len(content) != 8:
        raise ValueError(f"{text!r} is no CRC64NVME: it has {len(content)} bytes, not 8")
    return int.from_bytes(content, "big")
