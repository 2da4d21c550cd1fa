"""One file on its way into the bucket: read once, hashed as it is read, sent in parts that go beside each other."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ferry.errors import Altered, RepositoryError, UnreadableInput
from ferry.models.checksums import Digests, Running, chunk_bytes_of, chunk_lengths, has_several_chunks
from ferry.models.crew import Crew, Progress
from ferry.models.plan import Base, Copy, References, Send
from ferry.models.transport import Part, Stored, Transport, Upload
from ferry.models.tree import LocalFile


@dataclass(frozen=True)
class Sent:
    """How a file came into the bucket. Bytes that the store copied or had already did not go over the link."""

    file: LocalFile
    digests: Digests
    sent: int = 0
    copied: int = 0
    kept: int = 0


@dataclass(frozen=True)
class Uploader:
    """Sends files of one version. `uploads` are the multipart uploads that an earlier run left, by key."""

    transport: Transport
    crew: Crew
    progress: Progress
    prefix: str
    references: References
    uploads: Mapping[str, Upload]
    record: Callable[[LocalFile, Digests], None]

    def digests(self, file: LocalFile) -> Digests:
        """Read a file only to hash it."""
        running = Running()
        with opened(file) as source:
            for length in chunk_lengths(file.state.size, chunk_bytes_of(file.state.size)):
                self.crew.check()
                with self.crew.chunk(length):
                    running.add(read_chunk(source, length, file))
        return self._known(file, running)

    def send(self, action: Send) -> Sent:
        """Read, hash and send. Raises Altered when the file changes meanwhile."""
        file = action.file
        if has_several_chunks(file.state.size):
            return self._send_in_parts(action)
        with self.crew.chunk(file.state.size):
            running = Running()
            with opened(file) as source:
                content = read_chunk(source, file.state.size, file)
                running.add(content)
            digests = self._known(file, running)
            replacing = action.replacing
            if (base := self.references.same(digests)) is not None:
                copy = self._copy_of(base, action)
                if copy is not None and copy.crc64nvme == digests.crc64nvme:
                    self.progress.advance(digests.size)
                    return Sent(file, digests, copied=digests.size)
                replacing = replacing if copy is None else copy.etag
            self.transport.put(self.prefix + file.path, content, digests.crc64nvme, replacing=replacing)
        self.progress.advance(digests.size)
        return Sent(file, digests, sent=digests.size)

    def copy(self, action: Copy, digests: Digests) -> Sent:
        """Let the store copy; send where it cannot, or where the copy has another checksum."""
        copy = self._copy_of(action.base, action)
        if copy is not None and copy.crc64nvme == digests.crc64nvme:
            self.progress.advance(digests.size)
            return Sent(action.file, digests, copied=digests.size)
        return self.send(Send(action.file, None, action.replacing if copy is None else copy.etag))

    def _copy_of(self, base: Base, action: Copy | Send) -> Stored | None:
        source = self._as_signed(base)
        if source is None:
            return None
        try:
            return self.transport.copy(source, self.prefix + action.file.path, replacing=action.replacing)
        except RepositoryError:
            return None  # the base was removed or changed in this moment: the bytes are here, so they are sent

    def _as_signed(self, base: Base) -> Stored | None:
        """The base's object, if the store still has it with the checksum that was signed."""
        found = self.transport.head(base.key)
        if found is None or (found.size, found.crc64nvme) != (base.file.size, base.file.crc64nvme):
            return None
        return found

    def _send_in_parts(self, action: Send) -> Sent:
        file, base = action.file, action.base
        key = self.prefix + file.path
        upload = self.uploads.get(key)
        held = None if upload is None else self.transport.parts(upload)
        if upload is None or held is None:
            upload, held = self.transport.begin_upload(key), {}
        source = None if base is None else self._as_signed(base)
        parts = _Parts(self, upload, held, base if source is not None else None, source)

        running, placed = Running(), list[Future[_Placed]]()
        with opened(file) as stream:
            lengths = chunk_lengths(file.state.size, chunk_bytes_of(file.state.size))
            for number, length in enumerate(lengths, start=1):
                self.crew.take(length)
                try:
                    content = read_chunk(stream, length, file)
                    task = partial(parts.place, number, content, running.add(content))
                    placed.append(self.crew.part(task))
                except BaseException:
                    self.crew.give(length)
                    raise
                placed[-1].add_done_callback(partial(self._placed, length))
                del content, task
                if parts.failed.is_set():
                    break
        results = [future.result() for future in placed]
        digests = self._known(file, running)
        done = self.transport.complete_upload(
            upload,
            [result.part for result in results],
            digests.size,
            digests.crc64nvme,
            replacing=action.replacing,
        )
        if done.crc64nvme not in (None, digests.crc64nvme):
            raise Altered(f"{key}: the store has made {done.crc64nvme} of the parts, not {digests.crc64nvme}")
        bytes_by = {how: sum(result.part.size for result in results if result.how == how) for how in HOW}
        return Sent(file, digests, **bytes_by)

    def _placed(self, length: int, _: Future[_Placed]) -> None:
        self.crew.give(length)

    def _known(self, file: LocalFile, running: Running) -> Digests:
        digests = running.done()
        if file.sha256 not in (None, digests.sha256):
            raise Altered(
                f"{file.source}: sha256 is {digests.sha256[:16]}, the pointer of {file.path} says "
                f"{str(file.sha256)[:16]}; fetch it again with `git lfs fetch`"
            )
        self.record(file, digests)
        return digests


