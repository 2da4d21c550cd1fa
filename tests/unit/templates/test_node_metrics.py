from __future__ import annotations

import http.client
import math
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from templates.engine_metrics import NODE_GAUGES
from templates.hybrid.cloud.bundle import node_metrics
from templates.hybrid.cloud.bundle.node_metrics import Gauges, buckets, quantile, since

LATENCY = "vllm:e2e_request_latency_seconds"
KERNEL_LOG = """\
NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.126.09
NVRM: Xid (PCI:0000:cb:00): 13, pid='<unknown>', name=<unknown>, Graphics SM Warp Exception
NVRM: Xid (PCI:0000:00:1e): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.
NVRM: Xid (PCI:0000:00:1e): 48, pid=1234, An uncorrectable double bit error has been detected
"""


def histogram(counts: dict[str, int], *, engine: str = "0", name: str = LATENCY) -> str:
    lines = [f'{name}_bucket{{engine="{engine}",le="{le}",model_name="chat"}} {n}.0' for le, n in counts.items()]
    return "\n".join([f"# TYPE {name} histogram", *lines, f'{name}_count{{engine="{engine}"}} 9.0', ""])


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    said: dict[str, str | None] = {"journalctl": "", "nvidia-smi": "0\n"}
    monkeypatch.setattr(node_metrics, "_output", lambda command: said[command[0]])
    return said


def test_buckets_are_summed_over_the_series_of_a_histogram() -> None:
    text = (
        histogram({"1.0": 1, "+Inf": 2})
        + histogram({"1.0": 10, "+Inf": 20}, engine="1")
        + histogram({"1.0": 99}, name="other")
    )
    assert buckets(text, LATENCY) == {1.0: 11.0, math.inf: 22.0}


def test_a_quantile_is_that_of_prometheus() -> None:
    """Worked by hand from the rule of `histogram_quantile`: rank 99 of 100 lies 9/10 into the bucket from 2 to 4."""
    assert quantile(0.99, {1: 50, 2: 90, 4: 100, math.inf: 100}) == pytest.approx(3.8)
    assert quantile(0.5, {1: 50, 2: 90, 4: 100, math.inf: 100}) == 1.0
    assert quantile(0.99, {1: 0, 2: 0, math.inf: 5}) == 2  # beyond the highest bound
    assert quantile(0.99, {1: 0, math.inf: 0}) is None
    assert quantile(0.99, {}) is None


def test_an_engine_that_restarted_counts_from_zero() -> None:
    assert since({1: 5, math.inf: 10}, {1: 6, math.inf: 12}) == {1: 1, math.inf: 2}
    assert since({1: 5, math.inf: 10}, {1: 1, math.inf: 3}) == {1: 1, math.inf: 3}


def test_p99_covers_only_what_ended_since_the_scrape_before(
    outputs: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gauges = Gauges("127.0.0.1:1", {"ferry_latency_p99_seconds": LATENCY})
    texts = iter(
        [
            histogram({"1.0": 1000, "10.0": 1000, "+Inf": 1000}),
            histogram({"1.0": 1000, "10.0": 1100, "+Inf": 1100}),
            histogram({"1.0": 1000, "10.0": 1100, "+Inf": 1100}),
        ]
    )
    monkeypatch.setattr(gauges, "_engine_metrics", lambda: next(texts))
    assert "p99" not in gauges.exposition()
    assert "\nferry_latency_p99_seconds 9.91\n" in gauges.exposition()
    assert "p99" not in gauges.exposition()  # nothing ended: no value, rather than 0


def test_xids_that_an_application_causes_are_not_faults(outputs: dict[str, str | None]) -> None:
    outputs["journalctl"] = KERNEL_LOG
    assert node_metrics.xid_errors() == 2


@pytest.mark.parametrize(
    ("said", "expected"), [("0\n0\n", 0), ("3\n4\n", 7), ("[N/A]\n", None), ("[N/A]\n2\n", 2), ("", None), (None, None)]
)
def test_ecc_errors_are_summed_over_the_gpus_that_count_them(
    outputs: dict[str, str | None], said: str | None, expected: int | None
) -> None:
    outputs["nvidia-smi"] = said
    assert node_metrics.ecc_errors() == expected


def test_a_program_that_is_not_there_gives_no_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert node_metrics._output(["ferry-no-such-program"]) is None
    assert capsys.readouterr().err.startswith("ferry-no-such-program: ")


@pytest.fixture
def served(outputs: dict[str, str | None]) -> Iterator[tuple[Gauges, int]]:
    """The exporter, reading an engine whose one histogram grows by 100 requests of 1 to 10 s with each scrape."""
    scrapes = iter(range(1, 100))

    def engine_text() -> str:
        n = next(scrapes) * 100
        return "".join(
            histogram({"1.0": 0, "10.0": n, "+Inf": n}, name=name)
            for name in (LATENCY, "vllm:time_to_first_token_seconds")
        )

    engine = node_metrics.server("127.0.0.1", 0, engine_text)
    gauges = Gauges(
        f"127.0.0.1:{engine.server_port}",
        {"ferry_ttft_p99_seconds": "vllm:time_to_first_token_seconds", "ferry_latency_p99_seconds": LATENCY},
    )
    exporter = node_metrics.server("127.0.0.1", 0, gauges.exposition)
    threads = [threading.Thread(target=server.serve_forever) for server in (engine, exporter)]
    for thread in threads:
        thread.start()
    yield gauges, exporter.server_port
    for server, thread in zip((engine, exporter), threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path)
    response = connection.getresponse()
    answer = response.status, response.read().decode()
    connection.close()
    return answer


def test_the_exporter_serves_exactly_the_contracts_gauges(served: tuple[Any, int]) -> None:
    _, port = served
    get(port, "/metrics")
    status, text = get(port, "/metrics")
    assert status == 200
    found = {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if not line.startswith("#")}
    assert found == dict(zip(NODE_GAUGES, (9.91, 9.91, 0, 0), strict=True))
    assert [line for line in text.splitlines() if line.startswith("#")] == [f"# TYPE {n} gauge" for n in NODE_GAUGES]
    assert get(port, "/")[0] == 404


def test_an_engine_that_does_not_answer_costs_only_its_own_gauges(outputs: dict[str, str | None]) -> None:
    gauges = Gauges("127.0.0.1:1", {"ferry_latency_p99_seconds": LATENCY})
    gauges.exposition()
    assert gauges.exposition() == (
        "# TYPE ferry_gpu_xid_errors gauge\nferry_gpu_xid_errors 0\n"
        "# TYPE ferry_gpu_ecc_uncorrected_errors gauge\nferry_gpu_ecc_uncorrected_errors 0\n"
    )
