"""What a fleet would have done with the site's own requests: `ferry simulate`."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from pydantic import Field

from ferry.artefacts.artefact import Artefact
from ferry.artefacts.figures import Frozen


class Spread(Frozen):
    """A distribution over requests, in ms."""

    mean: float
    p50: float
    p95: float
    p99: float


class Outcome(Frozen):
    """One scaling policy over the whole trace."""

    policy: str
    description: str
    warnings: list[str] = []
    requests: int
    refused: int = Field(description="longer than the engine accepts")
    retried: int = Field(description="began anew on another instance, after a lost one or the end of a drain")
    ttft_ms: Spread
    tpot_ms: Spread | None = Field(description="None: no answer has a second token")
    latency_ms: Spread
    keeps_promise: bool | None = Field(description="P99 of TTFT and TPOT against the SLO; None: nothing was promised")
    utilization: float = Field(description="share of the time in service that instances compute, 0 to 1")
    load: float = Field(description="mean of (running + waiting) / batch limit, which scaling goes by")
    waiting_mean: float
    waiting_max: int
    instances_mean: float = Field(description="over time, from launch to end")
    instances_max: int
    launched: int
    flapping: int = Field(description="reversals of the desired capacity within 15 minutes")
    preemptions: int
    cost: Decimal = Field(description="of the instances, over the trace")
    cost_per_month: Decimal = Field(description="the same for 730 h")
    cost_per_million_tokens: Decimal = Field(description="of prompt and answer tokens together")
    kwh: float = Field(description="of the data centre, over the trace")
    gco2e: float = Field(description="of the region's grid, by location; nothing of the hardware's making")


class BatchPoint(Frozen):
    """One batch limit, on one instance that always has requests waiting."""

    max_sequences: int
    requests_per_s: float
    output_tokens_per_s: float
    tpot_p99_ms: float | None
    running_mean: float = Field(description="sequences in a batch; below the limit where the KV cache is full")
    preemptions: int


class Simulation(Artefact):
    """What a fleet would have done with the site's own requests: `ferry simulate`."""

    SCHEMA: ClassVar[str] = "ferry/simulation/v1"

    site: str
    serving: str
    region: str
    instance_type: str
    currency: str
    trace: str
    hours: float
    requests_per_s: float
    outcomes: list[Outcome]
    batch_limits: list[BatchPoint] = []
    best_batch_limit: int | None = None
    assumptions: list[str] = []
