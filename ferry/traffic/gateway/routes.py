"""What the routes file says, as values, and back: `Routes` ⇄ Envoy's RouteConfiguration as YAML.

Everything that the file holds beyond these values is derived from them, so that a controller that changes a weight
keeps the rest as it was rendered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from ferry.errors import GatewayError

NAME = "inference"
NAMESPACE = "ferry"
"""Of Ferry's own values in Envoy's metadata."""


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """Copies of requests whose answers are thrown away."""

    cluster: str
    percent: int
    """1 to 100."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A pre- or post-processing service: requests below a path go to a cluster of its own."""

    prefix: str
    cluster: str


@dataclass(frozen=True, kw_only=True)
class Routes:
    """How the gateway divides requests."""

    weights: Mapping[str, int]
    """Cluster to percent; adds up to 100."""
    mirror: Mirror | None = None
    generation: int = 0
    """Fencing: raised by each controller that takes over."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Value of the version header to the cluster that it pins."""
    version_header: str = "x-model-version"
    user_header: str | None = None
    """Sticky by this header's value; None: each request is weighed anew."""
    stages: tuple[Stage, ...] = ()
