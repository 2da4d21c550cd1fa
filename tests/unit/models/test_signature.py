from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from ferry.errors import InvalidField, UnreadableInput, Untrusted
from ferry.models.signature import FileSigner, KmsSigner, PublicKey, Signer, TrustedKeys, key_id, load_public_key
from ferry.signing_key import save_signing_key

CONTENT = b'{"files":[]}\n' * 1000


def pem(key: PublicKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


class Kms:
    """GetPublicKey and Sign as KMS documents them. moto 5.2.5 hashes a digest once more, so it cannot stand in here."""

    def __init__(self, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, spec: str = "ECC_NIST_P256") -> None:
        self.key, self.spec = key, spec
        self.sent: list[dict[str, Any]] = []

    def get_public_key(self, *, KeyId: str) -> dict[str, Any]:  # noqa: N803
        if KeyId != "alias/models":
            raise ClientError({"Error": {"Code": "NotFoundException", "Message": KeyId}}, "GetPublicKey")
        encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        return {"PublicKey": self.key.public_key().public_bytes(encoding, form), "KeySpec": self.spec}

    def sign(self, **request: Any) -> dict[str, Any]:
        self.sent.append(request)
        if request["KeyId"] != "alias/models":
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "Sign")
        assert isinstance(self.key, ec.EllipticCurvePrivateKey)
        return {"Signature": self.key.sign(request["Message"], ec.ECDSA(Prehashed(SHA256())))}


@pytest.fixture(scope="module")
def kms() -> Kms:
    return Kms(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(params=["file", "kms"])
def any_signer(request: pytest.FixtureRequest, tmp_path: Path, kms: Any) -> Signer:
    if request.param == "file":
        save_signing_key(tmp_path / "key.pem", Ed25519PrivateKey.generate())
        return FileSigner.load(tmp_path / "key.pem")
    return KmsSigner.load(kms, "alias/models")


def test_what_a_trusted_key_signed_is_believed(any_signer: Signer, stranger: FileSigner) -> None:
    signature = any_signer.sign(CONTENT)
    trusted = TrustedKeys([stranger.public_key, any_signer.public_key])
    assert trusted.verify(CONTENT, signature, "M") == key_id(any_signer.public_key)


def test_other_bytes_another_signature_and_another_key_are_not(any_signer: Signer, stranger: FileSigner) -> None:
    signature = any_signer.sign(CONTENT)
    trusted = TrustedKeys([any_signer.public_key])
    for content, given in (
        (CONTENT + b" ", signature),
        (CONTENT, signature[:-1]),
        (CONTENT, b""),
        (CONTENT, b"x" * 64),
    ):
        with pytest.raises(Untrusted, match=r"^M: its signature fits none of the trusted keys \([0-9a-f]{16}\)"):
            trusted.verify(content, given, "M")
    with pytest.raises(
        Untrusted, match=rf"^M: says that key {key_id(any_signer.public_key)[:16]} signed it, trusted is"
    ):
        TrustedKeys([stranger.public_key]).verify(CONTENT, signature, "M", claimed=key_id(any_signer.public_key))


@pytest.mark.tool("openssl")
def test_a_node_verifies_both_kinds_with_one_openssl_command(any_signer: Signer, tmp_path: Path) -> None:
    (tmp_path / "content").write_bytes(CONTENT)
    (tmp_path / "content.sig").write_bytes(any_signer.sign(CONTENT))
    (tmp_path / "public.pem").write_bytes(pem(any_signer.public_key))
    command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "public.pem", "-in", "content"]
    assert subprocess.run([*command, "-sigfile", "content.sig"], cwd=tmp_path, capture_output=True).returncode == 0
    (tmp_path / "content").write_bytes(CONTENT + b" ")
    assert subprocess.run([*command, "-sigfile", "content.sig"], cwd=tmp_path, capture_output=True).returncode == 1


@pytest.mark.parametrize(
    ("key", "spec"),
    [
        (ec.generate_private_key(ec.SECP384R1()), "ECC_NIST_P384"),
        (rsa.generate_private_key(65537, 2048), "RSA_2048"),
    ],
)
def test_a_kms_key_that_nodes_cannot_verify_is_refused(key: Any, spec: str) -> None:
    client: Any = Kms(key, spec)
    with pytest.raises(InvalidField, match=rf"^KMS key alias/models is {spec}; nodes verify ECC_NIST_P256: make one"):
        KmsSigner.load(client, "alias/models")


def test_a_kms_key_that_may_not_be_used_says_what_it_needs(kms: Any) -> None:
    signer = KmsSigner.load(kms, "alias/models")
    with pytest.raises(Untrusted, match=r"^KMS key alias/other did not sign: .*; it needs kms:Sign"):
        KmsSigner(kms, "alias/other", signer.public_key).sign(CONTENT)
    with pytest.raises(InvalidField, match=r"it needs kms:GetPublicKey and kms:Sign"):
        KmsSigner.load(kms, "alias/missing")


def test_kms_gets_the_digest_and_never_the_manifest(kms: Any) -> None:
    kms.sent.clear()
    KmsSigner.load(kms, "alias/models").sign(CONTENT)
    assert kms.sent == [
        {
            "KeyId": "alias/models",
            "Message": hashlib.sha256(CONTENT).digest(),
            "MessageType": "DIGEST",
            "SigningAlgorithm": "ECDSA_SHA_256",
        }
    ]


def test_only_keys_that_can_be_verified_are_trusted(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(pem(ec.generate_private_key(ec.SECP384R1()).public_key()))
    with pytest.raises(InvalidField, match=r"a model is signed with Ed25519 or ECDSA P-256"):
        load_public_key(path)
    path.write_bytes(b"no key")
    with pytest.raises(UnreadableInput, match=r"is not a public key in PEM"):
        load_public_key(path)
    with pytest.raises(InvalidField, match=r"no key is trusted, so nothing can be verified"):
        TrustedKeys.load([])


def test_a_key_has_one_id(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    path = tmp_path / "key.pem"
    path.write_bytes(pem(key))
    # openssl pkey -pubin -in key.pem -outform DER | sha256sum
    assert (
        key_id(load_public_key(path))
        == key_id(key)
        == "339e2ff917630507b6a423b5ce084e285d1fa65d93b3e27a6195d3bbebc9ae23"
    )
