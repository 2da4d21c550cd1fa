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
    """What the service was asked: a request trace."""

    trace: OnePath
    format: Literal["azure-llm-2023"] = Field(description="columns TIMESTAMP, ContextTokens, GeneratedTokens")


class SloPart(Part):
    """What the service has promised. Left out: nothing was promised."""

    ttft_p99_ms: Positive | None = None
    tpot_p99_ms: Positive | None = None
    availability: Annotated[float, Field(gt=0, lt=1)] | None = None


class ServingPart(Part):
    """One service of real-time inference: the part that moves."""

    name: Name
    model: OnePath = Field(description="folder with config.json and the safetensors index")
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


class ReliabilityPart(Part):
    """Mean time between failures, and to repair."""

    mtbf_hours: Positive | None = None
    mttr_hours: Positive | None = None


class CostsPart(Part):
    """Cost items in the currency named. What is left out is unknown, not 0."""

    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = Field(description="ISO 4217 code: USD, CNY")
    servers: ServersPart = ServersPart()
    nvme_array: Amount | None = None
    cooling: Amount | None = None
    power: PowerPart = PowerPart()
    staff: StaffPart = StaffPart()
    reliability: ReliabilityPart = ReliabilityPart()


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
    try:
        return Site.model_validate(document)
    except ValidationError as error:
        # A misspelt key shows up twice, as unknown and as missing; the unknown one says more.
        problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        # A key or a value may hold line ends; a message holds none.
        raise InvalidField(f"{path}: {' '.join(_say(problems[0]).split())}{more}") from error


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
