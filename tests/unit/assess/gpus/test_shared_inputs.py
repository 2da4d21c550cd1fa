"""Every file of ../shared/inputs/nvidia-smi, with the numbers that stand in it (read with awk and by eye)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferry.assess import gpus

pytestmark = pytest.mark.shared

RTX = "NVIDIA GeForce RTX 4080"
H100, A100 = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB"
# name: count, memory MiB, utilisation %, power W, limit W, ecc, errors now, errors ever, mig
NOTHING = (None, None, None, None, "unknown", None, None, "unknown")
GROUPS = {
    "autodl_plain_2080ti.txt": ("NVIDIA GeForce RTX 2080 Ti", 2, 11264, 0, 20, 250, "unknown", None, None, "unknown"),
    "gpud_nvlink_status_a100.txt": (A100, 8, *NOTHING),
    "h100_L.txt": (H100, 1, *NOTHING),
    "h100_load_compute-apps.csv": (H100, 1, *NOTHING),
    "h100_load_dmon.txt": (None, 1, None, 100, 633.6, None, "unknown", None, None, "unknown"),
    "h100_load_q.txt": (H100, 1, 81559, 100, 629.45, 700, "on", 0, 0, "off"),
    "h100_load_query-gpu.csv": (H100, 1, 81559, 100, 631.95, 700, "on", 0, 0, "off"),
    "h100_load_table.txt": (H100, 1, 81559, 100, 629, 700, "on", 0, None, "off"),
    "h100_nvlink-s.txt": (H100, 1, *NOTHING),
    "h100mig_L.txt": (H100, 1, *NOTHING[:-1], "on"),
    "h100mig_idle_q.txt": (H100, 1, 81559, None, 71.27, 700, "on", 0, 0, "on"),
    "h100mig_load_query-gpu.csv": (H100, 1, 81559, None, 433.78, 700, "on", 0, 0, "on"),
    "h100mig_load_table.txt": (H100, 1, 81559, None, 432, 700, "on", 0, None, "on"),
    "h100mig_nvlink-s.txt": (H100, 1, *NOTHING[:-1], "on"),
    "h200_idle_q.txt": ("NVIDIA H200", 1, 143771, 0, 77.67, 700, "on", 0, 0, "off"),
    "h200_idle_query-gpu.csv": ("NVIDIA H200", 1, 143771, 0, 77.71, 700, "on", 0, 0, "off"),
    "l40s_idle_dmon.txt": (None, 1, None, 0, 56.8, None, "unknown", None, None, "unknown"),
    "rocm_mi100_rocm571.json": (
        *("Arcturus GL-XL [Instinct MI100]", 6, 34342961152 / 2**20, 0, 38.17, 290),
        *("unknown", None, None, "unknown"),
    ),
    "rocm_vega20.json": (
        *("Radeon Instinct MI50 32GB", 1, 34342961152 / 2**20, 0, 26, 225),
        *("unknown", None, None, "unknown"),
    ),
    "rtx4080s_load_q.txt": (f"{RTX} SUPER", 1, 16376, 7, 84.03, 320, "unknown", None, None, "unknown"),
    "rtx4080s_load_table.txt": (f"{RTX} ...", 1, 16376, 7, 83, 320, "unknown", None, None, "unknown"),
    "stas_nvlink_e_status.txt": (H100, 1, *NOTHING),
    "telegraf_a100-sxm4-v12_qx.xml": (A100, 1, 81920, None, 67.03, 500, "on", 0, 0, "on"),
    "telegraf_tesla-t4_v11_qx.xml": ("Tesla T4", 1, 15360, 0, 26.78, 70, "on", 0, 0, "unknown"),
}
# The files that name no GPU but say something of the server.
WITHOUT_GPUS = {
    "h100_topo-m.txt",
    "h100_version.txt",
    "l40s_topo-m.txt",
    "stas_topo_m_2gpu_nv2_phb.txt",
    "stas_topo_m_a100_h100_realigned.txt",
}
DRIVERS = {
    "autodl_plain_2080ti.txt": ("550.90.07", "12.4"),
    "h100_load_q.txt": ("590.48.01", "13.1"),
    "h100_load_query-gpu.csv": ("590.48.01", None),
    "h100_load_table.txt": ("590.48.01", "13.1"),
    "h100_version.txt": ("590.48.01", "13.1"),
    "h100mig_idle_q.txt": ("590.48.01", "13.1"),
    "h100mig_load_query-gpu.csv": ("590.48.01", None),
    "h100mig_load_table.txt": ("590.48.01", "13.1"),
    "h200_idle_q.txt": ("590.48.01", "13.1"),
    "h200_idle_query-gpu.csv": ("590.48.01", None),
    "rocm_mi100_rocm571.json": ("6.2.4", None),
    "rocm_vega20.json": ("5.9.17", None),
    "rtx4080s_load_q.txt": ("595.71.05", "13.2"),
    "rtx4080s_load_table.txt": ("595.71.05", "13.2"),
    "telegraf_a100-sxm4-v12_qx.xml": ("535.54.03", "12.2"),
    "telegraf_tesla-t4_v11_qx.xml": ("515.105.01", "11.7"),
}
# kind, GPUs, NVLinks of a pair, slowest path
TOPOLOGIES = {
    "h100_topo-m.txt": [("single", 1, None, None)],
    "l40s_topo-m.txt": [("single", 1, None, None)],
    "stas_topo_m_2gpu_nv2_phb.txt": [("nvlink", 2, 2, None), ("pcie", 2, None, "PHB")],
    "stas_topo_m_a100_h100_realigned.txt": [("nvlink", 8, 12, None), ("nvlink", 8, 18, None)],
    "rocm_mi100_rocm571.json": [("pcie", 6, None, "PCIE")],
    "rocm_vega20.json": [("pcie", 8, None, "PCIE")],
}
NVLINK_GB_S = {"gpud_nvlink_status_a100.txt": 300, "h100_nvlink-s.txt": 478.116}
MIG = {
    "h100mig_L.txt": ["3g.40gb", "2g.20gb", "1g.10gb", "1g.10gb"],
    "h100mig_idle_q.txt": ["40448 MiB", "20096 MiB", "9984 MiB", "9984 MiB"],
    "h100mig_load_table.txt": ["40448 MiB", "20096 MiB", "9984 MiB", "9984 MiB"],
    "telegraf_a100-sxm4-v12_qx.xml": ["19968 MiB"] * 4,
}
FINDINGS = {
    "h100_load_dmon.txt": [("gpu-file-holds-other-text", ":10")],
    "rocm_vega20.json": [("gpu-count-contradicts-itself", ":1")],
    "stas_nvlink_e_status.txt": [("nvlink-list-cut", ""), ("gpu-file-holds-other-text", ":19")],
    "stas_topo_m_2gpu_nv2_phb.txt": [("gpu-file-holds-other-text", ":1")],
    "stas_topo_m_a100_h100_realigned.txt": [("gpu-file-holds-other-text", ":1")],
    "telegraf_a100-sxm4-v12_qx.xml": [("gpu-count-contradicts-itself", ":7")],
}


def reading(shared: Path, name: str) -> gpus.Reading:
    return gpus.parse((shared / "inputs" / "nvidia-smi" / name).read_text(encoding="utf-8"), name)


def test_every_file_there_is_has_an_expectation(shared: Path) -> None:
    assert {path.name for path in (shared / "inputs" / "nvidia-smi").iterdir()} == {*GROUPS, *WITHOUT_GPUS}


@pytest.mark.parametrize("name", sorted([*GROUPS, *WITHOUT_GPUS]))
def test_a_real_file_is_read(shared: Path, name: str) -> None:
    read = reading(shared, name)
    made = gpus.machine([read])
    groups = [
        (
            *(group.name, group.count, group.memory_mib.value, group.utilization.value),
            *(group.power_w.value, group.power_limit_w.value),
            *(group.ecc, group.ecc_uncorrected.value, group.ecc_uncorrected_ever.value, group.mig),
        )
        for group in made.gpus
    ]
    assert groups == ([GROUPS[name]] if name in GROUPS else [])
    assert (made.driver, made.cuda) == DRIVERS.get(name, (None, None))
    topologies = [(item.kind, item.gpus, item.nvlinks, item.slowest_path) for item in made.topologies]
    assert topologies == TOPOLOGIES.get(name, [])
    assert [group.nvlink_gb_s.value for group in made.gpus] == [NVLINK_GB_S.get(name)] * len(made.gpus)
    assert [instance for group in made.gpus for instance in group.mig_instances] == MIG.get(name, [])
    found = [(finding.code, finding.where.removeprefix(name)) for finding in read.findings]
    assert found == FINDINGS.get(name, [])


def test_the_samples_of_dmon_are_counted_and_the_symbols_below_them_are_not(shared: Path) -> None:
    samples = gpus.samples_of([reading(shared, "h100_load_dmon.txt")])
    assert (samples.gpus, samples.lines, samples.utilization) == (1, 5, [100.0] * 5)
