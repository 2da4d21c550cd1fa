"""The same against the embedded account, which checks no checksum: what it proves is the requests' form."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry.models import channels, checksums
from ferry.models.crew import Silent
from ferry.models.journal import Journal
from ferry.models.memory import Memory
from ferry.models.names import Reference
from ferry.models.promotion import promote
from ferry.models.pruning import prune
from ferry.models.pull import pull
from ferry.models.push import Pushed, Request, push
from ferry.models.repository import Repository
from ferry.models.s3 import S3Transport
from ferry.models.signature import FileSigner, TrustedKeys
from ferry.models.tree import scan
from ferry.models.verification import verify
from ferry.rehearsal.account import EmbeddedAccount

AT = datetime(2026, 11, 1, tzinfo=UTC)
FILES = {"config.json": b"{}", "empty.txt": b"", "model.bin": bytes(range(256)) * 45_000}


@pytest.fixture
def signer() -> FileSigner:
    return FileSigner(Ed25519PrivateKey.generate())


@pytest.fixture
def repository(account: EmbeddedAccount, signer: FileSigner) -> Repository:
    client = account.client("s3")
    client.create_bucket(Bucket="weights")
    client.put_bucket_versioning(Bucket="weights", VersioningConfiguration={"Status": "Enabled"})
    return Repository(S3Transport(client, "weights"), TrustedKeys([signer.public_key]))


@pytest.fixture
def pushed(
    repository: Repository, signer: FileSigner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Pushed]:
    monkeypatch.setattr(checksums, "SMALLEST_CHUNK_BYTES", 5 * 2**20)
    for path, content in FILES.items():
        (tmp_path / "source").mkdir(exist_ok=True)
        (tmp_path / "source" / path).write_bytes(content)

    def run(version: str) -> Pushed:
        tree = scan(tmp_path / "source")
        request = Request(name="r1", version=version, tree=tree, signer=signer, pushed_by="ann@site", at=AT)
        return push(repository, request, Journal(tmp_path / "journal"), Silent())

    return run


def test_a_version_lives_its_whole_life(
    repository: Repository, signer: FileSigner, pushed: Callable[[str], Pushed], tmp_path: Path
) -> None:
    assert [pushed("1").published, pushed("1").published, pushed("2").published] == [True, False, True]
    found = verify(repository, repository.manifest("r1", "1"), deep=True, progress=Silent())
    assert found.whole
    memory = Memory(tmp_path / "memory")
    for version in ("1", "2"):
        promote(repository, signer, "r1", version, "stable", memory, by="ann@site", at=AT)
    signed = channels.resolve(repository, Reference("r1", channel="stable"), memory)
    assert signed.manifest.version == "2"
    pull(repository, signed, tmp_path / "models", progress=Silent())
    assert {path: (tmp_path / "models" / path).read_bytes() for path in FILES} == FILES
    pushed("3")
    assert prune(repository, "r1", 1, dry_run=False).marked_objects == 0
    assert repository.version_names("r1") == ["1", "2", "3"]
