"""The table that plain `nvidia-smi` prints, of drivers 304 to 617, with its MIG devices.

Cells are split at their bars, so widths do not matter and a comment mark or an indentation before the table is no
matter either.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

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
    is_whole,
)

DRIVER = re.compile(r"\b(?:Driver|KMD) Version:\s*(\S+)")
CUDA = re.compile(r"\bCUDA (?:UMD )?Version:\s*(\S+)")
MODES = ("On", "Off", "N/A", "WDDM", "TCC", "MCDM", "ERR!")
BUS = re.compile(r"[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f]")
LONGEST_ROW = 400
RULES = re.compile(r"[+|=\-\s]*")


def read(lines: Sequence[str], start: int, reading: Reading) -> int:
    """Read a table from its first row, or a GPU's first row, on; the line after it, or `start` where none begins."""
    head = " ".join(_cells(lines[start]))
    version = DRIVER.search(head) if "NVIDIA-SMI" in head else None
    if version:
        reading.driver = reading.driver or reading.version(version[1], reading.at(start + 1))
        if cuda := CUDA.search(head):
            reading.cuda = reading.cuda or reading.version(cuda[1], reading.at(start + 1))
    elif not _device(_cells(lines[start])):
        return start
    reading.kinds["nvidia-smi"] = None
    at = start + 1 if version else start
    section = "GPUs"
    while at < len(lines) and (not lines[at].strip(" #>*\t\r") or (cells := _cells(lines[at]))):
        if not lines[at].strip(" #>*\t\r"):
            at += 1
            continue
        for heading in ("MIG devices", "Processes"):
            section = heading if cells[0].startswith(heading) else section
        if section == "GPUs" and (found := _device(cells)):
            at = _gpu(lines, at, reading, *found)
            continue
        words = cells[0].split()
        if section == "MIG devices" and len(cells) == 4 and len(words) == 4 and all(is_whole(word) for word in words):
            _mig(cells, at, reading)
        elif section != "Processes" and words and is_whole(words[0]):
            reading.damaged(lines[at], reading.at(at + 1))
        at += 1
    return at


def _cells(line: str) -> list[str]:
    content = line.strip().lstrip("#>* \t")
    if len(content) > LONGEST_ROW or content[:1] not in ("|", "+"):
        return []
    if RULES.fullmatch(content):
        return [""]
    return [" ".join(cell.split()) for cell in content.strip("|").split("|")]


def _device(cells: list[str]) -> tuple[int, str, str, str | None, str] | None:
    """Index, name, persistence, bus (a Jetson has none) and display of a GPU's first row."""
    if len(cells) != 3:
        return None
    words, place = cells[0].split(), cells[1].split()
    if len(words) < 3 or not is_whole(words[0]) or words[-1] not in MODES or len(place) != 2:
        return None
    bus = None if place == ["N/A", "N/A"] else place[0]
    if (bus is not None and not BUS.fullmatch(bus)) or len(words[0]) > 4:
        return None
    return int(words[0]), " ".join(words[1:-1]), words[-1], bus, place[1]


def _gpu(
    lines: Sequence[str], start: int, reading: Reading, index: int, name: str, mode: str, bus: str | None, display: str
) -> int:
    where = reading.at(start + 1)
    gpu = reading.gpu(where, index=index, bus=bus)
    gpu.seen += 1
    reading.lines += 1
    # Other outputs give the whole name, the table may cut it.
    if "name" not in gpu.texts:
        reading.text(gpu, "name", name, where)
    if mode in ("On", "Off"):
        reading.flag(gpu, "persistence", mode, where)
    if display in ("On", "Off"):
        reading.flag(gpu, "display", display, where)
    ecc = _cells(lines[start])[2]
    if is_whole(ecc):
        reading.flag(gpu, "ecc", "On", where)
        reading.number(gpu, "ecc_volatile", ecc, where)
    elif ecc in ("On", "Off"):
        reading.flag(gpu, "ecc", ecc, where)
    elif ecc:
        reading.value(ecc, where)
    second = _cells(lines[start + 1]) if start + 1 < len(lines) else []
    if len(second) != 3 or ("/" not in second[1] and second[1] != "Not Supported"):
        reading.damaged(f"{name}: its second row is missing", where)
        return start + 1
    _usage(second, gpu, reading, reading.at(start + 2))
    third = _cells(lines[start + 2]) if start + 2 < len(lines) else []
    if len(third) == 3 and not third[0] and third[2]:
        if third[2].rstrip("*") in ("Enabled", "Disabled"):
            reading.flag(gpu, "mig", third[2], reading.at(start + 3))
        return start + 3
    return start + 2


def _usage(cells: list[str], gpu: Gpu, reading: Reading, where: str) -> None:
    power, _, limit = cells[0].rpartition(" / ")
    words = power.split()
    if words and (value := reading.value(words[-1], where, WATTS, LARGEST_POWER_W)) is not None:
        gpu.power_w.append(value)
    reading.number(gpu, "power_limit_w", limit, where, WATTS, LARGEST_POWER_W)
    _, _, total = cells[1].partition("/")
    reading.number(gpu, "memory_mib", total, where, MEMORY, LARGEST_MEMORY_MIB)
    busy = cells[2].split()
    if busy and (value := reading.value(busy[0], where, PERCENT, 100)) is not None:
        gpu.utilization.append(value)


def _mig(cells: list[str], start: int, reading: Reading) -> None:
    where = reading.at(start + 1)
    index, _, _, device = (int(word[:4]) for word in cells[0].split())
    gpu = reading.gpu(where, index=index)
    instance = gpu.mig.setdefault(device, MigInstance())
    instance.memory_mib = reading.value(cells[1].partition("/")[2], where, MEMORY, LARGEST_MEMORY_MIB)
    unc = cells[2].split()
    if len(unc) == 2 and (errors := reading.value(unc[1], where)) is not None:
        worst = gpu.numbers.get("ecc_volatile")
        if worst is None or errors > worst.value:
            gpu.numbers["ecc_volatile"] = Seen(errors, where)
