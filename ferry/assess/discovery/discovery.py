"""`ferry assess --discover`: find what a folder holds of the inputs that Ferry reads, and propose a site.yaml."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ferry.artefacts import Deployment, Finding
from ferry.assess import deployments
from ferry.assess.discovery import base as given_site
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
from ferry.assess.discovery.folders import model_folders
from ferry.assess.discovery.kinds import LOOKS_LIKE, MODEL, Kind, Unrecognised, recognise
from ferry.assess.discovery.proposal import Places, Written, extended_site, new_site
from ferry.assess.discovery.sample import sample
from ferry.assess.discovery.servers import number, servers
from ferry.assess.discovery.services import Services, services
from ferry.assess.discovery.unknown import why_unknown
from ferry.assess.discovery.walk import Found, Skipped, Walk, shown, walk
from ferry.assess.site import to_fill_in
from ferry.errors import UnreadableInput

Progress = Callable[[int, str], None]


@dataclass(frozen=True)
class Used:
    """A file or model folder that is used: what it is, what it says, and the key of site.yaml that it goes under."""

    path: str
    kind: str
    says: str
    key: str


@dataclass(frozen=True)
class Discovery:
    """What a folder holds. `base` is the site.yaml that was there already; `site_yaml` is the one that is proposed."""

    folder: Path
    base: Path | None
    used: list[Used]
    skipped: list[Skipped]
    findings: list[Finding]
    site_yaml: str
    adds: int = 0
    """How many files and services the proposed site.yaml has over `base`."""
    to_fill_in: list[str] = field(default_factory=list)

    def dump(self) -> dict[str, Any]:
        """Everything as JSON types; paths with what is not printable as escapes."""
        return {
            "folder": shown(str(self.folder)),
            "base": None if self.base is None else shown(str(self.base)),
            "used": [asdict(one) | {"path": shown(one.path)} for one in self.used],
            "skipped": [{"path": shown(one.path), "reason": shown(one.reason)} for one in self.skipped],
            "findings": [finding.model_dump(mode="json") for finding in self.findings],
            "to_fill_in": self.to_fill_in,
            # YAML has dates, and JSON has none.
            "site": json.loads(json.dumps(yaml.safe_load(self.site_yaml), default=str)),
            "site_yaml": self.site_yaml,
        }


def discover(folder: Path, *, site: Path | None = None, progress: Progress | None = None) -> Discovery:
    """Find what lies in a folder. `site` is where the site.yaml is or will be; what is there already is extended.

    Nothing is written. Raises UnreadableInput when the folder cannot be read, and what `read_site` raises when `site`
    exists and is none.
    """
    walked = walk(folder)
    evidence, skipped, kinds = _recognised(walked, progress)
    base, others = given_site.choose(walked.root, [one for one in evidence if isinstance(one, SiteFile)], site)
    skipped += others
    found = _Sorted(evidence, base)
    written = Written(walked.root, (site.parent if site else base.path.parent if base else walked.root).resolve())
    known = servers(evidence)
    findings = [*known.findings, *found.services.findings]
    if base is None:
        text = new_site(known, found.services.services, found.training, found.places, written)
    else:
        findings += given_site.contradictions(base, known)
        text = extended_site(
            base.path.read_text(encoding="utf-8"),
            base.site,
            base.path.parent,
            found.services.services,
            found.places,
            written,
        )
    skipped += [*found.skipped, *found.services.skipped]
    gone = {one.path for one in skipped}
    used = [
        Used(one.path, kinds[one.path].name, _says(one), ", ".join(keys))
        for one in evidence
        if one.path not in gone and (keys := found.keys(one, kinds[one.path]))
    ]
    return Discovery(
        folder=folder,
        base=base.path if base else None,
        used=sorted(used, key=lambda one: one.path),
        skipped=sorted(skipped, key=lambda one: one.path),
        findings=findings,
        site_yaml=text,
        adds=found.adds if base else 0,
        to_fill_in=to_fill_in(yaml.safe_load(text)),
    )


def _recognised(walked: Walk, progress: Progress | None) -> tuple[list[Evidence], list[Skipped], dict[str, Kind]]:
    """Every file once: evidence, or a reason. What lies in a model folder and is of no other kind is the model's."""
    folders = model_folders(walked)
    evidence: list[Evidence] = list(folders.found)
    kinds = dict.fromkeys((one.path for one in folders.found), MODEL)
    skipped = [*folders.skipped, *walked.skipped]
    known = set(kinds) | {one.path for one in folders.skipped}
    for path, target in walked.links.items():
        if not folders.owns(path):
            skipped.append(Skipped(path, f"is a link to {target}, which is listed by itself"))
    for done, file in enumerate(walked.files, 1):
        if progress:
            progress(done, shown(file.path))
        if file.path in known:
            continue
        owned = folders.owns(file.path)
        result = _file(walked.root, file, owned)
        if isinstance(result, str):
            # Of a model's own files nothing is said; a damaged log among them is none of those.
            if not owned or result.startswith(LOOKS_LIKE):
                skipped.append(Skipped(file.path, result))
        else:
            kinds[file.path], one = result
            evidence.append(one)
    return evidence, skipped, kinds


