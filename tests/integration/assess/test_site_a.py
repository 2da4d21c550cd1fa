"""The real inputs beside the checkout: one site made of measurements."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ferry.assess import assess

pytestmark = pytest.mark.shared


def test_site_a_is_assessed_with_the_numbers_of_its_files(shared: Path) -> None:
    before = time.monotonic()
    made = assess(shared / "inputs" / "site-a" / "site.yaml")
    assert time.monotonic() - before < 2
    assert (made.cluster.accelerator, made.cluster.accelerator_seen) == ("A100-SXM4-80GB", "NVIDIA H100 80GB HBM3")
    assert made.cluster.gpu_utilization.value == 100
    assert [
        (run.operation, run.ranks, run.nodes, run.sizes, run.average_busbw.value, run.largest_message_busbw.value)
        for run in made.collectives
    ] == [("all_reduce", 8, 1, 34, 68.4048, 235.26), ("all_reduce", 96, None, 5, 373.187, 386.56)]
    (service,) = made.serving
    model, trace, metrics = service.model, service.trace, service.metrics
    assert (model.parameters.value, model.weight_bytes.value) == (32_763_876_352, 65_527_752_704)
    assert (model.attention, model.layers, model.kv_heads, model.head_dim) == ("GQA", 64, 8, 128)
    assert trace is not None
    assert (trace.requests, trace.duration_s, trace.peak_rps.value) == (19366, 3501.721937, 507 / 60)
    assert trace.mean_rps.value == pytest.approx(5.5304, abs=1e-4)
    assert (trace.input_tokens.p50.value, trace.input_tokens.p99.value) == (1020, 4142)
    assert (trace.output_tokens.p50.value, trace.output_tokens.p99.value) == (129, 601)
    assert metrics is not None
    # 19.95 s is what Prometheus itself answered for the same page (captured_qr_p99_e2e_norate_v06.json).
    assert (metrics.ttft_ms.p99.value, metrics.latency_ms.p99.value) == (79.4, 19950.0)
    assert (metrics.running.value, metrics.waiting.value) == (3, 2)
    assert [finding.code for finding in made.findings] == [
        "gpu-model-contradicts",
        "gpu-model-contradicts",
        "gpu-utilization-thin-sample",
        "metrics-of-another-model",
        "metrics-of-few-requests",
        "metrics-of-few-requests",
        "metrics-of-several-models",
        "nccl-more-ranks-than-gpus",
        "no-collective-over-nodes",
        "weights-not-here",
        "gpu-driver-new-feature-branch",
        "gradient-synchronisation",
        "gradient-synchronisation",
        "iteration-time-unknown",
        "metrics-since-start",
        "nccl-average-hides-large-messages",
    ]


def test_site_a_says_how_long_four_nodes_synchronise_and_that_it_is_a_bound(shared: Path) -> None:
    made = assess(shared / "inputs" / "site-a" / "site.yaml")
    finetune, whole = made.synchronisations
    # The log of 96 ranks cannot be of these 32 GPUs; the one of 8 is of one node, so that the network is not in it.
    assert {item.log for item in made.synchronisations} == {"../nccl/superbench_nccl_allreduce.log"}
    assert (finetune.name, finetune.nodes, finetune.ranks) == ("finetune", 2, 16)
    assert (whole.name, whole.nodes, whole.ranks) == ("all 4 nodes", 4, 32)
    assert {(item.bound, item.ring_ms.basis) for item in made.synchronisations} == {("at least", "assumed")}
    # 65.5 GB / 234.6 GB/s · 2·31/32, and 62/14 of the 35 µs that small messages take on 8 ranks.
    assert whole.ring_ms.value == pytest.approx(65_527_752_704 / 234.6e9 * 2 * 31 / 32 * 1e3, rel=1e-3)
    assert whole.latency_us.value == pytest.approx(35.2, abs=0.1)
    assert whole.parameters_in_18_ms.value == pytest.approx(1.08e9, rel=1e-2)
