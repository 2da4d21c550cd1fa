"""`site.yaml`, format `ferry/site/v1`: what a site tells Ferry about itself.

Paths are relative to the file. Unknown keys are errors; what is left out of the costs is unknown, never 0. The JSON
Schema that editors use stands beside this module as `site.schema.json`; `write_schema` makes it anew.
"""

from __future__ import annotations

import difflib
import json
import zoneinfo
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import ErrorDetails

from ferry.artefacts import read_yaml, write_whole
from ferry.errors import InvalidField, UnknownSchema

SCHEMA = "ferry/site/v1"
SCHEMA_FILE = Path(__file__).with_name("site.schema.json")
TO_FILL_IN = "FILL-IN"
"""What discovery writes where no file can say a value."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=40)]
Region = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Amount = Annotated[Decimal, Field(ge=0)]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


def _on_one_line(path: Path) -> Path:
    if not str(path).isprintable():
        raise ValueError("a path has no line ends and no control characters")
    return path


OnePath = Annotated[Path, AfterValidator(_on_one_line)]

OneLine = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
TraceFormat = Literal[
    "azure-llm-2023", "azure-llm-2024", "burstgpt", "envoy", "envoy-json", "litellm", "llama-swap", "mooncake", "nginx",
    "nginx-json", "ollama", "parquet", "records", "sglang-requests", "tgi", "tgi-json", "uvicorn", "vllm-requests",
]  # fmt: skip
TraceColumn = Literal[
    "time", "time_s", "time_ms", "end_time", "first_token_time", "input_tokens", "output_tokens", "cached_tokens",
    "latency_s", "latency_ms", "ttft_s", "ttft_ms", "status", "model", "method", "path",
]  # fmt: skip


class Part(BaseModel):
    """A part of site.yaml: frozen, closed to unknown keys, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LocationPart(Part):
    """Where the site stands: whose carbon figure and tariff apply."""

    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] = Field(description="ISO 3166 code: US, CN, DE")
    grid: str | None = Field(default=None, description="the AWS region that shares the site's power grid")
    time_zone: str = Field(description="IANA name: America/New_York")
    uplink_mbps: Positive | None = Field(
        default=None, description="of the internet connection, upwards, in Mbit/s; what moves the models has to fit it"
    )

    @model_validator(mode="after")
    def _time_zone_exists(self) -> LocationPart:
        try:
            zoneinfo.ZoneInfo(self.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            # A machine without a time-zone database knows no zone at all; there the name is taken as it is.
            if known := zoneinfo.available_timezones():
                raise ValueError(f"time_zone {self.time_zone!r} is unknown{_nearest(self.time_zone, known)}") from error
        return self


class PrometheusPart(Part):
    """A live Prometheus server. Secrets are read from the environment variables that are named here."""

    url: str = Field(pattern=r"^https?://[^\s/@]+(/[^\s?#]*)?$", description="http://prometheus:9090, no user in it")
    token_env: Variable | None = Field(default=None, description="for a bearer token")
    username_env: Variable | None = Field(default=None, description="for basic authentication, with password_env")
    password_env: Variable | None = None
    ca_file: OnePath | None = Field(default=None, description="PEM file of the authority that signed its certificate")
    window_days: Annotated[int, Field(ge=1, le=92)] = Field(default=1, description="how far back to look")

    @model_validator(mode="after")
    def _one_way_in(self) -> PrometheusPart:
        if (self.username_env is None) != (self.password_env is None):
            raise ValueError("username_env and password_env go together")
        if self.token_env and self.username_env:
            raise ValueError("give either token_env, or username_env and password_env, not both")
        if self.ca_file and not self.url.startswith("https://"):
            raise ValueError("ca_file is for an https address")
        return self


class ClusterPart(Part):
    """The GPU servers, and what was measured on them."""

    nodes: Count
    gpus_per_node: Count
    accelerator: str = Field(min_length=1, description="A100-SXM4-80GB")
    purchased: date | None = None
    nvidia_smi: list[OnePath] = Field(
        default=[],
        description="outputs of nvidia-smi (CSV, -q, -q -x, topo -m, dmon, …), rocm-smi or amd-smi, any nodes",
    )
    nccl_tests: list[OnePath] = Field(default=[], description="output of nccl-tests")
    software: dict[OneLine, OneLine] = Field(
        default={},
        description="versions of what no file shows: {nvidia-container-toolkit: 1.19.1, containerd: 2.2.5}",
    )
    metrics: list[OnePath] = Field(
        default=[], description="saved pages of dcgm-exporter, nvidia_gpu_exporter or node_exporter, one per server"
    )
    prometheus: PrometheusPart | None = Field(default=None, description="a live server that scrapes these exporters")

    @model_validator(mode="after")
    def _one_source_of_metrics(self) -> ClusterPart:
        if self.metrics and self.prometheus:
            raise ValueError("give either metrics (saved files) or prometheus (a live server), not both")
        return self


class RequestsPart(Part):
    """What the service was asked: a request trace or log. Its format is recognised where it is left out."""

    trace: OnePath
    format: TraceFormat | None = Field(default=None, description="left out: recognised from the file")
    columns: dict[TraceColumn, OneLine] = Field(
        default={}, description="Ferry's columns to the file's: {time: ts, input_tokens: usage.prompt_tokens}"
    )
    log_format: str | None = Field(default=None, min_length=1, description="nginx's log_format, where it is your own")
    paths: list[OneLine] = Field(default=[], description="beginnings of other paths that generate text: /ask")

    @model_validator(mode="after")
    def _log_format_is_of_nginx(self) -> RequestsPart:
        if self.log_format and self.format not in (None, "nginx"):
            raise ValueError(f"log_format is nginx's; format is {self.format!r}: leave one of them out")
        return self


class SloPart(Part):
    """What the service has promised. Left out: nothing was promised."""

    ttft_p99_ms: Positive | None = None
    tpot_p99_ms: Positive | None = None
    availability: Annotated[float, Field(gt=0, lt=1)] | None = None


class ServingPart(Part):
    """One service of real-time inference: the part that moves."""

    name: Name
    model: OnePath = Field(description="what the engine loads: a model folder, a GGUF file, or a manifest of Ollama's")
    engine: Literal["vllm", "sglang", "tgi", "triton", "tensorrt-llm", "ollama"]
    metrics: list[OnePath] = Field(
        default=[], description="saved /metrics, one file per engine instance, or saved answers of Prometheus"
    )
    prometheus: PrometheusPart | None = None
    requests: RequestsPart | None = None
    slo: SloPart = SloPart()

    @model_validator(mode="after")
    def _one_source_of_metrics(self) -> ServingPart:
        if self.metrics and self.prometheus:
            raise ValueError("give either metrics (saved files) or prometheus (a live server), not both")
        return self


class TrainingPart(Part):
    """A training job: the part that stays."""

    name: Name
    launcher: str = Field(min_length=1, description="slurm, torchrun, …")
    nodes: Count
    stays: Literal[True] = Field(default=True, description="Ferry leaves training at home")
    parameters: Positive | None = Field(default=None, description="trained ones; left out: all of the served model's")
    gradient_dtype: Literal["bfloat16", "float32"] = Field(default="bfloat16", description="as they are sent")
    data_parallel: Count | None = Field(default=None, description="ranks that synchronise; left out: every GPU")
    iteration_ms: Positive | None = Field(default=None, description="time of one step, from the trainer's log")
    tokens_per_iteration: Positive | None = Field(default=None, description="the global batch, in tokens")

    @property
    def gradient_bytes(self) -> int:
        """Bytes of one gradient."""
        return {"bfloat16": 2, "float32": 4}[self.gradient_dtype]


class ServersPart(Part):
    """The purchase of the servers."""

    count: Count | None = None
    price_each: Amount | None = None
    lifetime_months: Positive | None = None
    residual_share: Share | None = None
    resale_share: Share | None = Field(
        default=None, description="of the book value above the residual, that selling freed servers today brings"
    )


class RacksPart(Part):
    """Space: racks that are rented, or what own ones are charged at."""

    count: Positive | None = None
    price_per_month: Amount | None = Field(default=None, description="of one rack, without its power")


class PowerPart(Part):
    """Electricity. `pue` is power usage effectiveness: all power over the power of the machines."""

    kw_full_load: Positive | None = None
    kw_idle: Positive | None = None
    price_per_kwh: Amount | None = None
    pue: Annotated[float, Field(ge=1)] | None = None


class StaffPart(Part):
    """The people who run it, as full-time equivalents."""

    people: Annotated[float, Field(ge=0)] | None = None
    price_per_person_year: Amount | None = None
    freed_share: Share | None = Field(
        default=None, description="of the serving part of their time, that gets other work when serving moves"
    )


class ReliabilityPart(Part):
    """Mean time between failures of the service, and to repair, and what an hour without it costs."""

    mtbf_hours: Positive | None = None
    mttr_hours: Positive | None = None
    price_per_hour_down: Amount | None = None


class DelayPart(Part):
    """What waiting costs: days from deciding on a change of model or capacity until it serves."""

    days_at_home: Annotated[float, Field(ge=0)] | None = None
    days_on_aws: Annotated[float, Field(ge=0)] | None = None
    times_per_year: Annotated[float, Field(ge=0)] | None = None
    price_per_day: Amount | None = None


class ExchangeRatePart(Part):
    """One exchange rate: `USD/CNY` at 7.1 is 7.1 CNY for a dollar."""

    pair: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}/[A-Z]{3}$")]
    rate: Annotated[Decimal, Field(gt=0)]
    as_of: date
    source: str = Field(min_length=1)


