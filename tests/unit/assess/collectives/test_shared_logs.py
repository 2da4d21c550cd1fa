"""Every real log beside the checkout: its numbers, as a person reads them off the file, or the reason to refuse it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferry.assess.collectives import CollectiveLog, parse
from ferry.errors import UnreadableInput

pytestmark = pytest.mark.shared

# tool, operation, ranks, nodes, rows, average, largest message, its time in µs, algbw and busbw, wrong
READABLE = {
    "abci_v208_allreduce_16node_errcol.nccl":
        ("nccl-tests", "all_reduce", 128, 16, 24, 5.52162, 33554432, 2500.7, 13.42, 26.63, 0),
    "abci_v208_allreduce_4gpu_errcol.nccl":
        ("nccl-tests", "all_reduce", 4, 1, 24, 21.8071, 33554432, 298.4, 112.43, 168.64, 0),
    "aws_adt_k8s_mpijob_1_0_prefix.txt":
        ("nccl-tests", "all_reduce", 16, None, 7, 52.9753, 2147483648, 9197.5, 233.49, 437.79, 0),
    "aws_topology_aware_summary.txt":
        ("nccl-tests", "all_reduce", 128, None, 3, 84.0569, 17179869184, 92173, 186.39, 369.86, 0),
    "coreweave_a100_infiniband.txt":
        ("nccl-tests", "all_reduce", 96, None, 5, 373.187, 8589934592, 43980, 195.31, 386.56, 0),
    "coreweave_gb200_nvl72_rack.txt":
        ("nccl-tests", "all_reduce", 72, None, 5, 745.53, 8589934592, 20299, 423.16, 834.57, 0),
    "coreweave_third.txt":
        ("nccl-tests", "all_reduce", 1440, None, 6, 297.808, 17179869184, 84625, 203.01, 405.74, 0),
    # redop none and root -1: an all-gather or an all-to-all, which the file does not tell apart; 15/16 of algbw.
    "dstack_gcp_a3high_hash_stripped.txt":
        ("nccl-tests", None, 16, None, 11, 40.6043, 8589934592, 160505, 53.52, 50.17, 0),
    "dstack_gcp_a3mega_hash_stripped.txt":
        ("nccl-tests", None, 16, None, 11, 146.948, 8589934592, 42713, 201.11, 188.54, None),
    "dstack_lambda_v2176.txt":
        ("nccl-tests", "all_reduce", 16, None, 29, 137.179, 2147483648, 5784.75, 371.23, 696.06, 0),
    # busbw is algbw: an all-reduce of two ranks, or a sendrecv.
    "eunomia_truncated_rows.md":
        ("nccl-tests", None, None, None, 4, 0.411894, 33554432, 14369.8, 2.34, 2.34, 0),
    "eunomia_v218_allgather_tagoutput.txt":
        ("nccl-tests", "all_gather", 2, 1, 8, 1.54321, 134217728, 29185.2, 4.60, 2.30, 0),
    "rccl_pr2078_tail_asterisk_note.txt":
        ("rccl-tests", "all_reduce", 16, None, 4, 142.652, 17179869184, 89235, 192.52, 360.98, 0),
    "superbench_nccl_allreduce.log":
        ("nccl-tests", "all_reduce", 8, 1, 34, 68.4048, 8589934592, 63896, 134.44, 235.26, None),
    "superbench_nccl_reduce.log":
        ("nccl-tests", "reduce", 8, 1, 34, 65.018, 8589934592, 37613, 228.38, 228.38, None),
    "ztan_a3mega_2node_h100.markdown":
        ("nccl-tests", "all_reduce", 16, 2, 31, 70.742, 8589934592, 47535, 180.71, 338.82, 0),
}  # fmt: skip
HIDES, MISSING = "nccl-average-hides-large-messages", "nccl-rows-missing"
FINDINGS = {
    "abci_v208_allreduce_16node_errcol.nccl": [HIDES],
    "abci_v208_allreduce_4gpu_errcol.nccl": [HIDES],
    "aws_adt_k8s_mpijob_1_0_prefix.txt": [HIDES, MISSING],
    "aws_topology_aware_summary.txt": [HIDES, MISSING],
    "coreweave_a100_infiniband.txt": [],
    "coreweave_gb200_nvl72_rack.txt": [],
    "coreweave_third.txt": [HIDES],
    "dstack_gcp_a3high_hash_stripped.txt": ["nccl-results-not-checked"],
    "dstack_gcp_a3mega_hash_stripped.txt": [HIDES],
    "dstack_lambda_v2176.txt": [HIDES],
    "eunomia_truncated_rows.md": [HIDES, MISSING],
    "eunomia_v218_allgather_tagoutput.txt": [HIDES],
    "rccl_pr2078_tail_asterisk_note.txt": [HIDES, MISSING],
    "superbench_nccl_allreduce.log": [HIDES],
    "superbench_nccl_reduce.log": [HIDES],
    "ztan_a3mega_2node_h100.markdown": [HIDES],
}
REFUSED = {
    "aws_adt_slurm_label_prefix_part1.txt": [
        ":32: truncated nccl-tests log: the table has no 'Avg bus bandwidth' line"
    ],
    "eunomia_failures_invalid_usage.md": [
        "line 49 says: NCCL WARN Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 2000",
        "line 50 says: Test NCCL failure common.cu:210 'invalid usage'",
    ],
    "issue338_cuda_not_initialized_fail.txt": [
        "line 2 says: Test CUDA failure common.cu:1030 'system not yet initialized'"
    ],
    "issue5_nccl1_header_fail.txt": ["line 15 says: NCCL failure all_reduce.cu:95 'unhandled cuda error'"],
    "issue78_allreduce_256gpu_error_NA_truncated.txt": [":12: truncated nccl-tests log: a row is cut off"],
    "rccl_mi300x_version_line_unprefixed.txt": [":17: truncated nccl-tests log"],
}


def read(shared: Path, name: str) -> CollectiveLog:
    return parse((shared / "inputs" / "nccl" / name).read_text(encoding="utf-8", errors="replace"), name)


def test_every_log_there_is_has_an_expectation(shared: Path) -> None:
    assert {path.name for path in (shared / "inputs" / "nccl").iterdir()} == {*READABLE, *REFUSED}


@pytest.mark.parametrize("name", READABLE)
def test_a_real_log_is_read(shared: Path, name: str) -> None:
    log = read(shared, name)
    (run,) = log.collectives
    largest = max(run.by_size, key=lambda size: size.bytes)
    assert (largest.bytes, largest.busbw) == (run.largest_message_bytes, run.largest_message_busbw.value)
    assert (
        run.tool, run.operation, run.ranks, run.nodes, run.sizes, run.average_busbw.value,
        largest.bytes, largest.time_us, largest.algbw, largest.busbw, run.wrong,
    ) == READABLE[name]  # fmt: skip
    assert [finding.code for finding in log.findings] == FINDINGS[name]


@pytest.mark.parametrize("name", REFUSED)
def test_a_failed_or_truncated_real_log_is_refused_in_one_line(shared: Path, name: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        read(shared, name)
    for part in REFUSED[name]:
        assert part in str(refused.value)
    assert "\n" not in str(refused.value)
