"""The embedded account as handlers, checks and tests see it: boto3 clients that can reach nothing but one endpoint."""

from __future__ import annotations

import os
from functools import cache
from threading import Lock
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from ferry.rehearsal.environment import ACCESS_KEY, ACCOUNT_ID, SECRET_KEY
from stacks.rules import partition


class EmbeddedAccount:
    """An `Account` at a loopback endpoint. It reads none of the user's AWS configuration; threads may share it."""

    def __init__(self, endpoint_url: str, region: str) -> None:
        self.endpoint_url = endpoint_url
        self.region = region
        self.partition = partition(region)
        self.account_id = ACCOUNT_ID
        self._clients: dict[tuple[str, str], Any] = {}

    def client(self, service: str, region: str | None = None) -> Any:
        """A boto3 client for the service, in the stack's region unless another is named; the same one each time."""
        key = (service, region or self.region)
        # Making a client is not thread-safe in boto3, using one is:
        # https://docs.aws.amazon.com/boto3/latest/guide/clients.html#multithreading-or-multiprocessing-with-clients
        with _making:
            if key not in self._clients:
                self._clients[key] = _session().client(
                    service_name=service,
                    region_name=key[1],
                    endpoint_url=self.endpoint_url,
                    config=Config(
                        proxies={}, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, read_timeout=30
                    ),
                )
            return self._clients[key]


_making = Lock()


@cache
def _session() -> Any:
    """One for all accounts: it keeps the service models, which take longer to read than anything else here."""
    core = botocore.session.Session(
        # A variable's name and a file's name are dropped: the session then reads neither profile nor files.
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        },
        include_builtin_handlers=True,
    )
    core.set_credentials(ACCESS_KEY, SECRET_KEY)
    return boto3.Session(botocore_session=core)
