from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry.assess.collectives import parse
from ferry.errors import UnreadableInput

# The four-GPU numbers follow busbw = algbw · 2·3/4, so that ranks and operation can be told from them.
MODERN = """\
# nThread 1 nGpus 1 minBytes 8388608 maxBytes 33554432 step: 2(factor) warmup iters: 5 iters: 20 validation: 1 graph: 0
#
# Using devices
#  Rank  0 Group  0 Pid   6899 on     node-a device  0 [0x07] NVIDIA A100-SXM4-80GB
#  Rank  1 Group  0 Pid   6900 on     node-a device  1 [0x0a] NVIDIA A100-SXM4-80GB
#  Rank  2 Group  0 Pid   6901 on     node-b device  0 [0x07] NVIDIA A100-SXM4-80GB
#  Rank  3 Group  0 Pid   6902 on     node-b device  1 [0x0a] NVIDIA A100-SXM4-80GB
#
#                                                              out-of-place                       in-place
#       size         count      type   redop    root     time   algbw   busbw #wrong     time   algbw   busbw #wrong
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)            (us)  (GB/s)  (GB/s)
node-a:6899:6899 [0] NCCL INFO Launch mode Parallel
     8388608       2097152     float     sum      -1    400.0   20.00   30.00      0    400.0   20.00   30.00      0
    33554432       8388608     float     sum      -1    838.9   40.00   60.00      0    860.4   39.00   58.50      0
# Out of bounds values : 0 OK
# Avg bus bandwidth    : 44.625
#
"""

OLD = """\
# nThread 1 nGpus 4 minBytes 4 maxBytes 8 step: 2(factor) warmup iters: 5 iters: 100 validation: 1
# Using devices
#   Rank  0 Pid 1243363 on      a0048 device  0 [0x27] A100-SXM4-40GB
#   Rank  1 Pid 1243363 on      a0048 device  1 [0x2a] A100-SXM4-40GB
#                                                     out-of-place                       in-place
#       size         count    type   redop     time   algbw   busbw  error     time   algbw   busbw  error
#        (B)    (elements)                     (us)  (GB/s)  (GB/s)            (us)  (GB/s)  (GB/s)
           4             1   float     sum    17.24    0.01    0.01  1e-07    12.09    0.01    0.01  0e+00
    33554432       8388608   float     sum    298.4  112.43  112.43  2e-07    279.2  120.17  120.17  2e-07
# Out of bounds values : 3 FAILED
# Avg bus bandwidth    : 58.155
#
"""


def codes(text: str) -> list[str]:
    return [finding.code for finding in parse(text, "log").findings]


def test_a_modern_log_is_read_with_exact_values() -> None:
    (run,) = parse(MODERN, "log").collectives
    assert (run.operation, run.ranks, run.nodes, run.sizes, run.wrong) == ("all_reduce", 4, 2, 2, 0)
    assert (run.largest_message_bytes, run.largest_message_busbw.value) == (33554432, 60.0)
    assert run.largest_message_busbw.source == "log:14"
    assert (run.average_busbw.value, run.average_busbw.source) == (44.625, "log:16")
    assert parse(MODERN, "log").accelerators == ["NVIDIA A100-SXM4-80GB"]


def test_the_largest_message_is_used_where_the_average_hides_it() -> None:
    (finding,) = parse(MODERN, "log").findings
    assert finding.code == "nccl-average-hides-large-messages"
    assert finding.seen == "average 44.625 GB/s over 2 sizes, 60 GB/s at 33554432 bytes"
    assert finding.where == "log:14"


def test_a_log_with_an_error_column_is_read_and_its_count_below_the_table_counts() -> None:
    log = parse(OLD, "log")
    (run,) = log.collectives
    assert (run.ranks, run.nodes, run.wrong) == (2, 1, 3)
    assert run.largest_message_busbw.value == 112.43
    assert log.findings[0].code == "nccl-wrong-results"
    assert log.findings[0].severity == "critical"


