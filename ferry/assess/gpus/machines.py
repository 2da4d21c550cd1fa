"""Puts the readings of all files together: one `Machine` a server, its GPUs grouped by what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from ferry.artefacts import Figure, GpuGroup, Machine, measured, unknown
from ferry.assess.gpus.reading import Gpu, Reading
from ferry.assess.gpus.topology import summarise


@dataclass(frozen=True)
class GpuSamples:
    """What the files of one server say of how busy it is. `utilization` holds a percentage per sample that has one."""

    file: str
    names: list[str]
    gpus: int
    lines: int
    utilization: list[float]


def by_machine(readings: Sequence[Reading]) -> list[list[Reading]]:
    """Readings of one server together: those that share the UUID of a GPU, or the name of the host.

    A file that names no UUID (a topology, dmon) cannot be assigned, and stands as a server of its own, unless there is
    only one other: then it is taken as that one's.
    """
    groups: list[list[Reading]] = []
    anonymous: list[Reading] = []
    for reading in readings:
        marks = _marks(reading)
        if not marks:
            anonymous.append(reading)
            continue
        same = [group for group in groups if any(marks & _marks(other) for other in group)]
        groups = [group for group in groups if group not in same]
        groups.append([*(other for group in same for other in group), reading])
    if len(groups) == 1:
        return [[*groups[0], *anonymous]]
    return [*groups, *([reading] for reading in anonymous)]


def samples_of(group: Sequence[Reading]) -> GpuSamples:
    """How busy one server was, over all of its files."""
    names = dict.fromkeys(name for reading in group for name in reading.names)
    return GpuSamples(
        file=", ".join(reading.file for reading in group),
        names=list(names),
        gpus=max((len(reading.gpus) for reading in group), default=0),
        lines=sum(reading.lines for reading in group),
        utilization=[value for reading in group for value in reading.utilization],
    )


def copies_of(group: Sequence[Reading]) -> list[tuple[Gpu, ...]]:
    """Each GPU of one server, as each of its files describes it; by the file that names most."""
    widest = max(group, key=lambda reading: (len(reading.gpus), any(gpu.texts for gpu in reading.gpus)))
    return [(gpu, *_same(gpu, group, widest)) for gpu in widest.gpus]


def machine(group: Sequence[Reading]) -> Machine:
    """The facts of one server."""
    kinds: dict[tuple[object, ...], list[tuple[Gpu, ...]]] = {}
    for copies in copies_of(group):
        key = (_text(copies, "name"), _number(copies, "memory_mib"), _flag(copies, "mig"), _flag(copies, "ecc"))
        kinds.setdefault(key, []).append(copies)
    driver = next((reading.driver for reading in group if reading.driver), None)
    cuda = next((reading.cuda for reading in group if reading.cuda), None)
    matrices = [matrix for reading in group for matrix in reading.matrices]
    return Machine(
        files=[reading.file for reading in group],
        gpus=[_group(members) for members in kinds.values()],
        driver=driver.value if driver else None,
        cuda=cuda.value if cuda else None,
        topologies=[summarise(matrix) for matrix in matrices],
    )


def _marks(reading: Reading) -> set[str]:
    marks = {gpu.uuid for gpu in reading.gpus if gpu.uuid}
    return {mark for mark in (*marks, reading.hostname) if mark}


def _same(gpu: Gpu, group: Sequence[Reading], own: Reading) -> list[Gpu]:
    """The same device in the other files of its server."""
    return [
        other
        for reading in group
        if reading is not own
        for other in reading.gpus
        if (gpu.uuid and other.uuid == gpu.uuid)
        or (not (gpu.uuid and other.uuid) and gpu.bus and other.bus == gpu.bus)
        or (not (gpu.uuid and other.uuid) and not (gpu.bus and other.bus) and gpu.index == other.index is not None)
    ]


def _group(members: list[tuple[Gpu, ...]]) -> GpuGroup:
    first = members[0]
    name, memory, limit = _text(first, "name"), _seen(first, "memory_mib"), _seen(first, "power_limit_w")
    busy = [value for copies in members for gpu in copies for value in gpu.utilization]
    power = [value for copies in members for gpu in copies for value in gpu.power_w]
    where = first[0].where
    instances = [
        instance.profile or f"{instance.memory_mib:g} MiB"
        for copies in members
        for gpu in copies[:1]
        for instance in gpu.mig.values()
        if instance.profile or instance.memory_mib is not None
    ]
    links = [gpu for copies in members for gpu in copies if gpu.links and not gpu.links_elided]
    return GpuGroup(
        name=name,
        count=len(members),
        memory_mib=measured(memory[0], "MiB", memory[1]) if memory else unknown("MiB", where),
        utilization=measured(round(fmean(busy), 2), "percent", where) if busy else unknown("percent", where),
        power_w=measured(round(fmean(power), 2), "W", where) if power else unknown("W", where),
        power_limit_w=measured(limit[0], "W", limit[1]) if limit else unknown("W", where),
        ecc=_said(_flag(first, "ecc")),
        ecc_uncorrected=_counted(members, "ecc_volatile", where),
        ecc_uncorrected_ever=_counted(members, "ecc_aggregate", where),
        mig=_said(_flag(first, "mig")),
        mig_instances=instances,
        nvlink_gb_s=measured(min(round(sum(gpu.links.values()), 3) for gpu in links), "GB/s", links[0].where)
        if links
        else unknown("GB/s", where),
    )


def _counted(members: list[tuple[Gpu, ...]], key: str, where: str) -> Figure:
    seen = [value for copies in members if (value := _seen(copies, key))]
    if not seen:
        return unknown("errors", where)
    return measured(sum(value for value, _ in seen), "errors", max(seen)[1])


def _seen(copies: Sequence[Gpu], key: str) -> tuple[float, str] | None:
    seen = [gpu.numbers[key] for gpu in copies if key in gpu.numbers]
    worst = max(seen, key=lambda one: one.value, default=None)
    return (worst.value, worst.where) if worst else None


def _number(copies: Sequence[Gpu], key: str) -> float | None:
    seen = _seen(copies, key)
    return seen[0] if seen else None


def _text(copies: Sequence[Gpu], key: str) -> str | None:
    texts = [gpu.texts[key].value for gpu in copies if key in gpu.texts]
    return next((text for text in texts if not text.endswith("...")), texts[0] if texts else None)


def _flag(copies: Sequence[Gpu], key: str) -> bool | None:
    return next((gpu.flags[key].value for gpu in copies if key in gpu.flags), None)


def _said(flag: bool | None) -> Literal["on", "off", "unknown"]:
    return "unknown" if flag is None else "on" if flag else "off"
