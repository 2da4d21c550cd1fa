"""The kinds of file that Ferry finds: one table, in the order in which they are tried.

A file is of a kind when the kind's own reader reads it. The marks only spare the readers what cannot be theirs: they
are looked for in the file's beginning and end. Where the marks of several kinds are there, the first reader that reads
the file has it: a job's log with a table of nccl-tests in it is one, although it names engines or GPUs, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ferry.assess import collectives, deployments, gpus, models, prometheus
from ferry.assess.deployments.parse import STARTS, kind_of
from ferry.assess.discovery import marks
from ferry.assess.discovery.evidence import (
    CollectiveFile,
    DeploymentFile,
    EngineFile,
    Evidence,
    ExporterFile,
    GpuFile,
    ModelFound,
    SiteFile,
    TraceFile,
)
from ferry.assess.discovery.folders import without
from ferry.assess.discovery.proposal import round_trip
from ferry.assess.discovery.sample import Sample
from ferry.assess.files import LARGEST_TEXT_BYTES
from ferry.assess.gpus import query
from ferry.assess.prometheus import engines, reader
from ferry.assess.site import SCHEMA, read_site
from ferry.errors import FerryError, UnreadableInput
from ferry.traces import lines, open_trace
from ferry.traces import recognise as trace_format


@dataclass(frozen=True)
class Kind:
    """A kind of file: its name, the key of site.yaml that it goes under ([]: of its service), its marks, its reader."""

    name: str
    key: str
    marks: Callable[[Sample], bool]
    read: Callable[[Sample], Evidence]


ENGINE_OF = {"vllm-requests": "vllm", "sglang-requests": "sglang", "tgi": "tgi", "tgi-json": "tgi", "ollama": "ollama"}
"""Whose formats of requests they are; gateways' logs are of any engine."""
LOOKS_LIKE = "looks like "
LARGEST_TRACE_READ_BYTES = 64 * 2**20
MOST_MODELS = 20


def _site(sample: Sample) -> Evidence:
    site = read_site(sample.path)
    round_trip(sample.text(LARGEST_TEXT_BYTES), sample.label)
    return SiteFile(sample.label, site)


def _collectives(sample: Sample) -> Evidence:
    log = collectives.parse(sample.text(LARGEST_TEXT_BYTES), sample.label)
    return CollectiveFile(sample.label, tuple(log.collectives), tuple(log.accelerators))


def _looks_like_gpus(sample: Sample) -> bool:
    if marks.GPUS.are_in(sample):
        return True
    first = [] if sample.is_binary else sample.ends.split("\n", marks.HEADING_WITHIN)[: marks.HEADING_WITHIN]
    return any(query.columns_of(line) for line in first)


def _gpus(sample: Sample) -> Evidence:
    return GpuFile(sample.label, gpus.parse(sample.text(gpus.LARGEST_BYTES), sample.label))


def _looks_like_metrics(sample: Sample) -> bool:
    return (marks.ANSWER if sample.starts_as_json else marks.PAGE).are_in(sample)


def _metrics(sample: Sample) -> Evidence:
    """A page of an engine where an engine's names are on it, else of an exporter; the reader of either decides."""
    page = reader.parse(sample.text(reader.LARGEST_BYTES), sample.label)
    refusal: FerryError | None = None
    for engine in prometheus.engines_in(page.series):
        try:
            prometheus.engine_metrics([page], engine=engine, source=sample.label)
        except UnreadableInput as error:
            refusal = error
            continue
        label = engines.ENGINES[engine].model_label
        known = engines.known_names(engine)
        models = [one.labels.get(label, "") for one in page.series if label and engines.canonical(one.name) in known]
        return EngineFile(sample.label, engine, tuple(dict.fromkeys(name for name in models if name)))
    try:
        metrics = prometheus.cluster_metrics([page], source=sample.label).metrics
    except UnreadableInput as error:
        raise refusal or error from None
    return ExporterFile(
        sample.label,
        tuple((gpu.host or sample.label, gpu.model) for gpu in metrics.gpus),
        frozenset(machine.host for machine in metrics.machines),
    )