HOW = ("sent", "copied", "kept")


@dataclass(frozen=True)
class _Placed:
    part: Part
    how: str


class _Parts:
    """Places the parts of one upload, each in the cheapest way."""

    def __init__(
        self, uploader: Uploader, upload: Upload, held: Mapping[int, Part], base: Base | None, source: Stored | None
    ) -> None:
        self._uploader, self._upload, self._held, self._base, self._source = uploader, upload, held, base, source
        self.failed = threading.Event()

    def place(self, number: int, content: bytes, checksum: str) -> _Placed:
        try:
            placed = self._place(number, content, checksum)
        except BaseException:
            self.failed.set()
            raise
        self._uploader.progress.advance(len(content))
        return placed

    def _place(self, number: int, content: bytes, checksum: str) -> _Placed:
        self._uploader.crew.check()
        if (part := self._held_already(number, len(content), checksum)) is not None:
            return _Placed(part, "kept")
        if (part := self._copied(number, len(content), checksum)) is not None:
            return _Placed(part, "copied")
        return _Placed(self._uploader.transport.upload_part(self._upload, number, content, checksum), "sent")

    def _held_already(self, number: int, size: int, checksum: str) -> Part | None:
        part = self._held.get(number)
        return part if part is not None and (part.size, part.crc64nvme) == (size, checksum) else None

    def _copied(self, number: int, size: int, checksum: str) -> Part | None:
        if self._base is None or self._source is None or self._base.file.chunk_checksums[number - 1] != checksum:
            return None
        start = (number - 1) * self._base.file.chunk_bytes
        try:
            part = self._uploader.transport.copy_part(self._upload, number, self._source, start, size)
        except RepositoryError:
            return None
        # A store that says nothing of the part, or something else, is not believed: the bytes are here.
        return part if part.crc64nvme == checksum else None


@contextmanager
def opened(file: LocalFile) -> Iterator[BinaryIO]:
    """The file's bytes. Raises Altered when it is not the same at the end, UnreadableInput when it cannot be read."""
    try:
        with Path(file.source).open("rb", buffering=0) as source:
            file.require_unchanged(os.fstat(source.fileno()))
            yield source
            file.require_unchanged(os.fstat(source.fileno()))
    except OSError as error:
        raise UnreadableInput(f"{file.source}: cannot be read: {error.strerror}; nothing was published") from error


def read_chunk(source: BinaryIO, length: int, file: LocalFile) -> bytes:
    """Exactly so many bytes. Raises Altered at an early end."""
    content = source.read(length)
    while len(content) < length:
        more = source.read(length - len(content))
        if not more:
            raise Altered(f"{file.source}: became shorter while it was pushed; push again when it is still")
        content += more
    return content
