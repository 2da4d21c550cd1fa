"""What a running Envoy says of itself, from its admin endpoint."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.parse
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ferry.errors import GatewayError
from ferry.traffic.gateway.routes import FAIL_OVER, NAME, Routes

RDS = f"http.{NAME}.rds.{NAME}"
ECDS = "extension_config_discovery.http_filter"
SETTLED_SECONDS = 0.2
"""From a refusal's count to its line in the log; seen are some milliseconds."""
POLL_SECONDS = 0.02
LOG_SECONDS = 2.0
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
class Mark:
    """A moment in the life of an Envoy."""

    refused: int
    """Routes files that it had refused or could not read since it started."""
    log_bytes: int
    """How long its log was."""


@dataclass(frozen=True)
class LoadedFilter:
    """A reloaded filter that Envoy runs."""

    version: str
    """`GatewayFolder.filter_version` of the file that it is from."""
    since: str
    """RFC 3339."""


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

    def mark(self) -> Mark:
        """What it had refused before a file is written: `wait_applied` then knows a refusal of that file at once."""
        return Mark(self.refused(), self._log_bytes())

    def wait_applied(self, routes: Routes, timeout_seconds: float = 10.0, *, since: Mark | None = None) -> None:
        """Wait until it runs these routes. `since`: a mark from before they were written.

        Raises GatewayError: refused, with Envoy's reason; or not taken in time.
        """
        end = time.monotonic() + timeout_seconds
        since = since or self.mark()
        while self.applied_version() != routes.version:
            if self.refused() > since.refused:
                raise GatewayError(
                    f"{self.url}: refused the routes {routes.version}: {self._reason(since)}; traffic stays as it was"
                )
            if time.monotonic() > end:
                raise GatewayError(
                    f"{self.url}: did not take the routes {routes.version} within {timeout_seconds:g} s "
                    f"({since.refused} refused since it started, see its log); traffic stays as it was"
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

    def filters(self) -> Mapping[str, LoadedFilter]:
        """The reloaded filters that it runs, by name."""
        dump = json.loads(self._ask("/config_dump?resource=ecds_filters"))
        return {
            each["ecds_filter"]["name"]: LoadedFilter(each.get("version_info", ""), each["last_updated"])
            for each in dump.get("configs", [])
        }

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

    def _reason(self, since: Mark) -> str:
        """What it said of the last file that it did not take after the mark."""
        # Envoy counts a refusal before it has written the line: this one's, and that of a refusal just before the mark.
        end = time.monotonic() + LOG_SECONDS
        while self.log and time.monotonic() < end:
            time.sleep(SETTLED_SECONDS)
            with suppress(OSError), self.log.open("rb") as log:
                log.seek(since.log_bytes)
                if said := re.findall(rb"Filesystem config update (?:rejected|failure): (.*)\n", log.read()):
                    return bytes(said[-1]).decode(errors="replace").strip()
        return "its log says why"

    def _log_bytes(self) -> int:
        return self.log.stat().st_size if self.log and self.log.exists() else 0

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