class CostsPart(Part):
    """Cost items in the currency named. What is left out is unknown, not 0."""

    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = Field(description="ISO 4217 code: USD, CNY")
    servers: ServersPart = ServersPart()
    racks: RacksPart = RacksPart()
    nvme_array: Amount | None = None
    cooling: Amount | None = None
    power: PowerPart = PowerPart()
    staff: StaffPart = StaffPart()
    reliability: ReliabilityPart = ReliabilityPart()
    delay: DelayPart = DelayPart()
    exchange_rates: list[ExchangeRatePart] = Field(default=[], description="without one, nothing is converted")


class ConstraintsPart(Part):
    """What a plan has to keep to."""

    regions_allowed: list[Region] = Field(default=[], description="AWS regions; none named: every region")
    residency: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")] | None = Field(
        default=None, description="cn, eu, …: narrows the regions"
    )
    compliance: list[Literal["mlps-l3-controls"]] = []
    monthly_budget: Amount | None = Field(default=None, description="in the currency of the costs")
    deadline: date | None = None


class Site(Part):
    """All of a site.yaml."""

    schema_: Literal["ferry/site/v1"] = Field(alias="schema")
    name: Name
    location: LocationPart
    cluster: ClusterPart
    serving: list[ServingPart] = Field(min_length=1)
    training: list[TrainingPart] = []
    deployments: list[OnePath] = Field(
        default=[], description="what starts the engines and the training: compose files, units, manifests, scripts"
    )
    costs: CostsPart
    constraints: ConstraintsPart = ConstraintsPart()

    @model_validator(mode="after")
    def _parts_agree(self) -> Site:
        for kind, names in (
            ("serving", [service.name for service in self.serving]),
            ("training", [job.name for job in self.training]),
        ):
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"{kind}: two entries are named {name!r}; names are unique")
        for job in self.training:
            if job.nodes > self.cluster.nodes:
                raise ValueError(f"training {job.name!r} uses {job.nodes} nodes, cluster.nodes is {self.cluster.nodes}")
            if (job.data_parallel or 1) > (gpus := job.nodes * self.cluster.gpus_per_node):
                raise ValueError(f"training {job.name!r} has data_parallel {job.data_parallel} on {gpus} GPUs")
        return self


