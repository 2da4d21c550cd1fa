from __future__ import annotations

import re

import pytest

from ferry.artefacts import Cluster, Finding, unknown
from ferry.assess.gpus import about_machines, by_machine, machine, parse, samples_of
from ferry.assess.gpus.drivers import about_driver

UUIDS = ["GPU-5269b708-678a-b1a8-60f0-c90406537486", "GPU-a7605225-d684-1f65-4ad4-ee2ab39338b4"]


def cluster(gpus: int = 1, accelerator: str = "A100-SXM4-80GB") -> Cluster:
    return Cluster(nodes=1, gpus_per_node=gpus, accelerator=accelerator, gpu_utilization=unknown("percent"))


def about(columns: str, *rows: str, gpus: int | None = None) -> list[Finding]:
    rows = tuple(f"{number}, {row}" for number, row in enumerate(rows))
    text = "\n".join([f"index, ecc.mode.current, {columns}", *(row.replace(",", ", Enabled,", 1) for row in rows)])
    text += "\n"
    return about_machines([[parse(text, "smi.csv")]], cluster(gpus or len(rows)))


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings if finding.code != "gpu-state-not-measured"]


UNCORRECTED = "ecc.errors.uncorrected.volatile.total, ecc.errors.uncorrected.aggregate.total"


def test_uncorrected_errors_now_are_critical_and_earlier_ones_a_warning() -> None:
    first, second = (item for item in about(UNCORRECTED, "2, 2", "0, 5") if item.code != "gpu-state-not-measured")
    assert (first.severity, first.code, first.where) == ("critical", "gpu-ecc-uncorrected", "smi.csv:2")
    assert first.seen == "GPU 0: uncorrected memory errors since the driver was loaded"
    assert (second.severity, second.code, second.where) == ("warning", "gpu-ecc-uncorrected-ever", "smi.csv:3")
    assert codes(about(UNCORRECTED, "0, 0", "[N/A], [N/A]")) == []


@pytest.mark.parametrize(
    ("column", "bad", "good", "code"),
    [
        ("remapped_rows.pending", "Yes", "No", "gpu-memory-repair-pending"),
        ("retired_pages.pending", "Yes", "No", "gpu-memory-repair-pending"),
        ("remapped_rows.failure", "Yes", "No", "gpu-memory-repair-failed"),
        ("remapped_rows.uncorrectable", "3", "0", "gpu-memory-repaired"),
        ("gpu_recovery_action", "Reset", "None", "gpu-needs-recovery"),
        ("fabric.state", "In Progress", "Completed", "gpu-fabric-not-ready"),
        ("fabric.status", "Insufficient Resources", "Success", "gpu-fabric-not-ready"),
        ("mig.mode.current", "Enabled", "Disabled", "gpu-partitioned"),
        ("clocks_event_reasons.hw_slowdown", "Active", "Not Active", "gpu-throttled"),
        ("clocks_throttle_reasons.sw_thermal_slowdown", "Active", "Not Active", "gpu-throttled"),
        ("clocks_event_reasons.sw_power_cap", "Active", "Not Active", "gpu-at-power-limit"),
        ("persistence_mode", "Disabled", "Enabled", "gpu-persistence-off"),
    ],
)
def test_a_state_that_matters_is_a_finding(column: str, bad: str, good: str, code: str) -> None:
    assert codes(about(column, bad)) == [code]
    assert codes(about(column, good)) == []
    assert codes(about(column, "[N/A]")) == []


def test_gpus_in_the_same_state_are_one_finding() -> None:
    _, finding = about("mig.mode.current", "Enabled", "Disabled", "Enabled")
    assert finding.seen.startswith("GPUs 0, 2: divided into parts")


def test_throttling_by_heat_is_not_said_again_as_the_power_limit() -> None:
    assert codes(about("clocks_event_reasons.active", "0x0000000000000044")) == ["gpu-throttled"]


def test_persistence_of_a_desktop_card_or_of_one_with_a_display_does_not_matter() -> None:
    assert codes(about("persistence_mode, name", "Disabled, NVIDIA GeForce RTX 4090")) == []
    assert codes(about("persistence_mode, display_active", "Disabled, Enabled")) == []


