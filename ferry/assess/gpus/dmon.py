"""`nvidia-smi dmon`: one row a second and GPU. Columns are found by their heading, as every driver prints others."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ferry.assess.gpus.reading import LARGEST_POWER_W, Reading, Seen, is_whole

ROW_START = re.compile(r"\s*[0-9]")
COLUMNS = {
    "pid", "pwr", "gtemp", "sm", "mclk", "fb", "rxpci", "pviol", "sbecc", "dbecc",
}  # fmt: skip
"""One of each group that `-s` selects: u, p, c, m, t, v, e; `pid` is that of pmon."""
LONGEST_ROW = 2000


def read(lines: Sequence[str], start: int, reading: Reading) -> int:
    """Read from a heading on; the line after the last row, or `start` where none begins."""
    columns = _heading(lines[start])
    if not columns:
        return start
    if "pid" in columns:
        return _skip_processes(lines, start, reading)
    reading.kinds["nvidia-smi dmon"] = None
    at = start + 1
    while at < len(lines) and len(lines[at]) <= LONGEST_ROW:
        line = lines[at]
        if again := _heading(line):
            columns = again
        elif ROW_START.match(line):
            _row(_words(line), columns, at, reading)
        # The second line of a heading gives the units.
        elif not line.lstrip().startswith(("# Idx", "#Idx", "#YYYYMMDD", "# YYYYMMDD", "#HH:MM:SS", "# HH:MM:SS")):
            break
        at += 1
    return at


def _heading(line: str) -> list[str]:
    if len(line) > LONGEST_ROW or not line.lstrip().startswith("#"):
        return []
    words = [word.casefold() for word in _words(line.lstrip()[1:])]
    return words if "gpu" in words[:3] and COLUMNS & set(words) else []


def _words(line: str) -> list[str]:
    return line.replace(",", " ").split()


def _row(words: list[str], columns: list[str], at: int, reading: Reading) -> None:
    where = reading.at(at + 1)
    values = dict(zip(columns, words, strict=False))
    if len(words) != len(columns) or not is_whole(values["gpu"]):
        reading.damaged(" ".join(words), where)
        return
    gpu = reading.gpu(where, index=int(values["gpu"]))
    gpu.seen += 1
    reading.lines += 1
    if (busy := reading.value(values.get("sm", ""), where, most=100)) is not None:
        gpu.utilization.append(busy)
    if (power := reading.value(values.get("pwr", ""), where, most=LARGEST_POWER_W)) is not None:
        gpu.power_w.append(power)
    if (errors := reading.value(values.get("dbecc", ""), where)) is not None:
        worst = max(errors, gpu.numbers["ecc_volatile"].value if "ecc_volatile" in gpu.numbers else 0)
        gpu.numbers["ecc_volatile"] = Seen(worst, where)
    # Violations: the share of time at a power limit, and whether a thermal limit was reached.
    for column, reason in (("pviol", "sw_power_cap"), ("tviol", "thermal_violation")):
        if reading.value(values.get(column, ""), where):
            gpu.throttled.setdefault(reason, where)


def _skip_processes(lines: Sequence[str], start: int, reading: Reading) -> int:
    """`pmon`, the same by process: its figures are of processes, and add up to nothing that is asked for."""
    reading.kinds["nvidia-smi pmon"] = None
    at = start + 1
    while at < len(lines) and (ROW_START.match(lines[at]) or lines[at].lstrip().startswith("#")):
        if "gpu" in _heading(lines[at]) and "pid" not in _heading(lines[at]):
            break
        at += 1
    return at
