"""How the engines call what Ferry wants to know, through their versions: the preferred name first.

vLLM: vllm/engine/metrics.py (V0), vllm/v1/metrics/loggers.py (V1); `kserve_vllm:…` in KServe, in Ray `ray_vllm_…`,
its counters both with and without _total. SGLang: sglang/srt/metrics/collector.py (some write `sglang_`). TGI:
docs/source/reference/metrics.md. Triton: docs/user_guide/metrics.md and the README of its TensorRT-LLM backend.
trtllm-serve: tensorrt_llm/metrics/collector.py. Ollama has no metrics of its own; its exporters and proxies differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields

from ferry.assess.prometheus.series import Series

_SPELLINGS = re.compile(r"^(?:ray_|kserve_)?(vllm|sglang)[:_]")
PARTS = ("tp_rank", "pp_rank", "moe_ep_rank")
"""Ranks of one engine that each report the same requests."""


@dataclass(frozen=True)
class Metric:
    """A name, what one unit of it is in the unit wanted, and the labels that single it out."""

    name: str
    scale: float = 1.0
    where: tuple[tuple[str, str], ...] = ()

    def of(self, series: Iterable[Series], suffix: str = "") -> list[Series]:
        """The series of it, each once: of ranks that report the same the first, of priorities only their total."""
        own = [
            one
            for one in series
            if canonical(one.name) == self.name + suffix and all(one.labels.get(k) == v for k, v in self.where)
        ]
        if any(not one.labels.get("priority") for one in own):
            own = [one for one in own if not one.labels.get("priority")]
        # Ranks are told apart by labels; the largest wins, since a rank that does not report stays at 0.
        by_engine: dict[tuple[object, ...], Series] = {}
        for one in own:
            rest = tuple(sorted((k, v) for k, v in one.labels.items() if k not in PARTS))
            key = (one.file, one.name, rest)
            if key not in by_engine or one.last > by_engine[key].last:
                by_engine[key] = one
        return list(by_engine.values())


def _names(*names: str | Metric) -> tuple[Metric, ...]:
    return tuple(name if isinstance(name, Metric) else Metric(name) for name in names)


def _milli(*names: str) -> tuple[Metric, ...]:
    """Histograms in seconds, wanted in milliseconds."""
    return tuple(Metric(name, 1000) for name in names)


@dataclass(frozen=True, kw_only=True)
class EngineNames:
    """Distributions in ms (histograms, or summaries), gauges, and counters."""

    model_label: str | None
    ttft: tuple[Metric, ...] = ()
    tpot: tuple[Metric, ...] = ()
    latency: tuple[Metric, ...] = ()
    queue: tuple[Metric, ...] = ()
    running: tuple[Metric, ...] = ()
    waiting: tuple[Metric, ...] = ()
    kv_cache_use: tuple[Metric, ...] = ()
    requests: tuple[Metric, ...] = ()
    input_tokens: tuple[Metric, ...] = ()
    output_tokens: tuple[Metric, ...] = ()
    input_rate: tuple[Metric, ...] = ()
    output_rate: tuple[Metric, ...] = ()
    absent: dict[str, str] = field(default_factory=dict)
    """Why a distribution is not there, by its field."""

    def metrics(self) -> Iterator[Metric]:
        """All of them."""
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, tuple):
                yield from value

    @property
    def distributions(self) -> tuple[Metric, ...]:
        """What may be a histogram."""
        return (*self.ttft, *self.tpot, *self.latency, *self.queue)


ENGINES = {
    "vllm": EngineNames(
        model_label="model_name",
        ttft=_milli("vllm:time_to_first_token_seconds"),
        # V1 replaced the time per token by a mean per request and a gap per token.
        tpot=_milli(
            "vllm:request_time_per_output_token_seconds",
            "vllm:time_per_output_token_seconds",
            "vllm:inter_token_latency_seconds",
        ),
        latency=_milli("vllm:e2e_request_latency_seconds"),
        queue=_milli("vllm:request_queue_time_seconds", "vllm:time_in_queue_requests"),
        running=_names("vllm:num_requests_running"),
        waiting=_names("vllm:num_requests_waiting"),
        kv_cache_use=_names("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        requests=_names("vllm:request_success_total", "vllm:request_success"),
        input_tokens=_names("vllm:prompt_tokens_total", "vllm:prompt_tokens"),
        output_tokens=_names("vllm:generation_tokens_total", "vllm:generation_tokens"),
        input_rate=_names("vllm:avg_prompt_throughput_toks_per_s"),
        output_rate=_names("vllm:avg_generation_throughput_toks_per_s"),
    ),
    "sglang": EngineNames(
        model_label="model_name",
        ttft=_milli("sglang:time_to_first_token_seconds"),
        tpot=_milli(
            "sglang:request_time_per_output_token_seconds",
            "sglang:time_per_output_token_seconds",
            "sglang:inter_token_latency_seconds",
        ),
        latency=_milli("sglang:e2e_request_latency_seconds"),
        queue=_milli("sglang:queue_time_seconds"),
        running=_names("sglang:num_running_reqs"),
        waiting=_names("sglang:num_queue_reqs"),
        kv_cache_use=_names("sglang:token_usage"),
        requests=_names("sglang:num_requests_total", "sglang:num_requests"),
        input_tokens=_names("sglang:prompt_tokens_total", "sglang:prompt_tokens"),
        output_tokens=_names("sglang:generation_tokens_total", "sglang:generation_tokens"),
        output_rate=_names("sglang:gen_throughput"),
    ),
    "tgi": EngineNames(
        model_label=None,
        tpot=_milli("tgi_request_mean_time_per_token_duration"),
        latency=_milli("tgi_request_duration"),
        queue=_milli("tgi_request_queue_duration"),
        running=_names("tgi_batch_current_size"),
        waiting=_names("tgi_queue_size"),
        requests=_names("tgi_request_success", "tgi_request_success_total"),
        input_tokens=_names("tgi_request_input_length_sum"),
        output_tokens=_names("tgi_request_generated_tokens_sum"),
        absent={"ttft": "TGI has no metric of the time to the first token"},
    ),
    "triton": EngineNames(
        model_label="model",
        # The first response of a decoupled model is its first chunk of text.
        ttft=_names("nv_inference_first_response_histogram_ms"),
        latency=(Metric("nv_inference_request_summary_us", 0.001), Metric("nv_inference_request_duration_us", 0.001)),
        queue=(Metric("nv_inference_queue_summary_us", 0.001), Metric("nv_inference_queue_duration_us", 0.001)),
        running=(Metric("nv_trt_llm_request_metrics", where=(("request_type", "active"),)),),
        waiting=(
            Metric("nv_trt_llm_request_metrics", where=(("request_type", "waiting"),)),
            Metric("nv_inference_pending_request_count"),
        ),
        kv_cache_use=(Metric("nv_trt_llm_kv_cache_block_metrics", where=(("kv_cache_block_type", "fraction"),)),),
        requests=_names("nv_inference_request_success"),
        input_tokens=_names("nv_llm_input_token_len_sum"),
        output_tokens=_names("nv_llm_output_token_len_sum"),
        absent={
            "ttft": "Triton counts it only with --metrics-config histogram_latencies=true",
            "tpot": "Triton has no metric of the time per token",
        },
    ),
    "tensorrt-llm": EngineNames(
        model_label="model_name",
        ttft=_milli("trtllm_time_to_first_token_seconds"),
        tpot=_milli("trtllm_time_per_output_token_seconds"),
        latency=_milli("trtllm_e2e_request_latency_seconds"),
        queue=_milli("trtllm_request_queue_time_seconds"),
        kv_cache_use=_names("trtllm_kv_cache_utilization"),
        requests=_names("trtllm_request_success_total"),
        input_tokens=_names("trtllm_prompt_tokens_total"),
        output_tokens=_names("trtllm_generation_tokens_total"),
    ),
    "ollama": EngineNames(
        model_label="model",
        ttft=_milli("ollama_time_to_first_token_seconds"),
        tpot=_milli("ollama_time_per_token_seconds"),
        latency=_milli("ollama_request_duration_seconds", "ollama_response_seconds"),
        queue=_milli("ollama_queue_duration_seconds"),
        running=_names("ollama_requests_in_flight", "ollama_active_requests"),
        requests=_names("ollama_requests_total"),
        input_tokens=_names("ollama_prompt_tokens_total", "ollama_tokens_processed_total"),
        output_tokens=_names("ollama_generated_tokens_total", "ollama_tokens_generated_total"),
    ),
}


def canonical(name: str) -> str:
    """A name in its engine's own spelling: ray_vllm_x, kserve_vllm:x and vllm_x are vllm:x, sglang_x is sglang:x."""
    return _SPELLINGS.sub(r"\1:", name)


def known_names(engine: str) -> frozenset[str]:
    """All names of an engine, in its own spelling, with those of a histogram's parts."""
    names = ENGINES[engine]
    parts = {f"{metric.name}{suffix}" for metric in names.distributions for suffix in ("_bucket", "_sum", "_count")}
    return frozenset({metric.name for metric in names.metrics()} | parts)


def engines_in(series: Iterable[Series]) -> list[str]:
    """Which engines these series are of."""
    found = {canonical(one.name) for one in series}
    return [engine for engine in ENGINES if found & known_names(engine)]
