"""The site.yaml that is there already: which one, what it names, and where the files contradict it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from ferry.artefacts import Finding
from ferry.assess import gpus
from ferry.assess.discovery.evidence import EngineFile, Evidence, SiteFile, TraceFile, differ, names_of
from ferry.assess.discovery.servers import Servers
from ferry.assess.discovery.services import Service
from ferry.assess.discovery.walk import Skipped
from ferry.assess.site import Site, read_site


@dataclass(frozen=True)
class Base:
    """A site.yaml, and the folder that is searched."""

    path: Path
    site: Site
    root: Path

    @property
    def named(self) -> frozenset[Path]:
        """Every file and folder that it names; a model's folder may be named by its config.json."""
        paths = {(self.path.parent / path).resolve() for path in _paths(self.site)}
        return frozenset(paths | {path.parent for path in paths if path.name == "config.json"})

    def services(self, evidence: Sequence[Evidence]) -> list[Service]:
        """Its services, to which what is found is added. Metrics that it names say what its models are served as."""
        served = {
            (self.root / one.path).resolve(): names_of(*one.models) for one in evidence if isinstance(one, EngineFile)
        }
        found = []
        for part in self.site.serving:
            trace = (
                TraceFile(part.requests.trace.as_posix(), 0, part.requests.format or "records")
                if part.requests
                else None
            )
            names = set(names_of(part.name, part.model.as_posix()))
            for path in part.metrics:
                names |= served.get((self.path.parent / path).resolve(), frozenset())
            service = Service(part.name, names, part.engine, model=part.model.as_posix(), trace=trace, given=True)
            found.append(service)
        return found


def choose(root: Path, files: Sequence[SiteFile], site: Path | None) -> tuple[Base | None, list[Skipped]]:
    """The site.yaml to start from: `site` where it exists, else the one nearest to the root; of two as near, none."""
    if site is not None and site.exists():
        chosen = Base(site, read_site(site), root)
        others = [one for one in files if (root / one.path).resolve() != site.resolve()]
        return chosen, [Skipped(one.path, f"is another site.yaml than {site.name}, which was named") for one in others]
    depths = [one.path.count("/") for one in files]
    nearest = [one for one, depth in zip(files, depths, strict=True) if depth == min(depths)]
    if len(nearest) != 1:
        reason = "is one of several site.yaml that lie equally near: assess it by itself: ferry assess FILE"
        return None, [Skipped(one.path, reason) for one in files]
    chosen = Base(root / nearest[0].path, nearest[0].site, root)
    reason = f"is another site.yaml; {nearest[0].path} is nearer and is the base"
    return chosen, [Skipped(one.path, reason) for one in files if one is not nearest[0]]


def contradictions(base: Base, found: Servers) -> list[Finding]:
    """Where the files say otherwise than the user's site.yaml, which stays as it is."""
    cluster = base.site.cluster
    pairs = (
        ("nodes", str(cluster.nodes), found.nodes, found.nodes is not None and found.nodes.value > cluster.nodes),
        (
            "gpus_per_node",
            str(cluster.gpus_per_node),
            found.gpus_per_node,
            found.gpus_per_node is not None and found.gpus_per_node.value != cluster.gpus_per_node,
        ),
        (
            "accelerator",
            cluster.accelerator,
            found.accelerator,
            found.accelerator is not None and not gpus.same_model(found.accelerator.value, cluster.accelerator),
        ),
    )
    return [
        differ(
            "discovered-contradicts-site",
            [f"cluster.{key} is {stated}", claim.says],
            [str(base.path), *claim.files],
            "either the site has changed, or a file is of other machines; site.yaml stays as it is",
            f"correct cluster.{key}, or take out the files that are not of this site",
        )
        for key, stated, claim, differs in pairs
        if claim is not None and differs
    ]


def _paths(part: BaseModel) -> Iterator[Path]:
    for name in type(part).model_fields:
        value = getattr(part, name)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, BaseModel):
                yield from _paths(item)
            elif isinstance(item, Path):
                yield item
