"""Pushes a folder part by part, one line of output for each request that wrote something. To be killed."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.session import get_session

from ferry.models import checksums
from ferry.models.crew import Silent
from ferry.models.direct import DirectTransport
from ferry.models.journal import Journal
from ferry.models.push import Request, push
from ferry.models.repository import Repository
from ferry.models.s3 import client_for
from ferry.models.signature import FileSigner, TrustedKeys
from ferry.models.transport import Part, Stored
from ferry.models.tree import scan

checksums.SMALLEST_CHUNK_BYTES = 5 * 2**20


def say() -> None:
    sys.stdout.write(".\n")
    sys.stdout.flush()
    time.sleep(0.02)


class Slow(DirectTransport):
    def upload_part(self, *arguments: Any) -> Part:
        part = super().upload_part(*arguments)
        say()
        return part

    def complete_upload(self, *arguments: Any, **more: Any) -> Stored:
        stored = super().complete_upload(*arguments, **more)
        say()
        return stored

    def put(self, *arguments: Any, **more: Any) -> Stored:
        stored = super().put(*arguments, **more)
        say()
        return stored


folder, key = map(Path, sys.argv[1:])
signer = FileSigner.load(key)
bucket, session = os.environ["FERRY_MODEL_BUCKET"], get_session()
transport = Slow(client_for(bucket, os.environ["AWS_ENDPOINT_URL"], session), bucket, session)
push(
    Repository(transport, TrustedKeys([signer.public_key])),
    Request(
        name="r1",
        version="1",
        tree=scan(folder),
        signer=signer,
        pushed_by="ann@site",
        at=datetime(2026, 11, 1, tzinfo=UTC),
    ),
    Journal(folder.parent / "journal.jsonl"),
    Silent(),
)