def _file(root: Path, file: Found, owned: bool) -> tuple[Kind, Evidence] | str:
    if not file.path.isprintable():
        return "has a name that cannot stand in a site.yaml (line ends, control characters, not UTF-8): rename it"
    if file.bytes == 0:
        return "is empty"
    try:
        taken = sample(root / file.path, file.path, file.bytes)
    except UnreadableInput as error:
        return str(error).removeprefix(f"{file.path}: ")
    result = recognise(taken, without_models=owned)
    if isinstance(result, Unrecognised):
        return result.reason or why_unknown(taken)
    return result


class _Sorted:
    """The evidence put where it belongs in a site.yaml, and what is left over."""

    def __init__(self, evidence: Sequence[Evidence], base: given_site.Base | None) -> None:
        self.base = base
        named = base.named if base else frozenset()
        self.named = {one.path for one in evidence if base and (base.root / one.path).resolve() in named}
        fresh = [one for one in evidence if one.path not in self.named]
        self.services: Services = services(_with_combined_jobs(fresh), base.services(evidence) if base else ())
        self.training = [job for job in _jobs(fresh) if job.role == "training"]
        self.skipped: list[Skipped] = []
        self.places = Places(
            nvidia_smi=[one.path for one in fresh if isinstance(one, GpuFile)],
            nccl_tests=[one.path for one in fresh if isinstance(one, CollectiveFile)],
            exporters=[one.path for one in fresh if isinstance(one, ExporterFile)],
            deployments=[one.path for one in fresh if isinstance(one, DeploymentFile)],
        )
        if base and base.site.cluster.prometheus and self.places.exporters:
            reason = "is metrics of GPUs or servers; site.yaml asks cluster.prometheus for them"
            self.skipped += [Skipped(path, reason) for path in self.places.exporters]
            self.places.exporters = []
        if base:
            self._without_metrics_of_asked_services(base)

    @property
    def adds(self) -> int:
        """What is proposed over the base."""
        places = self.places
        lists = (places.nvidia_smi, places.nccl_tests, places.exporters, places.deployments)
        given = [one for one in self.services.services if one.given]
        new = len(self.services.services) - len(given)
        return (
            sum(map(len, lists))
            + new
            + sum(len(one.metrics) + (one.trace is not None and bool(one.trace_says)) for one in given)
        )

    def keys(self, one: Evidence, kind: Kind) -> list[str]:
        """The keys that a file goes under; none where it is of no service."""
        if isinstance(one, SiteFile):
            is_base = self.base and (self.base.root / one.path).resolve() == self.base.path.resolve()
            return [kind.key] if is_base else []
        if one.path in self.named:
            return ["named in site.yaml"]
        if isinstance(one, ExporterFile):
            return ["cluster.metrics"]
        if "[]" not in kind.key:
            return [kind.key]
        own = [service for service in self.services.services if service.holds(one.path)]
        return [kind.key.replace("[]", f"[{service.name}]") for service in own]

    def _without_metrics_of_asked_services(self, base: given_site.Base) -> None:
        for service, part in zip(self.services.services, base.site.serving, strict=False):
            if part.prometheus and service.metrics:
                reason = f"is metrics of {service.name}; site.yaml asks its prometheus for them"
                self.skipped += [Skipped(path, reason) for path, _ in service.metrics]
                service.metrics = []


def _jobs(evidence: Sequence[Evidence]) -> list[Deployment]:
    return deployments.combine([job for one in evidence if isinstance(one, DeploymentFile) for job in one.jobs])


def _with_combined_jobs(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Drop-ins put on their units, which may lie in another file."""
    rest = [one for one in evidence if not isinstance(one, DeploymentFile)]
    return [*rest, DeploymentFile("", tuple(_jobs(evidence)))]


def _says(one: Evidence) -> str:
    """What a file says, in a few words."""
    if isinstance(one, CollectiveFile):
        runs = [
            (run.operation or run.tool)
            + (f", {number(run.ranks, 'rank')}" if run.ranks else "")
            + (f" on {number(run.nodes, 'node')}" if run.nodes else "")
            for run in one.collectives
        ]
        return "; ".join(dict.fromkeys(runs))
    if isinstance(one, GpuFile):
        names = ", ".join(one.reading.names)
        return f"{', '.join(one.reading.kinds)}{f': {len(one.reading.gpus)} × {names}' if names else ''}"
    if isinstance(one, ExporterFile):
        return f"{number(len(one.gpus), 'GPU')}, {number(len(one.hosts), 'server')}"
    if isinstance(one, EngineFile):
        return f"{one.engine}{': ' + ', '.join(one.models) if one.models else ''}"
    if isinstance(one, TraceFile):
        return one.format
    if isinstance(one, ModelFound):
        return one.architecture
    if isinstance(one, DeploymentFile):
        return "; ".join(f"{job.name} ({job.engine or job.launcher or job.role})" for job in one.jobs)
    return one.site.name