def test_wrong_values_of_both_halves_add_up() -> None:
    text = MODERN.replace("60.00      0", "60.00      2").replace("58.50      0", "58.50      5")
    (run,) = parse(text, "log").collectives
    assert run.wrong == 7


def test_results_that_were_not_checked_are_unknown_not_zero() -> None:
    (run,) = parse(MODERN.replace("      0", "    N/A"), "log").collectives
    assert run.wrong is None


@pytest.mark.parametrize(
    "prefix",
    [
        "0: ",
        " 00: ",
        "[0] ",
        "[1,0]<stdout>:",
        "[prterun-node-a-71@1,0]<stdout>: ",
        "Mon Jan  5 12:00:00 2026<stdout>:",
        "launcher-0 | ",
        "[pod/nccl-test-launcher-lnnrw/launcher] ",
        "2026-01-02T03:04:05Z ",
        "2026-01-02T03:04:05.123456789Z stdout F ",
        "\x1b[32mnode-a\x1b[0m: ",
        "    ",
        "> ",
    ],
)
def test_what_a_launcher_puts_before_each_line_is_passed_over(prefix: str) -> None:
    text = "".join(f"{prefix}{line}\n" for line in MODERN.splitlines())
    assert parse(text, "log") == parse(MODERN, "log")


def test_line_ends_of_windows_are_line_ends() -> None:
    assert parse(MODERN.replace("\n", "\r\n"), "log") == parse(MODERN, "log")


def test_a_log_without_comment_marks_is_read() -> None:
    assert parse(MODERN.replace("#  ", "   ").replace("# ", ""), "log").collectives == parse(MODERN, "log").collectives


def test_several_runs_in_one_file_are_several_collectives() -> None:
    first, second = parse(MODERN + OLD, "log").collectives
    assert (first.average_busbw.value, second.average_busbw.value) == (44.625, 58.155)
    assert (first.nodes, second.nodes) == (2, 1)


def test_the_operation_is_named_by_the_program() -> None:
    text = "$ mpirun -np 4 ./build/all_gather_perf -b 8M -e 32M\n" + MODERN
    text = text.replace("30.00", "15.00").replace("60.00", "30.00").replace("58.50", "29.25")
    assert parse(text, "log").collectives[0].operation == "all_gather"


def test_ranks_are_solved_from_the_bandwidths_where_no_device_is_listed() -> None:
    text = "".join(line for line in MODERN.splitlines(keepends=True) if "Rank" not in line)
    (run,) = parse(text, "log").collectives
    assert (run.operation, run.ranks, run.nodes) == ("all_reduce", 4, None)


def test_ranks_stay_unknown_where_the_bandwidths_fit_several_numbers() -> None:
    text = "".join(line for line in MODERN.splitlines(keepends=True) if "Rank" not in line)
    text = text.replace("40.00   60.00", "40.00   79.99").replace("20.00   30.00", "20.00   39.99")
    assert parse(text, "log").collectives[0].ranks is None


def test_an_excerpt_is_read_and_said_to_be_one() -> None:
    text = MODERN.replace("44.625", "12.5")
    assert codes(text) == ["nccl-average-hides-large-messages", "nccl-rows-missing"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            MODERN[: MODERN.index("# Out of bounds")],
            "log:14: truncated nccl-tests log: the table has no 'Avg bus bandwidth' line, the file ends",
        ),
        (MODERN[: MODERN.index("860.4")], "log:14: truncated nccl-tests log: a row is cut off, the file ends"),
        (MODERN[: MODERN.index("44.625")], "log:16: truncated nccl-tests log: no number after 'Avg bus bandwidth'"),
        (
            MODERN[: MODERN.index("     8388608 ")],
            "log:10: truncated nccl-tests log: the table has no 'Avg bus bandwidth' line",
        ),
        ("", "log: is not nccl-tests output with a result"),
        (
            "Test CUDA failure common.cu:1030 'system not yet initialized'\n",
            "line 1 says: Test CUDA failure common.cu:1030 'system not yet initialized'",
        ),
    ],
)
def test_a_truncated_or_failed_log_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        parse(text, "log")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@settings(deadline=None, max_examples=200)
@given(
    at=st.integers(0, len(MODERN)),
    length=st.integers(0, 400),
    junk=st.text(alphabet="0123456789 .#N/A\nfloatsum:[]e-\x00\r", max_size=40),
)
def test_no_damage_ends_in_a_traceback(at: int, length: int, junk: str) -> None:
    message = ""
    try:
        parse(MODERN[:at] + junk + MODERN[at + length :], "log")
    except UnreadableInput as error:
        message = str(error)
    assert "\n" not in message


