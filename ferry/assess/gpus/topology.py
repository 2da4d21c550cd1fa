"""`nvidia-smi topo -m`: how each pair of GPUs is linked. Columns are found by order, so realigned copies are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from ferry.artefacts import Finding, Topology
from ferry.assess.gpus.reading import Matrix, Reading

ESCAPES = re.compile(r"\x1b?\[[0-9]{1,3}(?:;[0-9]{1,3})*m")
DEVICE = re.compile(r"GPU[0-9]{1,3}")
NIC = re.compile(r"NIC[0-9]{1,3}|(?:mlx|bnxt_re|irdma|efa|rdmap|hfi|qedr|ib|roce)\S{0,30}", re.IGNORECASE)
NVLINK = re.compile(r"NV([0-9]{1,2})")
GLUED_DEVICES = re.compile(r"(?:GPU[0-9]{1,3}|NIC[0-9]{1,3}){2,}")
GLUED_LINKS = re.compile(r"(?:NV[0-9]{1,2}|SYS|SOC|NODE|PHB|PXB|PIX){2,}")
PART = re.compile(r"(?:GPU|NIC|NV)[0-9]{1,3}|SYS|SOC|NODE|PHB|PXB|PIX")
"""A tab between two names may be lost where a copy is pasted: `SYSSYS`, `NIC11NIC12`."""
PATHS = ("PIX", "PXB", "PHB", "NODE", "SYS")
"""From the nearest to the farthest; SOC is what SYS was called before driver 387."""
OTHER_LINKS = {"X", "SOC", "NVB", "NVL", "PSB", "P2P", "C2C", *PATHS}
Kind = Literal["single", "nvlink", "nvlink-partial", "xgmi", "xgmi-partial", "pcie"]
LONGEST_ROW = 20_000
MOST_MATRICES = 100


def read(lines: Sequence[str], start: int, reading: Reading) -> int:
    """Read a matrix from its heading on; the line after its last row, or `start` where none begins."""
    columns = _heading(lines[start])
    if not columns:
        return start
    gpus = [name for name in columns if DEVICE.fullmatch(name)]
    links: dict[tuple[int, int], str] = {}
    rows: dict[str, int] = {}
    at = start + 1
    while at < len(lines):
        words = _words(lines[at])
        if not words or words[0] not in columns:
            # Pasted copies have blank lines between rows.
            if words or len(rows) == len(columns):
                break
            at += 1
            continue
        name, cells = words[0], words[1 : 1 + len(columns)]
        if name in rows:
            break
        rows[name] = at
        if name in gpus:
            damage = _row(name, cells, columns, links)
            if damage:
                reading.find(_damaged(damage, reading.at(at + 1)))
                links.clear()
                gpus = []
        at += 1
    reading.kinds["nvidia-smi topo -m"] = None
    where = reading.at(start + 1)
    if missing := [name for name in gpus if name not in rows]:
        reading.find(_damaged(f"the row of {missing[0]} is missing", where))
        return at
    one_way = [pair for pair, link in links.items() if links.get(pair[::-1], link) != link]
    if one_way:
        first, second = one_way[0]
        said = f"GPU{first} to GPU{second} is {links[one_way[0]]}, back it is {links[(second, first)]}"
        reading.find(_damaged(said, where))
        return at
    if gpus:
        nics = sum(bool(NIC.fullmatch(name)) for name in columns)
        if len(reading.matrices) < MOST_MATRICES:
            reading.matrices.append(Matrix(len(gpus), links, nics, where))
    return at


def summarise(matrix: Matrix) -> Topology:
    """The kind of a topology: `nvlink` and `xgmi` where every pair has it, `-partial` where some have."""
    pairs = list(matrix.links.values())
    nvlinks = [int(match[1]) for link in pairs if (match := NVLINK.fullmatch(link))]
    xgmi = pairs.count("XGMI")
    paths = [link for link in pairs if link in PATHS or link == "PCIE"]
    kind: Kind
    if matrix.gpus == 1:
        kind = "single"
    elif not nvlinks and not xgmi:
        kind = "pcie"
    else:
        whole = len(nvlinks) + xgmi == len(pairs)
        kind = ("nvlink" if whole else "nvlink-partial") if nvlinks else ("xgmi" if whole else "xgmi-partial")
    slowest = max(paths, key=lambda path: PATHS.index(path) if path in PATHS else -1, default=None)
    return Topology(
        kind=kind,
        gpus=matrix.gpus,
        nvlinks=min(nvlinks, default=None),
        slowest_path=slowest,
        network_cards=matrix.nics,
        source=matrix.where,
    )


def _heading(line: str) -> list[str]:
    """The devices of a heading, in order: what stands before `CPU Affinity`."""
    if len(line) > LONGEST_ROW or "GPU" not in line:
        return []
    words = _words(line)
    end = next((at for at, word in enumerate(words) if word in ("CPU", "NUMA")), len(words))
    columns = words[:end]
    devices = all(DEVICE.fullmatch(word) or NIC.fullmatch(word) for word in columns)
    if columns[:1] != ["GPU0"] or not devices or len(set(columns)) < len(columns):
        return []
    return columns if end < len(words) or len(columns) > 1 else []


def _words(line: str) -> list[str]:
    words: list[str] = []
    for word in ESCAPES.sub("", line[: LONGEST_ROW + 1]).replace("|", " ").split():
        glued = GLUED_DEVICES.fullmatch(word) or GLUED_LINKS.fullmatch(word)
        words += PART.findall(word) if glued else [word]
    return words


def _row(name: str, cells: list[str], columns: list[str], links: dict[tuple[int, int], str]) -> str:
    """Take a row into the links; what is wrong with it, if anything."""
    if len(cells) < len(columns):
        return f"the row of {name} has {len(cells)} of {len(columns)} columns: cut off?"
    for column, cell in zip(columns, cells, strict=False):
        if not (cell in OTHER_LINKS or NVLINK.fullmatch(cell)):
            return f"{name} to {column} is {cell[:20]!r}, which is no kind of link"
        if (cell == "X") != (name == column):
            return f"{name} to {column} is {cell!r}: columns are shifted"
        if DEVICE.fullmatch(column) and name != column:
            links[int(name[3:]), int(column[3:])] = "SYS" if cell == "SOC" else cell
    return ""


def _damaged(seen: str, where: str) -> Finding:
    return Finding(
        severity="warning",
        code="gpu-topology-damaged",
        seen=seen,
        where=where,
        means="how the GPUs of this server are linked is unknown; nothing was taken from the matrix",
        remedy="nvidia-smi topo -m > topo.txt, without editing it",
    )
