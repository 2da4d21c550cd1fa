"""manifest.json: what a version is made of, byte for byte. Its signature vouches for the whole version.

The node's own program (templates/hybrid/cloud/bundle/pull_model.py) reads the same file with Python's standard library
alone: schema, model, version, and of each file path, size and sha256. What is here beyond that is for Ferry.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, ValidationError, model_validator

from ferry.artefacts.artefact import first_problem
from ferry.artefacts.figures import Frozen
from ferry.errors import UnknownSchema, UnreadableInput
from ferry.models import checksums, names
from ferry.models.checksums import Digests

SCHEMA: Final = "ferry/model-manifest/v1"

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Crc64 = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{11}=$")]


class File(Frozen):
    """One file. Its chunks are `chunk_bytes` long but for the last; a file of one chunk or none lists no chunks."""

    path: str
    size: int = Field(ge=0, strict=True)
    sha256: Sha256
    crc64nvme: Crc64
    chunk_bytes: int = Field(gt=0, strict=True)
    chunks: tuple[Crc64, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problem := names.path_problem(self.path):
            raise ValueError(f"path {self.path!r} {problem}")
        lengths = checksums.chunk_lengths(self.size, self.chunk_bytes)
        if len(self.chunks) != (len(lengths) if len(lengths) > 1 else 0):
            raise ValueError(f"{self.path}: {self.size} bytes in chunks of {self.chunk_bytes}, not {len(self.chunks)}")
        if self.chunks and checksums.combined(self.chunks, lengths) != self.crc64nvme:
            raise ValueError(f"{self.path}: the checksums of its chunks do not make {self.crc64nvme}")
        return self

    @property
    def digests(self) -> Digests:
        """What identifies the content."""
        return Digests(self.size, self.sha256, self.crc64nvme, self.chunks)

    @cached_property
    def chunk_checksums(self) -> tuple[str, ...]:
        """CRC64NVME of each chunk, also of a file that has only one."""
        return self.chunks or ((self.crc64nvme,) if self.size else ())

    @staticmethod
    def of(path: str, digests: Digests) -> File:
        """A file with the chunk size that `checksums` gives its size."""
        return File(
            path=path,
            size=digests.size,
            sha256=digests.sha256,
            crc64nvme=digests.crc64nvme,
            chunk_bytes=checksums.chunk_bytes_of(digests.size),
            chunks=digests.chunks,
        )


class Manifest(Frozen):
    """A version of a model. `files` are in the order of their paths."""

    schema_: Literal["ferry/model-manifest/v1"] = Field(default=SCHEMA, alias="schema")
    model: str
    version: str
    files: tuple[File, ...] = Field(min_length=1)
    facts: dict[str, JsonValue] | None = Field(
        default=None, description="what `ferry assess` reads of the model folder, as it was; not interpreted here"
    )
    pushed_by: str = Field(description="USER@HOST as the pushing machine says; CloudTrail has the proven identity")
    created_at: datetime
    signed_with: Sha256 = Field(description="key id: sha256 of the public key's SubjectPublicKeyInfo in DER")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names.check_model(self.model)
        names.check_name(self.version, "version")
        for file in self.files:
            if problem := names.key_problem(self.model, self.version, file.path):
                raise ValueError(f"path {file.path!r} {problem}")
        paths = [file.path for file in self.files]
        if paths != sorted(paths):
            raise ValueError("files are not in the order of their paths")
        if both := names.collision(paths):
            raise ValueError(f"paths {both[0]!r} and {both[1]!r} cannot both exist in one folder")
        return self

    @cached_property
    def by_path(self) -> dict[str, File]:
        """The files by path."""
        return {file.path: file for file in self.files}

    @property
    def prefix(self) -> str:
        """Start of the keys of all its objects."""
        return names.version_prefix(self.model, self.version)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def canonical(self) -> bytes:
        """The bytes that are signed and stored: sorted keys, no spaces, UTF-8, a line feed at the end."""
        return canonical(self.model_dump(mode="json", by_alias=True))


def canonical(document: dict[str, Any]) -> bytes:
    """JSON in one form only. Equal documents give equal bytes."""
    return (json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


def parse(content: bytes, where: str) -> Manifest:
    """Read a manifest whose signature was checked before. Raises UnreadableInput or UnknownSchema."""
    try:
        document = json.loads(content)
    except ValueError as error:
        raise UnreadableInput(f"{where}: is not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        given = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise UnknownSchema(f"{where}: schema is {given!r}, this Ferry reads {SCHEMA!r}; use the Ferry that wrote it")
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        raise UnreadableInput(f"{where}: {first_problem(error)}") from error


def in_order(files: Iterable[File]) -> tuple[File, ...]:
    """The files as a manifest lists them."""
    return tuple(sorted(files, key=lambda file: file.path))
