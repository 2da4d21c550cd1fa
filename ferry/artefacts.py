"""The files that the verbs hand to each other: assessment, plan, rehearsal.

Each is a frozen model written as YAML. It carries its schema, the sha256 of every file it was made from, and a digest
of itself, so that a verb can refuse what it does not know, what has changed since, and what was edited by hand.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from ferry import __version__
from ferry.errors import StaleArtefact, TamperedArtefact, UnknownSchema, UnreadableInput

Basis = Literal["measured", "assumed", "unknown"]
A = TypeVar("A", bound="Artefact")


class Frozen(BaseModel):
    """A part of an artefact: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(Frozen):
    """A number with its unit and what it rests on. `unknown` has no value; the other two name their source.

    `at_least` is a lower bound that was measured where the number itself was not: it is never used as the number.
    """

    value: float | None = None
    unit: str
    basis: Basis
    source: str = ""
    at_least: float | None = None

    @model_validator(mode="after")
    def _basis_is_kept(self) -> Self:
        if (self.basis == "unknown") != (self.value is None):
            raise ValueError(f"a figure is unknown exactly when it has no value, got {self.basis} and {self.value}")
        if self.at_least is not None and self.value is not None:
            raise ValueError(f"a figure with a value has no lower bound, got {self.value} and {self.at_least}")
        if self.basis != "unknown" and not self.source:
            raise ValueError(f"a {self.basis} figure names its source")
        return self

    @model_serializer(mode="wrap")
    def _without_an_empty_bound(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = write(self)
        return fields if self.at_least is not None else {k: v for k, v in fields.items() if k != "at_least"}


class Money(Frozen):
    """An amount with its currency and what it rests on. CNY stays CNY."""

    amount: Decimal | None = None
    currency: str
    basis: Basis
    source: str = ""

    @model_validator(mode="after")
    def _basis_is_kept(self) -> Self:
        if (self.basis == "unknown") != (self.amount is None):
            raise ValueError(f"an amount is unknown exactly when it is missing, got {self.basis} and {self.amount}")
        return self


def measured(value: float, unit: str, source: str) -> Figure:
    """A figure that was read from one of the site's own files or servers."""
    return Figure(value=value, unit=unit, basis="measured", source=source)


def assumed(value: float, unit: str, source: str) -> Figure:
    """A figure that rests on a published value or on a statement that nobody measured."""
    return Figure(value=value, unit=unit, basis="assumed", source=source)


def unknown(unit: str, source: str = "", at_least: float | None = None) -> Figure:
    """A figure that nobody gave; `at_least` where something is known to lie below it."""
    return Figure(unit=unit, basis="unknown", source=source, at_least=at_least)


class Upstream(Frozen):
    """A file that an artefact was made from. `path` is relative to the artefact's folder where that is possible."""

    path: str
    sha256: str


class Artefact(Frozen):
    """What all artefacts share. `digest` is the sha256 over the canonical JSON of everything but itself."""

    SCHEMA: ClassVar[str]

    schema_: str = Field(alias="schema")
    ferry: str = __version__
    made_at: datetime
    made_from: list[Upstream] = []
    digest: str = ""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def dump(self) -> dict[str, Any]:
        """Everything as JSON types, with the digest filled in."""
        document = self.model_dump(mode="json", by_alias=True)
        document["digest"] = digest_of(document)
        return document

    def write(self, path: Path) -> None:
        """Write as YAML, whole or not at all (a temporary file beside it, then rename)."""
        write_whole(path, yaml.safe_dump(self.dump(), sort_keys=False, allow_unicode=True, width=120))


def digest_of(document: dict[str, Any]) -> str:
    """sha256 over the canonical JSON of an artefact without its own digest."""
    content = {key: value for key, value in document.items() if key != "digest"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part. Makes missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sha256_of(path: Path) -> str:
    """Sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def upstream(path: Path, artefact_folder: Path) -> Upstream:
    """Name a file that an artefact in `artefact_folder` is made from."""
    return Upstream(path=os.path.relpath(path.resolve(), artefact_folder.resolve()), sha256=sha256_of(path))


def now() -> datetime:
    """The time of making, in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def read(kind: type[A], path: Path, *, force: bool = False) -> A:
    """Read an artefact and check its schema, its digest, and the files it was made from.

    `force` accepts an edited artefact and changed upstream files, never an unknown schema. An upstream file that is
    not there any more cannot be checked and is passed over: an artefact may travel alone.
    Raises UnreadableInput, UnknownSchema, TamperedArtefact or StaleArtefact.
    """
    document = read_yaml(path)
    if document.get("schema") != kind.SCHEMA:
        raise UnknownSchema(f"{path}: schema is {document.get('schema')!r}, this Ferry reads {kind.SCHEMA!r}")
    if not force and document.get("digest") != digest_of(document):
        raise TamperedArtefact(
            f"{path}: changed after Ferry wrote it; make it again, or accept the change with --force"
        )
    try:
        artefact = kind.model_validate(document)
    except ValidationError as error:
        raise UnreadableInput(f"{path}: {first_problem(error)}") from error
    for source in artefact.made_from:
        found = path.parent / source.path
        if not force and found.is_file() and sha256_of(found) != source.sha256:
            raise StaleArtefact(f"{path}: {found} has changed since; make it again, or go on with --force")
    return artefact


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file whose top is a mapping. Raises UnreadableInput."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableInput(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise UnreadableInput(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise UnreadableInput(f"{path}: expected keys and values at the top, found {type(document).__name__}")
    return document


def first_problem(error: ValidationError) -> str:
    """The first thing that pydantic refuses, on one line: where, what, and the value given."""
    problem = error.errors()[0]
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    given = "" if problem["type"] == "missing" else f", given {problem['input']!r}"
    return f"{'.'.join(str(step) for step in problem['loc'])}: {message}{given[:120]}"


# ---- assessment ----------------------------------------------------------------------------------------------------


class Finding(Frozen):
    """Something that matters for the move: what was seen where, what it means, and what to do about it."""

    severity: Literal["info", "warning", "critical"]
    code: str = Field(description="stable, kebab-case: gpu-model-contradicts")
    seen: str = Field(description="what was seen, with the value")
    where: str = Field(description="file:line, query, or field of site.yaml")
    means: str
    remedy: str


class Hourly(Frozen):
    """A figure by the hour of the day: 24 values from midnight on, None where nothing was measured in that hour."""

    unit: str
    time_zone: str
    source: str
    values: list[float | None] = Field(min_length=24, max_length=24)


class GpuUse(Frozen):
    """One GPU, or one MIG instance of it, as an exporter saw it. `gpu` is its UUID, or host and index."""

    gpu: str
    host: str | None
    model: str | None
    driver: str | None
    utilization: Figure = Field(description="percent")
    power: Figure = Field(description="W")
    memory_used: Figure = Field(description="bytes")


class MachineUse(Frozen):
    """One server, as node_exporter saw it."""

    host: str
    cpus: int | None
    memory: Figure = Field(description="bytes")
    memory_available: Figure = Field(description="bytes")
    load: Figure = Field(description="runnable processes, mean over a minute")


class ClusterMetrics(Frozen):
    """What the exporters say of the servers and their GPUs, each GPU once."""

    source: str
    window: str = Field(description="the time that it covers")
    gpus: list[GpuUse] = []
    machines: list[MachineUse] = []
    utilization: Figure = Field(description="percent, mean over the GPUs")
    power: Figure = Field(description="W, of all GPUs together")
    by_hour: dict[str, Hourly] = {}


class Topology(Frozen):
    """How the GPUs of a server are linked. `-partial`: some pairs have the fast link, the others go over PCIe."""

    kind: Literal["single", "nvlink", "nvlink-partial", "xgmi", "xgmi-partial", "pcie"]
    gpus: int
    nvlinks: int | None = Field(default=None, description="links of a pair, the fewest of any pair that has some")
    slowest_path: str | None = Field(default=None, description="PIX, PXB, PHB, NODE or SYS; PCIE for AMD")
    network_cards: int = 0
    source: str


class GpuGroup(Frozen):
    """The GPUs of one server that are alike, as its tools say. Figures are of each GPU where nothing else is said."""

    name: str | None
    count: int
    memory_mib: Figure
    utilization: Figure = Field(description="percent, mean over its samples")
    power_w: Figure = Field(description="W, mean over its samples")
    power_limit_w: Figure
    ecc: Literal["on", "off", "unknown"] = "unknown"
    ecc_uncorrected: Figure = Field(description="errors since the driver was loaded, all GPUs together")
    ecc_uncorrected_ever: Figure = Field(description="errors in their lives, all GPUs together")
    mig: Literal["on", "off", "unknown"] = "unknown"
    mig_instances: list[str] = []
    nvlink_gb_s: Figure = Field(description="GB/s in one direction, all links that are up")


class Machine(Frozen):
    """One server, as the files say that belong to it."""

    files: list[str]
    gpus: list[GpuGroup] = []
    driver: str | None = None
    cuda: str | None = Field(default=None, description="the newest that the driver runs, not what is installed")
    topologies: list[Topology] = []


class Cluster(Frozen):
    """The servers of the site. `accelerator` is what site.yaml says, `accelerator_seen` what the machines say."""

    nodes: int
    gpus_per_node: int
    accelerator: str
    accelerator_seen: str | None = None
    purchased: str | None = None
    gpu_utilization: Figure = Field(description="percent, mean over what was sampled")
    machines: list[Machine] = []
    metrics: ClusterMetrics | None = None


class CollectiveSize(Frozen):
    """One message size, as it was printed: µs and GB/s (1e9 bytes). `wrong` is None where nobody compared."""

    where: str = Field(description="file:line")
    bytes: int
    time_us: float | None
    algbw: float | None
    busbw: float | None
    in_place_time_us: float | None = None
    in_place_algbw: float | None = None
    in_place_busbw: float | None = None
    wrong: int | None = None


class Collective(Frozen):
    """One run of nccl-tests or of its kin. Bandwidths in GB/s as nccl-tests defines them (1e9 bytes)."""

    file: str
    tool: Literal["nccl-tests", "rccl-tests", "nccom-test"] = "nccl-tests"
    operation: str | None
    ranks: int | None
    nodes: int | None
    sizes: int = Field(description="rows read")
    average_busbw: Figure = Field(description="GB/s, over all sizes, as the log reports it")
    largest_message_bytes: int
    largest_message_busbw: Figure = Field(description="GB/s, at the largest size: what a gradient synchronisation sees")
    wrong: int | None
    by_size: list[CollectiveSize] = []


class Fabric(Frozen):
    """A gradient synchronisation on a cloud's instances: at best, at the line rate of their network."""

    instance_types: list[str]
    gbit_per_s: float = Field(description="of one instance")
    ms: Figure
    times_as_long: float | None = Field(default=None, description="over the time at home")


class Synchronisation(Frozen):
    """One all-reduce of a model's gradients, once an iteration, nothing of it overlapped. Times in ms."""

    name: str = Field(description="the training job, or the cluster as a whole")
    nodes: int
    ranks: int = Field(description="the data-parallel degree")
    gradient_bytes: Figure
    log: str = Field(description="the measurement that it follows from")
    largest_message_bytes: int
    latency_us: Figure = Field(description="of the smallest messages")
    busbw: Figure = Field(description="GB/s, fitted to the largest messages")
    ring_ms: Figure
    tree_ms: Figure
    bound: Literal["exactly", "at least", "at most", "about"] = Field(
        description="at least: no log spans nodes, or it has no latency; at most: it spans more than the job, or has "
        "short messages only; about: both"
    )
    iteration_ms: Figure
    share_of_iteration: Figure = Field(description="0 to 1")
    parameters_in_12_ms: Figure = Field(description="how large a bfloat16 model may be that synchronises in 12 ms")
    parameters_in_18_ms: Figure
    fabrics: list[Fabric] = []

    @property
    def ms(self) -> float | None:
        """The faster of the two: NCCL chooses it."""
        times = [figure.value for figure in (self.ring_ms, self.tree_ms) if figure.value is not None]
        return min(times) if times else None


class ModelFacts(Frozen):
    """What sizing needs to know of a model, from its config.json and its safetensors index."""

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


class Quantiles(Frozen):
    """A distribution by four of its figures."""

    mean: Figure
    p50: Figure
    p95: Figure
    p99: Figure


class TraceFacts(Frozen):
    """A request trace. Rates in requests/s; `peak_rps` is the busiest whole minute."""

    file: str
    format: str
    requests: int
    duration_s: float
    mean_rps: Figure
    peak_rps: Figure
    input_tokens: Quantiles
    output_tokens: Quantiles


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
    costs: LocalCosts
    constraints: Constraints
    findings: list[Finding] = []


# ---- plan ----------------------------------------------------------------------------------------------------------


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


# ---- rehearsal -----------------------------------------------------------------------------------------------------


class Check(Frozen):
    """One statement about the account, held against what the describe calls say."""

    name: str
    passed: bool
    resource: str
    expected: str
    found: str


class NotEmulated(Frozen):
    """A property that was accepted and has no effect in the embedded account."""

    resource: str
    property: str
    why: str


class Rehearsal(Artefact):
    """What the program left in the embedded account: `ferry rehearse`."""

    SCHEMA: ClassVar[str] = "ferry/rehearsal/v1"

    environment: str
    region: str
    front: Literal["in-process"]
    emulator: str
    seconds: float
    resources: dict[str, int] = Field(description="type token to count")
    checks: list[Check]
    not_emulated: list[NotEmulated]
    seeded: list[str]
    conditions_evaluated: list[str]
    outputs: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)
