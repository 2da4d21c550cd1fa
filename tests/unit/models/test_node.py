"""A node's own program reads what push writes: the manifest has one format."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from ferry.models.push import Pushed
from ferry.models.repository import Repository
from ferry.models.signature import PublicKey, Signer, TrustedKeys
from templates.hybrid.cloud.bundle import pull_model
from templates.hybrid.cloud.bundle.pull_model import Refused, Source
from tests.unit.models.bucket import Bucket
from tests.unit.models.conftest import FILES


class P256Signer:
    """As a KMS key signs."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def public_key(self) -> PublicKey:
        return self._key.public_key()

    def sign(self, content: bytes) -> bytes:
        return self._key.sign(content, ec.ECDSA(SHA256()))


@pytest.fixture(params=["Ed25519 file", "P-256 as of KMS"])
def signer(request: pytest.FixtureRequest, signer: Signer) -> Signer:
    return signer if request.param == "Ed25519 file" else P256Signer()


@pytest.fixture
def repository(bucket: Bucket, signer: Signer) -> Repository:
    return Repository(bucket, TrustedKeys([signer.public_key]))


@pytest.fixture
def source(bucket: Bucket, signer: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    if not subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout.startswith("OpenSSL 3"):
        pytest.skip("a node has OpenSSL 3")

    def aws(*arguments: str) -> str:
        if arguments[0] == "s3api":
            return json.dumps([[key, len(content)] for key, content in bucket.objects.items()])
        *_, key, target = arguments
        Path(target).write_bytes(bucket.objects[key.removeprefix("s3://weights/")])
        return ""

    monkeypatch.setattr(pull_model, "aws", aws)
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "key.pem").write_bytes(signer.public_key.public_bytes(encoding, form))
    return Source("weights", "r1", "1", tmp_path / "key.pem")


@pytest.mark.tool("openssl")
def test_a_node_pulls_what_was_pushed(pushed: Callable[..., Pushed], source: Source, tmp_path: Path) -> None:
    pushed()
    folder = pull_model.pull(source, tmp_path / "node")
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES


@pytest.mark.tool("openssl")
def test_a_node_refuses_a_manifest_that_was_altered(
    pushed: Callable[..., Pushed], source: Source, bucket: Bucket, tmp_path: Path
) -> None:
    pushed()
    key = "models/r1/1/manifest.json"
    bucket.write(key, bucket.objects[key].replace(b"ann@site", b"bob@site"))
    with pytest.raises(Refused, match=r"the signature of manifest.json does not fit the node's verification key"):
        pull_model.pull(source, tmp_path / "node")
