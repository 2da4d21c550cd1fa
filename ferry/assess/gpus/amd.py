"""AMD's tools: `rocm-smi --showallinfo --json` (ROCm 4 to 7), `amd-smi static|metric|list|monitor|topology --json`.

rocm-smi keys each card by `cardN` and spells a unit into the key; amd-smi lists objects with a `gpu` number, from
ROCm 7 on below `gpu_data`. Its `MB` are 2^20 bytes (amdsmi divides by 1024 twice).
"""

from __future__ import annotations

import json
import re
from typing import Any

from ferry.artefacts import Finding
from ferry.assess.gpus.reading import (
    LARGEST_MEMORY_MIB,
    LARGEST_POWER_W,
    MEMORY,
    PERCENT,
    WATTS,
    Gpu,
    Matrix,
    MigInstance,
    Reading,
    Seen,
)
from ferry.errors import UnreadableInput

CARD = re.compile(r"card([0-9]{1,3})")
PAIR = re.compile(r"\(Topology\) Link type between DRM devices ([0-9]{1,3}) and ([0-9]{1,3})")
LARGEST_JSON = 16 * 2**20
NAMES = ("Card Series", "Card series", "Device Name", "Card Model", "Card model")
WHOLE = ("SPX", "N/A", "NA", "")
"""Compute partitions of an accelerator that is not divided."""


def read(text: str, first_line: int, reading: Reading) -> None:
    """Read the JSON that a text begins with. Raises UnreadableInput when it is cut off or of another kind."""
    if len(text) > LARGEST_JSON:
        raise UnreadableInput(
            f"{reading.at(first_line)}: is JSON of more than {LARGEST_JSON / 2**20:g} MiB, which no server's GPUs fill"
        )
    try:
        document, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError) as error:
        line = first_line + getattr(error, "lineno", 1) - 1
        said = getattr(error, "msg", None) or "nested too deeply, or a number too long"
        raise UnreadableInput(f"{reading.at(line)}: is not JSON, or is cut off: {said}") from error
    where = reading.at(first_line)
    if isinstance(document, dict) and any(CARD.fullmatch(key) for key in document):
        reading.kinds["rocm-smi"] = None
        _rocm_smi(document, where, reading)
        return
    entries = document.get("gpu_data") if isinstance(document, dict) else document
    if not isinstance(entries, list) or not entries or not all(_is_gpu(entry) for entry in entries):
        raise UnreadableInput(
            f"{where}: is JSON, but neither of rocm-smi (cards) nor of amd-smi (gpu numbers): give the output of "
            "rocm-smi --showallinfo --json, or of amd-smi static --json and amd-smi metric --json"
        )
    reading.kinds["amd-smi"] = None
    for entry in entries:
        _amd_smi(entry, where, reading)
    _amd_smi_links(entries, where, reading)


def _is_gpu(entry: object) -> bool:
    return isinstance(entry, dict) and type(entry.get("gpu")) is int and 0 <= entry["gpu"] < 1024


def _rocm_smi(document: dict[str, Any], where: str, reading: Reading) -> None:
    for key, card in document.items():
        match = CARD.fullmatch(key)
        if not match or not isinstance(card, dict):
            continue
        at = f"{where} {key}"
        gpu = reading.gpu(at, index=int(match[1]), bus=_text(card, "PCI Bus"))
        gpu.seen += 1
        reading.lines += 1
        names = [_text(card, name) for name in NAMES]
        reading.text(gpu, "name", next((name for name in names if name and not name.startswith("0x")), ""), at)
        if memory := _text(card, "VRAM Total Memory (B)"):
            reading.number(gpu, "memory_mib", f"{memory} B", at, ("b",), LARGEST_MEMORY_MIB)
        if (busy := reading.value(_text(card, "GPU use (%)"), at, most=100)) is not None:
            gpu.utilization.append(busy)
        draws = ("Average Graphics Package Power (W)", "Current Socket Graphics Package Power (W)")
        for source in draws:
            if (power := reading.value(_text(card, source), at, most=LARGEST_POWER_W)) is not None:
                gpu.power_w.append(power)
                break
        limit = _text(card, "Max Graphics Package Power (W)")
        reading.number(gpu, "power_limit_w", limit, at, most=LARGEST_POWER_W)
        _partition(gpu, _text(card, "Compute Partition"), at)
    system = document.get("system")
    if not isinstance(system, dict):
        return
    reading.driver = reading.version(_text(system, "Driver version"), where)
    links = {
        (int(match[1]), int(match[2])): _text(system, key).upper() for key in system if (match := PAIR.fullmatch(key))
    }
    _matrix(links, len(reading.gpus), where, reading)


