"""Detached signatures: who may vouch for a model, and how a node checks it without asking anybody.

| key                                | signature                                   | verified on a node by          |
|------------------------------------|---------------------------------------------|--------------------------------|
| Ed25519, a file of the operator's  | 64 bytes over the content itself (RFC 8032) | openssl pkeyutl -verify -rawin |
| KMS, ECC_NIST_P256, ECDSA_SHA_256  | DER, over the SHA-256 of the content        | the same command               |

An Ed25519 key in KMS is refused: its pure form takes at most 4096 bytes, less than the manifest of a large model, and
its pre-hashed form (ED25519_PH_SHA_512) is one that OpenSSL 3.0 cannot verify.
https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html
A node needs the public key in PEM and nothing else: no network, no certificate chain, no clock. Revoking a key is
therefore taking it off the nodes: a new launch template.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from ferry.errors import InvalidField, UnreadableInput, Untrusted
from ferry.signing_key import load_signing_key

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

PublicKey = Ed25519PublicKey | EllipticCurvePublicKey


class Signer(Protocol):
    """Something that signs. `public_key` is what verifies it."""

    @property
    def public_key(self) -> PublicKey:
        """The public half."""

    def sign(self, content: bytes) -> bytes:
        """The detached signature of some bytes."""


@dataclass(frozen=True)
class FileSigner:
    """Signs with an Ed25519 key that lies in a file."""

    key: Ed25519PrivateKey

    @staticmethod
    def load(path: Path) -> FileSigner:
        """Read the key. Raises UnreadableInput, or InputError where others may read it."""
        return FileSigner(load_signing_key(path))

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self.key.public_key()

    def sign(self, content: bytes) -> bytes:
        """64 bytes over the content itself."""
        return self.key.sign(content)


@dataclass(frozen=True)
class KmsSigner:
    """Signs with an asymmetric key in KMS. The private key never leaves it; who may use it is kms:Sign."""

    client: KMSClient
    key: str
    public_key: PublicKey

    @staticmethod
    def load(client: KMSClient, key: str) -> KmsSigner:
        """Ask KMS for the public half (kms:GetPublicKey). Raises InvalidField for a key that cannot serve."""
        try:
            answer = client.get_public_key(KeyId=key)
        except (ClientError, BotoCoreError) as error:
            raise InvalidField(f"KMS key {key}: {error}; it needs kms:GetPublicKey and kms:Sign") from error
        try:
            public = serialization.load_der_public_key(answer["PublicKey"])
        except ValueError:
            public = None  # SM2, of the China regions
        if not isinstance(public, EllipticCurvePublicKey) or not isinstance(public.curve, SECP256R1):
            raise InvalidField(
                f"KMS key {key} is {answer.get('KeySpec', type(public).__name__)}; nodes verify ECC_NIST_P256: "
                "make one with `aws kms create-key --key-spec ECC_NIST_P256 --key-usage SIGN_VERIFY`"
            )
        return KmsSigner(client, key, public)

    def sign(self, content: bytes) -> bytes:
        """ECDSA over the SHA-256 of the content, which is all that leaves for KMS."""
        try:
            answer = self.client.sign(
                KeyId=self.key,
                Message=hashlib.sha256(content).digest(),
                MessageType="DIGEST",
                SigningAlgorithm="ECDSA_SHA_256",
            )
        except (ClientError, BotoCoreError) as error:
            raise Untrusted(f"KMS key {self.key} did not sign: {error}; it needs kms:Sign") from error
        return answer["Signature"]


class TrustedKeys:
    """The public keys that are believed, by key id."""

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        self.by_id: Mapping[str, PublicKey] = {key_id(key): key for key in keys}
        if not self.by_id:
            raise InvalidField("no key is trusted, so nothing can be verified; name a public key with --key FILE")

    @staticmethod
    def load(paths: Iterable[Path]) -> TrustedKeys:
        """Read public keys in PEM. Raises UnreadableInput or InvalidField."""
        return TrustedKeys(load_public_key(path) for path in paths)

    def verify(self, content: bytes, signature: bytes, where: str, *, claimed: str | None = None) -> str:
        """Return the id of the key that signed these bytes. Raises Untrusted.

        `claimed` is the key id that the content itself names; it only makes the refusal clearer.
        """
        for identifier, key in self.by_id.items():
            if _fits(key, content, signature):
                return identifier
        trusted = ", ".join(short(identifier) for identifier in self.by_id)
        if claimed is not None and claimed not in self.by_id:
            raise Untrusted(
                f"{where}: says that key {short(claimed)} signed it, trusted is {trusted}; "
                "sign it with a trusted key, or name that key with --key if you mean to trust it"
            )
        raise Untrusted(
            f"{where}: its signature fits none of the trusted keys ({trusted}): it was altered, or signed by another; "
            "push the version again under a new name"
        )


def _fits(key: PublicKey, content: bytes, signature: bytes) -> bool:
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, content)
        else:
            key.verify(signature, content, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def load_public_key(path: Path) -> PublicKey:
    """Read a public key in PEM: Ed25519 or P-256. Raises UnreadableInput or InvalidField."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UnreadableInput(f"{path}: is not a public key in PEM: {error}") from error
    if isinstance(key, Ed25519PublicKey) or (
        isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    ):
        return key
    raise InvalidField(f"{path}: holds {type(key).__name__}; a model is signed with Ed25519 or ECDSA P-256")


def key_id(key: PublicKey) -> str:
    """What names a public key: sha256, in hex, of its SubjectPublicKeyInfo in DER."""
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()


def short(identifier: str) -> str:
    """A key id or a digest as people compare it."""
    return identifier[:16]
