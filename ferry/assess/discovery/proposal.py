"""Writes the site.yaml that discovery proposes: each value with where it comes from, what is missing marked as such."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import SingleQuotedScalarString
from yaml import SafeLoader, ScalarNode

from ferry.artefacts.deployment import Deployment
from ferry.assess.discovery.servers import Claim, Servers
from ferry.assess.discovery.services import Service, slug
from ferry.assess.discovery.walk import shown
from ferry.assess.site import SCHEMA, TO_FILL_IN, Site
from ferry.errors import UnreadableInput

HEAD = f"""\
# Proposed by ferry assess --discover: each value has beside it where it comes from.
# {TO_FILL_IN} stands where no file can say it: fill it in, then: ferry assess THIS-FILE
"""
COSTS = """\
  # Each of these is unknown, never 0, until you say it:
  # servers: {count: 2, price_each: 200000, lifetime_months: 36, residual_share: 0.25}
  # nvme_array: 50000
  # cooling: 30000
  # power: {kw_full_load: 20, kw_idle: 6, price_per_kwh: 0.12, pue: 1.5}
  # staff: {people: 1, price_per_person_year: 150000}
  # reliability: {mtbf_hours: 700, mttr_hours: 6}
"""


@dataclass
class Places:
    """Which files go where: lists of paths relative to the folder that was searched."""

    nvidia_smi: list[str] = field(default_factory=list)
    nccl_tests: list[str] = field(default_factory=list)
    exporters: list[str] = field(default_factory=list)
    deployments: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Written:
    """Paths as they stand in a site.yaml that lies in `folder`, of files below `root`."""

    root: Path
    folder: Path

    def __call__(self, path: str) -> str:
        """The path of a file below the root."""
        return _text(PurePath(os.path.relpath(self.root / path, self.folder)).as_posix())


def new_site(
    found: Servers, services: Sequence[Service], training: Sequence[Deployment], places: Places, written: Written
) -> str:
    """The text of a site.yaml from nothing but what was found."""
    site = CommentedMap()
    site["schema"] = SCHEMA
    _put(site, "name", slug(written.root.name, "site"), "the folder's name")
    location = CommentedMap()
    _put(location, "country", TO_FILL_IN, "ISO 3166 code: US, CN, DE")
    _put(location, "time_zone", TO_FILL_IN, "IANA name: America/New_York")
    site["location"] = location
    site["cluster"] = _cluster(found, training, places, written)
    site["serving"] = CommentedSeq(_service(one, written) for one in services or [Service("service", set())])
    if training:
        site["training"] = CommentedSeq(_training(job, name) for job, name in _named(training))
    if places.deployments:
        site["deployments"] = _list(places.deployments, written)
    costs = CommentedMap()
    _put(costs, "currency", TO_FILL_IN, "ISO 4217 code: USD, CNY")
    site["costs"] = costs
    return HEAD + dumped(site) + COSTS


def extended_site(
    text: str, site: Site, folder: Path, services: Sequence[Service], places: Places, written: Written
) -> str:
    """The user's own site.yaml, comments and all, with what was found besides; paths from where it will lie."""
    document = round_trip(text, "site.yaml")
    if folder.resolve() != written.folder.resolve():
        _move(site, document, Written(folder.resolve(), written.folder))
    cluster = document["cluster"]
    for key, paths in (
        ("nvidia_smi", places.nvidia_smi),
        ("nccl_tests", places.nccl_tests),
        ("metrics", places.exporters),
    ):
        _extend(cluster, key, paths, written)
    for entry, service in zip(list(document["serving"]), services, strict=False):
        _extend(entry, "metrics", [path for path, _ in service.metrics], written)
        if service.trace is not None and service.trace_says:
            entry["requests"] = _requests(service, written)
    document["serving"].extend(_service(one, written) for one in services[len(site.serving) :])
    _extend(document, "deployments", places.deployments, written)
    return dumped(document)


def dumped(document: CommentedMap) -> str:
    """As text, in the order and with the comments that it has."""
    stream = io.StringIO()
    _yaml().dump(document, stream)
    return stream.getvalue()


def _yaml() -> YAML:
    yaml = YAML()
    yaml.width = 100_000  # a path is never folded
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.preserve_quotes = True
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return yaml


def round_trip(text: str, label: str) -> CommentedMap:
    """A site.yaml with its comments. Raises UnreadableInput for what cannot be written again, such as a key twice."""
    try:
        document = _yaml().load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(getattr(error, "problem", None) or error).split())[:200]
        raise UnreadableInput(f"{label}: cannot be extended: {said}") from error
    if not isinstance(document, CommentedMap):
        raise UnreadableInput(f"{label}: cannot be extended: it is no mapping")
    return document


