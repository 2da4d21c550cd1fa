"""Accelerators of AWS's instance types: memory, bandwidth, dense throughput, watts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cache

from ferry.catalog import table
from ferry.errors import CatalogError

# Compute capabilities: NVIDIA, "CUDA GPU Compute Capability" (developer.nvidia.com/cuda-gpus).
_BF16_CAPABILITY = 8.0
_FP8_CAPABILITY = 8.9


@dataclass(frozen=True)
class Accelerator:
    """One accelerator. Throughput is dense, in TFLOPS; bandwidths in GB/s (1e9 bytes); `memory_gb` as it is sold.

    `interconnect_gb_s` counts both directions, as NVLink is advertised. `assumed` names the columns that rest on
    memory and not on a document that was read; the others come from `source`.
    """

    name: str
    compute_capability: float
    memory_gb: float
    memory_bandwidth_gb_s: float
    fp16_dense_tflops: float
    fp8_dense_tflops: float | None
    interconnect_gb_s: float
    watts: float
    assumed: frozenset[str]
    as_of: date
    source: str

    @property
    def has_bfloat16(self) -> bool:
        """Ampere and newer."""
        return self.compute_capability >= _BF16_CAPABILITY

    @property
    def computes_fp8(self) -> bool:
        """Ada, Hopper and newer; older ones can only store weights in FP8 and compute in 16 bit."""
        return self.compute_capability >= _FP8_CAPABILITY


def find(name: str) -> Accelerator:
    """The accelerator of that name. Raises CatalogError naming the nearest ones."""
    try:
        return _by_name()[name]
    except KeyError:
        raise CatalogError(f"unknown accelerator {name!r}; {table.nearest(name, _by_name())}") from None


def recognise(text: str) -> Accelerator | None:
    """The accelerator that a site or `nvidia-smi` means, such as `NVIDIA H100 80GB HBM3`; None when it is not here.

    Models that come in two sizes need the size in the text: an A100 without one is not recognised.
    """
    words = set(re.findall(r"[A-Z]+\d+[A-Z]*|\d+(?=GB)", text.upper().replace("-", " ")))
    for name, accelerator in _by_name().items():
        model, _, size = name.upper().removesuffix("GB").partition("-")
        if model in words and (not size or size in words):
            return accelerator
    return None


@cache
def _by_name() -> dict[str, Accelerator]:
    return {
        row["accelerator"]: Accelerator(
            name=row["accelerator"],
            compute_capability=float(row["compute_capability"]),
            memory_gb=float(row["memory_gb"]),
            memory_bandwidth_gb_s=float(row["memory_bandwidth_gb_s"]),
            fp16_dense_tflops=float(row["fp16_dense_tflops"]),
            fp8_dense_tflops=float(row["fp8_dense_tflops"]) if row["fp8_dense_tflops"] else None,
            interconnect_gb_s=float(row["interconnect_gb_s"]),
            watts=float(row["watts"]),
            assumed=frozenset(row["assumed"].split()),
            as_of=date.fromisoformat(row["as_of"]),
            source=row["source"],
        )
        for row in table.rows("accelerators")
    }
