"""Faults of GPUs as DCGM tells them, one for each alert: what makes it fire, and what stays just below."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Series to values, one a minute.

    `above` fires from minute `at` on and not before, up to and with minute `until` where that is given; nothing of
    `below` ever does.
    """

    above: dict[str, str]
    at: int
    until: int | None = None
    severity: str
    action: str
    summary: str
    labels: dict[str, str] = field(default_factory=dict)
    below: tuple[dict[str, str], ...]


GPU = 'gpu="3",instance="gpu-1",job="dcgm"'
ON_GPU = {"gpu": "3", "instance": "gpu-1", "job": "dcgm"}
RESET = "drain the server, reset the GPU"
RESTART = "drain the server, switch it off and on"
REPLACE_GPU = "drain the server, replace the GPU (RMA)"
COOLING = "check the fans and the air or water inlet"
POWER = "check the power supplies and their feeds"
START = "start the exporter"
UP = 'up{instance="gpu-1",job="dcgm"}'


def gpus(count: int, values: str = "60x20") -> dict[str, str]:
    """The temperatures of so many GPUs of gpu-1."""
    return {f'DCGM_FI_DEV_GPU_TEMP{{gpu="{at}",instance="gpu-1",job="dcgm"}}': values for at in range(count)}


GPU_FAULTS: dict[str, Fault] = {
    "FerryGpuExporterDown": Fault(
        above={UP: "0x20"}, at=5, severity="warning", action=START, labels={"instance": "gpu-1", "job": "dcgm"},
        summary="Nothing is known of the GPUs of gpu-1",
        below=({UP: "1x20"}, {UP: "0 0 0 0 1x20"}),
    ),
    "FerryGpuLost": Fault(
        above={UP: "1x20"} | gpus(7), at=2, severity="critical", action=RESTART, labels={"instance": "gpu-1"},
        summary="gpu-1 has 7 of 8 GPUs",
        # All eight; an exporter that is away says nothing of its GPUs.
        below=({UP: "1x20"} | gpus(8), {UP: "0x20"}),
    ),
    "FerryGpuMemoryError": Fault(
        above={f"DCGM_FI_DEV_ECC_DBE_VOL_TOTAL{{{GPU}}}": "0x9 1x70"}, at=10, until=69,
        severity="critical", action=RESET, labels=ON_GPU, summary="Double-bit memory error on GPU 3 of gpu-1",
        below=({f"DCGM_FI_DEV_ECC_DBE_VOL_TOTAL{{{GPU}}}": "4x30", f"DCGM_FI_DEV_ECC_DBE_AGG_TOTAL{{{GPU}}}": "9x30"},),
    ),
    "FerryGpuRowRemapPending": Fault(
        above={f"DCGM_FI_DEV_ROW_REMAP_PENDING{{{GPU}}}": "1x20"}, at=5, severity="warning", action=RESET,
        labels=ON_GPU, summary="GPU 3 of gpu-1 waits for a reset to replace bad memory",
        below=({f"DCGM_FI_DEV_ROW_REMAP_PENDING{{{GPU}}}": "0x20", f"DCGM_FI_DEV_RETIRED_PENDING{{{GPU}}}": "0x20"},),
    ),
    "FerryGpuRowRemapFailed": Fault(
        above={f"DCGM_FI_DEV_ROW_REMAP_FAILURE{{{GPU}}}": "0 0 1x9"}, at=2, severity="critical", action=REPLACE_GPU,
        labels=ON_GPU, summary="GPU 3 of gpu-1 has no spare memory rows left",
        below=({f"DCGM_FI_DEV_ROW_REMAP_FAILURE{{{GPU}}}": "0x20"},),
    ),
    "FerryGpuPagesRetired": Fault(
        above={f"DCGM_FI_DEV_RETIRED_SBE{{{GPU}}}": "60 60 61", f"DCGM_FI_DEV_RETIRED_DBE{{{GPU}}}": "2x2"}, at=2,
        severity="critical", action=REPLACE_GPU, labels=ON_GPU, summary="GPU 3 of gpu-1 has retired 63 pages of memory",
        below=({f"DCGM_FI_DEV_RETIRED_SBE{{{GPU}}}": "60x20", f"DCGM_FI_DEV_RETIRED_DBE{{{GPU}}}": "2x20"},),
    ),
    "FerryGpuLinkErrors": Fault(
        above={f"DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL{{{GPU}}}": "0x9 101x70"}, at=10, until=69,
        severity="warning", action="drain the server, reset the GPU, check the link", labels=ON_GPU,
        summary="NVLink of GPU 3 of gpu-1 loses data and repeats it",
        below=(
            {
                f"DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL{{{GPU}}}": "0x9 100x70",
                f"DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL{{{GPU}}}": "0x9 100x70",
                f"DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL{{{GPU}}}": "7x70",
            },
        ),
    ),
    "FerryGpuPcieReplays": Fault(
        # Five minutes of nine replays each, and five more.
        above={f"DCGM_FI_DEV_PCIE_REPLAY_COUNTER{{{GPU}}}": "0+8.6x20"}, at=10, severity="warning", action=RESTART,
        labels=ON_GPU, summary="PCIe of GPU 3 of gpu-1 repeats 9 transfers a minute",
        below=({f"DCGM_FI_DEV_PCIE_REPLAY_COUNTER{{{GPU}}}": "0+8x20"},),
    ),
    "FerryGpuHot": Fault(
        above={f"DCGM_FI_DEV_GPU_TEMP{{{GPU}}}": "86x20"}, at=5, severity="warning", action=COOLING, labels=ON_GPU,
        summary="GPU 3 of gpu-1 is at 86 °C", below=({f"DCGM_FI_DEV_GPU_TEMP{{{GPU}}}": "85x20"},),
    ),
    "FerryGpuTooHot": Fault(
        above={f"DCGM_FI_DEV_GPU_TEMP{{{GPU}}}": "90x20", f"DCGM_FI_DEV_SLOWDOWN_TEMP{{{GPU}}}": "90x20"}, at=1,
        severity="critical", action=COOLING, labels=ON_GPU, summary="GPU 3 of gpu-1 is at 90 °C and slows down",
        below=(
            {f"DCGM_FI_DEV_GPU_TEMP{{{GPU}}}": "89x20", f"DCGM_FI_DEV_SLOWDOWN_TEMP{{{GPU}}}": "90x20"},
            {f"DCGM_FI_DEV_GPU_TEMP{{{GPU}}}": "89x20", f"DCGM_FI_DEV_SLOWDOWN_TEMP{{{GPU}}}": "0x20"},
            {f"DCGM_FI_DEV_GPU_TEMP{{{GPU}}}": "95x20"},
        ),
    ),
    "FerryGpuMemoryHot": Fault(
        above={f"DCGM_FI_DEV_MEMORY_TEMP{{{GPU}}}": "96x20", f"DCGM_FI_DEV_MEM_MAX_OP_TEMP{{{GPU}}}": "95x20"}, at=5,
        severity="warning", action=COOLING, labels=ON_GPU, summary="Memory of GPU 3 of gpu-1 is at 96 °C",
        below=(
            {f"DCGM_FI_DEV_MEMORY_TEMP{{{GPU}}}": "95x20", f"DCGM_FI_DEV_MEM_MAX_OP_TEMP{{{GPU}}}": "95x20"},
            {f"DCGM_FI_DEV_MEMORY_TEMP{{{GPU}}}": "95x20", f"DCGM_FI_DEV_MEM_MAX_OP_TEMP{{{GPU}}}": "0x20"},
        ),
    ),
    "FerryGpuThrottledByHeat": Fault(
        above={f"DCGM_FI_DEV_THERMAL_VIOLATION{{{GPU}}}": "0 5x7 6x7 7x7"}, at=11, severity="warning", action=COOLING,
        labels=ON_GPU, summary="Heat slows GPU 3 of gpu-1",
        below=({f"DCGM_FI_DEV_THERMAL_VIOLATION{{{GPU}}}": "500x40"},),
    ),
    "FerryGpuSlowedByHardware": Fault(
        above={f'DCGM_EXP_CLOCK_EVENTS_COUNT{{clock_event="hw_thermal",{GPU}}}': "1x20"}, at=10, severity="critical",
        action=COOLING, labels={"clock_event": "hw_thermal", **ON_GPU},
        summary="The board of GPU 3 of gpu-1 halves its clock: hw_thermal",
        # One event is counted for five minutes; others are the driver's business.
        below=(
            {f'DCGM_EXP_CLOCK_EVENTS_COUNT{{clock_event="hw_thermal",{GPU}}}': "1x5 stale"},
            {f'DCGM_EXP_CLOCK_EVENTS_COUNT{{clock_event="sw_thermal",{GPU}}}': "9x30"},
            {f'DCGM_EXP_CLOCK_EVENTS_COUNT{{clock_event="hw_thermal",{GPU}}}': "0x30"},
            {f'DCGM_EXP_CLOCK_EVENTS_COUNT{{clock_event="power_cap",{GPU}}}': "9x30"},
        ),
    ),
    "FerryGpuPowerBrake": Fault(
        above={f'DCGM_EXP_CLOCK_EVENTS_COUNT{{clock_event="hw_power_brake",{GPU}}}': "1x20"}, at=1, severity="critical",
        action=POWER, labels={"clock_event": "hw_power_brake", **ON_GPU},
        summary="The server gpu-1 brakes its GPU 3 for want of power",
        below=(
            {f'DCGM_EXP_CLOCK_EVENTS_COUNT{{clock_event="hw_slowdown",{GPU}}}': "9x30"},
            {f'DCGM_EXP_CLOCK_EVENTS_COUNT{{clock_event="hw_power_brake",{GPU}}}': "0x30"},
        ),
    ),
    "FerryGpuThrottledByPower": Fault(
        above={f"DCGM_FI_DEV_POWER_VIOLATION{{{GPU}}}": " ".join(f"{n}x7" for n in range(12))},
        at=68, severity="info",
        action="nothing now, unless it comes back", labels=ON_GPU, summary="The power limit slows GPU 3 of gpu-1",
        below=({f"DCGM_FI_DEV_POWER_VIOLATION{{{GPU}}}": "500x90"},),
    ),
    "FerryGpuPowerLimitLow": Fault(
        above={
            f"DCGM_FI_DEV_ENFORCED_POWER_LIMIT{{{GPU}}}": "699x20",
            f"DCGM_FI_DEV_POWER_MGMT_LIMIT_DEF{{{GPU}}}": "700x20",
        },
        at=15, severity="info", action="check the power limit", labels=ON_GPU,
        summary="GPU 3 of gpu-1 is held to 699 W, below its default",
        below=(
            {
                f"DCGM_FI_DEV_ENFORCED_POWER_LIMIT{{{GPU}}}": "700x40",
                f"DCGM_FI_DEV_POWER_MGMT_LIMIT_DEF{{{GPU}}}": "700x40",
            },
        ),
    ),
}  # fmt: skip

GPU_OTHER_WAYS: dict[str, tuple[dict[str, str], ...]] = {
    "FerryGpuLost": (
        # None answers, and the exporter runs.
        {UP: "1x20"},
    ),
    "FerryGpuMemoryError": ({f"DCGM_FI_DEV_ECC_DBE_AGG_TOTAL{{{GPU}}}": "0x5 1x70"},),
    "FerryGpuRowRemapPending": ({f"DCGM_FI_DEV_RETIRED_PENDING{{{GPU}}}": "1x20"},),
    "FerryGpuLinkErrors": (
        {f"DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL{{{GPU}}}": "0x5 1x20"},
        {f"DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL{{{GPU}}}": "0x5 101x20"},
    ),
    "FerryGpuSlowedByHardware": ({f'DCGM_EXP_CLOCK_EVENTS_COUNT{{clock_event="hw_slowdown",{GPU}}}': "1x20"},),
}  # fmt: skip
"""Further faults that the same alert stands for, each with the rest of it silent."""
