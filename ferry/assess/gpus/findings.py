"""What the GPUs' own state means for the move: memory errors, MIG, throttling, drivers, links, contradictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ferry.artefacts import Cluster, Finding
from ferry.assess.gpus.drivers import about_driver
from ferry.assess.gpus.machines import copies_of
from ferry.assess.gpus.names import stated_memory_gib
from ferry.assess.gpus.reading import Gpu, Reading
from ferry.assess.gpus.topology import NVLINK, summarise

THERMAL = {"hw_slowdown", "hw_thermal_slowdown", "sw_thermal_slowdown", "hw_power_brake_slowdown", "thermal_violation"}
AMD = {"rocm-smi", "amd-smi"}
WHOLE = {"nvidia-smi", "nvidia-smi -q", "nvidia-smi -q -x", "nvidia-smi -L", "nvidia-smi topo -m", "rocm-smi"}
"""Outputs that name all GPUs of a server, unless they are limited with `-i`."""
MEMORY_TOLERANCE = 0.15
"""A driver shows less than is sold: 79.6 GiB of an `80GB`, 44.5 of a 48 GB card with ECC in its own memory."""


@dataclass(frozen=True)
class Rule:
    """One thing that may be wrong with a GPU: `place` says where it stands when it is so."""

    severity: Literal["info", "warning", "critical"]
    code: str
    seen: str
    means: str
    remedy: str
    place: Callable[[Gpu], str | None]


def about_machines(machines: Sequence[Sequence[Reading]], cluster: Cluster) -> list[Finding]:
    """Everything that is said of the servers' GPUs but not of how busy they are. One finding a server and matter."""
    readings = [reading for group in machines for reading in group]
    found = [finding for reading in readings for finding in reading.findings]
    found += _about_drivers(readings)
    found += _about_gaps(machines)
    for group in machines:
        gpus = copies_of(group)
        for rule in RULES:
            places = {_label(copies): place for copies in gpus if (place := _place(rule, copies))}
            if places:
                found.append(_finding(rule, places))
        found += _about_count(group, cluster)
        found += _about_memory(gpus, cluster)
        for reading in group:
            found += _about_several_topologies(reading)
            found += _about_cut_off(reading)
    return found


def _label(copies: Sequence[Gpu]) -> str:
    return next((gpu.label for gpu in copies if gpu.index is not None), copies[0].label)


def _place(rule: Rule, copies: Sequence[Gpu]) -> str | None:
    return next((place for gpu in copies if (place := rule.place(gpu))), None)


def _finding(rule: Rule, places: dict[str, str]) -> Finding:
    labels = list(places)
    which = f"GPU{'s' if len(labels) > 1 else ''} {', '.join(labels[:8])}{', …' if len(labels) > 8 else ''}"
    return Finding(
        severity=rule.severity,
        code=rule.code,
        seen=f"{which}: {rule.seen}",
        where=next(iter(places.values())),
        means=rule.means,
        remedy=rule.remedy,
    )


def _counted(*keys: str) -> Callable[[Gpu], str | None]:
    def place(gpu: Gpu) -> str | None:
        seen = [gpu.numbers[key] for key in keys if key in gpu.numbers]
        return next((number.where for number in seen if number.value), None)

    return place


def _flagged(*keys: str, is_on: bool = True) -> Callable[[Gpu], str | None]:
    def place(gpu: Gpu) -> str | None:
        seen = [gpu.flags[key] for key in keys if key in gpu.flags]
        return next((flag.where for flag in seen if flag.value is is_on), None)

    return place


def _only_ever(gpu: Gpu) -> str | None:
    return None if _counted("ecc_volatile")(gpu) else _counted("ecc_aggregate")(gpu)


def _needs_recovery(gpu: Gpu) -> str | None:
    action = gpu.texts.get("recovery")
    return action.where if action else _flagged("reset_required")(gpu)


def _fabric(gpu: Gpu) -> str | None:
    state, status = gpu.texts.get("fabric_state"), gpu.texts.get("fabric_status")
    if state and state.value.casefold() in ("not started", "in progress"):
        return state.where
    return status.where if status and status.value.casefold() != "success" else None


def _throttled(reasons: set[str], without: Iterable[str] = ()) -> Callable[[Gpu], str | None]:
    def place(gpu: Gpu) -> str | None:
        if any(reason in gpu.throttled for reason in without):
            return None
        return next((gpu.throttled[reason] for reason in gpu.throttled if reason in reasons), None)

    return place


def _server_gpu_without_persistence(gpu: Gpu) -> str | None:
    """Persistence matters where nothing else keeps the driver loaded: no display, and no desktop card."""
    desktop = "name" in gpu.texts and "GEFORCE" in gpu.texts["name"].value.upper()
    if desktop or _flagged("display")(gpu):
        return None
    return _flagged("persistence", is_on=False)(gpu)


def _narrow(gpu: Gpu) -> str | None:
    width, most = gpu.numbers.get("pcie_width"), gpu.numbers.get("pcie_width_max")
    return width.where if width and most and 0 < width.value < most.value else None


