"""How one engine's flags and variables are called, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Switch = tuple[str, bool]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Flags by name, dashes for underscores, to fields of `Deployment`.

    `values` take one value, `lists` several, `switches` none (or true or false). `other_switches` are known to take no
    value: without them the model after one would be taken for its value. `secrets` make the server ask for a key.
    `environment` are variables that the engine reads itself. `images` are parts of image names; with
    `image_is_server` the image starts the server, and a container's arguments are the server's.
    """

    values: Mapping[str, str]
    lists: Mapping[str, str] = field(default_factory=dict)
    switches: Mapping[str, Switch] = field(default_factory=dict)
    other_switches: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)
    files: frozenset[str] = frozenset()
    positional: bool = False
    images: tuple[str, ...] = ()
    image_is_server: bool = False
    everywhere: bool = field(default=False)
    """Whether it listens on every interface unless told otherwise."""
    batch_flag: str = ""
    """What limits its batch, for a remedy."""


def switches(*names: str) -> frozenset[str]:
    """Names without their dashes, as flags."""
    return frozenset(f"--{name}" for name in names)
