"""Reads `nvidia-smi --query-gpu=… --format=csv`: which GPUs the machines really have, and how busy they were."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

from ferry.errors import UnreadableInput

MEASURE = (
    "nvidia-smi --query-gpu=timestamp,index,uuid,name,driver_version,utilization.gpu,memory.used,memory.total "
    "--format=csv -l 60"
)


@dataclass(frozen=True)
class GpuSamples:
    """What one file says. `utilization` holds one percentage per line that has one; MIG devices have none."""

    file: str
    names: list[str]
    gpus: int
    lines: int
    utilization: list[float]


def parse(text: str, file: str) -> GpuSamples:
    """Read the CSV, with or without units. Raises UnreadableInput when it has no header or no GPU."""
    try:
        rows = list(csv.reader(text.splitlines(), skipinitialspace=True))
    except csv.Error as error:
        raise UnreadableInput(f"{file}: is not CSV: {error}") from error
    header = [name.partition("[")[0].strip() for name in rows[0]] if rows else []
    if "name" not in header:
        raise UnreadableInput(
            f"{file}:1: is not the CSV of nvidia-smi --query-gpu with its header (no column 'name'); measure: {MEASURE}"
        )
    names: dict[str, None] = {}
    gpus: set[str] = set()
    utilization: list[float] = []
    lines = 0
    for number, row in enumerate(rows[1:], 2):
        # A capture with -l in a loop repeats the header when it is restarted.
        if not row or row[0].strip() == rows[0][0].strip():
            continue
        if len(row) != len(header):
            raise UnreadableInput(f"{file}:{number}: has {len(row)} columns, the header has {len(header)}: cut off?")
        values = dict(zip(header, (value.strip() for value in row), strict=True))
        lines += 1
        names[values["name"]] = None
        gpus.add(_identity(values, number))
        if match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%?", values.get("utilization.gpu", "")):
            utilization.append(float(match[1]))
    if not lines:
        raise UnreadableInput(f"{file}: names no GPU; measure: {MEASURE}")
    return GpuSamples(file, list(names), len(gpus), lines, utilization)


def same_model(one: str, other: str) -> bool:
    """Whether two names mean the same accelerator: the same model, and the same memory where both name it.

    `NVIDIA H100 80GB HBM3` and `H100-SXM5-80GB` do; `A100-SXM4-40GB` and `A100-SXM4-80GB` do not.
    """
    (model, memory), (other_model, other_memory) = _model(one), _model(other)
    return model == other_model and (memory is None or other_memory is None or memory == other_memory)


def _identity(values: dict[str, str], number: int) -> str:
    """What tells one GPU from another: its uuid, or its bus, or its index; else each line is its own."""
    for column in ("uuid", "gpu_uuid", "pci.bus_id", "index"):
        if column in values:
            return values[column]
    return f"line {number}"


def _model(name: str) -> tuple[str, str | None]:
    plain = re.sub(r"\b(NVIDIA|TESLA|GEFORCE|AMD|INSTINCT|QUADRO)\b", " ", name.upper())
    memory = re.search(r"(\d+)\s*GI?B\b", plain)
    model = re.search(r"\b(?:RTX\s*\w+(?:\s+(?:TI|SUPER))?|[A-Z]{1,3}\d+[A-Z]*)\b", plain)
    return (model[0].replace(" ", "") if model else plain.strip()), memory[1] if memory else None