def _amd_smi(entry: dict[str, Any], where: str, reading: Reading) -> None:
    at = f"{where} gpu {entry['gpu']}"
    bus = _text(entry, "bdf") or _text(_part(entry, "bus"), "bdf")
    gpu = reading.gpu(at, index=entry["gpu"], bus=bus)
    name = _text(_part(entry, "asic"), "market_name") or _text(_part(entry, "board"), "product_name")
    reading.text(gpu, "name", name, at)
    memory = _part(entry, "vram").get("size", _part(entry, "mem_usage").get("total_vram", entry.get("vram_total")))
    reading.number(gpu, "memory_mib", _quantity(memory), at, MEMORY, LARGEST_MEMORY_MIB)
    limit = _part(entry, "limit").get("max_power")
    reading.number(gpu, "power_limit_w", _quantity(limit), at, WATTS, LARGEST_POWER_W)
    busy = _part(entry, "usage").get("gfx_activity", entry.get("gfx"))
    draw = _part(entry, "power").get("socket_power", entry.get("power_usage"))
    if busy is not None or draw is not None:
        gpu.seen += 1
        reading.lines += 1
    if (value := reading.value(_quantity(busy), at, PERCENT, 100)) is not None:
        gpu.utilization.append(value)
    if (value := reading.value(_quantity(draw), at, WATTS, LARGEST_POWER_W)) is not None:
        gpu.power_w.append(value)
    errors = _part(entry, "ecc").get("total_uncorrectable_count")
    reading.number(gpu, "ecc_volatile", _quantity(errors), at)
    if _text(_part(entry, "power"), "throttle_status").upper() == "THROTTLED":
        gpu.throttled.setdefault("throttle_status", at)
    _partition(gpu, _text(_part(entry, "partition"), "compute_partition"), at)
    driver = _part(entry, "driver")
    version = _text(driver, "version") or _text(driver, "driver_version")
    reading.driver = reading.driver or reading.version(version, at)


def _amd_smi_links(entries: list[dict[str, Any]], where: str, reading: Reading) -> None:
    links: dict[tuple[int, int], str] = {}
    for entry in entries:
        peers = entry.get("links")
        for peer in peers if isinstance(peers, list) else []:
            kind = _text(peer, "link_type").upper() if _is_gpu(peer) else ""
            if kind and kind != "SELF":
                links[entry["gpu"], peer["gpu"]] = kind
    _matrix(links, len(entries), where, reading)


def _matrix(links: dict[tuple[int, int], str], cards: int, where: str, reading: Reading) -> None:
    if not links:
        return
    devices = 1 + max(max(pair) for pair in links)
    both = {**links, **{pair[::-1]: link for pair, link in links.items()}}
    if devices != cards:
        reading.find(
            Finding(
                severity="warning",
                code="gpu-count-contradicts-itself",
                seen=f"{cards} card{'s' if cards > 1 else ''} listed, links between {devices} devices",
                where=where,
                means="the output was shortened, or cards are missing from it: their number is in doubt",
                remedy="rocm-smi --showallinfo --json, without -d and without editing it",
            )
        )
    reading.matrices.append(Matrix(devices, both, 0, where))


def _partition(gpu: Gpu, mode: str, where: str) -> None:
    if mode.upper() not in WHOLE:
        gpu.flags["mig"] = Seen(True, where)
        gpu.mig[0] = MigInstance(profile=mode[:20])


def _part(entry: dict[str, Any], key: str) -> dict[str, Any]:
    part = entry.get(key)
    return part if isinstance(part, dict) else {}


def _text(entry: object, key: str) -> str:
    value = entry.get(key) if isinstance(entry, dict) else None
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _quantity(value: object) -> str:
    """`{"value": 41, "unit": "W"}`, a number, or a text, as a text with its unit."""
    if isinstance(value, dict):
        return f"{_text(value, 'value')} {_text(value, 'unit')}".strip() if _text(value, "value") != "N/A" else ""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
