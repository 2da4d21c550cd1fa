"""Pulls a version, one line of output for each chunk that was read. To be killed."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from ferry.models.crew import Silent
from ferry.models.pull import pull
from ferry.models.repository import Repository
from ferry.models.s3 import S3Transport
from ferry.models.signature import TrustedKeys


def say(**_: Any) -> None:
    sys.stdout.write(".\n")
    sys.stdout.flush()
    time.sleep(0.1)


folder, key = map(Path, sys.argv[1:])
transport = S3Transport.connect(os.environ["FERRY_MODEL_BUCKET"], endpoint_url=os.environ["AWS_ENDPOINT_URL"])
transport._client.meta.events.register("after-call.s3.GetObject", say)
repository = Repository(transport, TrustedKeys.load([key]))
pull(repository, repository.manifest("r1", "1"), folder, progress=Silent())
