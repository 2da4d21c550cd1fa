"""`nvidia-smi -q`: an indented text, one block a GPU."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ferry.assess.gpus.log_fields import Block, Fields, add, add_top
from ferry.assess.gpus.reading import Reading, Seen

GPU_HEADER = re.compile(r"GPU ([0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f])")
TOP = {"timestamp", "driver_version", "cuda_version", "kmd_version", "cuda_umd_version", "attached_gpus"}


def read(lines: Sequence[str], start: int, reading: Reading) -> int:
    """Read `nvidia-smi -q` from a line on; the line after it, or `start` where none begins."""
    first = lines[start].strip()
    if not ("NVSMI LOG" in first and first.startswith("==")) and not GPU_HEADER.fullmatch(first):
        return start
    base = len(lines[start]) - len(lines[start].lstrip())
    top: Fields = {}
    block: Block | None = None
    path: list[tuple[int, str]] = []
    fields = top
    at = start
    for at in range(start, len(lines)):
        line = lines[at]
        content = line.strip()
        if not content or (at == start and "NVSMI LOG" in content):
            continue
        indent = len(line) - len(line.lstrip()) - base
        name, separator, value = content.partition(":")
        key = _key(name)
        where = reading.at(at + 1)
        if header := GPU_HEADER.fullmatch(content):
            if block:
                add(block, reading)
            block = Block(header[1], where)
            path, fields = [], block.fields
            continue
        if indent <= 0:
            if key in TOP and separator:
                top.setdefault(key, Seen(value.strip(), where))
                continue
            break
        while path and path[-1][0] >= indent:
            path.pop()
        if block is not None and key == "mig_device" and not separator:
            block.mig.append({})
            path = [(indent, "")]
            fields = block.mig[-1]
            continue
        if block is not None and not path:
            fields = block.fields
        if separator:
            fields.setdefault("/".join([*(part for _, part in path if part), key]), Seen(value.strip(), where))
        path.append((indent, key))
    else:
        at += 1
    if block:
        add(block, reading)
    add_top(top, reading)
    reading.kinds["nvidia-smi -q"] = None
    return at


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.strip().casefold()[:80]).strip("_")
