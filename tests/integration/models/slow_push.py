"""Pushes a folder part by part, one line of output for each request that wrote something. To be killed."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ferry.models import checksums
from ferry.models.crew import Silent
from ferry.models.journal import Journal
from ferry.models.push import Request, push
from ferry.models.repository import Repository
from ferry.models.s3 import S3Transport
from ferry.models.signature import FileSigner, TrustedKeys
from ferry.models.tree import scan

checksums.SMALLEST_CHUNK_BYTES = 5 * 2**20


def say(**_: Any) -> None:
    sys.stdout.write(".\n")
    sys.stdout.flush()
    time.sleep(0.02)


folder, key = map(Path, sys.argv[1:])
signer = FileSigner.load(key)
transport = S3Transport.connect(os.environ["FERRY_MODEL_BUCKET"], endpoint_url=os.environ["AWS_ENDPOINT_URL"])
for operation in ("UploadPart", "CompleteMultipartUpload", "PutObject"):
    transport._client.meta.events.register(f"after-call.s3.{operation}", say)
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
