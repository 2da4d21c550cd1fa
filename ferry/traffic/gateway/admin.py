"""What a running Envoy says of itself, from its admin endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ferry.traffic.gateway.routes import Routes


@dataclass(frozen=True, kw_only=True)
class ClusterCounters:
    """Envoy's counters of one cluster since Envoy started, and its health now."""

    requests: int
    """upstream_rq_total: each attempt counts, mirrored ones too."""
    errors_5xx: int
    """upstream_rq_5xx, Envoy's own 503 for a failed connection included."""
    connect_failures: int
    """upstream_cx_connect_fail + upstream_cx_connect_timeout."""
    active_requests: int
    members: int
    healthy: int
    ejected: int
    """By outlier detection."""


@dataclass(frozen=True)
class Admin:
    """The admin endpoint of one Envoy. Every method raises GatewayError where nobody answers."""

    url: str
    timeout_seconds: float = 5.0

    def ready(self) -> bool:
        """Whether it takes requests; False also where nobody answers."""
        raise NotImplementedError

    def applied_routes(self) -> Routes:
        """The routes that it runs."""
        raise NotImplementedError

    def applied_generation(self) -> int:
        """The generation of the routes that it runs."""
        raise NotImplementedError

    def wait_applied(self, routes: Routes, timeout_seconds: float = 10.0) -> None:
        """Wait until it runs these routes.

        Raises GatewayError: refused, with Envoy's reason; or not taken in time.
        """
        raise NotImplementedError

    def counters(self) -> Mapping[str, ClusterCounters]:
        """Cluster to its counters."""
        raise NotImplementedError

    def reopen_logs(self) -> None:
        """After a rotation: close the log files and open them anew under their names."""
        raise NotImplementedError
