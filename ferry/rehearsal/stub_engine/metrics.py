"""The metrics of vLLM's V1 engine that Ferry reads, under their names: vllm/v1/metrics/loggers.py."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from templates.engine_metrics import ENGINES

TTFT_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
TPOT_BUCKETS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
LATENCY_BUCKETS = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)


class Metrics:
    """Of one engine process."""

    def __init__(self, model: str) -> None:
        self._registry = CollectorRegistry()
        labels = {"model_name": model, "engine": "0"}

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, list(labels), registry=self._registry).labels(**labels)

        def counter(name: str, text: str) -> Counter:
            return Counter(name, text, list(labels), registry=self._registry).labels(**labels)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, list(labels), buckets=buckets, registry=self._registry).labels(**labels)

        names = ENGINES["vllm"]
        self.running = gauge(names.running, "Number of requests in model execution batches.")
        gauge(names.waiting, "Number of requests waiting to be processed.").set(0)  # the stub takes each at once
        gauge(names.kv_cache_use, "KV-cache usage. 1 means 100 percent usage.").set(0)  # and has no cache
        self.ttft = histogram(names.ttft_seconds, "Histogram of time to first token in seconds.", TTFT_BUCKETS)
        self.tpot = histogram(
            "vllm:request_time_per_output_token_seconds",
            "Histogram of time_per_output_token_seconds per request.",
            TPOT_BUCKETS,
        )
        self.latency = histogram(names.latency_seconds, "Histogram of e2e request latency in seconds.", LATENCY_BUCKETS)
        self.prompt_tokens = counter("vllm:prompt_tokens", "Number of prefill tokens processed.")
        self.generation_tokens = counter("vllm:generation_tokens", "Number of generation tokens processed.")
        self._success = Counter(
            "vllm:request_success",
            "Count of successfully processed requests.",
            [*labels, "finished_reason"],
            registry=self._registry,
        ).labels(**labels, finished_reason="length")

    def finished(self, prompt_tokens: int, tokens: int, ttft_s: float, latency_s: float) -> None:
        """An answer was generated to its end."""
        self._success.inc()
        self.prompt_tokens.inc(prompt_tokens)
        self.generation_tokens.inc(tokens)
        self.latency.observe(latency_s)
        self.ttft.observe(ttft_s)
        if tokens > 1:
            self.tpot.observe((latency_s - ttft_s) / (tokens - 1))

    def text(self) -> bytes:
        """`/metrics`."""
        return generate_latest(self._registry)
