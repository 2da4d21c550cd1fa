"""One run of a benchmark: its table, and what the lines around it say of ranks, hosts and failures."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from ferry.assess.collectives.rows import Columns, Row, bandwidth_factor

Tool = Literal["nccl-tests", "rccl-tests", "nccom-test"]
MOST_RANKS = 1_000_000


@dataclass(frozen=True)
class Device:
    """One rank, as the line under `# Using devices` names it."""

    host: str
    group: int
    process: str
    name: str


@dataclass
class Run:
    """One table, from its options or header to its average. `where` is the place of the average."""

    tool: Tool = "nccl-tests"
    where: str = ""
    operation: str | None = None
    header: str = ""
    columns: Columns | None = None
    broken: list[str] = field(default_factory=list)
    out_of_bounds: int | None = None
    average: float | None = None
    below_minimum: bool = False
    checked: bool | None = None
    ranks_per_entry: int = 1
    rows: list[Row] = field(default_factory=list)
    devices: dict[int, Device] = field(default_factory=dict)
    processes_of_rank_0: set[str] = field(default_factory=set)
    said_ranks: int | None = None
    said_nodes: int | None = None
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def started(self) -> bool:
        """Whether any part of a table is there."""
        return bool(self.rows or self.header or self.broken)

    @property
    def members(self) -> dict[int, Device]:
        """The devices of the communicator that was measured: with NCCL_TESTS_SPLIT that is one group of several."""
        if not self.devices:
            return {}
        group = self.devices[min(self.devices)].group
        return {rank: device for rank, device in self.devices.items() if device.group == group}

    @property
    def groups(self) -> int:
        """How many communicators ran side by side."""
        return len({device.group for device in self.devices.values()})


def operation(run: Run) -> str | None:
    """What was measured: the program's name where the bandwidths allow it, else what the columns leave open."""
    seen = bandwidth_factor(run.rows)
    if seen is None:
        return run.operation
    if seen > 1.03:
        return "all_reduce"
    redops, roots = {row.redop for row in run.rows}, {row.root for row in run.rows}
    reduces = not redops & {None, "none"}
    if run.operation == "all_reduce" and seen < 0.97:
        return None
    if run.operation is None and reduces and roots == {-1} and seen < 0.97:
        return "reduce_scatter"
    if run.operation is None and reduces and None not in roots and -1 not in roots:
        return "reduce"
    return run.operation


def ranks_from_bandwidths(run: Run) -> int | None:
    """Solve busbw/algbw = k(n-1)/n for n within the rounding of both columns (±0.005); None unless one n fits."""
    seen = bandwidth_factor(run.rows)
    if seen is None or abs(seen - 1) < 0.002:
        return None
    k = 2.0 if seen > 1 else 1.0
    least, most = 2.0, math.inf
    for half in (half for row in run.rows for half in row.halves):
        if half.busbw and half.algbw and half.algbw > 10:
            low = (half.busbw - 0.005) / (half.algbw + 0.005)
            high = (half.busbw + 0.005) / (half.algbw - 0.005)
            least = max(least, k / (k - low)) if low < k else math.inf
            most = min(most, k / (k - high)) if high < k else most
    if least == math.inf or most == math.inf:
        return None
    found = range(math.ceil(least - 1e-9), min(math.floor(most + 1e-9), MOST_RANKS) + 1)
    return found[0] if len(found) == 1 else None


def ranks(run: Run) -> int | None:
    """Ranks of the communicator: all devices where each is listed, else what NCCL said, else the bandwidths."""
    listed = _ranks_listed(run)
    if listed is not None and _complete(run):
        return listed
    return run.said_ranks or ranks_from_bandwidths(run) or listed


def nodes(run: Run) -> int | None:
    """Hosts of the communicator, where each rank's line is there; else what NCCL said."""
    if _complete(run):
        return len({device.host for device in run.members.values()})
    return run.said_nodes


def _complete(run: Run) -> bool:
    return bool(run.devices) and len(run.members) * run.ranks_per_entry == _ranks_listed(run)


def _ranks_listed(run: Run) -> int | None:
    """The ranks that the device lines imply: up to the last one, or those of the group where several ran."""
    if not run.devices:
        return None
    return len(run.members) * run.ranks_per_entry if run.groups > 1 else max(run.devices) + run.ranks_per_entry