def _text(value: str) -> str:
    """A text that YAML 1.1, which site.yaml is read as, takes for one, too: `no` and `1:30` need quotes there."""
    tag = SafeLoader("").resolve(ScalarNode, value, (True, False))  # type: ignore[no-untyped-call]
    return value if tag == "tag:yaml.org,2002:str" else SingleQuotedScalarString(value)


def _put(into: CommentedMap, key: str, value: Any, says: str) -> None:
    into[key] = _text(value) if isinstance(value, str) else value
    if says:
        into.yaml_add_eol_comment(" ".join(shown(says).split())[:200], key)


def _claim(into: CommentedMap, key: str, claim: Claim[Any] | None, otherwise: str) -> None:
    if claim is None:
        _put(into, key, TO_FILL_IN, otherwise)
    else:
        more = f" and {len(claim.files) - 2} more" if len(claim.files) > 2 else ""
        _put(into, key, claim.value, f"{claim.says}: {', '.join(claim.files[:2])}{more}")


def _cluster(found: Servers, training: Sequence[Deployment], places: Places, written: Written) -> CommentedMap:
    cluster = CommentedMap()
    _claim(cluster, "nodes", found.nodes, "how many GPU servers")
    _claim(cluster, "gpus_per_node", found.gpus_per_node, "GPUs in each; nvidia-smi -L lists them")
    _claim(cluster, "accelerator", found.accelerator, "such as A100-SXM4-80GB; nvidia-smi -L names it")
    for key, paths in (
        ("nvidia_smi", places.nvidia_smi),
        ("nccl_tests", places.nccl_tests),
        ("metrics", places.exporters),
    ):
        if paths:
            cluster[key] = _list(paths, written)
    return cluster


def _service(service: Service, written: Written) -> CommentedMap:
    entry = CommentedMap()
    entry["name"] = _text(service.name)
    _put(
        entry,
        "model",
        TO_FILL_IN if service.model is None else written(service.model),
        service.model_says or "the folder that the engine loads the model from",
    )
    _put(
        entry,
        "engine",
        service.engine or TO_FILL_IN,
        service.engine_says or "vllm, sglang, tgi, triton, tensorrt-llm or ollama",
    )
    if service.metrics:
        entry["metrics"] = CommentedSeq(written(path) for path, _ in service.metrics)
        for number, (_, says) in enumerate(service.metrics):
            entry["metrics"].yaml_add_eol_comment(" ".join(shown(says).split())[:200], number)
    if service.trace is not None:
        entry["requests"] = _requests(service, written)
    return entry


def _requests(service: Service, written: Written) -> CommentedMap:
    requests = CommentedMap()
    if service.trace is not None:
        _put(requests, "trace", written(service.trace.path), service.trace_says)
        requests["format"] = service.trace.format
    return requests


def _named(training: Sequence[Deployment]) -> list[tuple[Deployment, str]]:
    taken: list[str] = []
    for job in training:
        name, number = slug(job.name, "training"), 2
        while name in taken:
            name, number = f"{slug(job.name, 'training')[:37]}-{number}", number + 1
        taken.append(name)
    return list(zip(training, taken, strict=True))


def _training(job: Deployment, name: str) -> CommentedMap:
    entry = CommentedMap()
    _put(entry, "name", name, f"{job.where} starts it")
    entry["launcher"] = _text(job.launcher or job.kind)
    _put(entry, "nodes", job.nodes or 1, job.at("nodes") if job.nodes else "assumed: the file names no number of nodes")
    return entry


def _list(paths: Sequence[str], written: Written) -> CommentedSeq:
    return CommentedSeq(written(path) for path in paths)


def _extend(entry: CommentedMap, key: str, paths: Sequence[str], written: Written) -> None:
    if paths:
        entry[key] = [*(entry.get(key) or []), *(written(path) for path in paths)]


def _move(part: BaseModel, document: Any, written: Written) -> None:
    """Write every path of the format anew, wherever it stands."""
    for name, info in type(part).model_fields.items():
        key = info.alias or name
        value = getattr(part, name)
        if not isinstance(document, dict) or document.get(key) is None:
            continue
        if isinstance(value, BaseModel):
            _move(value, document[key], written)
        elif isinstance(value, Path):
            document[key] = written(str(value))
        elif isinstance(value, list):
            for number, item in enumerate(value):
                if isinstance(item, BaseModel):
                    _move(item, document[key][number], written)
                elif isinstance(item, Path):
                    document[key][number] = written(str(item))
