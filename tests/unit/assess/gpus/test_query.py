from __future__ import annotations

import pytest

from ferry.assess.gpus import machine, parse, samples_of
from ferry.errors import UnreadableInput

SAMPLE = """\
timestamp, index, name, uuid, driver_version, utilization.gpu [%], memory.used [MiB], memory.total [MiB]
2026/10/14 09:00:00.000, 0, NVIDIA A100-SXM4-80GB, GPU-a, 550.127.05, 40 %, 73412 MiB, 81920 MiB
2026/10/14 09:00:00.000, 1, NVIDIA A100-SXM4-80GB, GPU-b, 550.127.05, 0 %, 4 MiB, 81920 MiB
timestamp, index, name, uuid, driver_version, utilization.gpu [%], memory.used [MiB], memory.total [MiB]
2026/10/14 09:01:00.000, 0, NVIDIA A100-SXM4-80GB, GPU-a, 550.127.05, 50 %, 73412 MiB, 81920 MiB
"""
UUID = "GPU-5269b708-678a-b1a8-60f0-c90406537486"


def codes(text: str) -> list[str]:
    return [finding.code for finding in parse(text, "smi.csv").findings]


def test_a_capture_is_read_with_exact_values() -> None:
    reading = parse(SAMPLE, "smi.csv")
    assert reading.names == ["NVIDIA A100-SXM4-80GB"]
    assert (len(reading.gpus), reading.lines, reading.utilization) == (2, 3, [40.0, 50.0, 0.0])
    assert (machine([reading]).driver, machine([reading]).gpus[0].memory_mib.value) == ("550.127.05", 81920)
    assert reading.findings == []


def test_a_capture_without_units_is_the_same() -> None:
    plain = SAMPLE.replace(" %,", ",").replace(" MiB", "").replace(" [%]", "").replace(" [MiB]", "")
    assert samples_of([parse(plain, "smi.csv")]) == samples_of([parse(SAMPLE, "smi.csv")])


@pytest.mark.parametrize(
    "blank",
    [
        "[N/A]", "[Not Supported]", "N/A", "[Requested functionality has been deprecated]", "-", "",
        "[Insufficient Permissions]",
    ],
)  # fmt: skip
def test_a_blank_never_becomes_a_number_and_is_no_damage(blank: str) -> None:
    reading = parse(SAMPLE.replace("40 %", blank).replace("81920 MiB", blank), "smi.csv")
    assert reading.utilization == [50.0, 0.0]
    assert machine([reading]).gpus[0].memory_mib.basis == "unknown"
    assert reading.findings == []


@pytest.mark.parametrize("ill", ["ERR!", "[Unknown Error]", "[GPU requires reset]", "[GPU is lost]"])
def test_a_gpu_that_does_not_answer_is_a_critical_finding(ill: str) -> None:
    reading = parse(SAMPLE.replace("40 %", ill), "smi.csv")
    assert reading.utilization == [50.0, 0.0]
    (finding,) = reading.findings
    assert (finding.severity, finding.code, finding.seen, finding.where) == (
        *("critical", "gpu-reports-error"),
        *(ill, "smi.csv:2"),
    )


@pytest.mark.parametrize("damage", ["4O %", "101 %", "-3 %", "40 W", "1e3 %", "nan", "4\x000 %", "４０ %"])
def test_what_is_no_percentage_is_a_finding_and_no_number(damage: str) -> None:
    reading = parse(SAMPLE.replace("40 %", damage), "smi.csv")
    assert reading.utilization == [50.0, 0.0]
    assert [(finding.code, finding.where) for finding in reading.findings] == [("gpu-value-unreadable", "smi.csv:2")]


def test_a_counter_with_all_bits_set_is_one_that_the_card_does_not_have() -> None:
    text = f"index, ecc.errors.uncorrected.volatile.total\n0, {2**64 - 1}\n1, {2**32 - 1}\n"
    (group,) = machine([parse(text, "smi.csv")]).gpus
    assert group.ecc_uncorrected.basis == "unknown"


def test_columns_may_come_in_any_order_and_under_their_other_names() -> None:
    heading = "power.draw [W], gpu_uuid, gpu_name, kmd_version, bbx.time_run [seconds]"
    text = f"{heading}\n71.5 W, {UUID}, NVIDIA L4, 610.43.02, 5\n"
    made = machine([parse(text, "smi.csv")])
    assert (made.driver, made.gpus[0].name, made.gpus[0].power_w.value) == ("610.43.02", "NVIDIA L4", 71.5)


def test_a_single_column_is_read_and_a_list_of_column_names_is_not() -> None:
    assert machine([parse("driver_version\n550.54.14\n550.54.14\n", "d.csv")]).driver == "550.54.14"
    with pytest.raises(UnreadableInput, match=r"d\.csv:1: is none of"):
        parse("driver_version\nname\nuuid\n", "d.csv")