def read_site(path: Path) -> Site:
    """Read a site.yaml. Raises UnreadableInput, UnknownSchema or InvalidField, each on one line."""
    document = read_yaml(path)
    if document.get("schema") != SCHEMA:
        raise UnknownSchema(f"{path}: schema is {document.get('schema')!r}, this Ferry reads {SCHEMA!r}")
    if missing := to_fill_in(document):
        raise InvalidField(f"{path}: still to be filled in, in the place of {TO_FILL_IN}: {', '.join(missing)}")
    try:
        return Site.model_validate(document)
    except ValidationError as error:
        # A misspelt key shows up twice, as unknown and as missing; the unknown one says more.
        problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        # A key or a value may hold line ends; a message holds none.
        raise InvalidField(f"{path}: {' '.join(_say(problems[0]).split())}{more}") from error


def to_fill_in(document: Any, place: str = "") -> list[str]:
    """The keys that still have to be filled in, as paths: `costs.currency`, `serving[0].model`."""
    if document == TO_FILL_IN:
        return [place]
    if isinstance(document, dict):
        return [key for name, value in document.items() for key in to_fill_in(value, f"{place}.{name}".lstrip("."))]
    if isinstance(document, list):
        return [key for number, value in enumerate(document) for key in to_fill_in(value, f"{place}[{number}]")]
    return []


def json_schema() -> dict[str, Any]:
    """The format as a JSON Schema, for editors."""
    schema = Site.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": SCHEMA}


def write_schema(path: Path = SCHEMA_FILE) -> None:
    """Write the JSON Schema."""
    write_whole(path, json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")


def _say(problem: ErrorDetails) -> str:
    place = _key_path(problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _known_keys(problem["loc"][:-1])
        return f"{place}: unknown key{_nearest(str(problem['loc'][-1]), known)}; known here: {', '.join(known)}"
    if problem["type"] == "missing":
        return f"{place}: is missing"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{place}: {message}" if place else message
    return f"{place}: {message[:1].lower()}{message[1:]}, given {repr(problem['input'])[:80]}"


def _key_path(steps: tuple[int | str, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")


def _known_keys(steps: tuple[int | str, ...]) -> list[str]:
    """The keys that are allowed at a place of the format."""
    part: type[BaseModel] = Site
    for step in steps:
        if isinstance(step, str):
            annotation = part.model_fields[step].annotation
            part = next(kind for kind in (annotation, *get_args(annotation)) if _is_part(kind))
    return [field.alias or name for name, field in part.model_fields.items()]


def _is_part(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _nearest(given: str, known: Any) -> str:
    found = difflib.get_close_matches(given, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""
