"""Which files belong to one service: by the model's name, the path it is loaded from, and the engine.

What could belong to several is given to none: it is named with the services that it could belong to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ferry.artefacts import Finding
from ferry.artefacts.deployment import Deployment
from ferry.assess.discovery.evidence import (
    DeploymentFile,
    EngineFile,
    Evidence,
    ModelFound,
    TraceFile,
    differ,
    names_of,
)
from ferry.assess.discovery.walk import Skipped


@dataclass
class Service:
    """One service. Each value has beside it why it is thought to be of it. `given`: the user's site.yaml has it."""

    name: str
    names: set[str]
    engine: str | None = None
    engine_says: str = ""
    model: str | None = None
    model_says: str = ""
    metrics: list[tuple[str, str]] = field(default_factory=list)
    trace: TraceFile | None = None
    trace_says: str = ""
    jobs: list[Deployment] = field(default_factory=list)
    given: bool = False

    def holds(self, path: str) -> bool:
        """Whether a file or model is of this service."""
        trace = [self.trace.path] if self.trace else []
        return path in (self.model, *trace, *(own for own, _ in self.metrics))

    def is_named(self, names: Iterable[str]) -> bool:
        """Whether one of these names is its own."""
        return not self.names.isdisjoint(names)


@dataclass
class Services:
    """All services, the files that belong to none, and the contradictions."""

    services: list[Service] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def services(evidence: Sequence[Evidence], given: Sequence[Service] = ()) -> Services:
    """Put together what belongs together, starting from the services that are given."""
    found = Services(list(given))
    for item in evidence:
        if isinstance(item, DeploymentFile):
            for job in item.jobs:
                if job.role == "serving":
                    _job(job, found)
    for item in evidence:
        if isinstance(item, EngineFile):
            _metrics(item, found)
    _models([item for item in evidence if isinstance(item, ModelFound)], found)
    _traces([item for item in evidence if isinstance(item, TraceFile)], found)
    found.findings += _ports(found.services)
    # A page of several models may belong to one service and not to another: then it is used.
    used = {path for service in found.services for path, _ in service.metrics}
    found.skipped = list({one.path: one for one in found.skipped if one.path not in used}.values())
    return found


def slug(*texts: str | None) -> str:
    """The first text that a name can be made of, as site.yaml wants names."""
    for text in texts:
        last = (text or "").rstrip("/").rpartition("/")[2].casefold()
        name = re.sub(r"[^a-z0-9]+", "-", last).strip("-").lstrip("0123456789-")[:40].rstrip("-")
        if name:
            return name
    return "service"


def _add(found: Services, service: Service) -> Service:
    taken = {other.name for other in found.services}
    name, number = service.name, 2
    while service.name in taken:
        service.name, number = f"{name[:37]}-{number}", number + 1
    found.services.append(service)
    return service


def _job(job: Deployment, found: Services) -> None:
    names = names_of(job.model, *job.served_names)
    same = [one for one in found.services if one.is_named(names) and one.engine in (None, job.engine)]
    if not same and not names:
        same = [one for one in found.services if one.name == slug(job.name)]
    service = same[0] if same else _add(found, Service(slug(*job.served_names, job.model, job.name), set()))
    service.names |= names
    service.jobs.append(job)
    if service.engine is None and job.engine is not None:
        service.engine, service.engine_says = job.engine, f"{job.where} starts it"


def _metrics(item: EngineFile, found: Services) -> None:
    """Each model that the metrics are of: to the service of its name, else to a new one."""
    for model in item.models or ("",):
        names = names_of(model)
        named = [one for one in found.services if one.is_named(names)]
        alike = [one for one in named if one.engine in (None, item.engine)]
        unnamed = [one for one in found.services if one.engine == item.engine and (not names or not one.names)]
        says = f"{item.engine}'s{', of ' + model if model else ''}"
        if alike:
            for service in alike:
                _take(service, item, says)
        elif named:
            _other_engine(item, named[0], says, found)
        elif len(unnamed) == 1:
            _take(unnamed[0], item, f"{says}; the only service on it")
        elif unnamed:
            found.skipped.append(_ambiguous(item.path, f"metrics of {item.engine}", "metrics", unnamed))
        else:
            _take(_add(found, Service(slug(model, item.engine), set(names))), item, says)


def _take(service: Service, item: EngineFile, says: str) -> None:
    if item.path not in (path for path, _ in service.metrics):
        service.metrics.append((item.path, says))
    if service.engine is None:
        service.engine, service.engine_says = item.engine, f"{item.path} is its metrics"


