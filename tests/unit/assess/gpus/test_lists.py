"""`-L`, `nvlink`, `--version`, `topo -m` and `dmon`."""

from __future__ import annotations

import pytest

from ferry.artefacts import Topology
from ferry.assess.gpus import machine, parse

GPU = "GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-5269b708-678a-b1a8-60f0-c90406537486)\n"
TOPO = """\
\t\x1b[4mGPU0\tGPU1\tGPU2\tmlx5_0\tCPU Affinity\tNUMA Affinity\x1b[0m
GPU0\t X \tNV3\tSYS\tNODE\t0-63
GPU1\tNV3\t X \tPHB\tNODE\t0-63
GPU2\tSYS\tPHB\t X \tSYS\t64-127
mlx5_0\tNODE\tNODE\tSYS\t X \t

Legend:

  X    = Self
"""


def topologies(text: str) -> list[Topology]:
    return machine([parse(text, "t")]).topologies


def codes(text: str) -> list[tuple[str, str]]:
    return [(finding.code, finding.seen) for finding in parse(text, "t").findings]


def test_a_list_of_gpus_with_mig_devices_of_every_driver() -> None:
    text = GPU + (
        "  MIG 1c.3g.40gb Device 0: (UUID: MIG-GPU-5269b708-678a-b1a8-60f0-c90406537486/1/0)\n"
        "  MIG 2g.20gb     Device  1: (UUID: MIG-00000001-0000-0000-0000-000000000001)\n"
    )
    (group,) = machine([parse(text, "L")]).gpus
    assert (group.name, group.mig, group.mig_instances) == ("NVIDIA A100-SXM4-80GB", "on", ["1c.3g.40gb", "2g.20gb"])


def test_links_are_added_up_and_one_that_is_down_is_a_finding() -> None:
    text = GPU + "\t Link 0: 25 GB/s\n\t Link 1: <inactive>\n\t Link 2: 25.781 GB/s\n"
    (group,) = machine([parse(text, "L")]).gpus
    assert group.nvlink_gb_s.value == 50.781
    assert codes(text) == [("nvlink-inactive", "GPU 0: links 1")]


def test_errors_of_links_are_a_finding_and_zeros_are_none() -> None:
    text = GPU + "\t Link 0: Replay Errors: 0\n\t Link 0: CRC Errors: 12\n"
    assert codes(text) == [("nvlink-errors", "GPU 0 link 0 CRC Errors: 12")]
    assert codes(text.replace("12", "0")) == []


def test_links_that_were_cut_out_are_not_added_up() -> None:
    text = GPU + "  Link 0: 25 GB/s\n  [...]\n  Link 11: 25 GB/s\n"
    assert machine([parse(text, "L")]).gpus[0].nvlink_gb_s.basis == "unknown"
    assert [code for code, _ in codes(text)] == ["nvlink-list-cut"]


def test_a_damaged_link_is_a_finding() -> None:
    assert codes(GPU + " Link 0: 2S GB/s\n Link 1: 25 GB/s\n") == [("gpu-value-unreadable", "Link 0: 2S GB/s")]


@pytest.mark.parametrize(
    "text",
    [
        "NVIDIA-SMI version  : 590.48.01\nNVML version : 590.48\nDRIVER version : 590.48.01\nCUDA Version : 13.1\n",
        'DRIVER version : Deprecated, see "KMD version" instead\nKMD version : 590.48.01\nCUDA UMD version : 13.1\n',
    ],
)
def test_versions_of_old_and_new_tools(text: str) -> None:
    made = machine([parse(text, "v")])
    assert (made.driver, made.cuda) == ("590.48.01", "13.1")


def test_a_matrix_is_read_with_its_network_cards() -> None:
    (found,) = topologies(TOPO)
    assert (found.kind, found.gpus, found.nvlinks, found.slowest_path, found.network_cards) == (
        *("nvlink-partial", 3, 3),
        *("SYS", 1),
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\t", "  "),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: "\n".join("| " + line.strip().replace("\t", " | ") + " |" for line in text.splitlines()),
        lambda text: text.replace("\x1b", ""),
        lambda text: text.replace("SYS", "SOC"),
        lambda text: text.replace("\n", "\r\n"),
    ],
)
def test_a_matrix_that_was_realigned_is_the_same(change) -> None:
    (before,), (after,) = topologies(TOPO), topologies(change(TOPO))
    assert after.model_copy(update={"source": ""}) == before.model_copy(update={"source": ""})


