"""An account that fails: every n-th call that would change something is refused before AWS does it."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from ferry.rehearsal.snapshot import READS


class Failing:
    """An account of which every n-th call that changes something is refused; 0 refuses none."""

    def __init__(self, account: Any, every: int, code: str) -> None:
        self.region, self.partition, self.account_id = account.region, account.partition, account.account_id
        self._account, self._every, self._code = account, every, code
        self.calls = self.refused = 0

    def client(self, service: str, region: str | None = None) -> Any:
        return _FailingClient(self, self._account.client(service, region))

    def count(self) -> None:
        self.calls += 1
        if self._every and self.calls % self._every == 0:
            self.refused += 1
            raise ClientError({"Error": {"Code": self._code, "Message": "not now"}}, "AnyCall")


class _FailingClient:
    def __init__(self, account: Failing, client: Any) -> None:
        self._account, self._client = account, client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name.startswith(READS):
            return method

        def call(**arguments: Any) -> Any:
            self._account.count()
            return method(**arguments)

        return call
