"""What to provision, and whether to: `ferry plan`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar, Literal

from pydantic import (
    Field,
)

from ferry.artefacts.artefact import Artefact
from ferry.artefacts.assessment import Location, Serving, Slo, Training
from ferry.artefacts.cluster import Cluster
from ferry.artefacts.figures import Basis, Frozen, Money


class Candidate(Frozen):
    """One instance type that was tried, in one region, with the reason when it was refused."""

    instance_type: str
    region: str
    accelerator: str
    accelerators: int
    memory_gib: float
    fits: bool
    reason: str
    weights_gib: float
    kv_cache_gib: float | None = None
    max_sequences: int | None = None
    requests_per_s: float | None = Field(
        default=None, description="what one instance sustains within the SLO, at 80 % load"
    )
    min_size: int | None = None
    max_size: int | None = None
    mean_size: float | None = Field(default=None, description="instances over time, which the bill follows")
    tensor_parallel: int | None = None
    engine: str = ""
    quantization: str | None = Field(default=None, description="of the weights; None: as many bits as the model has")
    ttft_p99_ms: float | None = Field(default=None, description="of the longest prompts on an idle instance")
    tpot_ms: float | None = Field(default=None, description="mean at the load target")
    usd_per_hour: Decimal | None = None
    usd_per_month: Decimal | None = Field(default=None, description="instances alone, at their mean size")
    cny_per_hour: Decimal | None = Field(default=None, description="where the region bills in CNY; then no USD")
    cny_per_month: Decimal | None = None


class CostLine(Frozen):
    """One line of a monthly bill."""

    item: str
    amount: Money
    detail: str = ""


class Reason(Frozen):
    """Why the verdict is what it is, with its evidence."""

    says: Literal["for", "against", "condition", "measure"]
    text: str
    basis: Basis
    evidence: str


Verdict = Literal["go", "conditional", "defer", "stay"]


class Plan(Artefact):
    """What to provision, and whether to: `ferry plan`."""

    SCHEMA: ClassVar[str] = "ferry/plan/v1"

    environment: str
    site: str
    serving: str
    verdict: Verdict
    reasons: list[Reason]
    assumptions: list[str] = []
    region: str
    chosen: Candidate
    candidates: list[Candidate]
    nodes_per_replica: int = 1
    config: dict[str, Any] = Field(description="what `ferry render` writes: `aws:region` and `ferry:…` keys")
    local_monthly: list[CostLine]
    cloud_monthly: list[CostLine]
    hybrid_monthly: list[CostLine]
    training: list[Training] = []
    cluster: Cluster | None = Field(default=None, description="the site's servers, where training stays")
    serving_facts: Serving
    location: Location
    slo: Slo
