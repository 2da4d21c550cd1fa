"""The table of resource handlers: a Pulumi type token to the AWS calls that a provider would make for it.

A handler sends exactly what the inputs say. Each property is either taken (and sent), or skipped with the reason why
the embedded account gives it no effect; what a handler does neither with is an error.

    @creates("aws:s3/bucket:Bucket", fixed=("bucket", "objectLockEnabled"))
    def bucket(account: Account, inputs: Inputs) -> Created:
        s3 = account.client("s3", inputs.region)
        name = inputs.autoname("bucket")
        s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=inputs.take("objectLockEnabled", False))
        inputs.skip("forceDestroy", "concerns deletion only")
        return Created(name, {"arn": f"arn:{account.partition}:s3:::{name}", "bucket": name})

Only the real engine changes, reads and deletes what is there; for it a type also has

    fixed     the properties that AWS cannot change: a change replaces the resource. They are those that the upstream
              provider marks `ForceNew` (or `RequiresReplace`) in `internal/service/<service>/<resource>.go` of
              https://github.com/hashicorp/terraform-provider-aws (v6), whose names Pulumi writes in camelCase. `region`
              is always one of them
    again     where creating is AWS's `Put…`, which also changes: the handler itself is the update
    @updates  else, the properties that it can change; any other change is an error, never a silent guess
    @reads    what the account says of it now, for `refresh`
    @deletes  or `deleted_by`, where one call does it
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ferry.artefacts import NotEmulated
from ferry.errors import UnknownProperty

REPLACING = "~replacing"
"""In `Inputs.known`: what tells a replacement's name from that of the resource which it replaces."""

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
    known: Mapping[str, Any] = field(default_factory=dict)
    """The outputs of the resource that is being changed, or what gives a replacement another name."""
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

        The digits follow from the resource's type and name, so that a rehearsal is the same each time. What is there
        keeps its name, and what replaces it gets another one.
        """
        given = self.take(name, self.known.get(name))
        if given is not None:
            return str(given)
        suffix = hashlib.sha256(f"{self.type} {self.name}{self.known.get(REPLACING, '')}".encode()).hexdigest()[:7]
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


@dataclass(frozen=True)
class State:
    """A resource that is there, as the engine keeps it: its id, what was given, and what came of it (camelCase)."""

    type: str
    name: str
    id: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]

    @property
    def region(self) -> str | None:
        """The region that the resource itself names; None means the stack's."""
        region: str | None = self.get("region")
        return region

    def get(self, name: str, default: Any = None) -> Any:
        """An output, or an input, or the id under its own name."""
        if name == "id":
            return self.id
        value = self.outputs.get(name, self.inputs.get(name))
        return default if value is None else value


Create = Callable[[Account, Inputs], Created]
Update = Callable[[Account, State, Inputs], Mapping[str, Any]]
"""Makes of what is there what the inputs say; returns the outputs that the change moved."""
Read = Callable[[Account, State], Mapping[str, Any]]
"""What the account says of a resource now (camelCase). Raises ClientError or Absent when it is gone."""
Delete = Callable[[Account, State], object]
Invoke = Callable[[Account, Inputs], Mapping[str, Any]]


class Absent(Exception):
    """The resource is not in the account any more, where AWS answers that with an empty list."""


def first(found: Iterable[Any]) -> Any:
    """Of an answer's list, what was asked for. Raises Absent where the list is empty."""
    for one in found:
        return one
    raise Absent


@dataclass
class Handler:
    """All that is known of one resource type."""

    create: Create
    fixed: frozenset[str] = frozenset()
    again: bool = False
    updatable: frozenset[str] = frozenset()
    moves: frozenset[str] = frozenset()
    """Outputs that an update changes: unknown while it is only previewed."""
    update: Update | None = None
    read: Read | None = None
    delete: Delete | None = None

    def __call__(self, account: Account, inputs: Inputs) -> Created:
        """Create one."""
        return self.create(account, inputs)


HANDLERS: dict[str, Handler] = {}
INVOKES: dict[str, Invoke] = {}


def creates(
    token: str, *, fixed: Iterable[str] = (), again: bool = False, moves: Iterable[str] = ()
) -> Callable[[Create], Create]:
    """Register the handler that creates resources of a type."""

    def register(create: Create) -> Create:
        HANDLERS[token] = Handler(create, frozenset(fixed) | {"region"}, again, moves=frozenset(moves))
        return create

    return register


def updates(token: str, *properties: str, moves: Iterable[str] = ()) -> Callable[[Update], Update]:
    """Register what changes the named properties of a type in place, beside or instead of creating it again."""

    def register(update: Update) -> Update:
        handler = HANDLERS[token]
        handler.update, handler.updatable = update, frozenset(properties)
        handler.moves |= frozenset(moves)
        return update

    return register


def reads(*tokens: str) -> Callable[[Read], Read]:
    """Register what reads resources of one or more types."""

    def register(read: Read) -> Read:
        for token in tokens:
            HANDLERS[token].read = read
        return read

    return register


def deletes(*tokens: str) -> Callable[[Delete], Delete]:
    """Register what deletes resources of one or more types."""

    def register(delete: Delete) -> Delete:
        for token in tokens:
            HANDLERS[token].delete = delete
        return delete

    return register


def deleted_by(token: str, service: str, call: str, **arguments: str) -> None:
    """Register a type that one call deletes: the call's arguments are properties of the resource, or its `id`."""

    @deletes(token)
    def delete(account: Account, state: State) -> None:
        client = account.client(service, state.region)
        getattr(client, call)(**{name: state.get(given) for name, given in arguments.items()})


def answers(token: str) -> Callable[[Invoke], Invoke]:
    """Register the answer to a provider function, such as `aws:ssm/getParameter:getParameter`."""

    def register(invoke: Invoke) -> Invoke:
        INVOKES[token] = invoke
        return invoke

    return register
