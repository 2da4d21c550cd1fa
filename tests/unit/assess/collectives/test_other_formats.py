"""The JSON report of nccl-tests, and what Neuron's nccom-test prints."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry.assess.collectives import parse
from ferry.errors import UnreadableInput


def half(time: float, algbw: float, busbw: float, wrong: float | None = 0.0) -> dict[str, Any]:
    return {"time": time, "alg_bw": algbw, "bus_bw": busbw, "nwrong": wrong}


def report(**changes: Any) -> str:
    sizes = [(8388608, 419.43, 20.0), (33554432, 838.86, 40.0)]
    results = [
        {
            "size": size, "count": size // 4, "type": "float", "redop": "sum", "root": "    -1",
            "out_of_place": half(time, algbw, algbw * 1.75), "in_place": half(time, algbw, algbw * 1.75),
            "actual_iterations": 20, "experiment_name": "",
        }
        for size, time, algbw in sizes
    ]  # fmt: skip
    devices = [
        {"rank": 4 * host, "group": 0, "pid": 10 + host, "hostname": f"node-{host}", "device": 0,
         "device_hex": "0000:0f:00", "device_info": "NVIDIA H100 80GB HBM3"}
        for host in range(2)
    ]  # fmt: skip
    document = {
        "version": 1,
        "start_time": "2026-01-01 00:00:00",
        "args": ["/opt/nccl-tests/build/all_reduce_perf_mpi", "-b", "8M", "-e", "32M", "-f", "4", "-g", "4"],
        "env": ["AWS_SECRET_ACCESS_KEY=not-to-be-read"],
        "nccl_version": 22907,
        "config": {"nthreads": 1, "ngpus": 4, "validation": 1, "devices": devices},
        "results": results,
        "out_of_bounds": {"count": 0, "okay": True},
        "average_bus_bandwidth": {"bandwidth": 52.5, "okay": "unchecked"},
        "errors": [""],
    }
    return json.dumps(document | changes)


def test_a_json_report_is_read_with_one_device_entry_a_process() -> None:
    log = parse(report(), "run.json")
    (run,) = log.collectives
    assert (run.operation, run.ranks, run.nodes, run.sizes, run.wrong) == ("all_reduce", 8, 2, 2, 0)
    assert (run.average_busbw.value, run.average_busbw.source) == (52.5, "run.json: average_bus_bandwidth")
    assert (run.largest_message_bytes, run.largest_message_busbw.value) == (33554432, 70.0)
    assert run.largest_message_busbw.source == "run.json#results[1]"
    assert log.accelerators == ["NVIDIA H100 80GB HBM3"]
    assert "not-to-be-read" not in repr(log)


def test_wrong_values_of_a_json_report_count_and_unchecked_ones_are_unknown() -> None:
    document = json.loads(report())
    document["results"][1]["in_place"]["nwrong"] = 3
    assert parse(json.dumps(document), "run.json").collectives[0].wrong == 3
    for result in document["results"]:
        result["out_of_place"]["nwrong"] = result["in_place"]["nwrong"] = None
    assert parse(json.dumps(document), "run.json").collectives[0].wrong is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (report()[:-40], "run.json: is not JSON, or is cut off"),
        (report(average_bus_bandwidth=None), "run.json: truncated report of nccl-tests: it has no average_bus"),
        (report(average_bus_bandwidth={"bandwidth": "nan"}), "run.json: truncated report of nccl-tests"),
        (report(results=None, errors=["unhandled system error"]), "it says: unhandled system error"),
        (report(results=[{"size": "x"}]), "run.json: average_bus_bandwidth: damaged nccl-tests log"),
        ('{"a": 1}', "run.json: is not a report of nccl-tests or nccom-test: it has no list of results"),
    ],
)
def test_a_json_report_that_is_cut_off_or_of_another_kind_is_refused(text: str, says: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        parse(text, "run.json")
    assert says in str(refused.value)


OLD = """\
$ NEURON_RT_ROOT_COMM_ID=10.0.0.1:45654 nccom-test -r 64 -N 2 -b 4MB -e 64MB -f 16 -d fp32 allr
       size(B)    count(elems)    type    time(us)    algbw(GB/s)    busbw(GB/s)
       4194304         1048576    fp32         500           7.81          15.38
      67108864        16777216    fp32        4000          15.62          30.75