@pytest.mark.parametrize(
    ("damage", "by", "says"),
    [
        ("GPU2\tSYS\tPHB\t X \tSYS\t64-127\n", "", "the row of GPU2 is missing"),
        ("GPU2\tSYS\tPHB", "GPU2\tNV1\tPHB", "GPU0 to GPU2 is SYS, back it is NV1"),
        ("GPU1\tNV3\t X ", "GPU1\tNV3\tNV3", "GPU1 to GPU1 is 'NV3': columns are shifted"),
        ("GPU1\tNV3\t X ", "GPU1\tNW3\t X ", "GPU1 to GPU0 is 'NW3', which is no kind of link"),
        ("GPU2\tSYS\tPHB\t X \tSYS\t64-127", "GPU2\tSYS", "the row of GPU2 has 1 of 4 columns: cut off?"),
    ],
)
def test_a_damaged_matrix_gives_no_topology(damage: str, by: str, says: str) -> None:
    text = TOPO.replace(damage, by)
    assert topologies(text) == []
    assert ("gpu-topology-damaged", says) in codes(text)


DMON = """\
#Date       Time        gpu    pwr  gtemp  mtemp     sm    mem  pviol  tviol  sbecc  dbecc
#YYYYMMDD   HH:MM:SS    Idx      W      C      C      %      %      %   bool   errs   errs
 20261014   09:00:00      0    631     63      -    100     10      0      0      0      0
 20261014   09:00:00      1     66     57      -      -      0      3      0      0      2
# gpu    pwr     sm
# Idx      W      %
    0    100     50
"""


def test_dmon_is_read_by_its_headings() -> None:
    reading = parse(DMON, "dmon.txt")
    first, second = reading.gpus
    assert (reading.lines, first.utilization, first.power_w, second.utilization) == (
        3,
        [100.0, 50.0],
        [631.0, 100.0],
        [],
    )
    assert (second.numbers["ecc_volatile"].value, second.throttled) == (2, {"sw_power_cap": "dmon.txt:4"})
    assert reading.findings == []


def test_dmon_as_csv_is_the_same() -> None:
    text = "#gpu, pwr, sm\n#Idx, W, %\n0, 100, 50\n"
    assert parse(text, "d").utilization == [50.0]


def test_a_row_of_dmon_with_other_columns_is_a_finding() -> None:
    assert codes(DMON + "    1     66\n") == [("gpu-value-unreadable", "1 66")]


def test_pmon_is_no_dmon() -> None:
    heading = "# gpu         pid   type     sm    mem    command\n# Idx           #    C/G      %      %    name\n"
    text = heading + "    0   11    C  97  9  python\n"
    reading = parse(text, "pmon.txt")
    assert (reading.gpus, list(reading.kinds)) == ([], ["nvidia-smi pmon"])


@pytest.mark.parametrize(
    ("apart", "glued"),
    [
        ("mlx5_0\tCPU", "NIC0NIC1\tCPU"),
        ("mlx5_0\tCPU", "NIC0 NIC1\tCPU"),
    ],
)
def test_names_that_a_paste_glued_together_are_taken_apart(apart: str, glued: str) -> None:
    text = TOPO.replace(apart, glued).replace("NODE\t0-63", "SYSSYS\t0-63").replace("X \tSYS", "X \tNODEPXB")
    text = text.replace("mlx5_0\tNODE", "NIC0\tNODE")
    (topology,) = topologies(text)
    assert (topology.kind, topology.gpus, topology.nvlinks, topology.network_cards) == ("nvlink-partial", 3, 3, 2)
    assert codes(text) == []


def test_masked_uuids_tell_no_gpu_from_another_and_do_not_hide_the_list() -> None:
    text = "GPU 0: Tesla K80 (UUID: GPU-d0e093a0-c3b3-f458-5a55-6eb69fxxxxxx)\nGPU 1: Tesla K80 (UUID: GPU-XXXXXXXX)\n"
    assert [(gpu.index, gpu.uuid, gpu.texts["name"].value) for gpu in parse(text, "L").gpus] == [
        (0, None, "Tesla K80"), (1, None, "Tesla K80"),
    ]  # fmt: skip