# ---- what the years and the launchers did to the table ---------------------------------------------------------------

V1 = """\
nThread 1 nGpus 8 minBytes 8 maxBytes 134217728 step: 2(factor) warmup iters: 5 iters: 20 validation: 1
# NCCL Tests compiled with NCCL 2.1
# Using devices
#   Rank  0 on     node03 device  0 [0x00] Tesla P100-PCIE-16GB
#   Rank  1 on     node03 device  1 [0x00] Tesla P100-PCIE-16GB

#                                                 out-of-place                    in-place
#      bytes             N    type      op     time  algbw  busbw      res     time  algbw  busbw      res
        1024           256   float     sum    0.021   0.05   0.05    0e+00    0.020   0.05   0.05    0e+00
   134217728      33554432   float     sum   13.422  10.00  10.00    0e+00   13.422  10.00  10.00    0e+00
 Out of bounds values : 0 OK
 Avg bus bandwidth    : 5.025
"""


def table(
    row: str, header: str = "#  size count type redop root time algbw busbw #wrong time algbw busbw #wrong"
) -> str:
    return f"{header}\n{row}\n# Out of bounds values : 0 OK\n# Avg bus bandwidth    : 60\n"


def test_times_of_the_first_version_are_milliseconds() -> None:
    (run,) = parse(V1, "log").collectives
    assert (run.operation, run.ranks, run.nodes, run.sizes, run.average_busbw.value) == (None, 2, 1, 2, 5.025)
    assert [size.time_us for size in run.by_size] == [21.0, 13422.0]
    assert codes(V1) == ["nccl-average-hides-large-messages"]


def test_every_size_is_kept_with_its_line() -> None:
    first, second = parse(MODERN, "log").collectives[0].by_size
    assert (first.where, first.bytes, first.time_us, first.algbw, first.busbw) == ("log:13", 8388608, 400.0, 20.0, 30.0)
    assert (second.in_place_time_us, second.in_place_algbw, second.in_place_busbw) == (860.4, 39.0, 58.5)
    assert (second.where, second.wrong) == ("log:14", 0)


@pytest.mark.parametrize(
    "row",
    [
        "  33554432 8388608     float     sum      -1    838.9   40.00   60.00      0    860.4   39.00   58.50      0",
        "  33554432 8388608     float     sum    838.9   40.00   60.00      0    860.4   39.00   58.50      0",
        "  33554432 8388608     float       0    838.9   40.00   60.00      0    860.4   39.00   58.50      0",
        "  33554432 8388608     float            838.9   40.00   60.00      0    860.4   39.00   58.50    N/A",
        "  33554432 8388608  bfloat16  mulsum      -1    838.9   40.00   60.00      0    860.4   39.00   58.50      0",
        "  33554432 8388608    f8e4m3     sum      -1    838.9   40.00   60.00      0    860.4   39.00   58.50      0"
        "  2025-09-07 00:11:01",
        "  33554432 8388608     float     sum      -1    838.9   40.00   60.00  1e-07*   860.4   39.00   58.50  2e-07",
    ],
)
def test_redop_root_types_and_timestamps_come_and_go(row: str) -> None:
    (size,) = parse(table(row), "log").collectives[0].by_size
    assert (size.bytes, size.time_us, size.busbw, size.in_place_busbw) == (33554432, 838.9, 60.0, 58.5)


