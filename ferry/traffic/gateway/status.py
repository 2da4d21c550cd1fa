"""What the gateway does now, beside what its files say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ferry.traffic.gateway.admin import ClusterCounters
from ferry.traffic.gateway.folder import FILTERS, GatewayFolder
from ferry.traffic.gateway.routes import Routes

REQUESTS = "http.inference.downstream_rq_completed"


@dataclass(frozen=True, kw_only=True)
class FilterStatus:
    """A filter that is reloaded from its file."""

    loaded_at: str | None
    """RFC 3339; None: Envoy has none, and refuses every request."""
    in_step: bool
    """Whether it is the file's."""
    refused: int
    """Files that it did not take since it started."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """One gateway at one moment."""

    ready: bool
    envoy: str
    """Its version."""
    uptime_seconds: int
    applied: Routes
    """What it runs."""
    written: Routes
    """What the file says."""
    routes_refused: int
    clusters: Mapping[str, ClusterCounters]
    filters: Mapping[str, FilterStatus]
    requests: int
    """Of clients, completed since Envoy started."""
    errors_5xx: int

    @property
    def in_step(self) -> bool:
        """Whether Envoy runs what the file says."""
        return self.applied.version == self.written.version

    def dump(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return {**asdict(self), "in_step": self.in_step}


def status(folder: GatewayFolder) -> Status:
    """Ask the Envoy that runs in a folder. Raises GatewayError where none answers."""
    admin = folder.admin()
    server, loaded = admin.server(), admin.filters()
    # Of the filters, only these counters: a reload of routes has the same names elsewhere.
    refused = admin.stats(
        r"^extension_config_discovery\.http_filter\.[a-z_]+\.(update_rejected|update_failure|config_fail)$"
    )
    http = admin.stats(r"^http\.inference\.downstream_rq_(completed|5xx)$")
    return Status(
        ready=admin.ready(),
        envoy=str(server["version"]).split("/")[1],
        uptime_seconds=int(str(server["uptime_current_epoch"]).rstrip("s")),
        applied=admin.applied_routes(),
        written=folder.read_routes(),
        routes_refused=admin.refused(),
        clusters=admin.counters(),
        filters={
            name: FilterStatus(
                loaded_at=loaded[name].since if name in loaded else None,
                in_step=name in loaded and loaded[name].version == folder.filter_version(name),
                refused=sum(value for key, value in refused.items() if key.split(".")[2] == name),
            )
            for name in FILTERS
        },
        requests=http.get(REQUESTS, 0),
        errors_5xx=http.get("http.inference.downstream_rq_5xx", 0),
    )
