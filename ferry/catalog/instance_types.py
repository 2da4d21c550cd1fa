"""EC2 instance types with NVIDIA accelerators."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache

from ferry.catalog import accelerators, table
from ferry.catalog.accelerators import Accelerator
from ferry.errors import CatalogError


@dataclass(frozen=True)
class InstanceType:
    """One type. Memory in GiB as EC2 reports it, of one accelerator in `accelerator_memory_gib`; network in Mbit/s."""

    name: str
    vcpus: int
    memory_gib: float
    accelerator: Accelerator
    accelerators: int
    accelerator_memory_gib: float
    network_mbps: int
    efa_interfaces: int
    local_nvme_gb: int
    as_of: date
    source: str

    @property
    def total_accelerator_memory_gib(self) -> float:
        """Memory of all its accelerators."""
        return self.accelerators * self.accelerator_memory_gib


def find(name: str) -> InstanceType:
    """The type of that name. Raises CatalogError naming the nearest ones."""
    try:
        return _by_name()[name]
    except KeyError:
        raise CatalogError(f"unknown instance type {name!r}; {table.nearest(name, _by_name())}") from None


def all_types() -> tuple[InstanceType, ...]:
    """Every type, by name."""
    return tuple(_by_name().values())


@cache
def _by_name() -> dict[str, InstanceType]:
    return {
        row["instance_type"]: InstanceType(
            name=row["instance_type"],
            vcpus=int(row["vcpus"]),
            memory_gib=float(row["memory_gib"]),
            accelerator=accelerators.find(row["accelerator"]),
            accelerators=int(row["accelerators"]),
            accelerator_memory_gib=float(row["accelerator_memory_gib"]),
            network_mbps=int(row["network_mbps"]),
            efa_interfaces=int(row["efa_interfaces"]),
            local_nvme_gb=int(row["local_nvme_gb"]),
            as_of=date.fromisoformat(row["as_of"]),
            source=row["source"],
        )
        for row in table.rows("instance_types")
    }