def test_a_table_with_copy_bandwidth_or_with_statistics_per_iteration_is_read_by_its_header() -> None:
    copybw = table(
        " 33554432 8388608 float sum -1 838.9 40.00 60.00 12.00 0 860.4 39.00 58.50 11.00 0",
        "# size count type redop root time algbw busbw copybw #wrong time algbw busbw copybw #wrong",
    )
    per_iteration = table(
        " 33554432 8388608 float sum -1 838.9 40.00 60.00 0 830.1 860.2 859.9 1.25 "
        "860.4 39.00 58.50 3 850.0 870.1 869.0 1.00",
        "# size count type redop root time algbw busbw #wrong i_min i_max i_p99 i_cv% "
        "time algbw busbw #wrong i_min i_max i_p99 i_cv% timestamp",
    )
    assert [parse(text, "log").collectives[0].by_size[0].in_place_busbw for text in (copybw, per_iteration)] == [
        58.5,
        58.5,
    ]
    assert [parse(text, "log").collectives[0].wrong for text in (copybw, per_iteration)] == [0, 3]


def test_a_table_of_in_place_alone_is_read() -> None:
    text = table(
        " 33554432 8388608 float sum -1 860.4 39.00 58.50 0", "# size count type redop root time algbw busbw #wrong"
    ).replace(": 60", ": 58.5")
    (run,) = parse(text, "log").collectives
    assert (run.largest_message_busbw.value, run.by_size[0].in_place_busbw, run.wrong) == (58.5, None, 0)


def test_large_counts_of_wrong_values_are_counts() -> None:
    text = MODERN.replace("60.00      0", "60.00  1.04858e+06")
    assert parse(text, "log").collectives[0].wrong == 1048580


def test_values_out_of_bounds_below_an_excerpt_count_although_no_row_shows_them() -> None:
    text = MODERN.replace("values : 0 OK", "values : 4 FAILED")
    assert parse(text, "log").collectives[0].wrong == 4


def test_a_check_that_was_off_is_said_to_be() -> None:
    assert "nccl-results-not-checked" in codes(MODERN.replace("validation: 1", "validation: 0"))


def test_an_average_below_the_minimum_that_was_set_is_found() -> None:
    assert "nccl-below-minimum" in codes(MODERN.replace(": 44.625", ": 44.625 FAILED"))


def test_nccl_writing_into_a_row_does_not_cost_the_row() -> None:
    head = "  33554432 8388608     float     sum      -1"
    text = MODERN.replace(
        head,
        f"{head}node-a:6899:6899 [0] NCCL INFO Channel 00/0 : 1[1] -> 0[0] via P2P\n"
        "node-a:6899:6899 [0] NCCL INFO Connected all trees\n",
    )
    (run,) = parse(text, "log").collectives
    assert (run.sizes, run.largest_message_busbw.value, run.wrong) == (2, 60.0, 0)
    middle = "    838.9   40.00   60.00      0"
    text = MODERN.replace(middle, f"{middle}node-a:6899:6899 [0] misc/ibvwrap.cc:63 NCCL WARN slow\n")
    assert parse(text, "log").collectives[0].by_size[1].in_place_busbw == 58.5


def test_numbers_that_nccl_separated_from_nothing_are_no_row() -> None:
    text = MODERN.replace("    838.9   40.00   60.00      0", "node-a:6899:6899 [0] NCCL INFO x\n  60.00  1")
    assert "nccl-rows-damaged" in codes(text)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("40.00   60.00", "40.00   90.00"),
        ("40.00   60.00", "41.00   60.00"),
        ("838.9", "538.9"),
        ("    33554432 ", "    33554432x"),
        ("   838.9   40.00   60.00 ", "   838.9   60.00 "),
        ("40.00   60.00", "40.00   6O.00"),
    ],
)
def test_a_damaged_row_is_left_out_with_a_finding(good: str, bad: str) -> None:
    half = "559.2   30.00   45.00      0"
    third = f"    16777216       4194304     float     sum      -1    {half}    {half}\n"
    text = MODERN.replace("    33554432 ", third + "    33554432 ").replace(good, bad)
    log = parse(text, "log")
    assert [size.bytes for size in log.collectives[0].by_size] == [8388608, 16777216]
    finding = next(finding for finding in log.findings if finding.code in ("nccl-rows-damaged", "nccl-rows-missing"))
    assert finding.where in ("log:15", "log:17")