RULES = (
    Rule(
        "critical",
        "gpu-ecc-uncorrected",
        "uncorrected memory errors since the driver was loaded",
        "answers and gradients computed there may be wrong; nothing measured on this GPU is to be trusted",
        "nvidia-smi -q -d ECC,ROW_REMAPPER; drain the server, reset the GPU, replace it when the errors return",
        _counted("ecc_volatile"),
    ),
    Rule(
        "warning",
        "gpu-ecc-uncorrected-ever",
        "uncorrected memory errors in its life, none since the driver was loaded",
        "the card has failed before; count it as worn when the value of the old servers is set against the move",
        "nvidia-smi -q -d ECC,ROW_REMAPPER, and again in a week",
        _only_ever,
    ),
    Rule(
        "critical",
        "gpu-memory-repair-failed",
        "a row of memory could not be remapped",
        "the card is at the end of its life (NVIDIA's criterion for a replacement under warranty)",
        "take it out of service and ask for a replacement",
        _flagged("remap_failed", "unrepairable"),
    ),
    Rule(
        "warning",
        "gpu-memory-repair-pending",
        "remapped rows or retired pages wait for a reset",
        "the GPU runs on memory that is known to be bad until it is reset",
        "drain the server, then nvidia-smi --gpu-reset or a restart",
        _flagged("remap_pending", "retirement_pending"),
    ),
    Rule(
        "info",
        "gpu-memory-repaired",
        "rows of memory were remapped, or pages retired, after uncorrectable errors",
        "the card works with its spares; count it as worn when the value of the old servers is set against the move",
        "nvidia-smi -q -d ROW_REMAPPER,PAGE_RETIREMENT, and again in a week",
        _counted("remapped_uncorrectable", "retired_double"),
    ),
    Rule(
        "critical",
        "gpu-needs-recovery",
        "the driver asks for a reset or a restart",
        "the GPU neither serves nor trains as it should",
        "do what nvidia-smi -q says under GPU Recovery Action, then measure again",
        _needs_recovery,
    ),
    Rule(
        "warning",
        "gpu-fabric-not-ready",
        "NVSwitch's fabric is not up",
        "GPUs of this server cannot exchange data over NVLink, and engines over several of them do not start",
        "systemctl status nvidia-fabricmanager: its version has to be the driver's",
        _fabric,
    ),
    Rule(
        "warning",
        "gpu-partitioned",
        "divided into parts (MIG, or a compute partition)",
        "an engine has one part, not the whole card: memory, speed and use of the site are those of parts, and such a "
        "GPU reports no utilisation",
        "say in site.yaml what the parts serve; measure their use with DCGM (DCGM_FI_PROF_GR_ENGINE_ACTIVE)",
        _flagged("mig"),
    ),
    Rule(
        "warning",
        "gpu-throttled",
        "slowed down by heat or by the power supply",
        "the site's figures are those of servers that run slower than they could: the cloud looks better than it is",
        "check fans, filters and inlet temperature, then measure again: nvidia-smi -q -d PERFORMANCE,TEMPERATURE",
        _throttled(THERMAL),
    ),
    Rule(
        "info",
        "gpu-at-power-limit",
        "at its power limit",
        "usual under full load; a limit below the card's own makes the site slower than the same GPU in the cloud",
        "nvidia-smi -q -d POWER says the limit and the default",
        _throttled({"sw_power_cap", "throttle_status"}, without=THERMAL),
    ),
    Rule(
        "info",
        "gpu-ecc-off",
        "error correction is off",
        "memory errors stay unnoticed; the cloud's GPUs have it on, and a little less memory",
        "nvidia-smi -e 1 and a restart, before the comparison",
        _flagged("ecc", is_on=False),
    ),
    Rule(
        "info",
        "gpu-persistence-off",
        "persistence mode is off",
        "the driver unloads when no program uses the GPU: engines start slower, and volatile error counters start "
        "again at 0 each time, so a 0 there says little",
        "systemctl enable --now nvidia-persistenced",
        _server_gpu_without_persistence,
    ),
    Rule(
        "info",
        "gpu-pcie-narrow",
        "fewer PCIe lanes than it has",
        "models load more slowly, and without NVLink GPUs exchange data more slowly than in a full slot",
        "reseat the card or check the slot; in a virtual machine it may be by design",
        _narrow,
    ),
)


def _about_count(group: Sequence[Reading], cluster: Cluster) -> list[Finding]:
    """More or fewer GPUs than site.yaml says: fewer only where an output names all of a server's."""
    counts: dict[int, str] = {}
    for reading in group:
        whole = WHOLE & set(reading.kinds)
        named = [(len(reading.gpus), reading.gpus[0].where)] if reading.gpus else []
        for count, where in [*named, *((matrix.gpus, matrix.where) for matrix in reading.matrices)]:
            if count > cluster.gpus_per_node or (count < cluster.gpus_per_node and whole):
                counts.setdefault(count, where)
    return [
        Finding(
            severity="warning",
            code="gpus-per-node-contradicts",
            seen=f"{count} GPU{'s' if count > 1 else ''}, where site.yaml says {cluster.gpus_per_node} a node",
            where=where,
            means="a card has failed or is hidden, the output was limited to some, or it is of another server",
            remedy="nvidia-smi -L on the server; correct cluster.gpus_per_node, or repair what is missing",
        )
        for count, where in counts.items()
    ]