def _other_engine(item: EngineFile, service: Service, says: str, found: Services) -> None:
    found.findings.append(
        differ(
            "discovered-engines-differ",
            [f"{service.name}: {service.engine} ({service.engine_says or 'site.yaml'})", f"metrics of {item.engine}"],
            [*(job.file for job in service.jobs), item.path],
            "the metrics are of another engine than the one that is started"
            + ("; site.yaml's stays" if service.given else "; the one that was measured is proposed"),
            "give the metrics of the engine that serves now, or correct serving.engine",
        )
    )
    if service.given or service.metrics:
        found.skipped.append(
            Skipped(item.path, f"is metrics of {item.engine}, and {service.name} is on {service.engine}")
        )
    else:
        service.engine, service.engine_says = item.engine, f"{item.path} is its metrics"
        service.metrics.append((item.path, says))


def _models(models: Sequence[ModelFound], found: Services) -> None:
    without_a_service: list[ModelFound] = []
    for item in models:
        named = [one for one in found.services if one.is_named(item.names)]
        free = [one for one in named if one.model is None]
        if free:
            for service in free:
                service.model, service.model_says = item.path, "its name is the one that is served"
        elif any(one.model == item.path for one in found.services):
            continue
        elif named:
            found.skipped.append(Skipped(item.path, f"{named[0].name} has the model {named[0].model} already"))
            found.findings.append(
                differ(
                    "discovered-models-differ",
                    [f"{named[0].name} could be served from {named[0].model} and from {item.path}"],
                    [str(named[0].model), item.path],
                    f"only one of them is what the engine loads; {named[0].model} is proposed",
                    "correct serving.model",
                )
            )
        else:
            without_a_service.append(item)
    waiting = [one for one in found.services if one.model is None]
    if not found.services:
        for item in without_a_service:
            service = Service(
                slug(item.title if item.names else None, item.architecture), set(item.names), model=item.path
            )
            service.model_says = "a model; no file says what serves it"
            if item.engine:
                service.engine, service.engine_says = item.engine, "the model lies in its store"
            _add(found, service)
    elif len(without_a_service) == 1 == len(waiting):
        waiting[0].model = without_a_service[0].path
        waiting[0].model_says = "the only model, and the only service without one; their names do not say so"
    else:
        names = ", ".join(one.name for one in waiting[:5]) + (" …" if len(waiting) > 5 else "")
        for item in without_a_service:
            reason = "is a model that nothing here serves: add it under serving if it is served"
            if waiting:
                reason = f"is a model, and no service is named like it; without a model are {names}: name it under one"
            found.skipped.append(Skipped(item.path, reason))


def _traces(traces: Sequence[TraceFile], found: Services) -> None:
    for item in sorted(traces, key=lambda one: (one.engine is not None, -one.bytes, one.path)):
        named = [one for one in found.services if one.is_named(names_of(*item.models))]
        of_engine = [one for one in found.services if item.engine and one.engine == item.engine]
        could = named or of_engine or [one for one in found.services if not (item.engine and one.engine)]
        if not could:
            service = Service(slug(*item.models, item.engine), set(names_of(*item.models)))
            could = [_add(found, service)]
        if len(could) > 1:
            found.skipped.append(_ambiguous(item.path, f"requests ({item.format})", "requests", could))
        elif could[0].trace is not None:
            found.skipped.append(
                Skipped(
                    item.path,
                    f"is requests ({item.format}); {could[0].name} has {could[0].trace.path} already, and takes one",
                )
            )
        else:
            could[0].trace = item
            reason = f"the only service on {item.engine}" if of_engine else "the only service"
            could[0].trace_says = "names its model" if named else reason
            if could[0].engine is None and item.engine is not None:
                could[0].engine, could[0].engine_says = item.engine, f"{item.path} is its log"


def _ambiguous(path: str, what: str, key: str, could: Sequence[Service]) -> Skipped:
    names = ", ".join(one.name for one in could[:5]) + (" …" if len(could) > 5 else "")
    return Skipped(path, f"is {what}, and could belong to each of {names}: name it under {key} of the right one")


def _ports(all_services: Sequence[Service]) -> list[Finding]:
    """Two models on one port of what may be one server. Pods have addresses of their own."""
    by_port: dict[int, list[tuple[Service, Deployment]]] = {}
    for service in all_services:
        for job in service.jobs:
            if job.port is not None and job.kind != "kubernetes":
                by_port.setdefault(job.port, []).append((service, job))
    return [
        differ(
            "discovered-port-twice",
            [f"port {port}: {service.name} ({job.model or 'model not stated'})" for service, job in sharing],
            [job.where for _, job in sharing],
            "on one server only one of them can listen there; which model was measured is in doubt",
            "say which of the files is in use, and take the others out of the folder",
        )
        for port, sharing in by_port.items()
        if len({id(service) for service, _ in sharing}) > 1
    ]
