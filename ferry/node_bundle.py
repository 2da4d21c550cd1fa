"""The signed bundle that a GPU node fetches: the programs that its boot script runs, and the key behind them.

key = load_or_create_signing_key(project / ".ferry/signing-key.pem")
signed = write(project / "build/prod/cloud", key)      # node-bundle.tar.gz and node-bundle.tar.gz.sig
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry.signing_key import verification_key
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


def _write_whole(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    temporary.replace(path)
