"""What the repository asks of an object store. One bucket; every method may be called from many threads at once.

`Transport` has the requests that decide and the requests that carry bytes apart: `s3` has both, through botocore;
`direct` does the latter itself (`put`, `upload_part`, `read`), and listings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Stored:
    """An object as the store describes it. `crc64nvme` is of the whole object; None: it has none, or was not asked."""

    key: str
    size: int
    etag: str
    crc64nvme: str | None = None


@dataclass(frozen=True)
class Part:
    """A part that an upload holds already."""

    number: int
    size: int
    etag: str
    crc64nvme: str | None


@dataclass(frozen=True)
class Upload:
    """A multipart upload that was begun and not completed."""

    key: str
    upload_id: str


class Transport(Protocol):
    """One bucket. All methods raise TransferError when the store does not do it after all retries.

    `replacing` makes a write conditional: over exactly the object with this etag, or, with None, only where there is
    none. Then Conflict is raised, unless what lies there is what was to be written: a write whose answer was lost, and
    which was repeated.
    """

    bucket: str

    def head(self, key: str) -> Stored | None:
        """An object with its checksum, or None where there is none."""

    def list(self, prefix: str) -> Iterator[Stored]:
        """All objects whose key starts so, without their checksums."""

    def list_folders(self, prefix: str) -> Sequence[str]:
        """The next step of all keys that start so and go on with a slash."""

    def get(self, key: str) -> tuple[bytes, str] | None:
        """A small object and its etag, or None where there is none."""

    def put_small(self, key: str, content: bytes, *, replacing: str | None) -> str:
        """Write a small object. Returns its etag."""

    def versioned(self) -> bool:
        """Whether a deleted object can be had back: the bucket keeps versions."""

    def mark_deleted(self, keys: Sequence[str]) -> None:
        """Put delete markers on objects; their versions stay. Only for a bucket that keeps versions."""

    def copy(self, source: Stored, key: str, *, replacing: str | None) -> Stored:
        """Copy an object, as it was described, within the bucket. Raises Conflict where the source has changed."""

    def uploads(self, prefix: str) -> Iterator[Upload]:
        """Multipart uploads under way whose key starts so."""

    def begin_upload(self, key: str) -> Upload:
        """Begin a multipart upload with CRC64NVME over the whole object."""

    def parts(self, upload: Upload) -> dict[int, Part] | None:
        """What an upload holds already, by number; None where it does not exist any more."""

    def copy_part(self, upload: Upload, number: int, source: Stored, start: int, length: int) -> Part:
        """Fill a part from an object, as it was described. Raises Conflict where it has changed since."""

    def complete_upload(
        self, upload: Upload, parts: Sequence[Part], size: int, crc64nvme: str, *, replacing: str | None
    ) -> Stored:
        """Make the object of its parts. Raises Altered when the store finds another checksum over the whole."""

    # ---- bytes ----

    def put(self, key: str, content: bytes | memoryview, crc64nvme: str, *, replacing: str | None) -> Stored:
        """Write an object in one request. Raises Altered when its bytes do not have this checksum."""

    def upload_part(self, upload: Upload, number: int, content: bytes | memoryview, crc64nvme: str) -> Part:
        """Send one part. A part that arrives altered is refused by the store and sent again."""

    def read(self, key: str, start: int, length: int) -> bytes | bytearray:
        """Bytes of an object, `length` of them from `start`."""
