"""The rules, by subject. Importing this package registers all of them."""

from ferry.compliance.rules import (
    availability,
    encryption,
    exposure,
    lasting,
    network,
    nodes,
    places,
    rights,
    trail,
    transport,
)

__all__ = [
    "availability",
    "encryption",
    "exposure",
    "lasting",
    "network",
    "nodes",
    "places",
    "rights",
    "trail",
    "transport",
]
