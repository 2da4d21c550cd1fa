"""What the readers of an account share: clients, pages, tags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

Clients = Callable[[str, str], Any]
"""A boto3 client for a service and a region."""

TAG = "ferry:environment"


@dataclass(frozen=True)
class Account:
    """An account as one stack's environment sees it."""

    client: Clients
    region: str
    environment: str

    def of(self, service: str, region: str | None = None) -> Any:
        """A client, in the stack's region unless another is named."""
        return self.client(service, region or self.region)

    def pages(self, service: str, call: str, key: str, **question: Any) -> Iterator[Any]:
        """Every item of a listing, over all of its pages."""
        for page in self.of(service).get_paginator(call).paginate(**question):
            yield from page[key]

    def owns(self, tags: Any) -> bool:
        """Whether the tags, a mapping or a list of keys and values, are of this environment."""
        return self.tags(tags).get(TAG) == self.environment

    def tags(self, tags: Any) -> dict[str, str]:
        """Tags as Pulumi has them."""
        if isinstance(tags, Mapping):
            return dict(tags)
        return {one.get("Key", one.get("TagKey")): one.get("Value", one.get("TagValue")) for one in tags or ()}

    @property
    def tagged(self) -> list[dict[str, Any]]:
        """EC2's filter for what is tagged with the environment."""
        return [{"Name": f"tag:{TAG}", "Values": [self.environment]}]


def unless_absent(ask: Callable[[], Any], codes: Iterable[str]) -> Any:
    """The answer, or None where the service answers that it has no such thing."""
    try:
        return ask()
    except ClientError as error:
        if error.response["Error"]["Code"] in codes:
            return None
        raise
