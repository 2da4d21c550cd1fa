"""The gateway's folder, as `ferry render` writes it; Envoy's working folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ferry.traffic.gateway.routes import Routes

Filter = Literal["authentication", "revocation", "rate_limit"]


@dataclass(frozen=True)
class GatewayFolder:
    """Paths, and the files that change while Envoy runs: each is replaced whole (temporary file, fsync, rename)."""

    path: Path

    @property
    def envoy_file(self) -> Path:
        """Listeners and clusters; never changes during a cutover."""
        return self.path / "envoy.yaml"

    @property
    def routes_file(self) -> Path:
        """Weights, mirror, versions."""
        return self.path / "routes" / "routes.yaml"

    def filter_file(self, name: Filter) -> Path:
        """One of the three filters that are reloaded."""
        return self.path / "filters" / f"{name}.yaml"

    @property
    def access_log(self) -> Path:
        """One JSON line per request of a client."""
        return self.path / "logs" / "access.jsonl"

    @property
    def upstream_log(self) -> Path:
        """One JSON line per request to an engine, mirrored ones too."""
        return self.path / "logs" / "upstream.jsonl"

    @property
    def state(self) -> Path:
        """What cutover, tokens and audit keep."""
        return self.path / "state"

    @property
    def routes_lock(self) -> Path:
        """Locked by whoever writes the routes, for as long as the write lasts and no longer."""
        return self.state / "cutover.lock"

    def read_routes(self) -> Routes:
        """The routes as they stand in the file. Raises GatewayError."""
        raise NotImplementedError

    def take_over(self) -> int:
        """Raise the generation by one, weights as they are: from now on older controllers are refused. Gives the fence."""
        raise NotImplementedError

    def write_routes(self, routes: Routes, *, fence: int) -> Routes:
        """Replace the routes; what was written, its generation being `fence`.

        Raises Superseded where the file's generation is greater than `fence`, GatewayError for clusters that
        envoy.yaml does not have.
        """
        raise NotImplementedError

    def write_filter(self, name: Filter, text: str) -> None:
        """Replace a filter; `text` is an ECDS DiscoveryResponse as YAML."""
        raise NotImplementedError

    def admin_url(self) -> str:
        """Where Envoy's admin endpoint is, from envoy.yaml: `http://127.0.0.1:9901`. Raises GatewayError."""
        raise NotImplementedError

    def address(self) -> tuple[str, int]:
        """Where clients come in, from envoy.yaml. Raises GatewayError."""
        raise NotImplementedError

    def clusters(self) -> tuple[str, ...]:
        """The clusters that weights may name, from envoy.yaml."""
        raise NotImplementedError