Avg bus bandwidth:      23.0650GB/s
"""
NEW = """\
    size(B)    count(elems)    type    time:avg(us)    time:p99(us)    algbw(GB/s)    busbw(GB/s)    algorithm
    1048576          262144    fp32          100.00             120          10.49          10.16         mesh
   33554432         8388608    fp32         1000.00            1100          33.55          32.50    kangaring
Avg bus bandwidth:\t21.3300GB/s
"""


def test_an_old_nccom_test_counts_in_gib_and_a_new_one_in_gb() -> None:
    (old,) = parse(OLD, "trn.log").collectives
    assert (old.tool, old.operation, old.ranks, old.nodes, old.sizes) == ("nccom-test", "all_reduce", 64, 2, 2)
    assert old.largest_message_busbw.value == pytest.approx(30.75 * 2**30 / 1e9)
    assert old.average_busbw.value == pytest.approx(23.065 * 2**30 / 1e9)
    assert old.largest_message_busbw.source == "trn.log:4"
    (new,) = parse(NEW, "trn.log").collectives
    assert (new.operation, new.ranks, new.nodes, new.largest_message_busbw.value) == (None, 32, None, 32.5)
    assert [size.time_us for size in new.by_size] == [100.0, 1000.0]
    assert new.average_busbw.value == 21.33
    assert new.wrong is None


def test_the_json_of_nccom_test_is_read_and_its_average_made() -> None:
    results = [
        {"size(B)": 1048576, "count(elems)": 262144, "type": "fp32", "algbw(GB/s)": 10.486, "busbw(GB/s)": 10.158,
         "time:avg(us)": 100.0},
        {"size(B)": 33554432, "count(elems)": 8388608, "type": "fp32", "algbw(GB/s)": 33.554, "busbw(GB/s)": 32.506,
         "time:avg(us)": 1000.0},
    ]  # fmt: skip
    (run,) = parse(json.dumps({"results": results}), "trn.json").collectives
    assert (run.tool, run.ranks, run.sizes) == ("nccom-test", 32, 2)
    assert run.average_busbw.value == pytest.approx((10.158 + 32.506) / 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            OLD[: OLD.index("Avg")],
            "trn.log:4: nccom-test output without a result: the table has no 'Avg",
        ),
        (
            "nccom-test -r 2 allr\n   size(B)    count(elems)    type    time(us)    algbw(GB/s)    busbw(GB/s)\n"
            "  33554432    Failure running neuron-bench - log file /tmp/nccom.log\n1 errors found - test failed\n",
            "line 3 says: Failure running neuron-bench - log file /tmp/nccom.log; line 4 says: 1 errors found",
        ),
        (
            "$ nccom-test -r 2 allr\nNeuron DKMS Driver is not running! Read the guide\n",
            "trn.log: is nccom-test output without a table; line 2 says: Neuron DKMS Driver is not running!",
        ),
    ],
)
def test_a_failed_nccom_test_is_refused_with_its_reason(text: str, says: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        parse(text, "trn.log")
    assert says in str(refused.value)


def test_a_damaged_row_of_nccom_test_is_left_out_with_a_finding() -> None:
    log = parse(OLD.replace("       4194304         1048576", "       4194304         "), "trn.log")
    assert [size.bytes for size in log.collectives[0].by_size] == [67108864]
    assert log.findings[0].code == "nccl-rows-damaged"
    assert log.findings[0].where == "trn.log:3"


@settings(deadline=None, max_examples=150)
@given(
    text=st.sampled_from([OLD, NEW, report()]),
    at=st.integers(0, 2000),
    length=st.integers(0, 300),
    junk=st.one_of(st.text(max_size=30), st.sampled_from(["1e999", "9" * 400, "-1", "null", "[", "{}", "true", "NaN"])),
)
def test_no_damage_ends_in_a_traceback(text: str, at: int, length: int, junk: str) -> None:
    message = ""
    try:
        parse(text[:at] + junk + text[at + length :], "file")
    except UnreadableInput as error:
        message = str(error)
    assert "\n" not in message
