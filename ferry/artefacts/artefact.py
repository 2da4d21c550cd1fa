"""What all artefacts share: how they are written, read, and trusted."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import (
    ConfigDict,
    Field,
    ValidationError,
)

from ferry import __version__
from ferry.artefacts.figures import Frozen
from ferry.errors import StaleArtefact, TamperedArtefact, UnknownSchema, UnreadableInput, UnwritableOutput

A = TypeVar("A", bound="Artefact")


class Upstream(Frozen):
    """A file that an artefact was made from. `path` is relative to the artefact's folder where that is possible."""

    path: str
    sha256: str


class Artefact(Frozen):
    """What all artefacts share. `digest` is the sha256 over the canonical JSON of everything but itself."""

    SCHEMA: ClassVar[str]

    schema_: str = Field(alias="schema")
    ferry: str = __version__
    made_at: datetime
    made_from: list[Upstream] = []
    digest: str = ""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def dump(self) -> dict[str, Any]:
        """Everything as JSON types, with the digest filled in."""
        document = self.model_dump(mode="json", by_alias=True)
        document["digest"] = digest_of(document)
        return document

    def write(self, path: Path) -> None:
        """Write as YAML, whole or not at all (a temporary file beside it, then rename)."""
        write_whole(path, yaml.safe_dump(self.dump(), sort_keys=False, allow_unicode=True, width=120))


def digest_of(document: dict[str, Any]) -> str:
    """sha256 over the canonical JSON of an artefact without its own digest."""
    content = {key: value for key, value in document.items() if key != "digest"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def write_whole(path: Path, content: str | bytes, *, durable: bool = False) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part. Makes missing folders.

    `durable`: so does who reads it after the power failed, and on return it is the new one.
    Raises UnwritableOutput, also where something else stands in its place: a folder, or a device, which must not be
    replaced.
    """
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a device or a pipe"
        raise UnwritableOutput(f"{path}: is {kind}; name a file to write")
    try:
        replace(path, content, durable=durable)
    except OSError as error:
        raise UnwritableOutput(f"{path}: cannot be written: {error.strerror}; name another place for it") from error


def replace(path: Path, content: str | bytes, *, durable: bool) -> None:
    """As `write_whole`, for who has words of its own for the OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if durable:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def sha256_of(path: Path) -> str:
    """Sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def upstream(path: Path, artefact_folder: Path) -> Upstream:
    """Name a file that an artefact in `artefact_folder` is made from."""
    return Upstream(path=os.path.relpath(path.resolve(), artefact_folder.resolve()), sha256=sha256_of(path))


def now() -> datetime:
    """The time of making, in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def read(kind: type[A], path: Path, *, force: bool = False) -> A:
    """Read an artefact and check its schema, its digest, and the files it was made from.

    `force` accepts an edited artefact and changed upstream files, never an unknown schema. An upstream file that is
    not there any more cannot be checked and is passed over: an artefact may travel alone.
    Raises UnreadableInput, UnknownSchema, TamperedArtefact or StaleArtefact.
    """
    document = read_yaml(path)
    if document.get("schema") != kind.SCHEMA:
        raise UnknownSchema(f"{path}: schema is {document.get('schema')!r}, this Ferry reads {kind.SCHEMA!r}")
    if not force and document.get("digest") != digest_of(document):
        raise TamperedArtefact(
            f"{path}: changed after Ferry wrote it; make it again, or accept the change with --force"
        )
    try:
        artefact = kind.model_validate(document)
    except ValidationError as error:
        raise UnreadableInput(f"{path}: {first_problem(error)}") from error
    for source in artefact.made_from:
        found = path.parent / source.path
        if not force and found.is_file() and sha256_of(found) != source.sha256:
            raise StaleArtefact(f"{path}: {found} has changed since; make it again, or go on with --force")
    return artefact


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file whose top is a mapping. Raises UnreadableInput."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UnreadableInput(f"{path}: is not text in UTF-8: {error.reason} at byte {error.start}") from error
    except OSError as error:
        named = "; name the file in it" if path.is_dir() else ""
        raise UnreadableInput(f"{path}: cannot be read: {error.strerror}{named}") from error
    except yaml.YAMLError as error:
        raise UnreadableInput(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    except (ValueError, RecursionError) as error:
        # PyYAML lets these through: 2024-13-45 looks like a date, and ten thousand brackets are too many.
        raise UnreadableInput(f"{path}: is not YAML: nested too deeply, or a value out of range") from error
    if not isinstance(document, dict):
        raise UnreadableInput(f"{path}: expected keys and values at the top, found {type(document).__name__}")
    return document


def first_problem(error: ValidationError) -> str:
    """The first thing that pydantic refuses, on one line: where, what, and the value given."""
    problem = error.errors()[0]
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    given = "" if problem["type"] == "missing" else f", given {problem['input']!r}"
    return f"{'.'.join(str(step) for step in problem['loc'])}: {message}{given[:120]}"
