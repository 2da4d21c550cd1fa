"""Serve the node's own gauges to the CloudWatch agent: latency P99 and GPU faults, on loopback only.

    node_metrics.py --engine 127.0.0.1:8000 --listen 127.0.0.1:9400 --ttft HISTOGRAM --latency HISTOGRAM

* P99: the agent drops histograms, so the engine's are reduced here, over the requests since the scrape before, by the
  rule of Prometheus' `histogram_quantile`. No request ended in that time: no value. One scraper, the agent, is assumed.
* Xid: the driver's fault messages in the kernel's log of this boot. They are complete (nvidia-smi shows no Xid), need
  no daemon and no library, and survive a GPU that no longer answers. Xids that an application causes are left out.
* ECC: uncorrected errors since the driver was loaded, from nvidia-smi; no value where no GPU has ECC or answers.

Runs on the node with Python 3.10 and its standard library.
"""

from __future__ import annotations

import argparse
import http.client
import http.server
import math
import re
import subprocess
import sys
from collections.abc import Callable, Mapping

# What NVIDIA's own Kubernetes device plugin does not count as a fault of the GPU (k8s-device-plugin,
# internal/rm/health.go): 13 graphics engine exception, 31 memory page fault, 43 stopped processing, 45 preemptive
# cleanup, 68 video processor exception, 109 context switch timeout.
APPLICATION_XIDS = {13, 31, 43, 45, 68, 109}
XID = re.compile(r"NVRM: Xid \(.*?\): (\d+)")
BUCKET = re.compile(r'^(?P<name>[\w:]+)_bucket\{(?:.*,)?le="(?P<le>[^"]+)".*\} (?P<count>\S+)$')

Buckets = Mapping[float, float]
"""Upper bound of a bucket to the number of requests at or below it."""


def main(arguments: list[str] | None = None) -> int:
    """Command line. Serves until it is stopped."""
    parser = argparse.ArgumentParser(description="Serve the node's gauges.")
    for option in ("engine", "listen", "ttft", "latency"):
        parser.add_argument(f"--{option}", required=True)
    given = parser.parse_args(arguments)
    host, _, port = given.listen.partition(":")
    gauges = Gauges(given.engine, {"ferry_ttft_p99_seconds": given.ttft, "ferry_latency_p99_seconds": given.latency})
    server(host, int(port), gauges.exposition).serve_forever()
    return 0


def server(host: str, port: int, exposition: Callable[[], str]) -> http.server.HTTPServer:
    """Make a server that answers `GET /metrics`; port 0 picks a free one."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = exposition().encode() if self.path == "/metrics" else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: one line a minute would bury the errors."""

    return http.server.HTTPServer((host, port), Handler)


class Gauges:
    """The node's gauges. It remembers the engine's histograms as they were at the scrape before."""

    def __init__(self, engine: str, histograms: Mapping[str, str]) -> None:
        self._engine = engine
        self._histograms = histograms
        self._before: dict[str, Buckets] = {}

    def exposition(self) -> str:
        """Every gauge that has a value, in Prometheus' text format."""
        values = {
            **self._p99s(),
            "ferry_gpu_xid_errors": xid_errors(),
            "ferry_gpu_ecc_uncorrected_errors": ecc_errors(),
        }
        return "".join(f"# TYPE {name} gauge\n{name} {value}\n" for name, value in values.items() if value is not None)

    def _p99s(self) -> dict[str, float | None]:
        text = self._engine_metrics()
        now = {gauge: buckets(text, histogram) for gauge, histogram in self._histograms.items()}
        before, self._before = self._before, dict(now)
        return {gauge: quantile(0.99, since(before[gauge], now[gauge])) for gauge in now if gauge in before}

    def _engine_metrics(self) -> str:
        connection = http.client.HTTPConnection(self._engine, timeout=5)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            connection.close()


def buckets(text: str, histogram: str) -> Buckets:
    """Cumulative counts of a histogram in an exposition, summed over its series."""
    found: dict[float, float] = {}
    for line in text.splitlines():
        match = BUCKET.match(line)
        if match and match["name"] == histogram:
            bound = float(match["le"])
            found[bound] = found.get(bound, 0) + float(match["count"])
    return found


def since(before: Buckets, now: Buckets) -> Buckets:
    """What came in between two scrapes. An engine that has restarted counts from 0 again."""
    if any(now.get(bound, 0) < count for bound, count in before.items()):
        return now
    return {bound: count - before.get(bound, 0) for bound, count in now.items()}


def quantile(share: float, cumulative: Buckets) -> float | None:
    """Prometheus' `histogram_quantile`: linear within a bucket, the highest finite bound beyond; None without data."""
    bounds = sorted(cumulative)
    if not bounds or cumulative[bounds[-1]] <= 0:
        return None
    rank = share * cumulative[bounds[-1]]
    lower, below = 0.0, 0.0
    for bound in bounds:
        count = cumulative[bound]
        if count >= rank:
            return lower if math.isinf(bound) else lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return lower


def xid_errors() -> int | None:
    """Xid messages of this boot that an application does not cause; None when the kernel's log cannot be read."""
    log = _output(["journalctl", "--dmesg", "--boot", "--output", "cat", "--no-pager"])
    return None if log is None else sum(int(xid) not in APPLICATION_XIDS for xid in XID.findall(log))


def ecc_errors() -> int | None:
    """Uncorrected ECC errors over all GPUs; None where no GPU has ECC, or none answers."""
    counts = _output(
        ["nvidia-smi", "--query-gpu=ecc.errors.uncorrected.volatile.total", "--format=csv,noheader,nounits"]
    )
    numbers = [int(line) for line in (counts or "").split() if line.isdigit()]
    return sum(numbers) if numbers else None


def _output(command: list[str]) -> str | None:
    try:
        ran = subprocess.run(  # noqa: S603 - no shell, own words
            command, capture_output=True, text=True, errors="replace", timeout=8, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"{command[0]}: {error}\n")
        return None
    return ran.stdout


if __name__ == "__main__":
    sys.exit(main())
