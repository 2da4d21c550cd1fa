"""Creating again what was begun already, without creating it twice: the client tokens that the emulator does not know.

AWS takes a token with most calls that create, and answers the second call of one token as it answered the first; Pulumi
gives a create that it never saw end to the provider again. So here the calls that a resource's creation has made are
kept by its URN: after a failure, or when the engine was killed before it could write down the id, the same call is
answered from memory, and creation goes on where it stopped. What the engine asks about by id, it has written down.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from ferry.rehearsal.handlers import Account
from ferry.rehearsal.snapshot import READS


class Tokens:
    """The calls of creations that the engine has not yet written down."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._made: dict[str, _Begun] = {}
        self._lock = Lock()

    def account_for(self, urn: str) -> Account:
        """The account, as the creation of one resource sees it."""
        with self._lock:
            return _Remembering(self._account, self._made.setdefault(urn, _Begun()))

    def written_down(self, urn: str) -> None:
        """The engine knows the resource's id: the next creation of this URN is of another one."""
        with self._lock:
            self._made.pop(urn, None)


@dataclass
class _Begun:
    """Calls of one creation, and their answers. One at a time: that of an engine that was killed may still run."""

    answers: dict[str, Any] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)


class _Remembering:
    def __init__(self, account: Account, made: _Begun) -> None:
        self.region, self.partition, self.account_id = account.region, account.partition, account.account_id
        self._account, self._made = account, made

    def client(self, service: str, region: str | None = None) -> Any:
        return _Client(self._account.client(service, region), f"{service} {region}", self._made)


class _Client:
    def __init__(self, client: Any, name: str, made: _Begun) -> None:
        self._client, self._name, self._made = client, name, made

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name.startswith((*READS, "head_")) or not callable(found) or name == "exceptions":
            return found
        return self._once(name, found)

    def _once(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def once(**arguments: Any) -> Any:
            key = f"{self._name} {name} {json.dumps(arguments, sort_keys=True, default=repr)}"
            with self._made.lock:
                if key not in self._made.answers:
                    self._made.answers[key] = call(**arguments)
                return self._made.answers[key]

        return once
