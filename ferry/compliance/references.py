"""How resources of a preview refer to each other before any of them has an id: by their URNs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

from pulumi_policy import PolicyResource
from pulumi_policy.proxy import UnknownValueError

BY_REFERENCE = frozenset(
    {
        "accessLogs",
        "alarmActions",
        "bucket",
        "gatewayId",
        "routeTableId",
        "rule",
        "rules",
        "s3BucketName",
        "subnetId",
        "subnets",
        "targetBucket",
        "topic",
        "vpcId",
        "vpcZoneIdentifiers",
    }
)
"""Properties whose unknown part is the name of another resource, and no text that is made of it."""
LISTS = frozenset({"subnets", "vpcZoneIdentifiers"})
"""Of these, those that are lists of names: all of it may be unknown, and its parts are what it depends on."""


class References(Mapping[str, Any]):
    """A resource's properties, with the URN of what is referred to where its name is not known yet.

    What is unknown otherwise raises UnknownValueError when it is asked for.
    """

    def __init__(self, resource: PolicyResource) -> None:
        self._resource = resource

    def __getitem__(self, key: str) -> Any:
        try:
            value = self._resource.props[key]
        except UnknownValueError:
            urns = self._urns(key)
            if key in LISTS and urns:
                return urns
            if key not in BY_REFERENCE or len(urns) != 1:
                raise
            return urns[0]
        return _filled(value, self._urns(key)) if key in BY_REFERENCE else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._resource.props)

    def __len__(self) -> int:
        return len(self._resource.props)

    def _urns(self, key: str) -> list[str]:
        return list(dict.fromkeys(_root(one).urn for one in self._resource.property_dependencies.get(key, [])))


def called(resource: PolicyResource) -> str:
    """What other resources call it by: its id, as the provider keeps it among the outputs; in a preview its URN."""
    for key in ("id", "bucket", "name"):
        try:
            if resource.props.get(key):
                return str(resource.props[key])
        except UnknownValueError:
            break
    return str(resource.urn)


def _filled(value: Any, urns: Sequence[str]) -> Any:
    """The value with a URN for each unknown part.

    Raises UnknownValueError where it is not clear which part is which: with several, only a list of names is.
    """
    if isinstance(value, Sequence) and not isinstance(value, str):
        names = iter(urns) if len(urns) == len(value) else repeat(urns[0] if len(urns) == 1 else None)
        return [_part(value, index, urns, next(names)) for index in range(len(value))]
    if isinstance(value, Mapping):
        return {key: _part(value, key, urns, urns[0] if len(urns) == 1 else None) for key in value}
    return value


def _part(value: Any, key: Any, urns: Sequence[str], name: str | None) -> Any:
    try:
        part = value[key]
    except UnknownValueError:
        if name is None:
            raise
        return name
    return _filled(part, urns)


def _root(resource: PolicyResource) -> PolicyResource:
    """The bucket or topic itself, where its name is taken from its policy (so that the policy is there first)."""
    for kind, key in (("aws:s3/bucket", "bucket"), ("aws:sns/topicPolicy", "arn")):
        while resource.resource_type.startswith(kind) and resource.property_dependencies.get(key):
            resource = resource.property_dependencies[key][0]
    return resource
