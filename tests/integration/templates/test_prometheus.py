from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from templates.engine_metrics import ENGINES
from tests.plans import make_plan
from tests.promtool import alert, check, fires, promtool, rules


@pytest.mark.tool("promtool")
@pytest.mark.parametrize("engine", [*ENGINES, "ollama"])
def test_promtool_accepts_the_configuration_and_the_rules(rendered_local: Callable[..., Path], engine: str) -> None:
    local = rendered_local(serving_facts=make_plan().serving_facts.model_copy(update={"engine": engine}))
    promtool("check", "config", "prometheus.yaml", cwd=local / "prometheus")
    promtool("check", "rules", *sorted((local / "prometheus" / "rules").glob("*.yaml")), cwd=local)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_engines_rules_read_its_own_metrics(rendered_local: Callable[..., Path], engine: str) -> None:
    local = rendered_local(serving_facts=make_plan().serving_facts.model_copy(update={"engine": engine}))
    names = ENGINES[engine]
    read = set(re.findall(rf"{engine}:\w+", " ".join(rule["expr"] for rule in rules(local))))
    assert read == {
        names.waiting,
        names.kv_cache_use,
        f"{names.ttft_seconds}_bucket",
        f"{names.latency_seconds}_bucket",
    }


@pytest.mark.tool("prometheus")
def test_prometheus_scrapes_every_server_by_each_exporter(rendered_local: Callable[..., Path], tmp_path: Path) -> None:
    folder = rendered_local() / "prometheus"
    (folder / "targets" / "servers.yaml").write_text("- targets: [gpu-1.invalid, gpu-2.invalid]\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["--config.file=prometheus.yaml", f"--storage.tsdb.path={tmp_path}/data"]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            ["prometheus", *arguments, f"--web.listen-address=127.0.0.1:{port}"], cwd=folder, stdout=log, stderr=log
        ) as prometheus,
    ):
        try:
            found = targets_of(port, 6)
        finally:
            prometheus.terminate()
    assert found == {
        ("engine", "127.0.0.1:8000", "http://127.0.0.1:8000/metrics"),
        ("gateway", "127.0.0.1:9901", "http://127.0.0.1:9901/stats/prometheus"),
        ("dcgm", "gpu-1.invalid", "http://gpu-1.invalid:9400/metrics"),
        ("dcgm", "gpu-2.invalid", "http://gpu-2.invalid:9400/metrics"),
        ("node", "gpu-1.invalid", "http://gpu-1.invalid:9100/metrics"),
        ("node", "gpu-2.invalid", "http://gpu-2.invalid:9100/metrics"),
    }


def targets_of(port: int, count: int) -> set[tuple[str, str, str]]:
    """Job, instance and address of what a Prometheus scrapes, once it knows so many."""
    end = time.monotonic() + 30
    found: set[tuple[str, str, str]] = set()
    while len(found) < count and time.monotonic() < end:
        time.sleep(0.1)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/api/v1/targets?state=active")
            active = json.loads(connection.getresponse().read())["data"]["activeTargets"]
            found = {(each["labels"]["job"], each["labels"]["instance"], each["scrapeUrl"]) for each in active}
        except (OSError, ValueError):
            continue
        finally:
            connection.close()
    return found


TTFT, LATENCY = "vllm:time_to_first_token_seconds_bucket", "vllm:e2e_request_latency_seconds_bucket"


ENGINE = 'instance="127.0.0.1:8000",job="engine"'


def series(name: str, labels: str) -> str:
    return f"{name}{{{labels}}}"


