"""What dcgm-exporter says of faults: errors that the driver logged, memory that fails (etc/default-counters.csv)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from ferry.artefacts import Finding
from ferry.assess.prometheus.series import Series


class Fault(NamedTuple):
    """A metric that is 0 on a sound GPU, and what it says where it is not."""

    name: str
    severity: Literal["warning", "critical"]
    code: str
    seen: str
    means: str
    remedy: str


FAULTS = (
    Fault(
        "DCGM_FI_DEV_XID_ERRORS", "warning", "gpu-xid-error", "last XID error {value:g}",
        "the driver has logged an error of that number (docs.nvidia.com/deploy/xid-errors): some are of a program, "
        "others of the card, and 79 is a card that fell off the bus",
        "dmesg | grep -i xid on the server says when and of which process",
    ),
    Fault(
        "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "critical", "gpu-ecc-uncorrected", "{value:g} uncorrected memory errors",
        "answers and gradients computed there may be wrong; nothing measured on this GPU is to be trusted",
        "nvidia-smi -q -d ECC,ROW_REMAPPER; drain the server, reset the GPU, replace it when the errors return",
    ),
    Fault(
        "DCGM_FI_DEV_ROW_REMAP_FAILURE", "critical", "gpu-memory-repair-failed", "a row of memory was not remapped",
        "the card is at the end of its life (NVIDIA's criterion for a replacement under warranty)",
        "take it out of service and ask for a replacement",
    ),
    Fault(
        "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "warning", "gpu-memory-repaired", "{value:g} remapped rows",
        "the card works with its spares; count it as worn when the value of the old servers is set against the move",
        "nvidia-smi -q -d ROW_REMAPPER, and again in a week",
    ),
)  # fmt: skip
MOST_NAMED = 8


def faults(by_gpu: Mapping[str, Sequence[Series]]) -> list[Finding]:
    """A finding for each kind of fault, with the GPUs that have it. `by_gpu` is without DCGM's blank numbers."""
    found = []
    for fault in FAULTS:
        ill = {
            gpu: (one, max(point.value for point in one.points))
            for gpu, series in by_gpu.items()
            for one in series
            if one.name == fault.name and any(point.value > 0 for point in one.points)
        }
        if not ill:
            continue
        said = [f"{gpu}: {fault.seen.format(value=value)}" for gpu, (_, value) in list(ill.items())[:MOST_NAMED]]
        found.append(
            Finding(
                severity=fault.severity,
                code=fault.code,
                seen="; ".join(said) + (f"; and {len(ill) - MOST_NAMED} more GPUs" if len(ill) > MOST_NAMED else ""),
                where=next(iter(ill.values()))[0].place,
                means=fault.means,
                remedy=fault.remedy,
            )
        )
    return found