def test_a_run_that_was_cut_off_does_not_cost_the_others_of_the_file() -> None:
    cut = MODERN[: MODERN.index("    33554432 ")] + "Test NCCL failure common.cu:958 'unhandled system error'\n"
    log = parse(cut + OLD, "log")
    assert [run.average_busbw.value for run in log.collectives] == [58.155]
    finding = next(finding for finding in log.findings if finding.code == "nccl-run-unfinished")
    assert finding.where == "log:13"
    assert "line 14 says: Test NCCL failure common.cu:958 'unhandled system error'" in finding.seen


@pytest.mark.parametrize(
    "line",
    [
        "node-a: Test CUDA failure common.cu:1030 'out of memory'",
        "Cuda failure all_reduce.cu:95 'unknown error'",
        "node-a: Test timeout (600s) common.cu:316",
        "Invalid number of GPUs: 8 requested but only 4 were found.",
        "[ERROR] The number of requested GPUs (8) is greater than the number of GPUs available (4)",
        "Hip error: 'out of memory'(2) at common.cu:125",
        "./all_reduce_perf: error while loading shared libraries: libnccl.so.2: cannot open shared object file",
        "bash: all_reduce_perf: command not found",
        "slurmstepd: error: *** STEP 12.0 ON node-a CANCELLED AT 2025-01-01T00:00:00 DUE TO TIME LIMIT ***",
        "srun: error: node-a: task 0: Out Of Memory",
        "mpirun noticed that process rank 3 with PID 0 on node node-b exited on signal 9 (Killed).",
        "There are not enough slots available in the system to satisfy the 16",
    ],
)
def test_the_failure_that_the_log_names_is_the_reason(line: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        parse(f"# nThread 1 nGpus 8 minBytes 8 maxBytes 8 step: 2(factor)\n{line}\n", "log")
    said = line.removeprefix("node-a: ").removeprefix("bash: ").removeprefix("./all_reduce_perf: ")
    assert f"line 2 says: {said[:100]}" in str(refused.value)


def test_a_failure_after_the_average_is_a_finding() -> None:
    text = MODERN + "node-b: Test CUDA failure common.cu:1030 'unspecified launch failure'\n"
    finding = next(finding for finding in parse(text, "log").findings if finding.code == "nccl-failure-reported")
    assert (finding.where, finding.seen) == ("log:18", "Test CUDA failure common.cu:1030 'unspecified launch failure'")


# ---- ranks, nodes, operation -----------------------------------------------------------------------------------------


def without_devices(text: str = MODERN) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if " Rank " not in line)


def test_processes_that_each_ran_alone_measured_nothing() -> None:
    alone = MODERN.replace("30.00", " 0.00").replace("60.00", " 0.00").replace("58.50", " 0.00").replace("44.625", "0")
    devices = [line for line in alone.splitlines() if " Rank " in line]
    text = alone
    for number, line in enumerate(devices):
        text = text.replace(line, line.replace(f"Rank  {number}", "Rank  0"))
    log = parse(text, "log")
    (finding,) = [finding for finding in log.findings if finding.code == "nccl-nothing-measured"]
    assert finding.seen == "every bus bandwidth is 0, 4 processes call themselves rank 0"


def test_the_ranks_of_a_split_run_are_those_of_one_group() -> None:
    text = MODERN.replace("2 Group  0", "2 Group  1").replace("3 Group  0", "3 Group  1")
    log = parse(text, "log")
    (run,) = log.collectives
    assert (run.ranks, run.nodes) == (2, 1)
    assert {"nccl-split-groups", "nccl-ranks-contradict"} <= {finding.code for finding in log.findings}


def test_what_nccl_says_of_ranks_and_nodes_is_used_where_no_device_is_listed() -> None:
    said = "node-a:1:2 [0] NCCL INFO comm 0x55 rank 0 nRanks 4 nNodes 2 localRanks 2 localRank 0 MNNVL 0\n"
    (run,) = parse(without_devices().replace("# Using devices\n", said), "log").collectives
    assert (run.ranks, run.nodes) == (4, 2)


