"""The bundles that nodes fetch, signed by `ferry render`: a GPU node's programs, a gateway's configuration."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from templates import ROOT

SOURCES = ROOT / "hybrid" / "cloud" / "bundle"
BUNDLE_NAME = "node-bundle.tar.gz"


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
