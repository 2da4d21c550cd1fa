"""Pulls onto a disk of 3.5 MB that fills up, or onto one that is read-only. Run in a mount namespace of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry.errors import UnwritableOutput
from ferry.models import checksums, pull
from ferry.models.crew import Silent
from ferry.models.journal import Journal
from ferry.models.push import Request, push
from ferry.models.repository import Repository
from ferry.models.signature import FileSigner, TrustedKeys
from ferry.models.tree import scan
from tests.unit.models.bucket import Bucket


def main(scenario: str, folder: Path) -> None:
    checksums.SMALLEST_CHUNK_BYTES = 100_000
    source, disk = folder / "source", folder / "disk"
    for made in (source, disk):
        made.mkdir()
    for name in "abc":
        (source / name).write_bytes(name.encode() * 1_000_000)
    signer = FileSigner(Ed25519PrivateKey.generate())
    repository = Repository(Bucket(), TrustedKeys([signer.public_key]))
    at = datetime(2026, 11, 1, tzinfo=UTC)
    request = Request(name="r1", version="1", tree=scan(source), signer=signer, pushed_by="ann@site", at=at)
    push(repository, request, Journal(folder / "journal"), Silent())
    signed = repository.manifest("r1", "1")

    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3500k", "tmpfs", disk], check=True)
    if scenario == "full":
        (disk / "somebody else's").write_bytes(b"x" * 1_200_000)
        # The room is looked at before; here it is taken while the pull runs.
        pull.shutil.disk_usage = lambda path: shutil._ntuple_diskusage(10**9, 0, 10**9)  # type: ignore[attr-defined]
    else:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    result: dict[str, Any] = {}
    try:
        pull.pull(repository, signed, disk / "r1", progress=Silent())
    except UnwritableOutput as error:
        result["said"] = str(error)
    if scenario == "full":
        (disk / "somebody else's").unlink()
        result["left"] = sorted(path.name for path in disk.iterdir())
        done = pull.pull(repository, signed, disk / "r1", progress=Silent())
        left = sorted(path.name for path in disk.iterdir())
        result["pulled"] = [f"{result['left'][0]} -> {left[0]}", done.size_bytes]
        result["kept"] = done.kept_bytes
    else:
        result["left"] = sorted(path.name for path in disk.iterdir())
    sys.stdout.write(json.dumps(result))


main(sys.argv[1], Path(sys.argv[2]))
