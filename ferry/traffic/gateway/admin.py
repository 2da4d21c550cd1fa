"""What a running Envoy says of itself, from its admin endpoint."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ferry.errors import GatewayError
from ferry.traffic.gateway.routes import FAIL_OVER, NAME, Routes

RDS = f"http.{NAME}.rds.{NAME}"
ECDS = "extension_config_discovery.http_filter"
POLL_SECONDS = 0.02
COUNTERS = {
    "requests": ("upstream_rq_total",),
    "errors_5xx": ("upstream_rq_5xx",),
    "connect_failures": ("upstream_cx_connect_fail", "upstream_cx_connect_timeout"),
    "active_requests": ("upstream_rq_active",),
    "members": ("membership_total",),
    "healthy": ("membership_healthy",),
    "ejected": ("outlier_detection.ejections_active",),
}


@dataclass(frozen=True, kw_only=True)
class ClusterCounters:
    """Envoy's counters of one cluster since Envoy started, and its health now."""

    requests: int
    """upstream_rq_total: each attempt counts, mirrored ones too."""
    errors_5xx: int
    """upstream_rq_5xx of requests that were aimed at it, whoever answered in the end; Envoy's own 503 included."""
    connect_failures: int
    """upstream_cx_connect_fail + upstream_cx_connect_timeout."""
    active_requests: int
    members: int
    healthy: int
    """By health checks and outlier detection."""
    ejected: int
    """By outlier detection."""


@dataclass(frozen=True)
class Admin:
    """The admin endpoint of one Envoy. Every method but `ready` raises GatewayError where nobody answers."""

    url: str
    timeout_seconds: float = 5.0
    log: Path | None = None
    """Where it writes what it says of itself; a refused configuration's reason stands nowhere else."""

    def ready(self) -> bool:
        """Whether it takes requests; False also where nobody answers."""
        try:
            return self._ask("/ready").strip() == "LIVE"
        except GatewayError:
            return False

    def applied_version(self) -> str:
        """`Routes.version` of the routes that it runs; empty: none yet."""
        return str(self._applied().get("version_info", ""))

    def applied_routes(self) -> Routes:
        """The routes that it runs."""
        applied = self._applied()
        if not applied:
            raise GatewayError(f"{self.url}: runs no routes yet; see its log")
        return Routes.from_configuration(applied["route_config"])

    def applied_generation(self) -> int:
        """The generation of the routes that it runs."""
        return self.applied_routes().generation

    def refused(self) -> int:
        """How many routes files it has refused or could not read since it started."""
        counters = self.stats(rf"^{re.escape(RDS)}\.update_(rejected|failure)$")
        return sum(counters.values())

    def wait_applied(self, routes: Routes, timeout_seconds: float = 10.0, *, refused_before: int | None = None) -> None:
        """Wait until it runs these routes.

        `refused_before` is what `refused` gave before the file was written: with it, a refusal is known at once.
        Raises GatewayError: refused, with Envoy's reason; or not taken in time.
        """
        end = time.monotonic() + timeout_seconds
        before = self.refused() if refused_before is None else refused_before
        while self.applied_version() != routes.version:
            if self.refused() > before:
                raise GatewayError(
                    f"{self.url}: refused the routes {routes.version}: {self._reason()}; traffic stays as it was"
                )
            if time.monotonic() > end:
                raise GatewayError(
                    f"{self.url}: did not take the routes {routes.version} within {timeout_seconds:g} s "
                    f"({before} refused since it started{self._last()}); traffic stays as it was"
                )
            time.sleep(POLL_SECONDS)

    def counters(self) -> Mapping[str, ClusterCounters]:
        """Cluster to its counters; clusters that only lead to others are left out."""
        found: dict[str, dict[str, int]] = {}
        # Names of clusters have no dot.
        for name, value in self.stats(r"^cluster\.[^.]+\.(upstream_|membership_|outlier_)").items():
            _, cluster, counter = name.split(".", 2)
            found.setdefault(cluster, {})[counter] = value
        for cluster, aggregate in FAIL_OVER.items():
            # Envoy counts attempts where they go, and codes where the weights aimed.
            found[cluster]["upstream_rq_5xx"] = sum(
                found.get(name, {}).get("upstream_rq_5xx", 0) for name in (cluster, aggregate)
            )
        return {
            cluster: ClusterCounters(**{key: sum(each.get(one, 0) for one in names) for key, names in COUNTERS.items()})
            for cluster, each in sorted(found.items())
            # Of an aggregate, Envoy counts no members.
            if "outlier_detection.ejections_active" in each
        }

    def stats(self, pattern: str) -> Mapping[str, int]:
        """Counters and gauges whose names match a regular expression."""
        answer = json.loads(self._ask(f"/stats?format=json&filter={urllib.parse.quote(pattern)}"))
        # Histograms and texts stand beside them, without a whole number as their value.
        return {each["name"]: each["value"] for each in answer["stats"] if isinstance(each.get("value"), int)}

    def filters(self) -> Mapping[str, str]:
        """The reloaded filters that it runs, and since when (RFC 3339)."""
        dump = json.loads(self._ask("/config_dump?resource=ecds_filters"))
        return {each["ecds_filter"]["name"]: each["last_updated"] for each in dump.get("configs", [])}

    def server(self) -> Mapping[str, Any]:
        """`version`, `state`, `uptime_current_epoch` and more, as Envoy names them."""
        info: Mapping[str, Any] = json.loads(self._ask("/server_info"))
        return info

    def reopen_logs(self) -> None:
        """After a rotation: close the log files and open them anew under their names."""
        self._ask("/reopen_logs", "POST")

    def drain(self) -> None:
        """Let running requests end, and take no new connections after Envoy's drain time."""
        self._ask("/drain_listeners?graceful", "POST")

    def _applied(self) -> Mapping[str, Any]:
        dump = json.loads(self._ask("/config_dump?resource=dynamic_route_configs"))
        configs = dump.get("configs", [])
        return configs[0] if configs else {}

    def _last(self) -> str:
        reason = self._reason()
        return f", the last: {reason}" if reason else ""

    def _reason(self) -> str:
        """The end of the last line in which Envoy says that it did not take a file; empty: there is none."""
        try:
            tail = self.log.read_bytes()[-65536:].decode(errors="replace") if self.log else ""
        except OSError:
            return ""
        said = re.findall(r"Filesystem config update (?:rejected|failure): (.*)", tail)
        return said[-1].strip() if said else ""

    def _ask(self, path: str, method: str = "GET") -> str:
        # Not urllib: it would ask a proxy that the environment names.
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=self.timeout_seconds)
        try:
            connection.request(method, path)
            return connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise GatewayError(
                f"{self.url}: Envoy's admin endpoint does not answer ({error}); start it with `ferry gateway run`"
            ) from error
        finally:
            connection.close()
