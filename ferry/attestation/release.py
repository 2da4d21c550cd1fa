"""A secret for a machine that has proven what it is: decrypted by KMS, encrypted for that machine alone.

KMS knows attestation of Nitro Enclaves and NitroTPM only, so its own conditions cannot ask for an SEV-SNP report:
https://docs.aws.amazon.com/kms/latest/developerguide/cryptographic-attestation.html. The broker stands in for them,
somewhere else than on the host that is doubted: it alone may `kms:Decrypt`, and does so after the report has held.

The guest's key is RSA, and the secret is encrypted with RSA-OAEP-256 (RFC 7518, 4.3; RFC 8017, 7.1), which openssl on
any node decrypts: no further format, and room for a key or a password.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from ferry.attestation import verification
from ferry.attestation.nonces import Nonces
from ferry.attestation.report import Tcb
from ferry.attestation.verification import Expected, Finding, Verification
from ferry.errors import AttestationError, InvalidField, UnreadableInput

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

RSA_BITS = 3072
"""The least: 128 bits of strength, NIST SP 800-57 part 1, table 2."""
OAEP_BYTES = 2 * SHA256.digest_size + 2
"""What OAEP needs of the modulus (RFC 8017, 7.1.1)."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a machine has sent, and what is asked of it."""

    report: bytes
    where: str
    """The report's name in what is said of it."""
    certificates: Sequence[x509.Certificate]
    public_key: RSAPublicKey
    nonce: bytes
    measurements: Sequence[bytes]
    minimum_tcb: Tcb
    roots: Sequence[str]


@dataclass(frozen=True)
class Vault:
    """Where the secret is: encrypted under one key in KMS."""

    client: KMSClient
    key: str
    ciphertext: bytes

    def open(self) -> bytes:
        """The secret. Raises AttestationError, which says what KMS said."""
        try:
            return self.client.decrypt(KeyId=self.key, CiphertextBlob=self.ciphertext)["Plaintext"]
        except (ClientError, BotoCoreError) as error:
            raise AttestationError(f"KMS key {self.key} did not decrypt: {error}; it needs kms:Decrypt") from error


@dataclass(frozen=True)
class Released:
    """What came of a request. `wrapped`: the secret, which only the guest's private key opens; None where refused."""

    verification: Verification
    wrapped: bytes | None


def load_public_key(path: Path) -> RSAPublicKey:
    """The guest's public key in PEM. Raises UnreadableInput, InvalidField for one that is too short or another kind."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise UnreadableInput(f"{path}: the public key cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UnreadableInput(f"{path}: is not a public key in PEM: {error}") from error
    if not isinstance(key, RSAPublicKey) or key.key_size < RSA_BITS:
        bits = f" of {key.key_size} bits" if isinstance(key, RSAPublicKey) else ""
        raise InvalidField(f"{path}: holds {type(key).__name__}{bits}, allowed is RSA of {RSA_BITS} bits or more")
    return key


def encoded(key: RSAPublicKey) -> bytes:
    """DER of its SubjectPublicKeyInfo, which report_data binds: `openssl pkey -pubin -outform DER`."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def release(request: Request, nonces: Nonces, vault: Vault, *, now: datetime, max_age: timedelta) -> Released:
    """Use the nonce up, verify, and only then decrypt and wrap.

    Raises InvalidField for a nonce of another length, AttestationError where KMS refuses or the secret is too long.
    """
    expected = Expected(
        measurements=request.measurements,
        report_data=verification.answer(request.nonce, encoded(request.public_key)),
        minimum_tcb=request.minimum_tcb,
        roots=request.roots,
    )
    refused = nonces.take(request.nonce, now, max_age)
    asked = verification.verify(request.report, request.where, request.certificates, expected, now)
    fresh = Finding("freshness", refused is None, f"the nonce {refused or 'is new'}", "issued here, new, used once")
    found = Verification(findings=[fresh, *asked.findings], report=asked.report, chain=asked.chain)
    return Released(found, wrap(vault.open(), request.public_key) if found.accepted else None)


def wrap(secret: bytes, key: RSAPublicKey) -> bytes:
    """RSA-OAEP with SHA-256 and MGF1 of it, no label. Raises AttestationError for a secret that does not fit."""
    if len(secret) > (room := key.key_size // 8 - OAEP_BYTES):
        raise AttestationError(
            f"the secret has {len(secret)} bytes, a key of {key.key_size} bits takes {room}: release a key and encrypt "
            "the rest with it"
        )
    return key.encrypt(secret, OAEP(mgf=MGF1(SHA256()), algorithm=SHA256(), label=None))
