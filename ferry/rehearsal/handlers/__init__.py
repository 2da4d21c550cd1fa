"""The table of resource handlers: a Pulumi type token to the AWS calls that a provider would make for it.

A handler sends exactly what the inputs say. Each property is either taken (and sent), or skipped with the reason why
the embedded account gives it no effect; what a handler does neither with is an error.

    @creates("aws:s3/bucket:Bucket")
    def bucket(account: Account, inputs: Inputs) -> Created:
        s3 = account.client("s3", inputs.region)
        name = inputs.autoname("bucket")
        s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=inputs.take("objectLockEnabled", False))
        inputs.skip("forceDestroy", "concerns deletion only")
        return Created(name, {"arn": f"arn:{account.partition}:s3:::{name}", "bucket": name})
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ferry.artefacts import NotEmulated
from ferry.errors import UnknownProperty

Fate = Literal["sent", "not emulated"]
"""What became of a property that the program gave."""


class Account(Protocol):
    """The embedded account as handlers and checks see it."""

    region: str
    partition: str
    account_id: str

    def client(self, service: str, region: str | None = None) -> Any:
        """A boto3 client for the service, in the stack's region unless another is named."""


@dataclass(frozen=True)
class Created:
    """What a provider returns: the id, and the outputs that are not simply the inputs again (camelCase)."""

    id: str
    outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Inputs:
    """A resource's input properties (camelCase), handed out once each, so that none is passed over in silence."""

    type: str
    name: str
    properties: dict[str, Any]
    not_emulated: list[NotEmulated]
    path: str = ""
    _seen: set[str] = field(default_factory=set)
    _skipped: set[str] = field(default_factory=set)
    _children: list[Inputs] = field(default_factory=list)

    @property
    def region(self) -> str | None:
        """The region that the resource itself names; None means the stack's."""
        region: str | None = self.take("region")
        return region

    def take(self, name: str, default: Any = None) -> Any:
        """A property that the handler sends."""
        self._seen.add(name)
        value = self.properties.get(name)
        return default if value is None else value

    def skip(self, name: str, why: str) -> None:
        """A property that has no effect in the embedded account: listed in the result where it is given."""
        self._seen.add(name)
        self._skipped.add(name)
        if self.properties.get(name) is not None:
            self.not_emulated.append(
                NotEmulated(resource=f"{self.type} {self.name}", property=self.path + name, why=why)
            )

    def nested(self, name: str) -> Inputs | None:
        """A property that is an object: its own properties are handed out in the same way."""
        value = self.take(name)
        return None if value is None else self._child(value, f"{self.path}{name}.")

    def each(self, name: str) -> list[Inputs]:
        """A property that is a list of objects."""
        return [self._child(value, f"{self.path}{name}[].") for value in self.take(name, [])]

    def autoname(self, name: str, max_length: int = 63) -> str:
        """The physical name: the one given, or the logical name and seven hex digits, as the AWS provider makes it.

        The digits follow from the resource's type and name, so that a rehearsal is the same each time.
        """
        given = self.take(name)
        if given is not None:
            return str(given)
        suffix = hashlib.sha256(f"{self.type} {self.name}".encode()).hexdigest()[:7]
        return f"{self.name[: max_length - 8]}-{suffix}".lower()

    def tags(self) -> list[dict[str, str]]:
        """The property `tags` as most services want it."""
        return [{"Key": key, "Value": value} for key, value in self.take("tags", {}).items()]

    def finish(self) -> None:
        """Raise UnknownProperty when the handler neither took nor skipped a property."""
        if left := sorted(self.unhandled()):
            raise UnknownProperty(
                f"{self.type} {self.name}: no handler for {', '.join(left)}; add it to ferry/rehearsal/handlers"
            )

    def unhandled(self) -> Iterator[str]:
        """Paths of the properties that are given and that nobody asked for."""
        for name, value in self.properties.items():
            if name not in self._seen and value is not None:
                yield self.path + name
        for child in self._children:
            yield from child.unhandled()

    def fates(self) -> dict[str, Fate]:
        """What became of each property that is given, by its path (`rules[].expiration.days`)."""
        fates: dict[str, Fate] = {
            self.path + name: "not emulated" if name in self._skipped else "sent"
            for name, value in self.properties.items()
            if value is not None
        }
        for child in self._children:
            fates |= child.fates()
        return fates

    def _child(self, value: Mapping[str, Any], path: str) -> Inputs:
        child = Inputs(self.type, self.name, dict(value), self.not_emulated, path)
        self._children.append(child)
        return child


Handler = Callable[[Account, Inputs], Created]
Invoke = Callable[[Account, Inputs], Mapping[str, Any]]

HANDLERS: dict[str, Handler] = {}
INVOKES: dict[str, Invoke] = {}


def creates(token: str) -> Callable[[Handler], Handler]:
    """Register the handler that creates resources of a type."""

    def register(handler: Handler) -> Handler:
        HANDLERS[token] = handler
        return handler

    return register


def answers(token: str) -> Callable[[Invoke], Invoke]:
    """Register the answer to a provider function, such as `aws:ssm/getParameter:getParameter`."""

    def register(invoke: Invoke) -> Invoke:
        INVOKES[token] = invoke
        return invoke

    return register
