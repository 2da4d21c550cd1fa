"""What Ferry computes against what a real Prometheus says, which holds a day of one recorded site."""

from __future__ import annotations

import json
import math
import random
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from ferry.artefacts import Quantiles
from ferry.assess.prometheus import Access, ask_cluster, ask_engine, cluster_metrics, engine_metrics
from ferry.assess.prometheus.exposition import parse
from ferry.assess.prometheus.quantiles import histogram_quantile
from ferry.assess.prometheus.server import Client

pytestmark = [pytest.mark.tool("prometheus"), pytest.mark.tool("promtool")]

END_S = 1_795_478_400
"""2026-11-24T00:00:00Z."""
STEP_S = 60
STEPS = 25 * 60
BOUNDS = ("0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "+Inf")
HISTOGRAMS = {
    "vllm:time_to_first_token_seconds": 0.2,
    "vllm:request_time_per_output_token_seconds": 0.07,
    "vllm:e2e_request_latency_seconds": 4.0,
}
MODEL = 'model_name="m",engine="0"'
QUANTILES = (0.5, 0.95, 0.99)


def site() -> str:
    """Two engines (one restarts at noon), busier by day, and a GPU with index 0 on each of two servers, one blank."""
    chance = random.Random(1)
    lines: list[str] = []
    times = [END_S - (STEPS - step) * STEP_S for step in range(STEPS + 1)]
    for name, mean in HISTOGRAMS.items():
        lines.append(f"# TYPE {name} histogram")
        counts = {host: dict.fromkeys(BOUNDS, 0) for host in "ab"}
        totals = dict.fromkeys("ab", 0.0)
        for at in times:
            for host in "ab":
                if host == "b" and at == END_S - 12 * 3600:
                    counts[host], totals[host] = dict.fromkeys(BOUNDS, 0), 0.0
                for _ in range(chance.randrange(6) if 6 < at // 3600 % 24 < 20 else 0):
                    value = chance.expovariate(1 / mean)
                    totals[host] += value
                    for bound in BOUNDS:
                        counts[host][bound] += value <= float(bound)
                labels = f'instance="{host}:8000",{MODEL}'
                lines += [f'{name}_bucket{{{labels},le="{le}"}} {n} {at}' for le, n in counts[host].items()]
                lines.append(f"{name}_count{{{labels}}} {counts[host]['+Inf']} {at}")
                lines.append(f"{name}_sum{{{labels}}} {totals[host]!r} {at}")
    lines.append("# TYPE vllm:request_success counter")
    done = dict.fromkeys("ab", 0)
    for at in times:
        for host in "ab":
            done[host] += chance.randrange(6)
            lines.append(f'vllm:request_success_total{{instance="{host}:8000",{MODEL}}} {done[host]} {at}')
    gauges = {
        "vllm:num_requests_running": lambda _: chance.randrange(9),
        "vllm:kv_cache_usage_perc": lambda _: chance.random(),
        "DCGM_FI_DEV_GPU_UTIL": lambda at: 9223372036854775794 if at % 3600 == 0 else chance.randrange(101),
        "DCGM_FI_DEV_POWER_USAGE": lambda _: 70 + 600 * chance.random(),
    }
    for name, value in gauges.items():
        lines.append(f"# TYPE {name} gauge")
        for at in times:
            for host in "ab":
                labels = MODEL if name.startswith("vllm") else 'gpu="0",modelName="NVIDIA L4"'
                lines.append(f'{name}{{instance="{host}:8000",{labels}}} {value(at)} {at}')
    return "\n".join(lines) + "\n"


def odd_histograms() -> str:
    """Histograms as no client writes them: counts that fall, bounds below 0, all beyond the highest bucket."""
    chance = random.Random(2)
    lines = ["# TYPE odd histogram"]
    for number in range(300):
        bounds = sorted(
            {round(chance.uniform(-2 if number % 3 == 0 else 0, 9), 2) for _ in range(chance.randrange(1, 9))}
        )
        count = 0
        for bound in [*bounds, math.inf]:
            count = max(0, count + chance.randrange(-3 if number % 4 == 0 else 0, 9))
            le = "+Inf" if bound == math.inf else repr(bound)
            lines.append(f'odd_bucket{{number="{number}",le="{le}"}} {count} {END_S}')
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "recorded.txt").write_text(site() + odd_histograms() + "# EOF\n")
    (folder / "prometheus.yml").write_text("global: {scrape_interval: 1m}\n")
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "recorded.txt", "data"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    arguments = ["--storage.tsdb.path=data", "--storage.tsdb.retention.time=100y", f"--web.listen-address={address}"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(["prometheus", *arguments], cwd=folder, stdout=log, stderr=log) as process,
    ):
        try:
            _wait_for(f"http://{address}/-/ready", folder / "log")
            yield f"http://{address}"
        finally:
            process.terminate()


def _wait_for(url: str, log: Path) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text())


def ask(url: str, promql: str, at_s: float = END_S) -> dict[str, float]:
    """An instant vector by the label `number` or `model_name`, asked without any of Ferry's code."""
    query = urlencode({"query": promql, "time": at_s})
    with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=30) as response:
        result = json.load(response)["data"]["result"]
    return {next(iter(item["metric"].values()), ""): float(item["value"][1]) for item in result}


def exactly(value: float) -> object:
    return pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("q", [0.001, 0.1, 0.5, 0.9, 0.95, 0.99, 1.0])
