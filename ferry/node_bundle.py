"""The signed bundle that a GPU node fetches: the programs that its boot script runs, and the key behind them.

    key = load_or_create_signing_key(project / ".ferry/signing-key.pem")
    signed = write(project / "build/prod/cloud", key)      # node-bundle.tar.gz and node-bundle.tar.gz.sig

The same key signs the manifests of the models. Whoever holds it decides what the nodes run: it stays with the operator
and goes into no repository, stack file or bucket; the nodes get the public half in their user data.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry.errors import InputError, UnreadableInput
from templates import ROOT
from templates.node import bundle_key

SOURCES = ROOT / "hybrid" / "cloud" / "bundle"
BUNDLE_NAME = "node-bundle.tar.gz"


@dataclass(frozen=True)
class SignedBundle:
    """A bundle as it was written."""

    path: Path
    signature_path: Path
    object_key: str
    """Where it has to lie in the model bucket; the signature lies at `<object_key>.sig`."""
    verification_key: str
    """PEM of the public key, for user data."""


def write(folder: Path, key: Ed25519PrivateKey) -> SignedBundle:
    """Build and sign the bundle into a folder, which is made where it is missing."""
    bundle = build()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / BUNDLE_NAME
    signature_path = folder / f"{BUNDLE_NAME}.sig"
    _write_whole(path, bundle)
    _write_whole(signature_path, key.sign(bundle))
    return SignedBundle(path, signature_path, bundle_key(bundle), verification_key(key))


def build(sources: Path = SOURCES) -> bytes:
    """Pack the node's programs."""
    return pack({source.name: source.read_bytes() for source in sources.glob("*.py")})


def pack(files: Mapping[str, bytes]) -> bytes:
    """Pack files by their paths. Equal files give equal bytes, so that nothing changes where nothing has changed."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)  # owner root, time 0
            entry.size = len(content)
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(content))
    # Stored, not compressed: what a compressor makes of it depends on the version of zlib.
    return gzip.compress(archive.getvalue(), compresslevel=0, mtime=0)


def load_or_create_signing_key(path: Path) -> Ed25519PrivateKey:
    """Read the Ed25519 private key (PEM, PKCS8), or make one that only its owner can read.

    Raises UnreadableInput for another kind of file, InputError for a key that others can read or change.
    """
    if path.exists():
        return load_signing_key(path)
    key = Ed25519PrivateKey.generate()
    save_signing_key(path, key)
    return key


def load_signing_key(path: Path) -> Ed25519PrivateKey:
    """Read the Ed25519 private key. Raises UnreadableInput and InputError as `load_or_create_signing_key` does."""
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


def _write_whole(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    temporary.replace(path)