def test_fewer_pcie_lanes_than_the_card_has_are_said() -> None:
    assert codes(about("pcie.link.width.current, pcie.link.width.max", "8, 16")) == ["gpu-pcie-narrow"]
    assert codes(about("pcie.link.width.current, pcie.link.width.max", "16, 16")) == []


def test_error_correction_that_is_off_is_said() -> None:
    found = about_machines([[parse("index, ecc.mode.current\n0, Disabled\n", "smi.csv")]], cluster())
    assert codes(found) == ["gpu-ecc-off"]


def test_memory_and_number_of_gpus_are_held_against_the_site() -> None:
    (finding,) = [item for item in about("memory.total [MiB]", "40960 MiB") if item.code.startswith("gpu-memory")]
    assert finding.seen == "40.0 GiB a GPU, where site.yaml says A100-SXM4-80GB"
    assert codes(about("memory.total [MiB]", "81559 MiB")) == []
    (finding,) = [item for item in about("fan.speed", "1", "2", gpus=1) if item.code.startswith("gpus")]
    assert finding.seen == "2 GPUs, where site.yaml says 1 a node"
    # A query may be limited to some GPUs; a list is of all.
    assert codes(about("fan.speed", "1", gpus=8)) == []
    listed = about_machines([[parse(f"GPU 0: NVIDIA L4 (UUID: {UUIDS[0]})\n", "L.txt")]], cluster(8, "L4"))
    assert codes(listed) == ["gpus-per-node-contradicts"]


def test_what_no_output_says_is_one_finding_with_the_command_that_measures_it() -> None:
    text = f"GPU 0: NVIDIA L4 (UUID: {UUIDS[0]})\nGPU 1: NVIDIA L4 (UUID: {UUIDS[1]})\n"
    (finding,) = about_machines([[parse(text, "L.txt")]], cluster(2, "L4"))
    assert finding.seen == "no output tells memory errors of 1 of 1 servers and how GPUs are linked"
    assert "nvidia-smi -q -x > NODE.xml" in finding.remedy


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("580.95.05", ["gpu-driver-known-bad"]),
        ("580.178.04", []),
        ("582.28", []),
        ("595.71.05", ["gpu-driver-known-bad"]),
        ("595.91.07", []),
        ("620.10", []),
        ("590.48.01", ["gpu-driver-new-feature-branch"]),
        ("591.86", ["gpu-driver-new-feature-branch"]),
        ("535.54.03", ["gpu-driver-known-bad", "gpu-driver-old"]),
        ("535.309.01", ["gpu-driver-old"]),
        ("550.127.05", ["gpu-driver-known-bad", "gpu-driver-old"]),
        ("418.87.01", ["gpu-driver-known-bad", "gpu-driver-old"]),
        ("570.86.15", ["gpu-driver-known-bad", "gpu-driver-old"]),
        ("570.133.20", ["gpu-driver-known-bad", "gpu-driver-old"]),
        ("570.211.01", ["gpu-driver-old"]),
        ("560.35.03", ["gpu-driver-known-bad", "gpu-driver-old"]),
    ],
)
def test_a_driver_is_judged_by_its_branch(version: str, expected: list[str]) -> None:
    assert [finding.code for finding in about_driver(version, "smi.csv:2")] == expected


def test_an_old_driver_is_named_with_its_end_its_cuda_and_a_source() -> None:
    (finding,) = about_driver("535.309.01", "smi.csv:2")
    assert finding.seen == "driver 535.309.01: support of branch R535 ended in June 2026"
    assert "runs programs up to CUDA 12.x" in finding.means
    assert "docs.nvidia.com" in finding.remedy
    _, finding = about_driver("515.105.01", "smi.csv:2")
    assert "runs programs up to CUDA 11.x" in finding.means


def test_drivers_that_differ_are_one_finding_and_amds_driver_is_not_judged() -> None:
    one, other = (parse(f"index, driver_version\n0, {version}\n", version) for version in ("580.178.04", "595.91.07"))
    assert codes(about_machines([[one], [other]], cluster())) == ["gpu-drivers-differ"]
    assert codes(about_machines([[one], [one]], cluster())) == []
    amd = parse('{"card0": {"GPU use (%)": "1"}, "system": {"Driver version": "5.9.17"}}', "rocm.json")
    assert codes(about_machines([[amd]], cluster())) == []


