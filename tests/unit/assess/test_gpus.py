from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry.assess.gpus import parse, same_model
from ferry.errors import UnreadableInput

SAMPLE = """\
timestamp, index, name, uuid, driver_version, utilization.gpu [%], memory.used [MiB], memory.total [MiB]
2026/10/14 09:00:00.000, 0, NVIDIA A100-SXM4-80GB, GPU-a, 550.127.05, 40 %, 73412 MiB, 81920 MiB
2026/10/14 09:00:00.000, 1, NVIDIA A100-SXM4-80GB, GPU-b, 550.127.05, 0 %, 4 MiB, 81920 MiB
timestamp, index, name, uuid, driver_version, utilization.gpu [%], memory.used [MiB], memory.total [MiB]
2026/10/14 09:01:00.000, 0, NVIDIA A100-SXM4-80GB, GPU-a, 550.127.05, 50 %, 73412 MiB, 81920 MiB
"""


def test_a_sample_is_read_with_exact_values() -> None:
    samples = parse(SAMPLE, "smi.csv")
    assert samples.names == ["NVIDIA A100-SXM4-80GB"]
    assert (samples.gpus, samples.lines, samples.utilization) == (2, 3, [40.0, 0.0, 50.0])


def test_a_sample_without_units_is_the_same() -> None:
    plain = SAMPLE.replace(" %,", ",").replace(" MiB", "").replace(" [%]", "").replace(" [MiB]", "")
    assert parse(plain, "smi.csv") == parse(SAMPLE, "smi.csv")


def test_a_gpu_in_mig_mode_has_no_utilization() -> None:
    assert parse(SAMPLE.replace("40 %", "[N/A]"), "smi.csv").utilization == [0.0, 50.0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "smi.csv:1: is not the CSV of nvidia-smi --query-gpu with its header (no column 'name')"),
        ("GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-0)\n", "smi.csv:1: is not the CSV of nvidia-smi --query-gpu"),
        (SAMPLE.splitlines()[0], "smi.csv: names no GPU"),
        (SAMPLE + "2026/10/14 09:02:00.000, 0, NVIDIA A100", "smi.csv:6: has 3 columns, the header has 8: cut off?"),
    ],
)
def test_what_is_no_sample_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        parse(text, "smi.csv")
    assert str(refused.value).startswith(says)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB", True),
        ("NVIDIA H100 80GB HBM3", "H100-SXM5-80GB", True),
        ("NVIDIA H200", "H200-SXM5-141GB", True),
        ("Tesla V100-SXM2-32GB", "V100-SXM2-32GB", True),
        ("AMD Instinct MI300X", "MI300X", True),
        ("NVIDIA GeForce RTX 4080 SUPER", "RTX 4080", False),
        ("NVIDIA H100 80GB HBM3", "A100-SXM4-80GB", False),
        ("A100-SXM4-40GB", "A100-SXM4-80GB", False),
        ("NVIDIA A10", "A10G", False),
    ],
)
def test_names_of_the_same_accelerator_match(one: str, other: str, same: bool) -> None:
    assert same_model(one, other) is same


@settings(deadline=None)
@given(at=st.integers(0, len(SAMPLE)), junk=st.text(max_size=20))
def test_no_damage_ends_in_a_traceback(at: int, junk: str) -> None:
    message = ""
    try:
        parse(SAMPLE[:at] + junk, "smi.csv")
    except UnreadableInput as error:
        message = str(error)
    assert "\n" not in message


@settings(deadline=None)
@given(one=st.text(max_size=20), other=st.text(max_size=20))
def test_any_two_names_can_be_compared(one: str, other: str) -> None:
    assert same_model(one, one)
    assert same_model(one, other) == same_model(other, one)
