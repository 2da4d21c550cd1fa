"""Pulls a version, one line of output for each chunk that was read. To be killed."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from botocore.session import get_session

from ferry.models.crew import Silent
from ferry.models.direct import DirectTransport
from ferry.models.pull import pull
from ferry.models.repository import Repository
from ferry.models.s3 import client_for
from ferry.models.signature import TrustedKeys


class Slow(DirectTransport):
    def read(self, key: str, start: int, length: int) -> bytes | bytearray:
        content = super().read(key, start, length)
        sys.stdout.write(".\n")
        sys.stdout.flush()
        time.sleep(0.1)
        return content


folder, key = map(Path, sys.argv[1:])
bucket, session = os.environ["FERRY_MODEL_BUCKET"], get_session()
transport = Slow(client_for(bucket, os.environ["AWS_ENDPOINT_URL"], session), bucket, session)
repository = Repository(transport, TrustedKeys.load([key]))
pull(repository, repository.manifest("r1", "1"), folder, progress=Silent())