def listed(file: str, *uuids: str) -> str:
    return "".join(f"GPU {number}: NVIDIA L4 (UUID: {uuid})\n" for number, uuid in enumerate(uuids))


def test_files_that_share_a_gpu_are_of_one_server_and_count_it_once() -> None:
    query = f"uuid, index, utilization.gpu [%], mig.mode.current\n{UUIDS[0]}, 0, 10 %, Enabled\n"
    readings = [parse(listed("a", *UUIDS), "a"), parse(query, "b"), parse("GPU 0: NVIDIA L4 (UUID: GPU-abc)\n", "c")]
    groups = by_machine(readings)
    assert [[reading.file for reading in group] for group in groups] == [["a", "b"], ["c"]]
    assert samples_of(groups[0]).gpus == 2
    with_mig, without = machine(groups[0]).gpus
    assert (with_mig.count, with_mig.mig, with_mig.utilization.value, without.mig) == (1, "on", 10, "unknown")
    found = [item for item in about_machines(groups, cluster(2, "L4")) if item.code == "gpu-partitioned"]
    assert [item.where for item in found] == ["b:2"]


def test_a_topology_belongs_to_the_only_server_there_is_and_to_none_of_several() -> None:
    topology = parse("      GPU0 GPU1 CPU Affinity\nGPU0  X   NV4  0-1\nGPU1 NV4   X   0-1\n", "topo")
    one, other = parse(listed("a", UUIDS[0]), "a"), parse(listed("b", UUIDS[1]), "b")
    assert [len(group) for group in by_machine([topology, one])] == [2]
    assert [len(group) for group in by_machine([topology, one, other])] == [1, 1, 1]


def test_masked_uuids_do_not_make_two_servers_one() -> None:
    masked = "GPU-00000000-0000-0000-0000-000000000000"
    readings = [parse(listed("a", masked), "a"), parse(listed("b", masked), "b")]
    assert len(by_machine(readings)) == 2


def test_two_servers_in_one_file_keep_their_gpus_apart() -> None:
    reading = parse(listed("a", UUIDS[0]) + "node-2:\n" + listed("a", UUIDS[1]), "a")
    assert len(reading.gpus) == 2
    assert [finding.seen for finding in reading.findings if finding.code == "gpu-index-twice"] == [
        f"GPU 0 is {UUIDS[0]} and {UUIDS[1]}"
    ]


def test_matrices_of_several_kinds_in_one_file_are_a_contradiction() -> None:
    matrix = "      GPU0 GPU1 CPU Affinity\nGPU0  X   NV4  0-1\nGPU1 NV4   X   0-1\n"
    reading = parse(matrix + "and\n" + matrix.replace("NV4", "PHB"), "topo")
    assert "gpu-topologies-differ" in codes(about_machines([[reading]], cluster(2)))


def test_every_finding_is_of_one_line_and_says_what_to_do() -> None:
    for finding in about(UNCORRECTED + ", mig.mode.current, persistence_mode", "1, 1, Enabled, Disabled"):
        assert all(re.fullmatch(r"[^\n]+", text) for text in (finding.seen, finding.means, finding.remedy))


@pytest.mark.parametrize(
    ("pair", "others", "alone"),
    [("NV4", "NODE", ["GPU 2 has no fast link, 2 others have"]), ("NV4", "NV4", []), ("NODE", "NODE", [])],
)
def test_a_gpu_that_is_cut_off_from_the_fast_links_of_the_others_is_found(
    pair: str, others: str, alone: list[str]
) -> None:
    matrix = (
        f"  GPU0 GPU1 GPU2 CPU Affinity\nGPU0 X {pair} {others}\nGPU1 {pair} X {others}\nGPU2 {others} {others} X\n"
    )
    found = about_machines([[parse(matrix, "topo")]], cluster(3))
    assert [item.seen for item in found if item.code == "gpu-without-nvlink"] == alone
