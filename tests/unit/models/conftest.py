"""A repository in memory, a key, and folders of files. Chunks are small here, so that a small file has several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry.models import checksums
from ferry.models.crew import Silent
from ferry.models.journal import Journal
from ferry.models.memory import Memory
from ferry.models.push import Pushed, Request, push
from ferry.models.repository import Repository
from ferry.models.signature import FileSigner, TrustedKeys
from ferry.models.transport import Transport
from ferry.models.tree import scan
from tests.unit.models.bucket import Bucket

CHUNK = 1000
AT = datetime(2026, 11, 1, tzinfo=UTC)
FILES = {
    "config.json": b"{}",
    "empty.txt": b"",
    "model-00001-of-00002.safetensors": b"a" * 2500,
    "model-00002-of-00002.safetensors": bytes(range(250)) * 10,
    "tokenizer/vocab.txt": b"hello\n",
}


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "SMALLEST_CHUNK_BYTES", CHUNK)


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture(scope="session")
def signer() -> FileSigner:
    return FileSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))


@pytest.fixture(scope="session")
def stranger() -> FileSigner:
    return FileSigner(Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\1"))


@pytest.fixture
def repository(bucket: Bucket, signer: FileSigner) -> Repository:
    transport: Transport = bucket
    return Repository(transport, TrustedKeys([signer.public_key]))


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path / "state" / "channels")


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "source", files: Mapping[str, bytes] = FILES) -> Path:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        for path, content in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        return root

    return make


@pytest.fixture
def pushed(
    repository: Repository, signer: FileSigner, tmp_path: Path, folder: Callable[..., Path]
) -> Callable[..., Pushed]:
    """Push files, or a folder, as a version. Each time with an empty journal unless one is given."""

    def run(version: str = "1", files: Mapping[str, bytes] | Path = FILES, **more: Any) -> Pushed:
        source = files if isinstance(files, Path) else folder(f"source-{version}", files)
        journal = more.pop("journal", None) or Journal(tmp_path / f"none-{version}" / "journal.jsonl", lambda: 0)
        request = Request(
            name="r1",
            version=version,
            tree=more.pop("tree", None) or scan(source),
            signer=more.pop("signer", signer),
            pushed_by="ann@site",
            at=more.pop("at", AT),
            **more,
        )
        return push(repository, request, journal, Silent())

    return run
