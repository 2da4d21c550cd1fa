"""The keys that sign tokens: in a file that only its owner can read, or in KMS, which never gives them away.

| algorithm | checked by                          | in a file        | KMS key spec    | KMS signing algorithm     |
|-----------|-------------------------------------|------------------|-----------------|---------------------------|
| ES256     | the gateway                         | P-256, PEM       | ECC_NIST_P256   | ECDSA_SHA_256             |
| RS256     | the gateway and AWS's load balancer | RSA of 2048, PEM | RSA_2048 … 4096 | RSASSA_PKCS1_V1_5_SHA_256 |

Both are joserfc keys. Of one in KMS only the signature is made elsewhere: KMS gives what `cryptography` gives, DER for
ECDSA, and joserfc makes r‖s of it (RFC 7518, 3.4). It gets the message itself: a token is below KMS's 4096 bytes.
https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from joserfc.jwk import ECKey, RSAKey

from ferry.errors import InputError, InvalidField, TokenError, UnreadableInput

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_kms.literals import SigningAlgorithmSpecType

    from ferry.traffic.tokens.settings import Algorithm

SigningKey = ECKey | RSAKey
RSA_BITS = 2048
_KMS_ALGORITHMS: dict[Algorithm, SigningAlgorithmSpecType] = {
    "ES256": "ECDSA_SHA_256",
    "RS256": "RSASSA_PKCS1_V1_5_SHA_256",
}
_KMS_SPECS: dict[Algorithm, str] = {"ES256": "ECC_NIST_P256", "RS256": "RSA_2048"}


def generate(algorithm: Algorithm) -> SigningKey:
    """A new private key, in memory only."""
    return ECKey.generate_key("P-256") if algorithm == "ES256" else RSAKey.generate_key(RSA_BITS)


def save(path: Path, key: SigningKey) -> None:
    """Write a new private key that only its owner can read, and flush it to the disk. Raises TokenError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key.as_pem(private=True))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise TokenError(f"{path}: the new signing key cannot be written: {error.strerror}") from error


def load(path: Path, algorithm: Algorithm) -> SigningKey:
    """Read a private key. Raises UnreadableInput, and InputError for a key that others can read or change."""
    try:
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise InputError(f"{path}: the signing key has mode {mode:04o}, others may use it; run chmod 600 {path}")
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise UnreadableInput(f"{path}: the signing key cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        # What the parser says may quote the file.
        raise UnreadableInput(f"{path}: is not a private key in PEM without a passphrase") from error
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1) and algorithm == "ES256":
        return ECKey.import_key(key)
    if isinstance(key, RSAPrivateKey) and algorithm == "RS256":
        return RSAKey.import_key(key)
    raise UnreadableInput(f"{path}: holds {type(key).__name__}, which does not sign {algorithm}")


@dataclass(frozen=True)
class _KmsOperation:
    """The one thing that a key in KMS does, with the name that `cryptography` gives it."""

    client: KMSClient
    key: str
    algorithm: Algorithm

    def sign(self, message: bytes, *_: Any) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self.client.sign(
                KeyId=self.key,
                Message=message,
                MessageType="RAW",
                SigningAlgorithm=_KMS_ALGORITHMS[self.algorithm],
            )
        except (ClientError, BotoCoreError) as error:
            raise TokenError(f"KMS key {self.key} did not sign: {error}; it needs kms:Sign") from error
        return answer["Signature"]


class _KmsECKey(ECKey):
    operation: _KmsOperation

    def get_op_key(self, operation: str) -> Any:
        return self.operation if operation == "sign" else super().get_op_key("verify")


class _KmsRSAKey(RSAKey):
    operation: _KmsOperation

    def get_op_key(self, operation: str) -> Any:
        return self.operation if operation == "sign" else super().get_op_key("verify")


def load_from_kms(key: str, algorithm: Algorithm) -> SigningKey:
    """A key that signs in KMS (kms:GetPublicKey, kms:Sign). Raises TokenError, InvalidField for one of another kind."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client = boto3.Session().client("kms")
        answer = client.get_public_key(KeyId=key)
    except (ClientError, BotoCoreError) as error:
        raise TokenError(f"KMS key {key}: {error}; it needs kms:GetPublicKey and kms:Sign") from error
    try:
        public = serialization.load_der_public_key(answer["PublicKey"])
    except ValueError:
        public = None  # SM2, of the China regions
    made: _KmsECKey | _KmsRSAKey
    if isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1) and algorithm == "ES256":
        made = _KmsECKey.import_key(public)
    elif isinstance(public, RSAPublicKey) and algorithm == "RS256":
        made = _KmsRSAKey.import_key(public)
    else:
        raise InvalidField(
            f"KMS key {key} is {answer.get('KeySpec', type(public).__name__)}; for {algorithm} make one with "
            f"`aws kms create-key --key-spec {_KMS_SPECS[algorithm]} --key-usage SIGN_VERIFY`"
        )
    made.operation = _KmsOperation(client, key, algorithm)
    return made


def public_jwk(key: SigningKey, algorithm: Algorithm) -> dict[str, Any]:
    """What verifiers get: RFC 7517, with the thumbprint of RFC 7638 as its id, for this one algorithm."""
    return dict(key.as_dict(private=False, kid=key.thumbprint(), alg=algorithm, use="sig"))
