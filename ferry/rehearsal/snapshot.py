"""The account at one moment: many checks ask the same, and each question is put once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ferry.rehearsal.handlers import Account

READS = ("describe_", "get_", "list_")
MAKERS = frozenset({"get_paginator", "get_waiter"})
"""Methods that look like reads, and ask nothing."""


class Snapshot:
    """An `Account` that is not changed while it is looked at. Answers belong to all who ask: nobody may edit them."""

    def __init__(self, account: Account) -> None:
        self.region = account.region
        self.partition = account.partition
        self.account_id = account.account_id
        self._account = account
        self._elsewhere: str | None = None
        self._answers: dict[tuple[str, str | None, str, str], Any] = {}

    def client(self, service: str, region: str | None = None) -> Any:
        """As the account's own client, whose reads are remembered. What fails is asked again."""
        region = region or self._elsewhere
        return _Client(self._account.client(service, region), self._remember, (service, region))

    def within(self, region: str) -> Snapshot:
        """The same moment of the same account, seen from another region."""
        there = Snapshot(self._account)
        there.region = there._elsewhere = region
        there._answers = self._answers
        return there

    def _remember(self, client: tuple[str, str | None], read: str, question: str, ask: Callable[[], Any]) -> Any:
        key = (*client, read, question)
        if key not in self._answers:
            self._answers[key] = ask()
        return self._answers[key]


class _Client:
    def __init__(
        self, client: Any, remember: Callable[[tuple[str, str | None], str, str, Callable[[], Any]], Any], key: Any
    ) -> None:
        self._client, self._remember, self._key = client, remember, key

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not name.startswith(READS) or name in MAKERS:
            return method
        return lambda **question: self._remember(
            self._key, name, json.dumps(question, sort_keys=True), lambda: method(**question)
        )
