"""What a recognised file says that tells where it belongs: servers, services, training."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ferry.artefacts import Collective, Finding
from ferry.artefacts.deployment import Deployment
from ferry.assess.gpus import Reading
from ferry.assess.site import Site

NOT_A_NAME = frozenset({"", "model", "models", "weights", "checkpoint", "snapshot", "snapshots", "latest", "main"})
"""What folders are called that say nothing of the model in them."""
HUB_FOLDER = re.compile(r"models--(?:.+--)?(.+)")


def names_of(*texts: str | None) -> frozenset[str]:
    """What models and services are told by: the last part of a path or of an id, without case and punctuation."""
    last = (text.rstrip("/").rpartition("/")[2] for text in texts if text)
    return frozenset(name for text in last if (name := re.sub(r"[^a-z0-9]", "", text.casefold())) not in NOT_A_NAME)


@dataclass(frozen=True)
class SiteFile:
    """A site.yaml that is there already."""

    path: str
    site: Site


@dataclass(frozen=True)
class CollectiveFile:
    """A log of nccl-tests or its kin."""

    path: str
    collectives: tuple[Collective, ...]
    accelerators: tuple[str, ...]


@dataclass(frozen=True)
class GpuFile:
    """An output of nvidia-smi, rocm-smi or amd-smi."""

    path: str
    reading: Reading


@dataclass(frozen=True)
class ExporterFile:
    """Metrics of GPUs and servers: the server and the model of each GPU, and the servers without one."""

    path: str
    gpus: tuple[tuple[str, str | None], ...]
    hosts: frozenset[str]


@dataclass(frozen=True)
class EngineFile:
    """Metrics of an engine, with the names of the models that it serves."""

    path: str
    engine: str
    models: tuple[str, ...]


@dataclass(frozen=True)
class ModelFound:
    """A model folder."""

    path: str
    architecture: str
    engine: str | None = None
    """The engine whose store it lies in."""

    @property
    def title(self) -> str:
        """What it is called: its folder's name; in the Hugging Face Hub's cache and in Ollama's store the model's."""
        parts = self.path.split("/")
        if "manifests" in parts[:-2]:
            return parts[-2] if parts[-1] == "latest" else f"{parts[-2]}:{parts[-1]}"
        hub = [match[1] for part in parts if (match := HUB_FOLDER.fullmatch(part))]
        return hub[-1] if hub else parts[-1]

    @property
    def names(self) -> frozenset[str]:
        """What it may be served as."""
        return names_of(self.title, self.title.partition(":")[0])


@dataclass(frozen=True)
class TraceFile:
    """A request trace or log, the engine that wrote it, and the models that it names."""

    path: str
    bytes: int
    format: str
    engine: str | None = None
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeploymentFile:
    """What starts engines or training."""

    path: str
    jobs: tuple[Deployment, ...]


Evidence = SiteFile | CollectiveFile | GpuFile | ExporterFile | EngineFile | ModelFound | TraceFile | DeploymentFile


def differ(code: str, seen: Iterable[str], where: Iterable[str], means: str, remedy: str) -> Finding:
    """A finding that discovered files contradict each other."""
    places = list(dict.fromkeys(where))
    return Finding(
        severity="warning",
        code=code,
        seen="; ".join(seen),
        where=", ".join(places[:4]) + (f" and {len(places) - 4} more" if len(places) > 4 else ""),
        means=means,
        remedy=remedy,
    )
