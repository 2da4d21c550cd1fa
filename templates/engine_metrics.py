"""The metrics contract between the node's agent, the alarms and the dashboard.

A metric of an engine has the same name in Prometheus and in CloudWatch. Every metric has exactly one dimension, the
node's auto-scaling group; one value per node and minute, so `Average` is the mean over the nodes that report.

The CloudWatch agent's Prometheus input passes gauges as they are and drops histograms (amazon-cloudwatch-agent,
plugins/inputs/prometheus/metrics_filter.go: "Only Gauge, Counter and Summary are supported"). So the engine's latency
histograms never reach CloudWatch: the node turns them into the P99 gauges below, each over the time since the scrape
before.
"""

from __future__ import annotations

from dataclasses import dataclass

NAMESPACE = "Ferry/Inference"
DIMENSION = "AutoScalingGroupName"


@dataclass(frozen=True, kw_only=True)
class EngineMetricNames:
    """Names that an engine exposes on `/metrics`. The two histograms exist in Prometheus only."""

    running: str
    """gauge: requests being generated"""
    waiting: str
    """gauge: requests in the queue"""
    kv_cache_use: str
    """gauge: share of the KV cache that is in use, 0 to 1"""
    ttft_seconds: str
    """histogram: time to first token; in CloudWatch only as TTFT_P99_SECONDS"""
    latency_seconds: str
    """histogram: whole request, first byte in to last token out; in CloudWatch only as LATENCY_P99_SECONDS"""

    @property
    def gauges(self) -> tuple[str, ...]:
        """What the agent sends to CloudWatch as it is."""
        return (self.running, self.waiting, self.kv_cache_use)


# vLLM's V1 engine: vllm/v1/metrics/loggers.py. SGLang: sglang/srt/metrics/collector.py, exposed with --enable-metrics.
ENGINES: dict[str, EngineMetricNames] = {
    "vllm": EngineMetricNames(
        running="vllm:num_requests_running",
        waiting="vllm:num_requests_waiting",
        kv_cache_use="vllm:kv_cache_usage_perc",
        ttft_seconds="vllm:time_to_first_token_seconds",
        latency_seconds="vllm:e2e_request_latency_seconds",
    ),
    "sglang": EngineMetricNames(
        running="sglang:num_running_reqs",
        waiting="sglang:num_queue_reqs",
        kv_cache_use="sglang:token_usage",
        ttft_seconds="sglang:time_to_first_token_seconds",
        latency_seconds="sglang:e2e_request_latency_seconds",
    ),
}

# Gauges of the node itself (templates/hybrid/cloud/bundle/node_metrics.py). Alarm on `Maximum`: one bad node counts.
TTFT_P99_SECONDS = "ferry_ttft_p99_seconds"
LATENCY_P99_SECONDS = "ferry_latency_p99_seconds"
GPU_XID_ERRORS = "ferry_gpu_xid_errors"
"""Xid messages of the NVIDIA driver since boot, without those that an application causes. Healthy: 0."""
GPU_ECC_ERRORS = "ferry_gpu_ecc_uncorrected_errors"
"""Uncorrected ECC errors of all GPUs since the driver was loaded. Healthy: 0; absent where the GPU has no ECC."""

NODE_GAUGES = (TTFT_P99_SECONDS, LATENCY_P99_SECONDS, GPU_XID_ERRORS, GPU_ECC_ERRORS)
