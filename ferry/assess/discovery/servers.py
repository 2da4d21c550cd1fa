"""How many servers, how many GPUs in each, and which: what the discovered files say together, and where they differ."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ferry.artefacts import Finding
from ferry.assess import gpus
from ferry.assess.discovery.evidence import CollectiveFile, DeploymentFile, Evidence, ExporterFile, GpuFile, differ

T = TypeVar("T")


@dataclass(frozen=True)
class Claim(Generic[T]):
    """A value that files claim, and which of them. `says` is it in words."""

    value: T
    says: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Servers:
    """What is known of the servers. A claim is None where no file says anything of it."""

    nodes: Claim[int] | None
    gpus_per_node: Claim[int] | None
    accelerator: Claim[str] | None
    findings: list[Finding] = field(default_factory=list)


def servers(evidence: Sequence[Evidence]) -> Servers:
    """What the files say of the servers: the most nodes that any of them saw; of GPUs what the machines themselves say.

    Captures are seldom of all servers, so that a smaller number of nodes is no contradiction but a part; two numbers of
    GPUs in a server, or two accelerators, are one.
    """
    captures = _by_server([item for item in evidence if isinstance(item, GpuFile)])
    nodes = [*_nodes_of_captures(captures), *_nodes_of_logs(evidence), *_nodes_of_exporters(evidence)]
    nodes += _nodes_of_jobs(evidence)
    per_node = [*_gpus_of_captures(captures), *_gpus_of_exporters(evidence), *_gpus_of_logs(evidence)]
    names = [*_names_of_captures(captures), *_names_of_logs(evidence), *_names_of_exporters(evidence)]
    findings: list[Finding] = []
    if len({claim.value for claim in per_node}) > 1:
        findings.append(
            differ(
                "discovered-gpus-per-node-differ",
                [claim.says for claim in per_node],
                [file for claim in per_node for file in claim.files],
                f"either the servers differ, or a file is of other machines; {per_node[0].value} is proposed",
                "correct cluster.gpus_per_node, and take out the files that are not of this site",
            )
        )
    if others := [claim for claim in names if not gpus.same_model(claim.value, names[0].value)]:
        findings.append(
            differ(
                "discovered-accelerators-differ",
                [claim.says for claim in (names[0], *others)],
                [file for claim in (names[0], *others) for file in claim.files[:2]],
                f"either the site has several, or a file is of other machines; {names[0].value} is proposed",
                "correct cluster.accelerator, and take out the files that are not of this site",
            )
        )
    return Servers(
        max(nodes, key=lambda claim: claim.value, default=None),
        per_node[0] if per_node else None,
        names[0] if names else None,
        findings,
    )


def _by_server(files: Sequence[GpuFile]) -> list[list[GpuFile]]:
    by_reading = {id(item.reading): item for item in files}
    return [[by_reading[id(one)] for one in group] for group in gpus.by_machine([item.reading for item in files])]


def _paths(files: Iterable[GpuFile | CollectiveFile | ExporterFile | DeploymentFile]) -> tuple[str, ...]:
    return tuple(item.path for item in files)


def _is_told_apart(group: Sequence[GpuFile]) -> bool:
    """Whether a host's name or a GPU's UUID tells this server from the others."""
    return any(item.reading.hostname or any(gpu.uuid for gpu in item.reading.gpus) for item in group)


def _nodes_of_captures(captures: Sequence[Sequence[GpuFile]]) -> list[Claim[int]]:
    known = [group for group in captures if _is_told_apart(group)]
    files = _paths(item for group in known or captures for item in group)
    if known:
        return [Claim(len(known), f"the GPUs' states are of {number(len(known), 'server')}", files)]
    return [Claim(1, "the GPUs' states name no server: at least one", files)] if captures else []


def _nodes_of_logs(evidence: Sequence[Evidence]) -> list[Claim[int]]:
    by_nodes: dict[int, list[str]] = defaultdict(list)
    for item in evidence:
        if isinstance(item, CollectiveFile):
            for run in item.collectives:
                by_nodes[run.nodes or 0].append(item.path)
    return [
        Claim(count, f"a collective ran on {number(count, 'server')}", tuple(files))
        for count, files in by_nodes.items()
        if count
    ]


def _nodes_of_exporters(evidence: Sequence[Evidence]) -> list[Claim[int]]:
    files = [item for item in evidence if isinstance(item, ExporterFile)]
    hosts = {host for item in files for host in (*item.hosts, *(host for host, _ in item.gpus))}
    return [Claim(len(hosts), f"the exporters name {number(len(hosts), 'server')}", _paths(files))] if hosts else []


def _nodes_of_jobs(evidence: Sequence[Evidence]) -> list[Claim[int]]:
    return [
        Claim(job.nodes, f"{job.name} asks for {number(job.nodes, 'server')}", (item.path,))
        for item in evidence
        if isinstance(item, DeploymentFile)
        for job in item.jobs
        if job.nodes
    ]


def _gpus_of_captures(captures: Sequence[Sequence[GpuFile]]) -> list[Claim[int]]:
    by_count: dict[int, list[str]] = defaultdict(list)
    servers_with: Counter[int] = Counter()
    for group in captures:
        if count := max(len(item.reading.gpus) for item in group):
            by_count[count] += _paths(group)
            servers_with[count] += 1
    ordered = sorted(servers_with, key=lambda count: (-servers_with[count], -count))
    return [
        Claim(count, f"{number(servers_with[count], 'server')} with {number(count, 'GPU')}", tuple(by_count[count]))
        for count in ordered
    ]


def _gpus_of_exporters(evidence: Sequence[Evidence]) -> list[Claim[int]]:
    files = [item for item in evidence if isinstance(item, ExporterFile) and item.gpus]
    by_host = Counter(host for item in files if isinstance(item, ExporterFile) for host, _ in item.gpus)
    return [
        Claim(count, f"the exporters name {number(count, 'GPU')} in a server", _paths(files))
        for count, _ in Counter(by_host.values()).most_common()
    ]


def _gpus_of_logs(evidence: Sequence[Evidence]) -> list[Claim[int]]:
    found: dict[int, list[str]] = defaultdict(list)
    for item in evidence:
        if isinstance(item, CollectiveFile):
            for run in item.collectives:
                # One node alone may have been measured on some of its GPUs; several are started on all of them.
                if run.ranks and run.nodes and run.nodes > 1 and run.ranks % run.nodes == 0:
                    found[run.ranks // run.nodes].append(item.path)
    return [
        Claim(count, f"a collective ran on {number(count, 'GPU')} a server", tuple(files))
        for count, files in sorted(found.items(), reverse=True)
    ]


def _names_of_captures(captures: Sequence[Sequence[GpuFile]]) -> list[Claim[str]]:
    counted: Counter[str] = Counter()
    files: dict[str, list[str]] = defaultdict(list)
    for group in captures:
        for name in dict.fromkeys(name for item in group for name in item.reading.names):
            counted[name] += 1
            files[name] += [item.path for item in group if name in item.reading.names]
    # A name that nvidia-smi's table cut off is used only where no other file has the whole.
    ordered = sorted(counted, key=lambda name: (name.endswith("..."), -counted[name]))
    return [Claim(name, f"the GPUs' states say {name}", tuple(files[name])) for name in ordered]


def _names_of_logs(evidence: Sequence[Evidence]) -> list[Claim[str]]:
    files = [item for item in evidence if isinstance(item, CollectiveFile)]
    return _each_once([(name, item.path) for item in files for name in item.accelerators], "a collective's log")


def _names_of_exporters(evidence: Sequence[Evidence]) -> list[Claim[str]]:
    files = [item for item in evidence if isinstance(item, ExporterFile)]
    return _each_once([(name, item.path) for item in files for _, name in item.gpus if name], "an exporter")


def number(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _each_once(names: Iterable[tuple[str, str]], who: str) -> list[Claim[str]]:
    """Claims of names, each once, with all of the files that make it."""
    files: dict[str, list[str]] = defaultdict(list)
    for name, path in names:
        files[name].append(path)
    return [Claim(name, f"{who} says {name}", tuple(dict.fromkeys(paths))) for name, paths in files.items()]
