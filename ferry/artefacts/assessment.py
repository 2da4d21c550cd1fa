"""What a site has: `ferry assess`."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import (
    Field,
)

from ferry.artefacts.artefact import Artefact
from ferry.artefacts.cluster import Cluster, Collective, Hourly, Synchronisation
from ferry.artefacts.deployment import Deployment
from ferry.artefacts.figures import Figure, Frozen, Money


class Finding(Frozen):
    """Something that matters for the move: what was seen where, what it means, and what to do about it."""

    severity: Literal["info", "warning", "critical"]
    code: str = Field(description="stable, kebab-case: gpu-model-contradicts")
    seen: str = Field(description="what was seen, with the value")
    where: str = Field(description="file:line, query, or field of site.yaml")
    means: str
    remedy: str


class ModelFacts(Frozen):
    """What sizing needs to know of a model, from its configuration and what is known of its weights."""

    path: str
    architecture: str
    parameters: Figure
    active_parameters: Figure
    weight_bytes: Figure
    dtype: str
    quantization: str | None
    attention: Literal["MHA", "GQA", "MQA", "MLA"]
    layers: int
    hidden_size: int
    attention_heads: int
    kv_heads: int
    head_dim: int
    kv_lora_rank: int | None = None
    qk_rope_head_dim: int | None = None
    experts_total: int | None = None
    experts_active: int | None = None
    context_tokens: int
    vocabulary: int
    sliding_window_tokens: int | None = Field(
        default=None, description="how far back the layers with a sliding or chunked window look"
    )
    sliding_window_layers: int | None = Field(
        default=None, description="how many layers have the window; None beside a window: nobody can say"
    )


class Quantiles(Frozen):
    """A distribution by four of its figures."""

    mean: Figure
    p50: Figure
    p95: Figure
    p99: Figure


class TraceFacts(Frozen):
    """A request trace. Rates in requests/s; `peak_rps` is the busiest whole minute. None: the trace does not tell."""

    file: str
    format: str
    requests: int
    duration_s: float | None = Field(description="from the first arrival to the last; None: it has no times")
    mean_rps: Figure
    peak_rps: Figure
    input_tokens: Quantiles
    output_tokens: Quantiles
    latency_ms: Quantiles | None = None
    ttft_ms: Quantiles | None = None
    by_hour: Hourly | None = None
    peak_in_flight: Figure | None = Field(default=None, description="the most requests at once")
    client_errors: Figure | None = Field(default=None, description="share of statuses 400 to 499")
    server_errors: Figure | None = Field(default=None, description="share of statuses 500 and above")
    prefix_reuse: Figure | None = Field(default=None, description="share of prompt tokens that came before")
    damaged_rows: int = Field(default=0, description="used for nothing")
    passed_over: int = Field(default=0, description="lines of something else, and requests that generate no text")
    columns: dict[str, str] = Field(default={}, description="Ferry's columns to the file's, as the site states them")
    log_format: str | None = None
    paths: list[str] = Field(default=[], description="further paths that generate text, as the site states them")


class EngineMetrics(Frozen):
    """What the engine's own Prometheus metrics say, in ms and requests."""

    source: str
    engine: str
    ttft_ms: Quantiles
    tpot_ms: Quantiles
    latency_ms: Quantiles
    running: Figure
    waiting: Figure
    kv_cache_use: Figure = Field(description="share, 0 to 1")
    window: str = Field(default="", description="the time that it covers")
    queue_ms: Quantiles | None = Field(default=None, description="wait before the engine starts on a request")
    requests_per_s: Figure | None = None
    input_tokens_per_s: Figure | None = None
    output_tokens_per_s: Figure | None = None
    by_hour: dict[str, Hourly] = {}


class Slo(Frozen):
    """What the service has promised. None: nothing was promised."""

    ttft_p99_ms: float | None = None
    tpot_p99_ms: float | None = None
    availability: float | None = None


class Serving(Frozen):
    """One service of real-time inference: the part that moves."""

    name: str
    engine: str
    model: ModelFacts
    trace: TraceFacts | None
    metrics: EngineMetrics | None
    slo: Slo


class Training(Frozen):
    """A training job: the part that stays."""

    name: str
    launcher: str
    nodes: int


class ExchangeRate(Frozen):
    """What one unit of `base` costs in `quote`, as the site states it: USD/CNY 7.1 is 7.1 CNY for a dollar."""

    base: str
    quote: str
    rate: Decimal
    as_of: str
    source: str


class FurtherCosts(Frozen):
    """What only the cost over a horizon needs. None: not stated, and then it is in no total."""

    server_resale_share: Figure | None = Field(
        default=None, description="of the book value above the residual, that a sale today brings"
    )
    racks: Figure | None = None
    rack_price_per_month: Money | None = None
    staff_freed_share: Figure | None = Field(
        default=None, description="of the serving part of the staff's time, that gets other work"
    )
    price_per_hour_down: Money | None = None
    delay_days_at_home: Figure | None = Field(
        default=None, description="from deciding on a change of model or capacity until it serves"
    )
    delay_days_on_aws: Figure | None = None
    delays_per_year: Figure | None = None
    price_per_day_of_delay: Money | None = None


class LocalCosts(Frozen):
    """The cost items of the site, as stated. What was left out is unknown, not 0."""

    currency: str
    server_count: int | None
    server_price_each: Money
    server_lifetime_months: Figure
    server_residual_share: Figure
    nvme_array: Money
    cooling: Money
    power_kw_full_load: Figure
    power_kw_idle: Figure
    power_price_per_kwh: Money
    power_usage_effectiveness: Figure
    staff_people: Figure
    staff_price_per_person_year: Money
    mtbf_hours: Figure
    mttr_hours: Figure
    further: FurtherCosts = FurtherCosts()
    exchange_rates: list[ExchangeRate] = []


class Constraints(Frozen):
    """What the plan has to keep to."""

    regions_allowed: list[str] = []
    residency: str | None = None
    compliance: list[str] = []
    monthly_budget: Money | None = None
    deadline: str | None = None


class Location(Frozen):
    """Where the site stands."""

    country: str
    grid: str | None = None
    time_zone: str


class Assessment(Artefact):
    """What a site has: `ferry assess`."""

    SCHEMA: ClassVar[str] = "ferry/assessment/v1"

    site: str
    location: Location
    cluster: Cluster
    collectives: list[Collective] = []
    synchronisations: list[Synchronisation] = []
    serving: list[Serving]
    training: list[Training] = []
    deployments: list[Deployment] = []
    costs: LocalCosts
    constraints: Constraints
    findings: list[Finding] = []