def _about_memory(gpus: Sequence[Sequence[Gpu]], cluster: Cluster) -> list[Finding]:
    stated = stated_memory_gib(cluster.accelerator)
    for copies in gpus:
        memory = next((gpu.numbers["memory_mib"] for gpu in copies if "memory_mib" in gpu.numbers), None)
        if stated and memory and abs(memory.value / 1024 / stated - 1) > MEMORY_TOLERANCE:
            return [
                Finding(
                    severity="warning",
                    code="gpu-memory-contradicts",
                    seen=f"{memory.value / 1024:.1f} GiB a GPU, where site.yaml says {cluster.accelerator}",
                    where=memory.where,
                    means="what fits on the site's GPUs is in doubt",
                    remedy="correct cluster.accelerator, or take out a file that was measured elsewhere",
                )
            ]
    return []


def _about_several_topologies(reading: Reading) -> list[Finding]:
    kinds = {(topology.kind, topology.gpus, topology.nvlinks) for topology in map(summarise, reading.matrices)}
    if len(kinds) < 2:
        return []
    return [
        Finding(
            severity="warning",
            code="gpu-topologies-differ",
            seen=f"{len(reading.matrices)} matrices of {len(kinds)} kinds in one file",
            where=", ".join(matrix.where for matrix in reading.matrices[:5]),
            means="they are of several servers: which of them the site has is unknown",
            remedy="give one file a server, each of nvidia-smi topo -m alone",
        )
    ]


def _about_cut_off(reading: Reading) -> list[Finding]:
    """A GPU without a fast link in a server where at least two others have one to each other."""
    found: list[Finding] = []
    for matrix in reading.matrices:
        fast = {pair for pair, link in matrix.links.items() if NVLINK.fullmatch(link) or link == "XGMI"}
        linked = {number for pair in fast for number in pair}
        alone = sorted(set(range(matrix.gpus)) - linked)
        if linked and alone:
            found.append(
                Finding(
                    severity="warning",
                    code="gpu-without-nvlink",
                    seen=f"GPU {', '.join(map(str, alone))} has no fast link, {len(linked)} others have",
                    where=matrix.where,
                    means="its NVLink or XGMI is down or was never there: an engine or a training over all GPUs of the "
                    "server runs at the speed of PCIe",
                    remedy="nvidia-smi nvlink -s and dmesg | grep -i xid on the server; restart nvidia-fabricmanager",
                )
            )
    return found


def _about_gaps(machines: Sequence[Sequence[Reading]]) -> list[Finding]:
    """What no output says: the memory errors of GPUs, and how they are linked."""
    seen = [group for group in machines if any(reading.gpus for reading in group)]
    silent = [group for group in seen if not any(_tells_of_errors(gpu) for reading in group for gpu in reading.gpus)]
    linked = any(reading.matrices for group in machines for reading in group)
    several = any(len(reading.gpus) > 1 for group in seen for reading in group)
    lacks = [f"memory errors of {len(silent)} of {len(seen)} servers"] if silent else []
    lacks += ["how GPUs are linked"] if several and not linked else []
    if not lacks:
        return []
    return [
        Finding(
            severity="info",
            code="gpu-state-not-measured",
            seen=f"no output tells {' and '.join(lacks)}",
            where=", ".join(reading.file for group in (silent or seen)[:4] for reading in group),
            means="a failing card, MIG or a slow link on the servers that stay would go unnoticed",
            remedy="on each node: nvidia-smi -q -x > NODE.xml and nvidia-smi topo -m > NODE_topo.txt, named under "
            "cluster.nvidia_smi",
        )
    ]


def _tells_of_errors(gpu: Gpu) -> bool:
    return "ecc" in gpu.flags or "ecc_volatile" in gpu.numbers


def _about_drivers(readings: Sequence[Reading]) -> list[Finding]:
    """What each version means, once, and that there are several."""
    drivers: dict[str, list[str]] = {}
    for reading in readings:
        if reading.driver:
            drivers.setdefault(reading.driver.value, []).append(reading.driver.where)
    amd = {reading.driver.value for reading in readings if reading.driver and AMD & set(reading.kinds)}
    places = {version: ", ".join(where[:4]) + (", …" if len(where) > 4 else "") for version, where in drivers.items()}
    found = [item for version in drivers if version not in amd for item in about_driver(version, places[version])]
    if len(drivers) > 1:
        found.append(
            Finding(
                severity="warning",
                code="gpu-drivers-differ",
                seen=", ".join(drivers),
                where=", ".join(places.values()),
                means="the servers are not alike: a measurement on one does not hold for the others",
                remedy="install one driver on all of them, or name the files of one cluster only",
            )
        )
    return found
