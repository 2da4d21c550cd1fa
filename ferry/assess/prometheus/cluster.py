"""What the exporters say of the servers and their GPUs: DCGM, nvidia_gpu_exporter, Triton, node_exporter.

`gpu="0"` is on every server: a GPU is told by its UUID, else by its server and index, and never averaged with another.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from ferry.artefacts import ClusterMetrics, Figure, Finding, GpuUse, Hourly, MachineUse, measured, unknown
from ferry.assess.prometheus import hours
from ferry.assess.prometheus.faults import faults
from ferry.assess.prometheus.series import Page, Point, Series, covered, places, tidy, totals, window
from ferry.errors import UnreadableInput

INT32_BLANK = 0x7FFFFFF0
"""dcgm_structs.h: DCGM_INT32_BLANK; the three numbers above it say not found, not supported, not permitted."""
FP64_BLANK = 140737488355328.0
"""dcgm_structs.h: DCGM_FP64_BLANK. DCGM_INT64_BLANK (9223372036854775792) lies above it too."""
MIB = 2.0**20


class Name(NamedTuple):
    """A metric, what one of it is in the unit wanted, and the largest value that it can have in that unit."""

    name: str
    scale: float
    most: float


# DCGM: dcgm-exporter, etc/default-counters.csv; before version 2 in lower case. nvidia_gpu_exporter: internal/exporter.
UTILIZATION = (
    Name("DCGM_FI_DEV_GPU_UTIL", 1, 100),
    Name("dcgm_gpu_utilization", 1, 100),
    Name("nvidia_smi_utilization_gpu_ratio", 100, 100),
    Name("nv_gpu_utilization", 100, 100),
    Name("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 100, 100),
)
POWER = (
    Name("DCGM_FI_DEV_POWER_USAGE", 1, 10_000),
    Name("dcgm_power_usage", 1, 10_000),
    Name("nvidia_smi_power_draw_watts", 1, 10_000),
    Name("nvidia_smi_power_draw_instant_watts", 1, 10_000),
    Name("nv_gpu_power_usage", 1, 10_000),
)
MEMORY_USED = (
    Name("DCGM_FI_DEV_FB_USED", MIB, 2**50),
    Name("dcgm_fb_used", MIB, 2**50),
    Name("nvidia_smi_memory_used_bytes", 1, 2**50),
    Name("nv_gpu_memory_used_bytes", 1, 2**50),
)
NODE = (
    "node_cpu_seconds_total", "node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes", "node_load1",
    "node_uname_info",
)  # fmt: skip
_GPU = re.compile(r"DCGM_FI_|dcgm_|nvidia_smi_(?!exporter|command|failed)|nv_gpu_|nv_energy_")
_UUID_LABELS = ("UUID", "uuid", "gpu_uuid")
_INDEX_LABELS = ("gpu", "index", "device", "pci_bus_id")
_HOST_LABELS = ("Hostname", "instance", "exported_instance", "node", "kubernetes_node")
REMEDY = "curl -s http://SERVER:9400/metrics > dcgm-SERVER.txt on each server, or give cluster.prometheus"


class ClusterReading(NamedTuple):
    """The metrics, and the findings."""

    metrics: ClusterMetrics
    findings: list[Finding]


def cluster_metrics(pages: Sequence[Page], *, source: str, time_zone: str = "UTC") -> ClusterReading:
    """What the pages say of servers and GPUs. Raises UnreadableInput when they say nothing of either."""
    findings = [finding for page in pages for finding in page.findings]
    everything = [one for page in pages for one in page.series]
    series, said = _without_blanks([one for one in everything if _is_of_a_gpu(one)])
    findings += said
    gpus = _gpus(everything, series, source)
    machines = _machines([one for one in everything if one.name.startswith("node_")])
    if not gpus and not machines:
        raise UnreadableInput(
            f"{source}: holds no metrics of GPUs or servers (DCGM, nvidia_gpu_exporter, node_exporter)"
        )
    by_gpu = _by_gpu(series)
    use, said = _readings(by_gpu, UTILIZATION)
    findings += said
    power, said = _readings(by_gpu, POWER)
    findings += said
    findings += faults(by_gpu)
    zone = hours.known_zone(time_zone)
    over_time = {
        "gpu_utilization_percent": hours.means(_flat(use), "percent", zone, places(_series(use))),
        "gpu_power_w": hours.means(totals(_series(power)), "W", zone, places(_series(power))),
    }
    watts = totals(_series(power))
    metrics = ClusterMetrics(
        source=source,
        window=window(pages) if covered(pages) else "one moment",
        gpus=gpus,
        machines=machines,
        utilization=_mean(use, "percent", source, "a utilisation"),
        power=measured(tidy(fmean(point.value for point in watts)), "W", f"{places(_series(power))}, {len(power)} GPUs")
        if watts
        else unknown("W", f"{source}: no power of a GPU"),
        by_hour={name: hourly for name, hourly in over_time.items() if isinstance(hourly, Hourly)},
    )
    return ClusterReading(metrics, findings)


def identity(series: Series) -> tuple[str, str | None]:
    """What tells this GPU from all others, and the server that it is in."""
    labels = series.labels
    host = next((labels[name] for name in _HOST_LABELS if labels.get(name)), None)
    uuid = next((labels[name] for name in _UUID_LABELS if labels.get(name)), "")
    part = f"/{labels['GPU_I_ID']}" if labels.get("GPU_I_ID") else ""
    # An anonymised page has zeros for every GPU.
    if re.search(r"[1-9a-fA-F]", uuid.removeprefix("GPU-").removeprefix("MIG-")):
        return f"{uuid}{part}", host
    index = next((f"GPU {labels[name]}" for name in _INDEX_LABELS if labels.get(name)), "")
    return f"{host or series.file}: {uuid or index}{part}", host


def _is_of_a_gpu(series: Series) -> bool:
    return bool(_GPU.match(series.name)) and any(series.labels.get(name) for name in (*_UUID_LABELS, *_INDEX_LABELS))


def _by_gpu(series: Iterable[Series]) -> dict[str, list[Series]]:
    by_gpu: dict[str, list[Series]] = defaultdict(list)
    for one in series:
        by_gpu[identity(one)[0]].append(one)
    return by_gpu


def _without_blanks(series: Iterable[Series]) -> tuple[list[Series], list[Finding]]:
    """Without the numbers by which DCGM says that it has none."""
    kept: list[Series] = []
    blank: dict[str, Series] = {}
    count = 0
    for one in series:
        if not one.name.startswith(("DCGM_", "dcgm_")):
            kept.append(one)
            continue
        points = [point for point in one.points if not _is_blank(point.value)]
        if len(points) < len(one.points):
            count += len(one.points) - len(points)
            blank.setdefault(one.name, one)
        if points:
            kept.append(Series(one.name, one.labels, points, one.file, one.line))
    if not blank:
        return kept, []
    first = next(iter(blank.values()))
    value = next(point.value for point in first.points if _is_blank(point.value))
    return kept, [
        Finding(
            severity="warning" if any(name.name in blank for name in (*UTILIZATION, *POWER, *MEMORY_USED)) else "info",
            code="dcgm-blank-values",
            seen=f"{count} blank value{'s' if count > 1 else ''} of {', '.join(blank)}: {value:.0f}",
            where=first.place,
            means="DCGM writes such numbers where the GPU or the rights give it none; they are left out",
            remedy="check on the node: dcgmi dmon -e 150,155,203; give dcgm-exporter the rights it needs",
        )
    ]


def _is_blank(value: float) -> bool:
    return value >= FP64_BLANK or value in (INT32_BLANK, INT32_BLANK + 1, INT32_BLANK + 2, INT32_BLANK + 3)


def _readings(by_gpu: dict[str, list[Series]], names: Sequence[Name]) -> tuple[dict[str, Series], list[Finding]]:
    """One series for each GPU, in the unit wanted, of the first of the names that it has; and what cannot be."""
    readings: dict[str, Series] = {}
    findings: list[Finding] = []
    for gpu, series in by_gpu.items():
        for name in names:
            own = [one for one in series if one.name == name.name]
            if not own:
                continue
            # Several pods on one GPU, or two exporters that see it: one GPU all the same.
            points = [Point(time_s, value * name.scale) for time_s, value in totals(own, average=True)]
            wrong = [point for point in points if not 0 <= point.value <= name.most]
            if wrong:
                findings.append(_impossible(gpu, name, own[0], wrong[0].value / name.scale))
            if good := [point for point in points if 0 <= point.value <= name.most]:
                readings[gpu] = Series(name.name, own[0].labels, good, own[0].file, own[0].line)
            break
    return readings, findings


def _impossible(gpu: str, name: Name, series: Series, value: float) -> Finding:
    return Finding(
        severity="warning",
        code="gpu-metric-impossible",
        seen=f"{name.name} of {gpu} is {value:g}, possible are 0 to {name.most / name.scale:g}",
        where=series.place,
        means="the value is left out",
        remedy="save the page again; compare with nvidia-smi on that server",
    )


def _gpus(everything: Sequence[Series], series: Sequence[Series], source: str) -> list[GpuUse]:
    info = {identity(one)[0]: one.labels for one in everything if one.name == "nvidia_smi_gpu_info"}
    by_gpu = _by_gpu(series)
    use, power, memory = (_readings(by_gpu, names)[0] for names in (UTILIZATION, POWER, MEMORY_USED))
    gpus = []
    for gpu, own in sorted(by_gpu.items()):
        labels = {**info.get(gpu, {}), **own[0].labels}
        gpus.append(
            GpuUse(
                gpu=gpu,
                host=identity(own[0])[1],
                model=labels.get("modelName") or info.get(gpu, {}).get("name"),
                driver=labels.get("DCGM_FI_DRIVER_VERSION") or labels.get("driver_version"),
                utilization=_one(use.get(gpu), "percent", source),
                power=_one(power.get(gpu), "W", source),
                memory_used=_one(memory.get(gpu), "bytes", source),
            )
        )
    return gpus


def _one(series: Series | None, unit: str, source: str) -> Figure:
    if series is None:
        return unknown(unit, f"{source}: no value")
    value = fmean(point.value for point in series.points)
    times = f", mean of {len(series.points)} times" if len(series.points) > 1 else ", at one moment"
    return measured(tidy(value), unit, f"{series.place}: {series.name}{times}")


def _mean(readings: dict[str, Series], unit: str, source: str, what: str) -> Figure:
    if not readings:
        return unknown(unit, f"{source}: no GPU has {what}")
    values = [fmean(point.value for point in one.points) for one in readings.values()]
    return measured(tidy(fmean(values)), unit, f"{places(_series(readings))}, {len(values)} GPUs")


def _series(readings: dict[str, Series]) -> list[Series]:
    return list(readings.values())


def _flat(readings: dict[str, Series]) -> list[Point]:
    return [point for one in readings.values() for point in one.points]


def _machines(series: Sequence[Series]) -> list[MachineUse]:
    by_host: dict[str, list[Series]] = defaultdict(list)
    names = {one.file: one.labels.get("nodename", "") for one in series if one.name == "node_uname_info"}
    for one in series:
        host = one.labels.get("instance") or one.labels.get("node") or names.get(one.file) or one.file
        by_host[host].append(one)
    machines = []
    for host, own in sorted(by_host.items()):
        cpus = {one.labels.get("cpu") for one in own if one.name == "node_cpu_seconds_total"}
        figures = [
            _node_value(own, name, unit)
            for name, unit in (
                ("node_memory_MemTotal_bytes", "bytes"),
                ("node_memory_MemAvailable_bytes", "bytes"),
                ("node_load1", "processes"),
            )
        ]
        if cpus or any(figure.value is not None for figure in figures):
            memory, available, load = figures
            machines.append(
                MachineUse(host=host, cpus=len(cpus) or None, memory=memory, memory_available=available, load=load)
            )
    return machines


def _node_value(series: Sequence[Series], name: str, unit: str) -> Figure:
    own = next((one for one in series if one.name == name), None)
    if own is None or not all(math.isfinite(point.value) and point.value >= 0 for point in own.points):
        return unknown(unit, f"{series[0].file}: no {name}")
    return measured(fmean(point.value for point in own.points), unit, f"{own.place}: {name}")