def test_quantiles_of_300_odd_histograms_are_those_of_prometheus(prometheus: str, q: float) -> None:
    buckets: dict[str, dict[float, float]] = {}
    for line in odd_histograms().splitlines()[1:]:
        _, number, _, bound, rest = line.split('"')
        buckets.setdefault(number, {})[float(bound)] = float(rest.split()[1])
    theirs = ask(prometheus, f"histogram_quantile({q}, odd_bucket)")
    assert len(theirs) == 300
    assert {number: histogram_quantile(q, own).value for number, own in buckets.items()} == exactly_all(theirs)


def exactly_all(values: dict[str, float]) -> object:
    return pytest.approx(values, rel=1e-9, abs=1e-12, nan_ok=True)


def test_a_day_of_a_live_server_gives_what_its_own_expressions_give(prometheus: str) -> None:
    page = ask_engine(Access(prometheus), "vllm", now_s=END_S, environment={})
    metrics = engine_metrics([page], engine="vllm", source="live").metrics
    for name, quantiles in zip(HISTOGRAMS, (metrics.ttft_ms, metrics.tpot_ms, metrics.latency_ms), strict=True):
        _same(prometheus, f"increase({name}_bucket[1d])", quantiles)
        mean = f"sum(increase({name}_sum[1d])) / sum(increase({name}_count[1d]))"
        assert quantiles.mean.value == exactly(1000 * ask(prometheus, mean)[""])
    assert metrics.requests_per_s is not None
    assert metrics.requests_per_s.value == exactly(
        ask(prometheus, "sum(increase(vllm:request_success_total[1d])) / 86400")[""]
    )
    running = "avg_over_time(sum(vllm:num_requests_running)[1d:60s])"
    assert metrics.running.value == exactly(ask(prometheus, running)[""])
    assert metrics.kv_cache_use.value == exactly(
        ask(prometheus, "avg_over_time(avg(vllm:kv_cache_usage_perc)[1d:60s])")[""]
    )
    assert (metrics.latency_ms.p99.value, metrics.latency_ms.p99.at_least) == (None, 2500.0)
    assert page.findings == []


def _same(url: str, increase: str, quantiles: Quantiles) -> None:
    for q, figure in zip(QUANTILES, (quantiles.p50, quantiles.p95, quantiles.p99), strict=True):
        theirs = 1000 * ask(url, f"histogram_quantile({q}, sum by (le) ({increase}))")[""]
        assert (figure.value if figure.value is not None else figure.at_least) == exactly(theirs)


def test_each_hour_of_the_day_is_what_prometheus_says_of_that_hour(prometheus: str) -> None:
    page = ask_engine(Access(prometheus), "vllm", now_s=END_S + 1234, environment={})
    by_hour = engine_metrics([page], engine="vllm", source="live").metrics.by_hour
    ten = END_S - 13 * 3600
    name = "vllm:time_to_first_token_seconds"
    p99 = ask(prometheus, f"histogram_quantile(0.99, sum by (le) (increase({name}_bucket[1h])))", ten)[""]
    assert by_hour["ttft_p99_ms"].values[10] == exactly(1000 * p99)
    requests = ask(prometheus, "sum(increase(vllm:request_success_total[1h])) / 3600", ten)[""]
    assert by_hour["requests_per_s"].values[10] == exactly(requests)
    running = ask(prometheus, "avg_over_time(sum(vllm:num_requests_running)[1h:60s])", ten)[""]
    assert by_hour["running"].values[10] == exactly(running)
    assert by_hour["ttft_p99_ms"].values[3] is None


def test_gpus_of_a_live_server_are_told_apart_and_their_blanks_left_out(prometheus: str) -> None:
    page = ask_cluster(Access(prometheus), now_s=END_S, environment={})
    reading = cluster_metrics([page], source="live")
    assert [gpu.gpu for gpu in reading.metrics.gpus] == ["a:8000: GPU 0", "b:8000: GPU 0"]
    for gpu, instance in zip(reading.metrics.gpus, "ab", strict=True):
        use = f'avg_over_time((DCGM_FI_DEV_GPU_UTIL{{instance="{instance}:8000"}} <= 100)[1d:60s])'
        assert gpu.utilization.value == pytest.approx(next(iter(ask(prometheus, use).values())), abs=0.01)
    power = ask(prometheus, "avg_over_time(sum(DCGM_FI_DEV_POWER_USAGE)[1d:60s])")[""]
    assert reading.metrics.power.value == pytest.approx(power, rel=1e-3)
    assert [finding.code for finding in reading.findings] == ["dcgm-blank-values"]
    assert None not in reading.metrics.by_hour["gpu_utilization_percent"].values


def test_a_saved_page_gives_what_prometheus_gives_for_the_same_page(prometheus: str) -> None:
    newest = "\n".join(line.rpartition(" ")[0] for line in site().splitlines() if line.endswith(f" {END_S}"))
    metrics = engine_metrics([parse(newest + "\n", "page")], engine="vllm", source="page").metrics
    for name, quantiles in zip(HISTOGRAMS, (metrics.ttft_ms, metrics.tpot_ms, metrics.latency_ms), strict=True):
        _same(prometheus, f"{name}_bucket", quantiles)
    assert metrics.running.value == exactly(ask(prometheus, "sum(vllm:num_requests_running)")[""])


def test_a_range_of_more_than_11000_points_is_whole(prometheus: str) -> None:
    start_s = END_S - 12_500 * 5
    with Client(Access(prometheus), {}) as client:
        series = client.query_range("sum(vllm:num_requests_running)", start_s, END_S, 5)
    assert [len(one.points) for one in series] == [12_501]
