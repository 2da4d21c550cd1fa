from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry.assess.nccl import parse, synchronisation_seconds
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


@pytest.mark.parametrize("prefix", ["0: ", "[1,0]<stdout>:", "launcher-0 | ", "2026-01-02T03:04:05Z ", "    "])
def test_what_a_launcher_puts_before_each_line_is_passed_over(prefix: str) -> None:
    text = "".join(f"{prefix}{line}\n" for line in MODERN.splitlines())
    assert parse(text, "log") == parse(MODERN, "log")


def test_a_log_without_comment_marks_is_read() -> None:
    assert parse(MODERN.replace("#  ", "   ").replace("# ", ""), "log").collectives == parse(MODERN, "log").collectives


def test_several_runs_in_one_file_are_several_collectives() -> None:
    first, second = parse(MODERN + OLD, "log").collectives
    assert (first.average_busbw.value, second.average_busbw.value) == (44.625, 58.155)
    assert (first.nodes, second.nodes) == (2, 1)


def test_the_operation_is_named_by_the_program() -> None:
    text = "$ mpirun -np 4 ./build/all_gather_perf -b 8M -e 32M\n" + MODERN
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
        (
            MODERN[: MODERN.index("# Avg")] + OLD,
            "log:14: truncated nccl-tests log: the table has no 'Avg bus bandwidth' line, another run starts in",
        ),
        (
            MODERN.replace("39.00   58.50      0", "39.00"),
            "log:14: damaged nccl-tests log: a row does not have all of its columns",
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


def test_the_time_of_a_synchronisation_follows_the_formula_of_nccl_tests() -> None:
    assert synchronisation_seconds(8e9, busbw=100, ranks=2) == pytest.approx(0.08)
    assert synchronisation_seconds(8e9, busbw=100, ranks=16) == pytest.approx(0.15)


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
