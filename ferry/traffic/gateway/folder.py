"""The gateway's folder, as `ferry render` writes it; Envoy's working folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from ferry.artefacts import artefact
from ferry.errors import GatewayError, Superseded
from ferry.traffic.gateway.admin import Admin
from ferry.traffic.gateway.routes import FAIL_OVER, LOADER, Routes
from ferry.traffic.lock import locked

Filter = Literal["authentication", "revocation", "rate_limit"]
FILTERS: tuple[Filter, ...] = ("authentication", "revocation", "rate_limit")


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
    def envoy_log(self) -> Path:
        """What Envoy says of itself."""
        return self.path / "logs" / "envoy.log"

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
        try:
            return Routes.parse(self.routes_file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, GatewayError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise GatewayError(
                f"{self.routes_file}: {reason}; `ferry render` writes one where there is none"
            ) from error

    def take_over(self) -> int:
        """Raise the generation by one, and give it: from now on older controllers are refused. All else stays."""
        with locked(self.routes_lock):
            routes = self.read_routes()
            return self._replace(replace(routes, generation=routes.generation + 1)).generation

    def change_routes(self, change: Callable[[Routes], Routes], *, fence: int) -> Routes:
        """Replace the routes by what becomes of those that are there; gives what was written, its generation `fence`.

        They are read and written under one lock: what a render changes meanwhile is not lost.
        Raises Superseded where the file's generation is greater than `fence`, GatewayError for clusters that
        envoy.yaml does not have.
        """
        known = self._all_clusters()
        with locked(self.routes_lock):
            present = self.read_routes()
            if present.generation > fence:
                raise Superseded(
                    f"{self.routes_file}: generation {present.generation} has taken over from {fence}; "
                    "this controller may not change traffic any more"
                )
            routes = replace(change(present), generation=fence)
            if unknown := sorted(routes.clusters() - set(known)):
                raise GatewayError(
                    f"{self.envoy_file}: has no cluster {', '.join(unknown)}; it has {', '.join(self.clusters())}"
                )
            return self._replace(routes)

    def write_filter(self, name: Filter, text: str) -> None:
        """Replace a filter; `text` is an ECDS DiscoveryResponse as YAML or JSON. Raises GatewayError."""
        replace_whole(self.filter_file(name), text)

    def filter_version(self, name: Filter) -> str:
        """What tells the file's filter from the others; empty where Ferry did not write it. Raises GatewayError."""
        path = self.filter_file(name)
        try:
            return str(yaml.load(path.read_text(encoding="utf-8"), LOADER).get("version_info", ""))  # noqa: S506
        except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError) as error:
            reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
            raise GatewayError(f"{path}: is no filter: {reason}; `ferry token publish` writes it anew") from error

    def admin(self) -> Admin:
        """The admin endpoint of the Envoy that runs in this folder, if one does. Raises GatewayError."""
        return Admin(self.admin_url(), log=self.envoy_log)

    def admin_url(self) -> str:
        """Where Envoy's admin endpoint is, from envoy.yaml: `http://127.0.0.1:9901`. Raises GatewayError."""
        host, port = _address(self._said("admin"))
        return f"http://{host}:{port}"

    def address(self) -> tuple[str, int]:
        """Where clients come in, from envoy.yaml. Raises GatewayError."""
        return _address(self._said("static_resources")["listeners"][0])

    def clusters(self) -> tuple[str, ...]:
        """The clusters that weights may name, from envoy.yaml. Raises GatewayError."""
        return tuple(name for name in self._all_clusters() if name not in FAIL_OVER.values())

    def document(self) -> Mapping[str, Any]:
        """The content of envoy.yaml. Raises GatewayError."""
        try:
            document = yaml.load(self.envoy_file.read_text(encoding="utf-8"), LOADER)  # noqa: S506
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
            raise GatewayError(
                f"{self.envoy_file}: cannot be read: {reason}; name the folder gateway/ that `ferry render` wrote"
            ) from error
        if not isinstance(document, dict) or not {"admin", "static_resources"} <= set(document):
            raise GatewayError(f"{self.envoy_file}: is no gateway of Ferry; name the folder that `ferry render` wrote")
        return document

    def make_folders(self) -> None:
        """What Envoy does not make itself: `logs` and `state`."""
        for folder in (self.access_log.parent, self.state):
            folder.mkdir(parents=True, exist_ok=True)

    def _all_clusters(self) -> list[str]:
        return [str(cluster["name"]) for cluster in self._said("static_resources")["clusters"]]

    def _said(self, key: str) -> Mapping[str, Any]:
        said: Mapping[str, Any] = self.document()[key]
        return said

    def _replace(self, routes: Routes) -> Routes:
        replace_whole(self.routes_file, routes.dump())
        return routes


def replace_whole(path: Path, text: str) -> None:
    """Put a text where Envoy watches: it sees the old file or the new one, and so does whoever starts after a crash.

    Raises GatewayError.
    """
    try:
        artefact.replace(path, text, durable=True)
    except OSError as error:
        raise GatewayError(f"{path}: cannot be written: {error.strerror}; traffic stays as it was") from error


def _address(holder: Mapping[str, Any]) -> tuple[str, int]:
    address = holder["address"]["socket_address"]
    return str(address["address"]), int(address["port_value"])
