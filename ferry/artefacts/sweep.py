"""What was searched for a plan, and what was given up: `ferry plan --sweep`."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field

from ferry.artefacts.artefact import Artefact, upstream
from ferry.artefacts.assessment import Slo
from ferry.artefacts.figures import Frozen


class SweepPoint(Frozen):
    """One candidate that was replayed."""

    instance_type: str
    region: str
    quantization: str = Field(description="of the weights; as-is: as many bits as the model has")
    max_sequences: int
    scaling: str
    min_size: int
    max_size: int
    spot_percentage: int
    cost_per_month: Decimal = Field(description="of the instances, in the region's currency")
    gco2e_per_month: float | None = Field(default=None, description="None: the region has no carbon figures")
    ttft_p99_ms: float
    tpot_p99_ms: float
    latency_p99_ms: float
    refused: int
    retried: int
    instances_mean: float
    instances_max: int
    utilization: float


class SweepBound(Frozen):
    """Candidates of one instance type and quantisation that a bound ruled out."""

    bound: str
    instance_type: str
    quantization: str
    reason: str
    count: int


class Sweep(Artefact):
    """What was searched for a plan, and what was given up: `ferry plan --sweep`."""

    SCHEMA: ClassVar[str] = "ferry/sweep/v1"

    site: str
    serving: str
    by: str
    slo: Slo
    currency: str
    trace: str
    requests: int
    hours: float
    load: float
    seed: int
    grid: dict[str, Any] = Field(description="what was searched, ferry/grid/v1")
    candidates: int
    replayed: int
    shared: int = Field(description="answered by the replay of another that differs in price only")
    bounds: dict[str, int] = Field(description="how many candidates each bound ruled out")
    holding: int = Field(description="replayed or shared, and within every promise")
    chosen: SweepPoint
    compared: SweepPoint | None = Field(
        default=None, description="the best that holds and cannot be provisioned, where it is better than the chosen"
    )
    front: list[SweepPoint] = Field(description="cheapest first, each with a shorter TTFT than those before it")
    ruled_out: list[SweepBound] = []
    assumptions: list[str] = []

    def made_of(self, paths: Sequence[Path], folder: Path) -> Self:
        """The same, naming the files that it was made from, for an artefact in `folder`."""
        return self.model_copy(update={"made_from": [upstream(path, folder) for path in paths]})
