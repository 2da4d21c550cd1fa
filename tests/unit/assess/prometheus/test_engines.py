"""Each engine by a small page in its own names."""

from __future__ import annotations

import pytest

from ferry.artefacts import EngineMetrics
from ferry.assess.prometheus import engine_metrics, engines_in
from ferry.assess.prometheus.engines import canonical
from ferry.assess.prometheus.exposition import parse


def histogram(name: str, labels: str, bounds: tuple[str, str, str] = ("0.1", "0.3", "+Inf")) -> str:
    counts = zip(bounds, (500, 1000, 1000), strict=True)
    lines = [f'{name}_bucket{{{labels}le="{bound}"}} {count}' for bound, count in counts]
    return "\n".join([*lines, f"{name}_sum{{{labels}}} 200", f"{name}_count{{{labels}}} 1000"]) + "\n"


def read(text: str, engine: str) -> EngineMetrics:
    page = parse(text, "page")
    assert engine in engines_in(page.series)
    return engine_metrics([page], engine=engine, source="page").metrics


@pytest.mark.parametrize("prefix", ["vllm:", "vllm_", "ray_vllm_", "ray_vllm:", "kserve_vllm:"])
def test_vllm_in_all_spellings(prefix: str) -> None:
    m = 'model_name="m",engine="0"'
    text = histogram(f"{prefix}inter_token_latency_seconds", f"{m},") + histogram(
        f"{prefix}request_queue_time_seconds", f"{m},"
    )
    text += f"{prefix}kv_cache_usage_perc{{{m}}} 0.5\n{prefix}num_requests_running{{{m}}} 2\n"
    text += f'{prefix}num_requests_waiting_by_reason{{{m},reason="x"}} 9\n{prefix}num_requests_waiting{{{m}}} 4\n'
    metrics = read(text, "vllm")
    assert metrics.queue_ms is not None
    assert (metrics.tpot_ms.p99.value, metrics.queue_ms.p50.value) == (pytest.approx(296.0), 100.0)
    assert (metrics.kv_cache_use.value, metrics.running.value, metrics.waiting.value) == (0.5, 2.0, 4.0)


@pytest.mark.parametrize("prefix", ["sglang:", "sglang_"])
def test_sglang_in_both_spellings(prefix: str) -> None:
    m = 'model_name="m"'
    text = "".join(
        histogram(f"{prefix}{name}_seconds", f"{m},")
        for name in ("time_to_first_token", "inter_token_latency", "e2e_request_latency", "queue_time")
    )
    text += f"{prefix}num_running_reqs{{{m}}} 5\n{prefix}num_queue_reqs{{{m}}} 6\n{prefix}token_usage{{{m}}} 0.28\n"
    text += f"{prefix}gen_throughput{{{m}}} 86.5\n"
    metrics = read(text, "sglang")
    assert metrics.queue_ms is not None
    assert metrics.output_tokens_per_s is not None
    quantiles = (metrics.ttft_ms, metrics.tpot_ms, metrics.latency_ms, metrics.queue_ms)
    assert [one.p99.value for one in quantiles] == [pytest.approx(296.0)] * 4
    assert (metrics.running.value, metrics.waiting.value, metrics.kv_cache_use.value) == (5.0, 6.0, 0.28)
    assert metrics.output_tokens_per_s.value == 86.5


def test_tgi_has_no_time_to_the_first_token_and_says_so() -> None:
    text = "".join(
        histogram(f"tgi_request_{name}", "") for name in ("duration", "queue_duration", "mean_time_per_token_duration")
    )
    metrics = read(text + "tgi_batch_current_size 7\ntgi_queue_size 3\n", "tgi")
    assert (metrics.latency_ms.p99.value, metrics.tpot_ms.p50.value) == (pytest.approx(296.0), 100.0)
    assert metrics.ttft_ms.p99.source == "page: TGI has no metric of the time to the first token"
    assert (metrics.running.value, metrics.waiting.value) == (7.0, 3.0)


def test_triton_counts_in_milli_and_microseconds_and_its_ensemble_is_the_whole() -> None:
    m = 'model="ensemble",version="1"'
    text = histogram("nv_inference_first_response_histogram_ms", f"{m},", ("100", "300", "+Inf"))
    text += f'nv_inference_request_summary_us{{{m},quantile="0.99"}} 250000\n'
    text += f"nv_inference_request_summary_us_count{{{m}}} 1000\nnv_inference_request_summary_us_sum{{{m}}} 9e7\n"
    text += "".join(
        f'nv_inference_request_success{{model="{name}",version="1"}} 1000\n' for name in ("preprocessing", "ensemble")
    )
    metrics = read(text, "triton")
    assert (metrics.ttft_ms.p99.value, metrics.latency_ms.p99.value) == (pytest.approx(296.0), 250.0)
    assert (metrics.latency_ms.mean.value, metrics.latency_ms.p50.value) == (90.0, None)
    assert metrics.tpot_ms.p50.source == "page: Triton has no metric of the time per token"


def test_triton_without_summaries_has_a_mean_alone() -> None:
    m = '{model="m",version="1"}'
    text = f"nv_inference_request_success{m} 50\nnv_inference_request_duration_us{m} 5000000\n"
    latency = read(text, "triton").latency_ms
    assert (latency.mean.value, latency.p99.value) == (100.0, None)
    assert latency.p99.source.endswith("only its mean is counted")


def test_tensorrt_llm_behind_triton() -> None:
    text = "".join(
        f'nv_trt_llm_{name}{{model="m",{label}="{kind}",version="1"}} {value}\n'
        for name, label, kind, value in (
            ("request_metrics", "request_type", "active", 5),
            ("request_metrics", "request_type", "waiting", 2),
            ("request_metrics", "request_type", "max", 512),
            ("kv_cache_block_metrics", "kv_cache_block_type", "used", 110),
            ("kv_cache_block_metrics", "kv_cache_block_type", "max", 200),
            ("kv_cache_block_metrics", "kv_cache_block_type", "fraction", 0.55),
        )
    )
    metrics = read(text, "triton")
    assert (metrics.running.value, metrics.waiting.value, metrics.kv_cache_use.value) == (5.0, 2.0, 0.55)


def test_trtllm_serve() -> None:
    m = 'model_name="m",engine_type="trtllm"'
    text = histogram("trtllm_time_to_first_token_seconds", f"{m},") + f"trtllm_kv_cache_utilization{{{m}}} 0.4\n"
    metrics = read(text, "tensorrt-llm")
    assert (metrics.ttft_ms.p50.value, metrics.kv_cache_use.value) == (100.0, 0.4)


@pytest.mark.parametrize("latency", ["ollama_request_duration_seconds", "ollama_response_seconds"])
def test_ollama_through_its_exporters(latency: str) -> None:
    text = histogram(latency, 'model="llama3:8b",') + histogram(
        "ollama_time_to_first_token_seconds", 'model="llama3:8b",'
    )
    metrics = read(text + "ollama_requests_in_flight 2\n", "ollama")
    assert (metrics.latency_ms.p50.value, metrics.ttft_ms.p50.value, metrics.running.value) == (100.0, 100.0, 2.0)


def test_names_of_other_programs_keep_their_spelling() -> None:
    assert [canonical(name) for name in ("ray_vllm_x", "sglang_x", "my_vllm_x", "ray_node_mem")] == [
        "vllm:x", "sglang:x", "my_vllm_x", "ray_node_mem",
    ]  # fmt: skip
