"""The real inputs beside the checkout: one site made of measurements, and every nccl-tests log there is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ferry.assess import assess, nccl
from ferry.errors import UnreadableInput

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
        "weights-not-here",
        "gradient-synchronisation",
        "nccl-average-hides-large-messages",
    ]


# operation, ranks, nodes, rows, average, largest message, its bus bandwidth, wrong
READABLE = {
    "abci_v208_allreduce_16node_errcol.nccl": ("all_reduce", 128, 16, 24, 5.52162, 33554432, 26.63, 0),
    "abci_v208_allreduce_4gpu_errcol.nccl": ("all_reduce", 4, 1, 24, 21.8071, 33554432, 168.64, 0),
    "aws_adt_k8s_mpijob_1_0_prefix.txt": ("all_reduce", 16, None, 7, 52.9753, 2147483648, 437.79, 0),
    "aws_topology_aware_summary.txt": ("all_reduce", 128, None, 3, 84.0569, 17179869184, 369.86, 0),
    "coreweave_a100_infiniband.txt": ("all_reduce", 96, None, 5, 373.187, 8589934592, 386.56, 0),
    "coreweave_gb200_nvl72_rack.txt": ("all_reduce", 72, None, 5, 745.53, 8589934592, 834.57, 0),
    "coreweave_third.txt": ("all_reduce", 1440, None, 6, 297.808, 17179869184, 405.74, 0),
    "dstack_gcp_a3high_hash_stripped.txt": (None, None, None, 11, 40.6043, 8589934592, 50.17, 0),
    "dstack_gcp_a3mega_hash_stripped.txt": (None, None, None, 11, 146.948, 8589934592, 188.54, None),
    "dstack_lambda_v2176.txt": ("all_reduce", 16, None, 29, 137.179, 2147483648, 696.06, 0),
    "eunomia_truncated_rows.md": (None, None, None, 4, 0.411894, 33554432, 2.34, 0),
    "eunomia_v218_allgather_tagoutput.txt": ("all_gather", 2, 1, 8, 1.54321, 134217728, 2.30, 0),
    "rccl_pr2078_tail_asterisk_note.txt": ("all_reduce", 16, None, 4, 142.652, 17179869184, 360.98, 0),
    "superbench_nccl_allreduce.log": ("all_reduce", 8, 1, 34, 68.4048, 8589934592, 235.26, None),
    "superbench_nccl_reduce.log": (None, 8, 1, 34, 65.018, 8589934592, 228.38, None),
    "ztan_a3mega_2node_h100.markdown": ("all_reduce", 16, 2, 31, 70.742, 8589934592, 338.82, 0),
}
REFUSED = {
    "aws_adt_slurm_label_prefix_part1.txt": ":32: truncated nccl-tests log",
    "eunomia_failures_invalid_usage.md": "line 49 says: NCCL WARN Duplicate GPU detected",
    "issue338_cuda_not_initialized_fail.txt": "line 2 says: Test CUDA failure common.cu:1030",
    "issue5_nccl1_header_fail.txt": "line 15 says: NCCL failure all_reduce.cu:95 'unhandled cuda error'",
    "issue78_allreduce_256gpu_error_NA_truncated.txt": ":12: truncated nccl-tests log: a row is cut off",
    "rccl_mi300x_version_line_unprefixed.txt": ":17: truncated nccl-tests log",
}


def test_every_log_there_is_has_an_expectation(shared: Path) -> None:
    assert {path.name for path in (shared / "inputs" / "nccl").iterdir()} == {*READABLE, *REFUSED}


@pytest.mark.parametrize("name", READABLE)
def test_a_real_log_is_read(shared: Path, name: str) -> None:
    path = shared / "inputs" / "nccl" / name
    (run,) = nccl.parse(path.read_text(encoding="utf-8", errors="replace"), name).collectives
    assert (
        run.operation,
        run.ranks,
        run.nodes,
        run.sizes,
        run.average_busbw.value,
        run.largest_message_bytes,
        run.largest_message_busbw.value,
        run.wrong,
    ) == READABLE[name]


@pytest.mark.parametrize("name", REFUSED)
def test_a_failed_or_truncated_real_log_is_refused_in_one_line(shared: Path, name: str) -> None:
    path = shared / "inputs" / "nccl" / name
    with pytest.raises(UnreadableInput) as refused:
        nccl.parse(path.read_text(encoding="utf-8", errors="replace"), name)
    assert REFUSED[name] in str(refused.value)
    assert "\n" not in str(refused.value)