CASES: dict[str, tuple[str, dict[str, str], list[dict[str, Any]]]] = {
    # All of 2 requests a second fall between 2.5 and 5 s: P99 = 2.5 + 0.99 × 2.5 = 4.975 s, promised are 2 s.
    "first tokens above the SLO": (
        "engine",
        {
            series(TTFT, f'{ENGINE},le="2.5"'): "0x40",
            series(TTFT, f'{ENGINE},le="5"'): "0+120x40",
            series(TTFT, f'{ENGINE},le="+Inf"'): "0+120x40",
        },
        [
            alert("FerryEngineFirstTokenSlow", 9),
            alert(
                "FerryEngineFirstTokenSlow",
                15,
                fires("warning", "FerryEngineFirstTokenSlow", "P99 time to first token is 4.975s, promised are 2 s"),
            ),
        ],
    ),
    "first tokens within the SLO": (
        "engine",
        {
            series(TTFT, f'{ENGINE},le="1"'): "0+120x40",
            series(TTFT, f'{ENGINE},le="+Inf"'): "0+120x40",
        },
        [alert("FerryEngineFirstTokenSlow", 30)],
    ),
    # Half below 10 s, half between 20 and 40 s: P99 = 20 + 0.98 × 20 = 39.6 s, the limit is 20 s.
    "whole requests above the limit": (
        "engine",
        {
            series(LATENCY, f'{ENGINE},le="10"'): "0+60x40",
            series(LATENCY, f'{ENGINE},le="20"'): "0+60x40",
            series(LATENCY, f'{ENGINE},le="40"'): "0+120x40",
            series(LATENCY, f'{ENGINE},le="+Inf"'): "0+120x40",
        },
        [
            alert(
                "FerryEngineSlow",
                15,
                fires("warning", "FerryEngineSlow", "P99 of whole requests is 39.6s, the limit is 20 s"),
            )
        ],
    ),
    "the engine is down for two minutes": (
        "engine",
        {series("up", ENGINE): "1 0 0 1 1"},
        [
            alert("FerryEngineDown", 1),
            alert(
                "FerryEngineDown",
                2,
                fires(
                    "critical",
                    "FerryEngineDown",
                    "The engine on 127.0.0.1:8000 does not answer",
                    instance="127.0.0.1:8000",
                    job="engine",
                ),
            ),
            alert("FerryEngineDown", 3),
        ],
    ),
    "a long queue and a full cache": (
        "engine",
        {
            series("vllm:num_requests_waiting", ENGINE): "33x20",
            series("vllm:kv_cache_usage_perc", ENGINE): "0.97x20",
        },
        [
            alert("FerryEngineQueueLong", 4),
            alert(
                "FerryEngineQueueLong",
                5,
                fires(
                    "warning",
                    "FerryEngineQueueLong",
                    "33 requests wait on 127.0.0.1:8000",
                    instance="127.0.0.1:8000",
                ),
            ),
            alert(
                "FerryEngineCacheFull",
                10,
                fires(
                    "warning",
                    "FerryEngineCacheFull",
                    "The KV cache of 127.0.0.1:8000 is 97% full",
                    instance="127.0.0.1:8000",
                ),
            ),
        ],
    ),
    "the cloud before it exists": (
        "gateway",
        {
            series("envoy_cluster_membership_healthy", 'envoy_cluster_name="cloud"'): "0x30",
            series("envoy_cluster_membership_total", 'envoy_cluster_name="cloud"'): "0x30",
        },
        [alert("FerryGatewayCloudUnhealthy", 20)],
    ),
    "the cloud is unhealthy and its requests fail": (
        "gateway",
        {
            series("envoy_cluster_membership_healthy", 'envoy_cluster_name="cloud"'): "0x30",
            series("envoy_cluster_membership_total", 'envoy_cluster_name="cloud"'): "2x30",
            series(
                "envoy_cluster_upstream_rq_xx", 'envoy_cluster_name="cloud-then-local",envoy_response_code_class="5"'
            ): "0+3x30",
            series(
                "envoy_cluster_upstream_rq_xx", 'envoy_cluster_name="local-then-cloud",envoy_response_code_class="5"'
            ): "0+0x30",
            series("envoy_cluster_upstream_rq_completed", 'envoy_cluster_name="cloud-then-local"'): "0+60x30",
            series("envoy_cluster_upstream_rq_completed", 'envoy_cluster_name="local-then-cloud"'): "0+60x30",
        },
        [
            alert(
                "FerryGatewayCloudUnhealthy",
                5,
                fires(
                    "warning",
                    "FerryGatewayCloudUnhealthy",
                    "The gateway sees no healthy address of llm.site.example",
                    envoy_cluster_name="cloud",
                ),
            ),
            alert(
                "FerryGatewayErrors",
                15,
                fires(
                    "critical",
                    "FerryGatewayErrors",
                    "5 % of the requests to cloud-then-local fail",
                    envoy_cluster_name="cloud-then-local",
                ),
            ),
        ],
    ),
}


@pytest.mark.tool("promtool")
@pytest.mark.parametrize("case", CASES)
def test_alerts_fire_when_they_should_and_say_what_they_should(
    rendered_local: Callable[..., Path], tmp_path: Path, case: str
) -> None:
    rule_file, inputs, expected = CASES[case]
    check(rendered_local() / "prometheus" / "rules" / f"{rule_file}.yaml", tmp_path, (inputs, expected))
