from __future__ import annotations

import json
from typing import Any

import pytest

from ferry.assess.gpus import machine, parse
from ferry.errors import UnreadableInput

POWER = "Current Socket Graphics Package Power (W)"


def rocm(**changes: Any) -> dict[str, Any]:
    card = {
        "Device Name": "AMD Instinct MI300X OAM",
        "Card Series": "AMD Instinct MI300X OAM",
        "Card Model": "0x74a1",
        "PCI Bus": "0000:0C:00.0",
        "VRAM Total Memory (B)": "206141652992",
        "GPU use (%)": "42",
        POWER: "133.0",
        "Max Graphics Package Power (W)": "750.0",
        "Compute Partition": "SPX",
    }
    return card | changes


def group(document: object) -> Any:
    return machine([parse(json.dumps(document), "amd.json")]).gpus[0]


def test_cards_of_rocm_6_are_read() -> None:
    document = {
        "card0": rocm(),
        "card1": rocm(**{"PCI Bus": "0000:22:00.0", "GPU use (%)": "N/A"}),
        "system": {"Driver version": "6.7.0", "(Topology) Link type between DRM devices 0 and 1": "XGMI"},
    }
    reading = parse(json.dumps(document), "rocm.json")
    made = machine([reading])
    (cards,) = made.gpus
    assert (cards.name, cards.count, cards.memory_mib.value) == ("AMD Instinct MI300X OAM", 2, 196592)
    assert (cards.utilization.value, cards.power_w.value, cards.power_limit_w.value, cards.mig) == (
        42,
        133,
        750,
        "unknown",
    )
    assert (made.driver, made.topologies[0].kind, reading.findings) == ("6.7.0", "xgmi", [])


def test_a_warning_above_the_json_is_passed_over_and_a_partition_is_said() -> None:
    text = "WARNING: AMD GPU device(s) is/are in a low-power state.\n\n" + json.dumps(
        {"card0": rocm(**{"Compute Partition": "CPX"})}
    )
    (cards,) = machine([parse(text, "rocm.json")]).gpus
    assert (cards.mig, cards.mig_instances) == ("on", ["CPX"])


AMD_SMI = {
    "gpu": 0,
    "asic": {"market_name": "AMD Instinct MI300X"},
    "bus": {"bdf": "0000:0c:00.0"},
    "driver": {"name": "amdgpu", "version": "6.12.12"},
    "vram": {"type": "HBM3", "size": {"value": 196592, "unit": "MB"}},
    "limit": {"max_power": {"value": 750, "unit": "W"}},
    "usage": {"gfx_activity": {"value": 97, "unit": "%"}},
    "power": {"socket_power": {"value": 700, "unit": "W"}, "throttle_status": "THROTTLED"},
    "ecc": {"total_correctable_count": 5, "total_uncorrectable_count": 1},
    "partition": {"compute_partition": "SPX"},
}


@pytest.mark.parametrize("wrap", [lambda entries: entries, lambda entries: {"gpu_data": entries}])
def test_amd_smi_of_rocm_6_and_7_is_read(wrap) -> None:
    made = machine([parse(json.dumps(wrap([AMD_SMI])), "amd.json")])
    (cards,) = made.gpus
    assert (made.driver, cards.name, cards.memory_mib.value, cards.utilization.value) == (
        *("6.12.12", "AMD Instinct MI300X"),
        *(196592, 97),
    )
    assert (cards.power_w.value, cards.power_limit_w.value, cards.ecc_uncorrected.value) == (700, 750, 1)


def test_memory_of_amd_smi_may_be_in_gigabytes_and_anything_may_be_absent() -> None:
    memory = {"total_vram": {"value": 192, "unit": "GB"}}
    entry = {"gpu": 0, "usage": "N/A", "power": {"socket_power": "N/A"}, "ecc": {"total_uncorrectable_count": "N/A"}}
    cards = group([entry | {"mem_usage": memory}])
    assert (cards.memory_mib.value, cards.utilization.basis, cards.ecc_uncorrected.basis) == (
        196608,
        "unknown",
        "unknown",
    )


def test_links_of_amd_smi_are_a_topology() -> None:
    def entry(gpu: int, *kinds: str) -> dict[str, Any]:
        return {"gpu": gpu, "links": [{"gpu": peer, "link_type": kind} for peer, kind in enumerate(kinds)]}

    document = [entry(0, "SELF", "XGMI", "PCIE"), entry(1, "XGMI", "SELF", "XGMI"), entry(2, "PCIE", "XGMI", "SELF")]
    (topology,) = machine([parse(json.dumps(document), "amd.json")]).topologies
    assert (topology.kind, topology.gpus, topology.slowest_path) == ("xgmi-partial", 3, "PCIE")


@pytest.mark.parametrize("value", ["4O", "-1", "101", "1e2", True, [1], {"a": 1}])
def test_what_is_no_number_never_becomes_one(value: object) -> None:
    reading = parse(json.dumps({"card0": rocm(**{"GPU use (%)": value})}), "amd.json")
    assert reading.utilization == []
    codes = [finding.code for finding in reading.findings]
    assert codes == (["gpu-value-unreadable"] if isinstance(value, str) else [])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"card0": {"GPU use (%)": "1"', "a.json:1: is not JSON, or is cut off"),
        ('{\n"card0": {\n"GPU use (%)": 1,}', "a.json:3: is not JSON"),
        ('{"data": []}', "a.json:1: is JSON, but neither of rocm-smi"),
        ("[]", "a.json:1: is none of"),
        ("[{}]", "a.json:1: is JSON, but neither of rocm-smi"),
        ('[{"gpu": true}]', "a.json:1: is JSON, but neither of rocm-smi"),
        ("[{" * 100_000, "a.json:1: is not JSON"),
        ('{"card0": ' + "9" * 5000 + "}", "a.json:1: is not JSON"),
    ],
)
def test_other_json_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        parse(text, "a.json")
    assert str(refused.value).startswith(says)
    assert "\n" not in str(refused.value)


def test_a_die_that_shares_the_power_of_another_has_none() -> None:
    # MI250X: two dies on a board, the first of them reports the power of both.
    document = {"card0": rocm(), "card1": rocm(**{"PCI Bus": "0000:22:00.0", POWER: "N/A (Secondary die)"})}
    reading = parse(json.dumps(document), "rocm.json")
    assert machine([reading]).gpus[0].power_w.value == 133
    assert reading.findings == []


def test_the_way_out_of_watch_mode_is_passed_over() -> None:
    text = "'CTRL' + 'C' to stop watching output:\n" + json.dumps([{"gpu": 0, "usage": "N/A", "power": "N/A"}])
    (cards,) = machine([parse(text, "amd.json")]).gpus
    assert (cards.count, cards.utilization.basis) == (1, "unknown")


@pytest.mark.parametrize(
    "text",
    [
        "GPU: 0\n    USAGE:\n        GFX_ACTIVITY: 0 %\n",
        "GPU: 0\n    ASIC:\n        MARKET_NAME: AMD Instinct MI300X\n",
    ],
)
def test_amd_smi_without_json_is_refused_with_the_option_that_it_needs(text: str) -> None:
    with pytest.raises(
        UnreadableInput, match="is amd-smi's text: give amd-smi static --json and amd-smi metric --json"
    ):
        parse(text, "amd.txt")