def test_throttling_is_read_from_its_columns_and_from_the_mask() -> None:
    reasons = "clocks_throttle_reasons.hw_thermal_slowdown, clocks_throttle_reasons.sw_power_cap"
    named = f"index, {reasons}\n0, Active, Not Active\n"
    mask = "index, clocks_event_reasons.active\n0, 0x0000000000000044\n"
    assert list(parse(named, "a").gpus[0].throttled) == ["hw_thermal_slowdown"]
    assert list(parse(mask, "a").gpus[0].throttled) == ["sw_power_cap", "hw_thermal_slowdown"]


def test_without_a_heading_only_what_says_what_it_is_is_taken() -> None:
    reading = parse(f"{UUID}, NVIDIA A100-SXM4-80GB, 550.54.14, 97 %, 81920 MiB\n", "smi.csv")
    assert (reading.names, reading.utilization) == (["NVIDIA A100-SXM4-80GB"], [])
    assert machine([reading]).gpus[0].memory_mib.value is None
    assert [finding.code for finding in reading.findings] == ["gpu-csv-without-header"]


def test_a_row_whose_index_is_damaged_gives_no_number() -> None:
    reading = parse("index, utilization.gpu [%]\n0, 5 %\nO, 6 %\n", "smi.csv")
    assert (reading.utilization, [finding.where for finding in reading.findings]) == ([5.0], ["smi.csv:3"])


def test_rows_that_name_no_gpu_are_counted_with_a_finding() -> None:
    assert codes("name, utilization.gpu [%]\nNVIDIA L4, 1 %\nNVIDIA L4, 2 %\n") == ["gpu-csv-names-no-gpu"]


def test_processes_name_gpus_and_say_nothing_of_their_use() -> None:
    text = f"gpu_uuid, gpu_name, pid, process_name, used_gpu_memory [MiB]\n{UUID}, NVIDIA L4, 1, python, 100 MiB\n"
    samples = samples_of([parse(text, "apps.csv")])
    assert (samples.gpus, samples.lines, samples.utilization, samples.names) == (1, 0, [], ["NVIDIA L4"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "smi.csv:1: is none of nvidia-smi's table, -q, -q -x, -L, topo -m"),
        ("hello\n", "found: hello; measure: nvidia-smi --query-gpu="),
        ("# HELP DCGM_FI_DEV_GPU_UTIL x\nDCGM_FI_DEV_GPU_UTIL 1\n", "smi.csv: is Prometheus metrics: name it under"),
        ("# nThread 1 nGpus 8 minBytes 8\n", "smi.csv: is nccl-tests output: name it under cluster.nccl_tests"),
        (
            "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n",
            "smi.csv:1: the tool failed and says: NVIDIA-SMI has failed because it couldn't communicate",
        ),
        ('Field "gpu.util" is not a valid field to query.\n', "smi.csv:1: the tool failed and says: Field"),
        ("No devices were found\n", "smi.csv:1: the tool failed and says: No devices were found"),
        (
            SAMPLE + "2026/10/14 09:02:00.000, 0, NVIDIA A100\n" + SAMPLE.splitlines()[-1] + "\n",
            "smi.csv:6: has 3 columns, the header has 8: cut off?",
        ),
        (
            SAMPLE.splitlines()[0] + "\n2026/10/14 09:02:00.000, 0, NVIDIA A100",
            "smi.csv:2: has 3 columns, the header has 8: cut off?",
        ),
        (SAMPLE + SAMPLE.splitlines()[-1] + ", 1", "smi.csv:6: has 9 columns, the header has 8: edited, or a comma"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        parse(text, "smi.csv")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "prose",
    [
        "Copyright (c) 2025, NVIDIA CORPORATION & AFFILIATES. All rights reserved.",
        "Of all cards, NVIDIA A100 and others, these were the fastest",
    ],
)
def test_a_sentence_with_the_makers_name_between_commas_is_no_gpu(prose: str) -> None:
    with pytest.raises(UnreadableInput, match="is none of nvidia-smi's table"):
        parse(prose + "\n", "license.txt")
    (gpu,) = parse(prose + "\n\nNVIDIA A100-PCIE-40GB, 34 %\n", "x.txt").gpus
    assert gpu.texts["name"].value == "NVIDIA A100-PCIE-40GB"


def test_a_last_row_that_was_cut_off_is_left_out_and_said() -> None:
    whole, cut = parse(SAMPLE, "smi.csv"), parse(SAMPLE + "2026/10/14 09:02:00.000, 0, NVIDIA A100\n\n", "smi.csv")
    assert machine([cut]).gpus == machine([whole]).gpus
    (finding,) = [item for item in cut.findings if item not in whole.findings]
    assert (finding.code, finding.seen, finding.where) == (
        "gpu-value-unreadable", "2026/10/14 09:02:00.000, 0, NVIDIA A100", "smi.csv:6",
    )  # fmt: skip
