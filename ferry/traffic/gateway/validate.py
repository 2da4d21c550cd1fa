"""Would this folder work: what Envoy says of its files, and whether what they name is there."""

from __future__ import annotations

import copy
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from ferry.errors import GatewayError
from ferry.traffic.gateway.folder import FILTERS, GatewayFolder
from ferry.traffic.gateway.routes import Routes

CONNECT_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    level: Literal["ok", "warning", "error"]
    what: str
    detail: str = ""


def validate(folder: GatewayFolder, envoy: Path) -> tuple[Finding, ...]:
    """Look at everything. Raises GatewayError only where the folder is none of a gateway."""
    document = folder.document()
    try:
        routes = folder.read_routes()
    except GatewayError as error:
        return (Finding(level="error", what="routes", detail=str(error)),)
    shares = ", ".join(f"{weight} {name}" for name, weight in routes.weights.items())
    found = [Finding(level="ok", what="routes", detail=f"{shares}, generation {routes.generation}")]
    if unknown := sorted(routes.clusters() - set(folder.clusters())):
        found.append(Finding(level="error", what="routes", detail=f"envoy.yaml has no cluster {', '.join(unknown)}"))
    found.append(_envoy_takes(folder, document, envoy))
    return (*found, *_reached(document, routes))


def _envoy_takes(folder: GatewayFolder, document: Mapping[str, Any], envoy: Path) -> Finding:
    """`envoy --mode validate` with routes and filters in their places: alone, it does not look into watched files."""
    try:
        whole = _inlined(folder, document)
    except (OSError, LookupError, TypeError, yaml.YAMLError) as error:
        return Finding(level="error", what="filters", detail=" ".join(str(error).split()))
    folder.make_folders()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=folder.state, encoding="utf-8") as file:
        yaml.safe_dump(whole, file)
        file.flush()
        ran = subprocess.run(  # noqa: S603
            [envoy, "--mode", "validate", "-c", file.name, "--disable-hot-restart"],
            cwd=folder.path,
            capture_output=True,
            text=True,
            check=False,
        )
    if ran.returncode == 0:
        return Finding(level="ok", what="envoy", detail="takes the configuration, the routes and the filters")
    said = [line for line in ran.stderr.splitlines() if "error" in line.lower()] or ran.stderr.splitlines() or [""]
    return Finding(level="error", what="envoy", detail=said[-1].rpartition("] ")[2].strip())


def _inlined(folder: GatewayFolder, document: Mapping[str, Any]) -> dict[str, Any]:
    """envoy.yaml with the watched files' contents in place of their names."""
    whole: dict[str, Any] = copy.deepcopy(dict(document))
    (listener,) = whole["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    (configuration,) = yaml.safe_load(folder.routes_file.read_text(encoding="utf-8"))["resources"]
    del manager["rds"]
    manager["route_config"] = {key: value for key, value in configuration.items() if key != "@type"}
    for one in manager["http_filters"]:
        if one["name"] in FILTERS:
            text = folder.filter_file(one["name"]).read_text(encoding="utf-8")
            del one["config_discovery"]
            one["typed_config"] = yaml.safe_load(text)["resources"][0]["typed_config"]
    return whole


def _reached(document: Mapping[str, Any], routes: Routes) -> Iterator[Finding]:
    """Whether each engine can be connected to. One that gets no requests may be away."""
    for cluster in document["static_resources"]["clusters"]:
        for group in cluster.get("load_assignment", {}).get("endpoints", []):
            for each in group["lb_endpoints"]:
                address = each["endpoint"]["address"]["socket_address"]
                host, port = str(address["address"]), int(address["port_value"])
                needed = bool(routes.weights.get(cluster["name"])) or cluster["name"] in _needed_at_any_weight(routes)
                what = f"cluster {cluster['name']}"
                try:
                    _connect(host, port, cluster.get("transport_socket"))
                except (OSError, ssl.SSLError) as error:
                    level: Literal["warning", "error"] = "error" if needed else "warning"
                    yield Finding(level=level, what=what, detail=f"{host}:{port}: {error}")
                else:
                    yield Finding(level="ok", what=what, detail=f"{host}:{port} answers")


def _needed_at_any_weight(routes: Routes) -> set[str]:
    return {stage.cluster for stage in routes.stages} | ({routes.mirror.cluster} if routes.mirror else set())


def _connect(host: str, port: int, transport: Mapping[str, Any] | None) -> None:
    with socket.create_connection((host, port), timeout=CONNECT_SECONDS) as connection:
        if transport:
            tls = transport["typed_config"]
            context = ssl.create_default_context(
                cafile=tls["common_tls_context"]["validation_context"]["trusted_ca"]["filename"]
            )
            with context.wrap_socket(connection, server_hostname=tls["sni"]):
                pass
