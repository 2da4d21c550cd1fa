"""A node's own program against `ferry models pull`: one format, and the same refusals, since both are the same pull."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from ferry.errors import FerryError
from ferry.models.crew import Silent
from ferry.models.manifest import canonical
from ferry.models.pull import pull
from ferry.models.push import Pushed
from ferry.models.repository import Repository
from ferry.models.signature import FileSigner, PublicKey, Signer, TrustedKeys
from templates.hybrid.cloud.bundle import pull_model
from templates.hybrid.cloud.bundle.pull_model import Refused, Source
from tests.unit.models.bucket import Bucket
from tests.unit.models.conftest import FILES

PREFIX = "models/r1/1/"
MANIFEST, SIGNATURE = f"{PREFIX}manifest.json", f"{PREFIX}manifest.json.sig"

Pull = Callable[[Path], None]
"""Pull r1@1 into a folder. Raises FerryError or Refused."""

pytestmark = pytest.mark.tool("openssl")


class P256Signer:
    """As a KMS key signs."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def public_key(self) -> PublicKey:
        return self._key.public_key()

    def sign(self, content: bytes) -> bytes:
        return self._key.sign(content, ec.ECDSA(SHA256()))


@pytest.fixture(scope="module")
def of_kms() -> P256Signer:
    return P256Signer()


@pytest.fixture(params=["Ed25519 file", "P-256 as of KMS"])
def signs(request: pytest.FixtureRequest, signer: FileSigner, of_kms: P256Signer) -> Signer:
    """Both keys are trusted; this one signs."""
    return signer if request.param == "Ed25519 file" else of_kms


@pytest.fixture
def repository(bucket: Bucket, signer: FileSigner, of_kms: P256Signer) -> Repository:
    return Repository(bucket, TrustedKeys([signer.public_key, of_kms.public_key]))


@pytest.fixture
def by_ferry(repository: Repository) -> Pull:
    def run(folder: Path) -> None:
        pull(repository, repository.manifest("r1", "1"), folder, progress=Silent())

    return run


@pytest.fixture
def by_node(bucket: Bucket, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pull:
    if not subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout.startswith("OpenSSL 3"):
        pytest.skip("a node has OpenSSL 3")

    def aws(*arguments: str) -> str:
        if arguments[0] == "s3api":
            prefix = arguments[arguments.index("--prefix") + 1]
            return json.dumps([[key, len(bucket.objects[key])] for key in bucket.objects if key.startswith(prefix)])
        *_, source, target = arguments
        key = source.removeprefix("s3://weights/")
        if key not in bucket.objects:
            raise Refused(f'aws: fatal error: An error occurred (404): Key "{key}" does not exist')
        Path(target).write_bytes(bucket.objects[key])
        return ""

    monkeypatch.setattr(pull_model, "aws", aws)
    files = []
    for number, key in enumerate(repository.trusted.by_id.values()):
        files.append(tmp_path / f"{number}.pem")
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        files[-1].write_bytes(key.public_bytes(encoding, form))

    def run(folder: Path) -> None:
        root = folder.parent / "root"
        try:
            pull_model.pull(Source("weights", "r1", "1", tuple(files)), root)
        finally:
            if (root / "r1" / "1").exists():
                (root / "r1" / "1").rename(folder)

    return run


@pytest.fixture(params=["ferry models pull", "a node"])
def pulls(request: pytest.FixtureRequest, by_ferry: Pull, by_node: Pull) -> Pull:
    return by_ferry if request.param == "ferry models pull" else by_node


def test_what_was_pushed_is_pulled(pushed: Callable[..., Pushed], signs: Signer, pulls: Pull, tmp_path: Path) -> None:
    pushed(signer=signs)
    pulls(tmp_path / "r1")
    assert {path: (tmp_path / "r1" / path).read_bytes() for path in FILES} == FILES


def flipped(path: str) -> Callable[[Bucket, Signer], None]:
    def attack(bucket: Bucket, _: Signer) -> None:
        content = bytearray(bucket.objects[PREFIX + path])
        content[-1] ^= 1
        bucket.write(PREFIX + path, bytes(content))

    return attack


def another_versions_manifest(bucket: Bucket, _: Signer) -> None:
    for name in (MANIFEST, SIGNATURE):
        bucket.write(name, bucket.objects[name.replace("/1/", "/0/")])


def signed_path(path: str) -> Callable[[Bucket, Signer], None]:
    def attack(bucket: Bucket, signs: Signer) -> None:
        document = json.loads(bucket.objects[MANIFEST])
        document["files"][0]["path"] = path
        bucket.write(MANIFEST, canonical(document))
        bucket.write(SIGNATURE, signs.sign(canonical(document)))

    return attack


ATTACKS: dict[str, tuple[Callable[[Bucket, Signer], None], str, str]] = {
    "one flipped byte": (flipped("tokenizer/vocab.txt"), "tokenizer/vocab.txt", "altered"),
    "one flipped byte of a large file": (
        flipped("model-00002-of-00002.safetensors"),
        "model-00002-of-00002.safetensors",
        "altered",
    ),
    "a file that was cut": (
        lambda bucket, _: bucket.write(f"{PREFIX}config.json", b"{"),
        "config.json",
        "has 1 bytes",
    ),
    "a file too few": (lambda bucket, _: bucket.remove(f"{PREFIX}config.json"), "config.json", "missing"),
    "a file too many": (lambda bucket, _: bucket.write(f"{PREFIX}x/y.py", b""), "x/y.py", "not in "),
    "an altered manifest": (
        lambda bucket, _: bucket.write(MANIFEST, bucket.objects[MANIFEST].replace(b"ann@", b"bob@")),
        "manifest.json",
        "signature",
    ),
    "a manifest without a signature": (lambda bucket, _: bucket.remove(SIGNATURE), "manifest.json.sig", ""),
    "a manifest that another key signed": (
        lambda bucket, _: bucket.write(SIGNATURE, P256Signer().sign(bucket.objects[MANIFEST])),
        "manifest.json",
        "signature",
    ),
    "the manifest of another version": (another_versions_manifest, "manifest.json", "not for "),
    "a signed path that leaves the folder": (signed_path("../x"), "../x", "manifest.json"),
}
"""What is done to the bucket, the file that a refusal names, and a word of its reason."""


@pytest.mark.parametrize(("attack", "named", "reason"), ATTACKS.values(), ids=ATTACKS)
def test_both_pulls_refuse_the_same_and_name_the_same_file(
    pushed: Callable[..., Pushed],
    signs: Signer,
    bucket: Bucket,
    pulls: Pull,
    tmp_path: Path,
    attack: Callable[[Bucket, Signer], None],
    named: str,
    reason: str,
) -> None:
    pushed("0", {"config.json": b"{}"}, signer=signs)
    pushed("1", signer=signs)
    attack(bucket, signs)
    with pytest.raises((FerryError, Refused)) as refusal:
        pulls(tmp_path / "r1")
    assert named in str(refusal.value)
    assert reason in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "r1").exists()
