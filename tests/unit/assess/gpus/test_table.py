from __future__ import annotations

import pytest

from ferry.assess.gpus import machine, parse

OLD = """\
Sat Oct 21 23:56:22 2017
+-----------------------------------------------------------------------------+
| NVIDIA-SMI 384.90                 Driver Version: 384.90                    |
|-------------------------------+----------------------+----------------------+
| GPU  Name        Persistence-M| Bus-Id        Disp.A | Volatile Uncorr. ECC |
| Fan  Temp  Perf  Pwr:Usage/Cap|         Memory-Usage | GPU-Util  Compute M. |
|===============================+======================+======================|
|   0  Tesla V100-SXM2...  Off  | 00000000:01:00.0 Off |                    2 |
| N/A   37C    P0    55W / 300W |    442MiB / 16160MiB |     12%      Default |
+-------------------------------+----------------------+----------------------+
|   1  Tesla V100-SXM2...  Off  | 00000000:02:00.0 Off |                    0 |
| N/A   37C    P0    45W / 300W |     42MiB / 16160MiB |      0%      Default |
+-------------------------------+----------------------+----------------------+

+-----------------------------------------------------------------------------+
| Processes:                                                       GPU Memory |
|  GPU       PID   Type   Process name                             Usage      |
|=============================================================================|
|    0     18307      C   python3                                      431MiB |
+-----------------------------------------------------------------------------+
"""
NEW = """\
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 610.43.02              KMD Version: 610.43.02     CUDA UMD Version: 13.3     |
+-----------------------------------------+------------------------+----------------------+
| GPU  Name                  Driver-Model | Bus-Id          Disp.A | Volatile Uncorr. ECC |
| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |
|                                         |                        |               MIG M. |
|=========================================+========================+======================|
|   0  NVIDIA RTX A6000             WDDM  |   00000000:0C:00.0  On |                  Off |
| 38%   39C    P8             N/A /  250W |     797MiB /  49140MiB |      7%      Default |
|                                         |                        |             Enabled* |
+-----------------------------------------+------------------------+----------------------+
"""


def test_a_table_of_2017_is_read() -> None:
    reading = parse(OLD, "smi.txt")
    made = machine([reading])
    (group,) = made.gpus
    assert (made.driver, made.cuda) == ("384.90", None)
    assert (group.count, group.memory_mib.value, group.utilization.value, group.power_w.value) == (2, 16160, 6, 50)
    assert (group.ecc, group.ecc_uncorrected.value, group.ecc_uncorrected.source) == ("on", 2, "smi.txt:8")
    assert reading.findings == []


def test_a_table_of_2026_from_windows_is_read() -> None:
    reading = parse(NEW, "smi.txt")
    made = machine([reading])
    (group,) = made.gpus
    assert (made.driver, made.cuda, group.name) == ("610.43.02", "13.3", "NVIDIA RTX A6000")
    assert (group.ecc, group.mig, group.power_w.basis, group.power_limit_w.value) == ("off", "on", "unknown", 250)
    assert "persistence" not in reading.gpus[0].flags


@pytest.mark.parametrize("mark", ["    ", "# ", "> ", "#    "])
def test_a_table_that_is_indented_or_commented_out_is_the_same(mark: str) -> None:
    marked = "".join(mark + line + "\n" for line in OLD.splitlines())
    assert machine([parse(marked, "a")]) == machine([parse(OLD, "a")])


def test_a_table_in_a_loop_holds_each_gpu_many_times() -> None:
    reading = parse(OLD + OLD.replace("12%", "14%"), "smi.txt")
    assert (len(reading.gpus), reading.lines, reading.gpus[0].utilization) == (2, 4, [12.0, 14.0])


@pytest.mark.parametrize(
    ("damage", "by", "where"),
    [
        ("    442MiB / 16160MiB", "    442MiB / 1616OMiB", "smi.txt:9"),
        ("| N/A   37C    P0    55W / 300W |    442MiB / 16160MiB |     12%      Default |\n", "", "smi.txt:8"),
        ("00000000:02:00.0 Off |", "00000000:02", "smi.txt:11"),
    ],
)
def test_a_damaged_row_is_a_finding(damage: str, by: str, where: str) -> None:
    reading = parse(OLD.replace(damage, by, 1), "smi.txt")
    assert [(finding.code, finding.where) for finding in reading.findings] == [("gpu-value-unreadable", where)]


def test_a_gpu_that_shows_errors_has_no_numbers() -> None:
    reading = parse(OLD.replace("    442MiB / 16160MiB |     12%", "       ERR! / ERR! |     ERR!"), "smi.txt")
    assert (reading.gpus[0].utilization, "memory_mib" in reading.gpus[0].numbers) == ([], False)
    assert [finding.code for finding in reading.findings] == ["gpu-reports-error"]


VGPU = """\
| NVIDIA-SMI 450.89       Driver Version: 450.89       CUDA Version: N/A      |
|===============================+======================+======================|
|   0  GRID V100-8C        On   | 00000000:02:00.0 Off |                  N/A |
| N/A   N/A    P0    N/A /  N/A |    528MiB /  8192MiB |      0%      Default |
+-------------------------------+----------------------+----------------------+
"""


def test_a_power_that_is_not_there_is_no_damage() -> None:
    reading = parse(VGPU, "vgpu.txt")
    (gpu,) = machine([reading]).gpus
    assert (gpu.name, gpu.memory_mib.value, gpu.power_w.value, gpu.utilization.value) == ("GRID V100-8C", 8192, None, 0)
    assert reading.findings == []


JETSON = """\
| NVIDIA-SMI 540.2.0                Driver Version: N/A          CUDA Version: 12.2     |
|   0  Orin (nvgpu)                  N/A  | N/A              N/A |                  N/A |
| N/A   N/A  N/A               N/A /  N/A | Not Supported        |     N/A          N/A |
"""


def test_a_jetson_has_a_name_and_no_bus() -> None:
    reading = parse(JETSON, "jetson.txt")
    (gpu,) = machine([reading]).gpus
    assert (gpu.name, gpu.count, gpu.memory_mib.value) == ("Orin (nvgpu)", 1, None)
    assert reading.findings == []
