"""Says an assessment to a person: a colleague's note, gravest findings first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ferry.artefacts import (
    Assessment,
    Collective,
    Deployment,
    Figure,
    Finding,
    GpuGroup,
    Hourly,
    Machine,
    ModelFacts,
    Money,
    Quantiles,
    Serving,
    Synchronisation,
    Topology,
)

STYLE = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
BOUND = {"exactly": "", "at least": "≥ ", "at most": "≤ ", "about": "~ "}
MANY_COSTS = 5
BASIS_STYLE = {"measured": "green", "assumed": "yellow", "unknown": "red"}


def describe(assessment: Assessment) -> RenderableType:
    """The note: what the site is, what was measured, what is unknown, what was found."""
    location, cluster = assessment.location, assessment.cluster
    parts: list[RenderableType] = [
        Text(f"{assessment.site}, {location.country} ({location.time_zone})", style="bold"),
        _facts(
            ("servers", f"{cluster.nodes} × {cluster.gpus_per_node} {cluster.accelerator}"),
            ("the machines say", cluster.accelerator_seen or "nothing: no output names a GPU"),
            ("GPUs busy", cluster.gpu_utilization),
            *((f"server {'+'.join(machine.files)}"[:40], _machine(machine)) for machine in cluster.machines),
            *((("their power", cluster.metrics.power),) if cluster.metrics else ()),
            *((f"{item.operation or 'collective'}", _collective(item)) for item in assessment.collectives),
            *(
                (f"training {job.name}", f"{_number(job.nodes, 'node')}, {job.launcher}: stays")
                for job in assessment.training
            ),
            ("costs", _costs(assessment)),
            ("constraints", _constraints(assessment)),
        ),
    ]
    if assessment.synchronisations:
        parts += [Text("\nGradient synchronisation", style="bold"), *_synchronisations(assessment.synchronisations)]
    for service in assessment.serving:
        parts += [Text(f"\nService {service.name} on {service.engine}", style="bold"), *_service(service)]
    if assessment.deployments:
        rows = ((f"{job.name}, {job.where}", _deployment(job)) for job in assessment.deployments)
        parts += [Text("\nHow it runs today", style="bold"), _facts(*rows)]
    if missing := _unknown(assessment):
        parts += [Text("\nUnknown", style="bold"), Padding(Text(", ".join(missing)), (0, 0, 0, 2))]
    parts.append(Text(f"\nFindings: {len(assessment.findings) or 'none'}", style="bold"))
    parts += [finding_text(finding) for finding in assessment.findings]
    return Group(*parts)


def _synchronisations(synchronisations: list[Synchronisation]) -> Iterator[RenderableType]:
    """One all-reduce of all gradients an iteration: by ring and by tree, and what fits into the 12 to 18 ms of lore."""
    table = Table("", "ranks", "gradients", "ring", "tree", "of a step", "basis", box=None, pad_edge=False)
    table.padding = (0, 2, 0, 0)
    for item in synchronisations:
        bound = BOUND[item.bound]
        share = item.share_of_iteration.value
        table.add_row(
            Text(item.name, style="dim"),
            str(item.ranks),
            _figure_value(item.gradient_bytes),
            *(f"{bound}{_figure_value(figure)}" for figure in (item.ring_ms, item.tree_ms)),
            "unknown" if share is None else f"{bound}{share:.1%}",
            Text(item.ring_ms.basis, style=BASIS_STYLE[item.ring_ms.basis]),
        )
    yield Padding(table, (0, 0, 0, 2))
    for item in synchronisations:
        least, most = item.parameters_in_12_ms.value or 0.0, item.parameters_in_18_ms.value or 0.0
        latency = item.latency_us.value
        contrary = {"at least": "at most ", "at most": "at least ", "about": "about ", "exactly": ""}[item.bound]
        lines = [
            f"{item.name}: {BOUND[item.bound]}{_short(item.ms or 0.0)} ms. In 12 to 18 ms, {item.ranks} ranks on "
            f"{_number(item.nodes, 'node')} synchronise a bfloat16 model of {contrary}{least / 1e9:.2g} to "
            f"{most / 1e9:.2g} billion parameters "
            f"({'latency unknown' if latency is None else f'latency {latency:.4g} µs'}, {item.busbw.value:.4g} GB/s, "
            f"{item.busbw.source})"
        ]
        for fabric in item.fabrics:
            times = "" if fabric.times_as_long is None else f", {fabric.times_as_long:.2g} times as long as here"
            lines.append(
                f"on {item.nodes} {' or '.join(fabric.instance_types)} ({fabric.gbit_per_s:g} Gbit/s EFA): at best "
                f"{_figure_value(fabric.ms)}{times}"
            )
        yield Padding(Text("\n  ".join(lines)), (0, 0, 0, 2))


def _service(service: Serving) -> Iterator[RenderableType]:
    model = service.model
    experts = f", {model.experts_active} of {model.experts_total} experts" if model.experts_total else ""
    yield _facts(
        ("model", f"{model.architecture}, {model.layers} layers, {model.attention}{_window(model)}{experts}"),
        ("stored as", model.dtype if model.quantization is None else f"{model.dtype} ({model.quantization})"),
        ("parameters", model.parameters),
        ("weights", model.weight_bytes),
        ("context", f"{model.context_tokens} tokens"),
        *((("requests", service.trace.mean_rps), ("busiest minute", service.trace.peak_rps)) if service.trace else ()),
    )
    table = Table("", "mean", "P50", "P95", "P99", "basis", box=None, pad_edge=False, padding=(0, 2))
    for column in table.columns[1:5]:
        column.justify = "right"
    if service.trace:
        _quantiles(table, "prompt tokens", service.trace.input_tokens)
        _quantiles(table, "answer tokens", service.trace.output_tokens)
        if service.trace.latency_ms:
            _quantiles(table, "whole request, ms (trace)", service.trace.latency_ms)
        if service.trace.ttft_ms:
            _quantiles(table, "time to first token, ms (trace)", service.trace.ttft_ms)
    if service.metrics:
        _quantiles(table, "time to first token, ms", service.metrics.ttft_ms)
        _quantiles(table, "time per token, ms", service.metrics.tpot_ms)
        _quantiles(table, "whole request, ms", service.metrics.latency_ms)
        if service.metrics.queue_ms and service.metrics.queue_ms.mean.value is not None:
            _quantiles(table, "of it in the queue, ms", service.metrics.queue_ms)
    if table.row_count:
        yield Padding(table, (1, 0, 0, 2))
    if service.metrics and (hourly := service.metrics.by_hour.get("requests_per_s")):
        yield _facts(("busiest hour", _busiest(hourly)))


def _deployment(job: Deployment) -> str:
    """What a job starts, as one would tell it; what its file does not state is left out."""
    if job.role == "training":
        nodes = f" on {_number(job.nodes, 'node')}" if job.nodes else ""
        size = f", {job.gpus} GPUs a node" if job.gpus else ""
        return f"training by {job.launcher}{nodes}{size}: stays"
    parallel = {
        "tensor": job.tensor_parallel,
        "pipeline": job.pipeline_parallel,
        "data": job.data_parallel,
        "expert": job.expert_parallel,
    }
    split = " × ".join(f"{name} {size}" for name, size in parallel.items() if size)
    said = [
        f"{job.replicas or 1} × {job.engine} {job.version or 'of unknown version'}",
        f"serves {job.model or 'a model that the file does not name'}",
        f"as {', '.join(job.served_names)}" if job.served_names else "",
        f"{split} parallel" if split else "",
        f"at most {_number(job.max_sequences, 'request')} at once" if job.max_sequences else "",
        f"{job.max_batch_tokens:,} tokens a step" if job.max_batch_tokens else "",
        f"context {job.context_tokens:,} tokens" if job.context_tokens else "",
        f"{job.gpu_memory_share:.0%} of GPU memory" if job.gpu_memory_share else "",
        f"quantised by {job.quantization}" if job.quantization else "",
        f"KV cache in {job.kv_cache_dtype}" if job.kv_cache_dtype else "",
        "" if job.prefix_caching is None else f"prefix caching {'on' if job.prefix_caching else 'off'}",
        "" if job.chunked_prefill is None else f"chunked prefill {'on' if job.chunked_prefill else 'off'}",
        f"speculates by {job.speculative}" if job.speculative else "",
        f"adapters {', '.join(job.lora_adapters)}" if job.lora_adapters else "",
        f"port {job.port}" if job.port else "",
    ]
    return ", ".join(part for part in said if part)


def _busiest(hourly: Hourly) -> str:
    """The hour of the day with the most, and the one with the least."""
    known = [(value, hour) for hour, value in enumerate(hourly.values) if value is not None]
    most, least = max(known), min(known)
    return (
        f"{most[1]:02}:00 with {_short(most[0])} {hourly.unit}, the quietest {least[1]:02}:00 with {_short(least[0])} "
        f"({hourly.time_zone})"
    )


def _facts(*rows: tuple[str, str | Figure]) -> RenderableType:
    table = Table.grid("", "", padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, style="dim"), _figure(value) if isinstance(value, Figure) else Text(value))
    return Padding(table, (0, 0, 0, 2))


def _figure(figure: Figure) -> Text:
    text = Text("" if figure.value is None else f"{_scaled(figure.value, figure.unit)} ")
    return text.append(figure.basis, style=BASIS_STYLE[figure.basis])


def _figure_value(figure: Figure) -> str:
    return "?" if figure.value is None else _scaled(figure.value, figure.unit)


def _scaled(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 1e9:.1f} GB"
    if unit == "parameters":
        return f"{value / 1e9:.2f} billion"
    return f"{_short(value)} {unit}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _window(model: ModelFacts) -> str:
    if model.sliding_window_tokens is None:
        return ""
    used = "some" if model.sliding_window_layers is None else model.sliding_window_layers
    return f", {used} of the layers look back {model.sliding_window_tokens} tokens"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _costs(assessment: Assessment) -> str:
    items = [item for _, item in _figures(assessment.costs, "")]
    stated = sum(item.basis != "unknown" for item in items)
    return f"{stated} of {len(items)} items stated, in {assessment.costs.currency}"


def _constraints(assessment: Assessment) -> str:
    part = assessment.constraints
    said = [
        f"regions {', '.join(part.regions_allowed)}" if part.regions_allowed else "any region",
        f"residency {part.residency}" if part.residency else "",
        ", ".join(part.compliance),
        f"at most {part.monthly_budget.amount:,} {part.monthly_budget.currency} a month" if part.monthly_budget else "",
        f"by {part.deadline}" if part.deadline else "",
    ]
    return "; ".join(part for part in said if part)


def _machine(machine: Machine) -> str:
    said = [f"{group.count} × {group.name or 'GPU'}{_gpu_state(group)}" for group in machine.gpus]
    said += [f"driver {machine.driver}"] if machine.driver else []
    said += [f"CUDA up to {machine.cuda}"] if machine.cuda else []
    said += [_links(item) for item in machine.topologies if item.gpus > 1]
    return ", ".join(said) or "nothing of its GPUs"


def _links(topology: Topology) -> str:
    """How the GPUs of a server are linked: some pairs, or all."""
    slowest = topology.slowest_path or "PCIe"
    links = f" ({topology.nvlinks} links a pair)" if topology.nvlinks else ""
    name = {"nvlink": "NVLink", "xgmi": "XGMI"}.get(topology.kind.removesuffix("-partial"))
    if name is None:
        return f"{topology.gpus} GPUs by PCIe ({slowest})"
    if topology.kind.endswith("-partial"):
        return f"{topology.gpus} GPUs, some pairs by {name}{links}, others by {slowest}"
    return f"{topology.gpus} GPUs by {name}{links}"


def _gpu_state(group: GpuGroup) -> str:
    parts = [
        _scaled(group.memory_mib.value, "MiB") if group.memory_mib.value else "",
        _scaled(group.power_w.value, "W") if group.power_w.value is not None else "",
        f"MIG {' '.join(group.mig_instances)}".strip() if group.mig == "on" else "",
        "ECC off" if group.ecc == "off" else "",
        f"{group.ecc_uncorrected.value:.0f} uncorrected errors" if group.ecc_uncorrected.value else "",
    ]
    return f" ({', '.join(part for part in parts if part)})" if any(parts) else ""


def _collective(collective: Collective) -> str:
    ranks = f"{collective.ranks} ranks" if collective.ranks else "ranks unknown"
    nodes = f" on {_number(collective.nodes, 'node')}" if collective.nodes else ""
    size = collective.largest_message_bytes / 2**20
    top, average = collective.largest_message_busbw.value, collective.average_busbw.value
    return f"{ranks}{nodes}: {top:g} GB/s at {size:g} MiB, {average:g} GB/s on average ({collective.file})"


def _quantiles(table: Table, name: str, quantiles: Quantiles) -> None:
    figures = (quantiles.mean, quantiles.p50, quantiles.p95, quantiles.p99)
    values = [
        _short(figure.value) if figure.value is not None else f"> {_short(figure.at_least)}" if figure.at_least else "?"
        for figure in figures
    ]
    # The weakest basis of the row: one unknown quantile is worth seeing.
    basis = next(kind for kind in ("unknown", "assumed", "measured") if any(item.basis == kind for item in figures))
    table.add_row(Text(name, style="dim"), *values, Text(basis, style=BASIS_STYLE[basis]))


def finding_text(finding: Finding) -> RenderableType:
    """One finding: how grave, what was seen where, what it means, what to do."""
    table = Table.grid("", "", padding=(0, 2))
    table.add_row(Text(finding.severity, style=STYLE[finding.severity]), Text(f"{finding.seen}  [{finding.code}]"))
    for name, value in (("at", finding.where), ("means", finding.means), ("remedy", finding.remedy)):
        table.add_row(Text(name, style="dim"), Text(value, style="dim"))
    return Padding(table, (0, 0, 0, 2))


def _unknown(assessment: Assessment) -> list[str]:
    """The places of all figures without a value, as key paths.

    What a synchronisation lacks stands in its table, and what an output of nvidia-smi lacks in a finding.
    """
    items = [item for item in assessment if item[0] != "synchronisations"]
    places = [place for name, part in items for place, item in _figures(part, name) if item.basis == "unknown"]
    costs = [place for place in places if place.startswith("costs.")]
    others = [place for place in places if not place.startswith(("cluster.machines", "costs."))]
    # Of many a finding has the list.
    return others + (costs if len(costs) < MANY_COSTS else [f"{len(costs)} items of costs"])


def _figures(part: Any, place: str) -> Iterator[tuple[str, Figure | Money]]:
    if isinstance(part, Figure | Money):
        yield place, part
    elif isinstance(part, BaseModel):
        for name, value in part:
            yield from _figures(value, f"{place}.{name}".lstrip("."))
    elif isinstance(part, list):
        for item in part:
            yield from _figures(item, f"{place}[{getattr(item, 'name', '')}]")