def _looks_like_deployment(sample: Sample) -> bool:
    if sample.is_binary:
        return False
    if deployments.looks_like(sample.name, sample.ends):
        return True
    # Whatever its name: a format and a program that it starts, but for documents and programs that mention both.
    mentions = "```" in sample.ends or marks.PYTHON.match(sample.ends)
    return not mentions and kind_of(sample.ends) is not None and bool(STARTS.search(sample.ends))


def _deployment(sample: Sample) -> Evidence:
    reading = deployments.parse(sample.text(deployments.LARGEST_BYTES), sample.label)
    if not reading.jobs:
        raise UnreadableInput(f"{sample.label}: starts no engine that Ferry knows and no training")
    return DeploymentFile(sample.label, tuple(reading.jobs))


def _looks_like_trace(sample: Sample) -> bool:
    if sample.is_binary:
        return sample.head.startswith(b"PAR1")
    # Engines' logs that tell nothing of single requests, too: the reader says what to start the engine with.
    if any(re.search(pattern, sample.ends) for pattern, _, _ in lines.THROUGHPUT):
        return True
    try:
        return trace_format(sample.path) is not None
    except UnreadableInput:
        return False


def _trace(sample: Sample) -> Evidence:
    """Small ones are read whole; of a large one, whose reading takes a minute, the head has to do."""
    if sample.size > LARGEST_TRACE_READ_BYTES:
        if (name := trace_format(sample.path)) is None:
            raise UnreadableInput(f"{sample.label}: its first mebibyte holds no request")
        return TraceFile(sample.label, sample.size, name, ENGINE_OF.get(name))
    with open_trace(sample.path, label=sample.label) as trace:
        named = trace.relation.filter("model IS NOT NULL").select("model").distinct().limit(MOST_MODELS).fetchall()
        names = tuple(sorted(str(name) for (name,) in named))
        return TraceFile(sample.label, sample.size, trace.format, ENGINE_OF.get(trace.format), names)


def _looks_like_model(sample: Sample) -> bool:
    if sample.is_binary:
        return sample.head.startswith(b"GGUF") or bool(marks.TENSORS.match(sample.head))
    return (marks.MODEL_JSON if sample.starts_as_json else marks.MODEL_TEXT).are_in(sample)


def _model(sample: Sample) -> Evidence:
    return ModelFound(sample.label, models.read_model(sample.path, sample.label).facts.architecture)


MODEL = Kind("model", "serving[].model", _looks_like_model, _model)
KINDS = (
    Kind(f"site.yaml ({SCHEMA})", "the base", marks.SITE.are_in, _site),
    Kind("collectives' log", "cluster.nccl_tests", marks.NCCL.are_in, _collectives),
    Kind("GPUs' state", "cluster.nvidia_smi", _looks_like_gpus, _gpus),
    Kind("metrics", "serving[].metrics", _looks_like_metrics, _metrics),
    Kind("deployment", "deployments", _looks_like_deployment, _deployment),
    Kind("requests", "serving[].requests", _looks_like_trace, _trace),
    MODEL,
)


@dataclass(frozen=True)
class Unrecognised:
    """Why no reader reads a file."""

    reason: str


def recognise(sample: Sample, *, without_models: bool = False) -> tuple[Kind, Evidence] | Unrecognised:
    """The kind of a file, and what it says; or why none of the readers reads it: the first one's reason."""
    refusals: list[str] = []
    for kind in KINDS:
        if (without_models and kind is MODEL) or not kind.marks(sample):
            continue
        try:
            return kind, kind.read(sample)
        except FerryError as error:
            said = without(without(str(error), sample.label), str(sample.path))
            refusals.append(f"{LOOKS_LIKE}{kind.name}: {said}")
    return Unrecognised(refusals[0] if refusals else "")
