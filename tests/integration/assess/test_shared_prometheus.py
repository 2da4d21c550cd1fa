"""Every file of ../shared/inputs/prometheus: read with these numbers, or refused for this reason.

The numbers were worked out from the files by hand and with awk, not with Ferry.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ferry.artefacts import ClusterMetrics, EngineMetrics
from ferry.assess.prometheus import cluster_metrics, engine_metrics, engines_in, read
from ferry.errors import UnreadableInput

pytestmark = pytest.mark.shared

REFUSED = {
    "captured_err_parse_bad_data.json": 'is an error of Prometheus (bad_data): invalid parameter "query": 1:74: parse',
    "captured_label_names_values.json": "is a list of 1351 names (DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS, ",
    "captured_metadata_vllm_e2e.json": "is metadata (type and help of 1 metrics: vllm:e2e_request_latency_seconds)",
    "captured_qi_scalar.json": "is a scalar, 1: a value without a name and labels",
    "captured_qr_empty_wrong_metric.json": "the answer is empty: the query matched nothing",
    "captured_qr_p99_e2e_norate_v06.json": "it is 19.95 at every one of its 8 times, as a quantile without rate() is",
    "captured_targets.json": "is the list of targets (6 scraped, 1 of them not up), not values",
    "grafana_promlib_range_missing.result.json": "holds go_goroutines, and no metric that Ferry knows",
    "ollama_exporter_maravexa_metrics.md": "names 14 metrics (ollama_up, ollama_model_loaded, ",
    "vllm_0.33.0_prometheus.yaml": "is the configuration of a Prometheus server, not its metrics",
}
"""What the refusal says."""

ENGINES: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "captured_qi_range_vector_matrix.json": (
        "vllm",
        {
            "waiting": 0.0,
            "running": None,
            "ttft_ms.p99": None,
            "window": "2026-11-24T00:16:56Z to 2026-11-24T00:17:15Z",
        },
        ["metrics-of-several-models"],
    ),
    "sglang_v04_router_test_metrics.txt": (
        "sglang",
        {
            "running": 162.0,
            "waiting": 2826.0,
            "kv_cache_use": 0.28,
            "output_tokens_per_s": 86.50814177726902,
            "ttft_ms.mean": 213653.519932,
            "ttft_ms.p50": "> 10",
            "tpot_ms.mean": 117.145391904,
            "tpot_ms.p99": "> 15",
            "latency_ms.mean": 277528.843073,
            "latency_ms.p50": "> 800",
        },
        ["metrics-beyond-last-bucket", "metrics-beyond-last-bucket", "metrics-beyond-last-bucket"],
    ),
    "triton_docs_queue_summary.txt": (
        "triton",
        {
            "queue_ms.mean": 0.0690062111801,
            "queue_ms.p50": 0.055,
            "queue_ms.p95": 0.098,
            "queue_ms.p99": 0.101,
            "latency_ms.p99": None,
        },
        ["metrics-excerpt", "metrics-since-start"],
    ),
    "triton_trtllm_backend_metrics.txt": (
        "triton",
        {"running": 0.0, "waiting": 1.0, "kv_cache_use": None},
        ["kv-cache-use-contradicts"],
    ),
    "triton_trtllm_nv_inference_metrics.txt": (
        "triton",
        {"waiting": 0.0, "latency_ms.mean": None},
        ["metrics-without-requests"],
    ),
    "vllm_v06_kubeai_metrics.txt": (
        "vllm",
        {
            "running": 3.0,
            "waiting": 2.0,
            "kv_cache_use": 0.0026235242675994863,
            "output_tokens_per_s": 34.30352890481867,
            "input_tokens_per_s": 1.294472788861082,
            "requests_per_s": None,
            "ttft_ms.mean": 56.7386680179,
            "ttft_ms.p50": 54.0,
            "ttft_ms.p95": 77.0,
            "ttft_ms.p99": 79.4,
            "tpot_ms.mean": 38.7665364608,
            "tpot_ms.p50": 37.5893211592,
            "tpot_ms.p99": 49.9268558952,
            "latency_ms.mean": 15541.4081812,
            "latency_ms.p50": 17500.0,
            "latency_ms.p95": 19750.0,
            "latency_ms.p99": 19950.0,
            "window": "since the start of the process",
        },
        ["metrics-of-several-models", "metrics-of-few-requests", "metrics-of-few-requests", "metrics-since-start"],
    ),
    "vllm_v07_aibrix_indented.rst": (
        "vllm",
        {"running": 0.0, "waiting": 0.0, "kv_cache_use": 0.0, "ttft_ms.p99": None, "output_tokens_per_s": None},
        [],
    ),
}
"""The engine, its figures (`> x`: unknown, with x as its lower bound), and what is found."""

CLUSTERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "aicr_dcgm_8xH100_dynamo_head.txt": (
        {"gpus": 8, "model": "NVIDIA H100 80GB HBM3", "utilization": 0.0, "power": 583.767, "memory_used": None},
        [],
    ),
    # 16 GPUs on two servers, each of which has a gpu="0".
    "aicr_prom_vector_fb_used.json": (
        {"gpus": 16, "hosts": 2, "utilization": None, "memory_used": 74166 * 2.0**20},
        [],
    ),
    "aicr_prom_vector_third.json": ({"gpus": 16, "hosts": 2, "utilization": None, "power": None}, []),
    "captured_qr_gpu_util_matrix.json": (
        {"gpus": 1, "utilization": 0.0, "window": "2026-11-24T00:16:45Z to 2026-11-24T00:17:15Z"},
        [],
    ),
    "dcgm_readme_sentinel.txt": (
        {"gpus": 1, "utilization": None, "power": None},
        ["metrics-excerpt", "dcgm-blank-values"],
    ),
    "kops_dcgm_metrics.txt": ({"gpus": 1, "model": "NVIDIA L4", "utilization": 0.0, "power": 16.365}, []),
    "node_exporter_e2e-output.txt": ({"gpus": 0, "cpus": 8, "memory": 3831959552.0, "load": 0.21}, []),
    "nvidia_gpu_exporter_h100_load.metrics": (
        {
            "gpus": 1,
            "model": "NVIDIA H100 80GB HBM3",
            "driver": "590.48.01",
            "utilization": 100.0,
            "power": 631.95,
            "memory_used": 20780679168.0,
        },
        [],
    ),
    "upcloud_prom_vector_oneline.json": ({"gpus": 1, "model": "NVIDIA L40S", "driver": "595.58.03", "power": None}, []),
}
"""Figures of servers and GPUs, and what is found. `memory_used` is of all GPUs together."""


def test_every_file_is_in_one_of_the_tables(shared: Path) -> None:
    files = {path.name for path in (shared / "inputs" / "prometheus").iterdir()}
    assert files == {*REFUSED, *ENGINES, *CLUSTERS}
    assert len(files) == len(REFUSED) + len(ENGINES) + len(CLUSTERS)


@pytest.mark.parametrize("name", REFUSED)
def test_what_holds_no_values_is_refused(shared: Path, name: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        read(shared / "inputs" / "prometheus" / name, name)
    assert str(refused.value).startswith(f"{name}: ")
    assert REFUSED[name] in str(refused.value)


@pytest.mark.parametrize("name", ENGINES)
def test_what_an_engine_says_is_read(shared: Path, name: str) -> None:
    engine, expected, codes = ENGINES[name]
    page = read(shared / "inputs" / "prometheus" / name, name)
    assert engines_in(page.series) == [engine]
    reading = engine_metrics([page], engine=engine, source=name)
    assert {key: _figure(reading.metrics, key) for key in expected} == expected
    assert [finding.code for finding in reading.findings] == codes


@pytest.mark.parametrize("name", CLUSTERS)
def test_what_servers_and_gpus_say_is_read(shared: Path, name: str) -> None:
    expected, codes = CLUSTERS[name]
    page = read(shared / "inputs" / "prometheus" / name, name)
    assert engines_in(page.series) == []
    reading = cluster_metrics([page], source=name)
    shown = _cluster(reading.metrics)
    assert {key: shown[key] for key in expected} == expected
    assert [finding.code for finding in reading.findings] == codes


def test_the_blank_of_the_readme_is_named_with_its_line(shared: Path) -> None:
    page = read(shared / "inputs" / "prometheus" / "dcgm_readme_sentinel.txt", "readme")
    (finding,) = (one for one in cluster_metrics([page], source="s").findings if one.code == "dcgm-blank-values")
    assert (finding.where, finding.seen) == (
        "readme:13",
        "1 blank value of DCGM_FI_DEV_MEMORY_TEMP: 9223372036854775808",
    )


def _figure(metrics: EngineMetrics, key: str) -> Any:
    found: Any = metrics
    for step in key.split("."):
        found = getattr(found, step)
    if isinstance(found, str):
        return found
    return found.value if found.at_least is None else f"> {found.at_least:g}"


def _cluster(metrics: ClusterMetrics) -> dict[str, Any]:
    first = metrics.gpus[0] if metrics.gpus else None
    machine = metrics.machines[0] if metrics.machines else None
    used = [gpu.memory_used.value for gpu in metrics.gpus if gpu.memory_used.value is not None]
    return {
        "gpus": len(metrics.gpus),
        "hosts": len({gpu.host for gpu in metrics.gpus}),
        "model": first and first.model,
        "driver": first and first.driver,
        "utilization": metrics.utilization.value,
        "power": metrics.power.value,
        "memory_used": sum(used) if used else None,
        "window": metrics.window,
        "cpus": machine and machine.cpus,
        "memory": machine and machine.memory.value,
        "load": machine and machine.load.value,
    }
