"""The fields of `nvidia-smi -q` and `-q -x`, two spellings of one tree, flattened to paths: `fb_memory_usage/total`.

Names are those of drivers 384 to 610 (DTD v8 to v13): where both spellings or two drivers differ, each is listed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ferry.assess.gpus.reading import (
    LARGEST_MEMORY_MIB,
    LARGEST_POWER_W,
    MEMORY,
    PERCENT,
    WATTS,
    Gpu,
    MigInstance,
    Reading,
    Seen,
)

SLOWDOWNS = ("sw_power_cap", "hw_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown", "sw_thermal_slowdown")
PCIE_LINKS = ("gpu_link_info", "pci_gpu_link_info")
Fields = dict[str, Seen[str]]


@dataclass
class Block:
    """One GPU: its fields, and those of its MIG devices."""

    bus: str
    where: str
    fields: Fields = field(default_factory=dict)
    mig: list[Fields] = field(default_factory=list)


def add_top(top: Fields, reading: Reading) -> None:
    """Take what stands above the GPUs: driver, CUDA, and how many GPUs there are."""
    for key in ("kmd_version", "driver_version"):
        if key in top and reading.driver is None:
            reading.driver = reading.version(top[key].value, top[key].where)
    for key in ("cuda_umd_version", "cuda_version"):
        if key in top and reading.cuda is None:
            reading.cuda = reading.version(top[key].value, top[key].where)
    attached = top.get("attached_gpus")
    if attached and (count := reading.value(attached.value, attached.where, most=1024)) is not None:
        reading.attached = Seen(int(count), attached.where)


def add(block: Block, reading: Reading) -> None:
    """Take one GPU into the reading."""
    fields = block.fields
    uuid = _first(fields, "uuid", "gpu_uuid")
    gpu = reading.gpu(block.where, uuid=uuid.value if uuid else None, bus=block.bus or None)
    gpu.seen += 1
    reading.lines += 1

    def text(key: str, *names: str) -> None:
        if seen := _first(fields, *names):
            reading.text(gpu, key, seen.value, seen.where)

    def flag(key: str, *names: str) -> None:
        if seen := _first(fields, *names):
            reading.flag(gpu, key, seen.value, seen.where)

    text("name", "product_name")
    text("recovery", "gpu_recovery_action")
    text("fabric_state", "fabric/state")
    text("fabric_status", "fabric/status")
    flag("persistence", "persistence_mode")
    flag("display", "display_active")
    flag("mig", "mig_mode/current", "mig_mode/current_mig")
    flag("ecc", "ecc_mode/current", "ecc_mode/current_ecc")
    flag("reset_required", "gpu_reset_status/reset_required")
    flag("remap_pending", "remapped_rows/pending", "remapped_rows/remapped_row_pending")
    flag("remap_failed", "remapped_rows/remapping_failure_occurred", "remapped_rows/remapped_row_failure")
    flag(
        "retirement_pending",
        *("retired_pages/pending_page_blacklist", "retired_pages/pending_retirement"),
        *("retired_pages/pending_blacklist", "retired_pages/pending"),
    )
    flag("unrepairable", "ecc_errors/unrepairable_memory")
    if seen := _first(fields, "fb_memory_usage/total", "memory_usage/total"):
        reading.number(gpu, "memory_mib", seen.value, seen.where, MEMORY, LARGEST_MEMORY_MIB)
    if seen := _first(fields, "gpu_power_readings/current_power_limit", "power_readings/power_limit"):
        reading.number(gpu, "power_limit_w", seen.value, seen.where, WATTS, LARGEST_POWER_W)
    seen = _first(fields, "utilization/gpu", "utilization/gpu_util")
    if seen and (value := reading.value(seen.value, seen.where, PERCENT, 100)) is not None:
        gpu.utilization.append(value)
    power = (
        *("gpu_power_readings/average_power_draw", "gpu_power_readings/power_draw"),
        *("gpu_power_readings/instantaneous_power_draw", "gpu_power_readings/instant_power_draw"),
        "power_readings/power_draw",
    )
    seen = _first(fields, *power)
    if seen and (value := reading.value(seen.value, seen.where, WATTS, LARGEST_POWER_W)) is not None:
        gpu.power_w.append(value)
    _counters(fields, gpu, reading)
    _link(fields, gpu, reading)
    for path, seen in fields.items():
        section, _, rest = path.partition("/")
        reason = re.sub(r"^clocks_(event|throttle)_reason_", "", rest.rpartition("/")[2])
        throttling = section in ("clocks_event_reasons", "clocks_throttle_reasons")
        if throttling and reason in SLOWDOWNS and seen.value.casefold() == "active":
            gpu.throttled.setdefault(reason, seen.where)
    for place, part in enumerate(block.mig):
        index = part.get("index")
        number = reading.value(index.value, index.where, most=63) if index else None
        instance = gpu.mig.setdefault(int(number) if number is not None else place, MigInstance())
        if memory := _first(part, "shared_fb_memory_usage/total", "fb_memory_usage/total"):
            instance.memory_mib = reading.value(memory.value, memory.where, MEMORY, LARGEST_MEMORY_MIB)


def _counters(fields: Fields, gpu: Gpu, reading: Reading) -> None:
    """ECC counters. Before Ampere, `Double Bit/Total`; since then, one counter a kind of memory, added up here."""
    for scope in ("volatile", "aggregate"):
        prefix = f"ecc_errors/{scope}/"
        total = fields.get(f"{prefix}double_bit/total")
        parts = [total] if total else [
            seen for path, seen in fields.items()
            if path.startswith(prefix) and "uncorrect" in path.rpartition("/")[2]
        ]  # fmt: skip
        values = [(value, seen.where) for seen in parts if (value := reading.value(seen.value, seen.where)) is not None]
        if values:
            where = next((at for value, at in values if value), values[0][1])
            gpu.numbers[f"ecc_{scope}"] = Seen(sum(value for value, _ in values), where)
    for key, *names in (
        ("remapped_uncorrectable", "remapped_rows/uncorrectable_error", "remapped_rows/remapped_row_unc"),
        ("retired_double", "retired_pages/double_bit_ecc", "retired_pages/double_bit_retirement/retired_count"),
    ):
        if seen := _first(fields, *names):
            reading.number(gpu, key, seen.value, seen.where)


def _link(fields: Fields, gpu: Gpu, reading: Reading) -> None:
    for key, *names in (
        ("pcie_width", "link_width/current", "link_widths/current_link_width"),
        ("pcie_width_max", "link_width/max", "link_widths/max_link_width"),
    ):
        if seen := _first(fields, *(f"pci/{link}/{name}" for link in PCIE_LINKS for name in names)):
            reading.number(gpu, key, seen.value, seen.where, ("", "x"), 64)


def _first(fields: Fields, *names: str) -> Seen[str] | None:
    """The first of the names that has a value other than a blank one, else the first that is there at all."""
    there = [fields[name] for name in names if name in fields]
    return next((seen for seen in there if seen.value.casefold() not in ("", "n/a")), there[0] if there else None)
