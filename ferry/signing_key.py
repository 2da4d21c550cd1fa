"""The operator's Ed25519 key: it signs the node bundle and, unless a KMS key does, the manifests of the models.

Whoever holds it decides what the nodes run: it stays with the operator and goes into no repository, stack file or
bucket; the nodes get the public half in their user data.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry.errors import InputError, UnreadableInput


def load_signing_key(path: Path) -> Ed25519PrivateKey:
    """Read the Ed25519 private key (PEM, PKCS8).

    Raises UnreadableInput for another kind of file, InputError for a key that others can read or change.
    """
    try:
        exposed = path.stat().st_mode & 0o077
        key = None if exposed else serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise UnreadableInput(f"{path}: is not an Ed25519 private key in PEM without a passphrase: {error}") from error
    if exposed:
        mode = path.stat().st_mode & 0o777
        raise InputError(f"{path}: the signing key has mode {mode:04o}, others may use it; run chmod 600 {path}")
    if not isinstance(key, Ed25519PrivateKey):
        raise UnreadableInput(f"{path}: holds {type(key).__name__}, the signing key has to be Ed25519")
    return key


def verification_key(key: Ed25519PrivateKey) -> str:
    """PEM of the public key that belongs to a signing key."""
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return public.decode()


def save_signing_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Write a new private key that only its owner can read. Raises FileExistsError rather than replace one."""
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