def test_ranks_of_an_all_gather_are_solved_too() -> None:
    text = without_devices().replace("30.00", "15.00").replace("60.00", "30.00").replace("58.50", "29.25")
    (run,) = parse(text.replace("     sum ", "    none ").replace("44.625", "22.3"), "log").collectives
    assert (run.operation, run.ranks) == (None, 4)


@pytest.mark.parametrize(
    ("redop", "root", "factor", "operation"),
    [
        ("sum", "-1", 1.5, "all_reduce"),
        ("sum", "-1", 0.75, "reduce_scatter"),
        ("sum", "0", 1.0, "reduce"),
        ("none", "0", 1.0, None),
        ("none", "-1", 0.75, None),
        ("sum", "-1", 1.0, None),
    ],
)
def test_the_columns_name_the_operation_where_they_leave_one(
    redop: str, root: str, factor: float, operation: str
) -> None:
    half = f"838.9   40.00   {40 * factor:.2f}   0"
    row = f"  33554432 8388608     float     {redop}      {root}    {half}    {half}"
    assert parse(table(row), "log").collectives[0].operation == operation


def test_a_name_in_the_file_that_the_bandwidths_contradict_is_not_believed() -> None:
    log = parse("as with all_gather_perf above\n" + MODERN, "log")
    assert log.collectives[0].operation == "all_reduce"
    assert "nccl-operation-contradicts" in [finding.code for finding in log.findings]


def test_an_all_reduce_by_name_with_the_bandwidths_of_another_operation_is_none() -> None:
    half = "838.9   40.00   30.00   0"
    text = table(f"    33554432       8388608     float     sum     -1    {half}    {half}")
    log = parse("$ all_reduce_perf -b 32M\n" + text, "log")
    assert log.collectives[0].operation is None
    assert "nccl-operation-contradicts" in [finding.code for finding in log.findings]


def test_a_table_whose_columns_mean_something_else_is_read_with_a_finding() -> None:
    log = parse(MODERN.replace(" 400.0 ", " 800.0 ").replace(" 838.9 ", "1638.9 "), "log")
    (finding,) = [finding for finding in log.findings if finding.code == "nccl-columns-contradict"]
    assert (finding.where, finding.seen) == (
        "log:13",
        "in 2 of 2 rows; the first: 8388608 bytes in 800 µs are not 20 GB/s",
    )
    assert log.collectives[0].sizes == 2


def test_the_concluding_line_names_the_operation() -> None:
    half = "838.9   40.00   40.00   0"
    text = table(f"  33554432 8388608     float     none      0    {half}    {half}")
    assert parse(text + "# Collective test concluded: broadcast_perf\n", "log").collectives[0].operation == "broadcast"


def test_the_fork_for_amd_is_named_and_its_options_give_the_ranks() -> None:
    text = without_devices().replace("# nThread 1 nGpus 1 ", "# nThreads: 1 nGpus: 4 nRanks: 4 ")
    text = text.replace("#\n", "#\nrccl-tests: Version develop:83d38d9\n", 1)
    (run,) = parse(text.replace("40.00   60.00", "40.00   59.99"), "log").collectives
    assert (run.tool, run.ranks) == ("rccl-tests", 4)


# ---- hostile text ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "8 2 float " + "a" * 3_000_000,
        "8 2 float " * 300_000,
        "size count type " * 200_000,
        "_perf: " * 400_000,
        ("x" * 999 + "\n") * 3_000,
        "nranks 8 " * 300_000,
        "9" * 3_000_000,
        "\x00" * 3_000_000,
        "# Rank 0 on " * 200_000,
    ],
    ids=["word", "rows", "headers", "programs", "lines", "nccl", "digits", "zeros", "ranks"],
)
def test_a_long_text_of_nothing_is_refused_in_a_moment(text: str) -> None:
    before = time.monotonic()
    with pytest.raises(UnreadableInput):
        parse(text, "log")
    assert time.monotonic() - before < 2
