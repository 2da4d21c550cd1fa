"""`ferry models verify`: what is stored against the signed manifest.

Without `deep`, the store is asked: names and sizes by a listing, checksums (CRC64NVME of whole objects) one by one.
That finds every accident. It does not find an attacker who may write into the bucket and makes other bytes of the same
checksum: `deep` fetches everything and hashes it, as `pull` does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from ferry.errors import Altered
from ferry.models import names
from ferry.models.checksums import chunk_lengths
from ferry.models.crew import Crew, Progress
from ferry.models.download import chunks
from ferry.models.manifest import File
from ferry.models.repository import Repository, SignedManifest
from ferry.models.transport import Transport

Kind = Literal["missing", "added", "size", "checksum", "unknown", "altered"]


@dataclass(frozen=True)
class Problem:
    """One file that is not as it was signed."""

    kind: Kind
    path: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The answer. `depth` says what was asked: the store's own checksums, or the bytes."""

    name: str
    version: str
    signed_with: str
    depth: Literal["stored checksums", "every byte"]
    files: int
    size_bytes: int
    problems: tuple[Problem, ...]

    @property
    def whole(self) -> bool:
        """Whether all is as it was signed."""
        return not self.problems

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "whole": self.whole}


def verify(repository: Repository, signed: SignedManifest, *, deep: bool, progress: Progress) -> Verification:
    """Compare a version with its verified manifest. Raises TransferError when the store cannot be asked."""
    manifest = signed.manifest
    sizes_signed = {file.path: file.size for file in manifest.files}
    problems = against_listing(sizes_signed, sizes(repository.transport, manifest.prefix))
    there = [file for file in manifest.files if file.path not in {problem.path for problem in problems}]
    progress.begin("verifying", sum(file.size for file in there))
    check = _deep if deep else _shallow
    with Crew() as crew:
        small: list[Callable[[], Problem | None]] = []
        large: list[Callable[[], Problem | None]] = []
        for file in sorted(there, key=lambda file: -file.size):
            task = partial(check, repository.transport, manifest.prefix, file, crew, progress)
            (large if deep and file.chunks else small).append(task)
        problems += [problem for problem in crew.run(small, large) if problem is not None]
    return Verification(
        name=manifest.model,
        version=manifest.version,
        signed_with=signed.key_id,
        depth="every byte" if deep else "stored checksums",
        files=len(manifest.files),
        size_bytes=manifest.size,
        problems=tuple(sorted(problems, key=lambda problem: (problem.path, problem.kind))),
    )


def sizes(transport: Transport, prefix: str) -> dict[str, int]:
    """What lies under a version's prefix, but for its own manifest and signature: size by path."""
    listed = {found.key.removeprefix(prefix): found.size for found in transport.list(prefix)}
    return {path: size for path, size in listed.items() if path not in (names.MANIFEST, names.SIGNATURE)}


def against_listing(signed: Mapping[str, int], stored: Mapping[str, int]) -> list[Problem]:
    """Files that are missing, added, or of another size."""
    problems = [Problem("missing", path, f"{path} is missing") for path in signed.keys() - stored.keys()]
    problems += [Problem("added", path, f"{path} is not in the manifest") for path in stored.keys() - signed.keys()]
    problems += [
        Problem("size", path, f"{path} has {stored[path]} bytes, {signed[path]} were signed")
        for path in signed.keys() & stored.keys()
        if stored[path] != signed[path]
    ]
    return sorted(problems, key=lambda problem: problem.path)


def _shallow(transport: Transport, prefix: str, file: File, crew: Crew, progress: Progress) -> Problem | None:
    crew.check()
    found = transport.head(prefix + file.path)
    progress.advance(file.size)
    if found is None:
        return Problem("missing", file.path, f"{file.path} is missing")
    if found.crc64nvme is None:
        return Problem("unknown", file.path, f"{file.path} has no CRC64NVME in the store: only --deep can tell")
    if found.crc64nvme != file.crc64nvme:
        text = f"{file.path} has CRC64NVME {found.crc64nvme}, {file.crc64nvme} was signed"
        return Problem("checksum", file.path, text)
    return None


def _deep(transport: Transport, prefix: str, file: File, crew: Crew, progress: Progress) -> Problem | None:
    whole, start = hashlib.sha256(), 0
    lengths = chunk_lengths(file.size, file.chunk_bytes)
    try:
        for content in chunks(transport, prefix + file.path, file, lengths, 0, crew):
            whole.update(content)
            start += len(content)
            progress.advance(len(content))
    except Altered:
        end = min(start + file.chunk_bytes, file.size)
        return Problem("altered", file.path, f"{file.path} was altered between bytes {start} and {end}")
    if whole.hexdigest() != file.sha256:
        text = f"{file.path} was altered: sha256 is {whole.hexdigest()}, {file.sha256} was signed"
        return Problem("altered", file.path, text)
    return None
