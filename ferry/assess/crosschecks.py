"""What follows from holding the readings against each other and against site.yaml: contradictions, gaps, promises.

Pure functions. A gap names the command that fills it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from ferry.artefacts import (
    Cluster,
    Collective,
    Figure,
    Finding,
    LocalCosts,
    ModelFacts,
    Money,
    Serving,
    Training,
    measured,
    unknown,
)
from ferry.assess import gpus, nccl
from ferry.assess.gpus import GpuSamples
from ferry.assess.nccl import NcclLog

GRADIENT_BYTES = 2
"""A gradient in bfloat16, as mixed-precision training sends it."""
LINE_GBIT_S = 10.0
"""The line to the cloud that a synchronisation is compared with: one Direct Connect port of 10 Gbit/s."""
IDLE_BELOW_PERCENT = 30.0
FAMILIES = ("llama", "qwen", "mistral", "mixtral", "gemma", "phi", "glm", "deepseek")


def gpu_utilization(samples: Sequence[GpuSamples]) -> Figure:
    """Percent, mean over every line of every file that has a value."""
    values = [value for sample in samples for value in sample.utilization]
    files = ", ".join(sample.file for sample in samples)
    return measured(round(fmean(values), 2), "percent", files) if values else unknown("percent", files)


def about_gpus(cluster: Cluster, samples: Sequence[GpuSamples]) -> list[Finding]:
    """Which GPUs were seen, how many of them, and how busy."""
    found: list[Finding] = []
    for sample in samples:
        found += [
            _other_model(name, cluster.accelerator, sample.file) for name in sample.names if _differs(name, cluster)
        ]
    value = cluster.gpu_utilization.value
    if value is None:
        found.append(
            Finding(
                severity="warning",
                code="gpu-utilization-unknown",
                seen="no sample has a utilisation (MIG devices report none)" if samples else "nothing was sampled",
                where=", ".join(sample.file for sample in samples) or "site.yaml: cluster.nvidia_smi",
                means="how much of the hardware stands idle, which is what a move would save, is unknown",
                remedy=f"on each node, for a day: {gpus.MEASURE}",
            )
        )
        return found
    everything = cluster.nodes * cluster.gpus_per_node
    seen = sum(sample.gpus for sample in samples)
    lines = sum(sample.lines for sample in samples)
    if seen < everything or lines < 2 * seen:
        found.append(
            Finding(
                severity="warning",
                code="gpu-utilization-thin-sample",
                seen=f"{seen} of {everything} GPUs, {lines} line{'s' if lines > 1 else ''} in all, mean {value:g} %",
                where=cluster.gpu_utilization.source,
                means="the utilisation of the site does not follow from it",
                remedy=f"on each node, for a day: {gpus.MEASURE}",
            )
        )
    elif value < IDLE_BELOW_PERCENT:
        found.append(
            Finding(
                severity="info",
                code="gpus-mostly-idle",
                seen=f"{value:g} % mean utilisation over {seen} GPUs",
                where=cluster.gpu_utilization.source,
                means="most of what the servers cost buys idle time; it counts for moving what serves",
                remedy="none needed; a sample over a week makes it firmer",
            )
        )
    return found


def about_network(cluster: Cluster, logs: Sequence[NcclLog], training: Sequence[Training]) -> list[Finding]:
    """Whether the collectives were measured on this cluster, and over as many nodes as training uses."""
    found: list[Finding] = []
    for log in logs:
        file = log.collectives[0].file
        found += [_other_model(name, cluster.accelerator, file) for name in log.accelerators if _differs(name, cluster)]
    everything = cluster.nodes * cluster.gpus_per_node
    collectives = [collective for log in logs for collective in log.collectives]
    found += [
        Finding(
            severity="warning",
            code="nccl-more-ranks-than-gpus",
            seen=f"{collective.ranks} ranks, the cluster has {everything} GPUs",
            where=collective.file,
            means="the log is of another cluster, or site.yaml leaves servers out",
            remedy=f"measure on this cluster: {nccl.MEASURE}",
        )
        for collective in collectives
        if collective.ranks is not None and collective.ranks > everything
    ]
    widest = max((job.nodes for job in training), default=0)
    command = nccl.MEASURE
    if widest > 1:
        per_node = cluster.gpus_per_node
        command = f"mpirun -np {widest * per_node} -N {per_node} all_reduce_perf -b 8 -e 8G -f 2 -g 1"
    if not collectives or (widest > 1 and not any(_spans_nodes(item, cluster) for item in collectives)):
        found.append(
            Finding(
                severity="warning",
                code="no-collective-over-nodes" if collectives else "no-collective-measured",
                seen=f"no log spans nodes, training uses {widest}" if collectives else "no nccl-tests log",
                where="site.yaml: cluster.nccl_tests",
                means="how fast the GPUs that stay synchronise is unknown",
                remedy=f"measure: {command}",
            )
        )
    return found


def gradient_synchronisation(
    cluster: Cluster, collectives: Sequence[Collective], training: Sequence[Training], models: Sequence[ModelFacts]
) -> list[Finding]:
    """How long one all-reduce of a model's gradients takes: t = S/B · 2(n-1)/n (nccl-tests, doc/PERFORMANCE.md).

    Bus bandwidth does not depend on the number of ranks, so B may come from a log with another number than training
    uses. It is the time of the transfer alone, once per step of plain data parallelism, nothing overlapped.
    """
    reduces = [item for item in collectives if item.operation == "all_reduce" and item.largest_message_busbw.value]
    models = [model for model in models if model.parameters.value]
    if not reduces or not models:
        return []
    best = max(reduces, key=lambda item: (_spans_nodes(item, cluster), item.ranks or 0))
    busbw, model = best.largest_message_busbw, models[0]
    size = (model.parameters.value or 0.0) * GRADIENT_BYTES
    found: list[Finding] = []
    for job in training:
        ranks = job.nodes * cluster.gpus_per_node
        if ranks < 2 or not busbw.value:
            continue
        at_home = nccl.synchronisation_seconds(size, busbw.value, ranks)
        over_a_line = nccl.synchronisation_seconds(size, LINE_GBIT_S / 8, ranks)
        least = "" if job.nodes == 1 or _spans_nodes(best, cluster) else "at least "
        found.append(
            Finding(
                severity="info",
                code="gradient-synchronisation",
                seen=f"{job.name}: {size / 1e9:.1f} GB of bfloat16 gradients ({model.path}), all-reduced on {ranks} "
                f"ranks at {busbw.value:g} GB/s, take {least}{at_home:.3g} s",
                where=busbw.source,
                means=f"t = S/B · 2(n-1)/n; over a {LINE_GBIT_S:g} Gbit/s line it would take {over_a_line:.3g} s: "
                "training stays whole, and stays here",
                remedy="none needed",
            )
        )
    return found


def about_service(service: Serving, model_name: str) -> list[Finding]:
    """What is missing about a service, whether its metrics are of its model, and whether it keeps its promises."""
    found: list[Finding] = []
    where = f"site.yaml: serving {service.name}"
    if service.trace is None:
        found.append(
            Finding(
                severity="critical",
                code="no-request-trace",
                seen="no request trace",
                where=f"{where}.requests",
                means="the size of the fleet follows from the busiest minute, and nothing tells it",
                remedy="export the time, prompt tokens and answer tokens of a day's requests from the gateway's log as "
                "a CSV with the columns TIMESTAMP,ContextTokens,GeneratedTokens",
            )
        )
    if service.metrics is None:
        found.append(
            Finding(
                severity="warning",
                code="no-engine-metrics",
                seen="neither metrics nor prometheus",
                where=f"{where}.metrics",
                means="today's latency is unknown, so nothing can be compared with it after the move",
                remedy="curl -s http://ENGINE:8000/metrics > metrics.txt after a day of traffic, one file per engine",
            )
        )
        return found
    if _another_family(model_name, service.model.architecture):
        found.append(
            Finding(
                severity="warning",
                code="metrics-of-another-model",
                seen=f"the engine serves {model_name}, the folder holds {service.model.architecture}",
                where=service.metrics.source,
                means="the latencies were measured with another model than the one that moves",
                remedy="save /metrics of the engine that serves this folder, or correct serving.model",
            )
        )
    for short, promised, quantiles in (
        ("ttft", service.slo.ttft_p99_ms, service.metrics.ttft_ms),
        ("tpot", service.slo.tpot_p99_ms, service.metrics.tpot_ms),
    ):
        value = quantiles.p99.value
        if promised is not None and value is not None and value > promised:
            found.append(
                Finding(
                    severity="warning",
                    code="slo-missed-today",
                    seen=f"{short} P99 is {value:g} ms, promised are {promised:g} ms",
                    where=quantiles.p99.source,
                    means="the service does not keep its promise at home either; a move is not what breaks it",
                    remedy=f"plan for the promise, or correct {where}.slo.{short}_p99_ms",
                )
            )
    return found


def about_costs(costs: LocalCosts) -> list[Finding]:
    """Which cost items nobody gave."""
    left_out = [
        name for name, item in costs if item is None or (isinstance(item, Figure | Money) and item.basis == "unknown")
    ]
    if not left_out:
        return []
    return [
        Finding(
            severity="warning",
            code="costs-unknown",
            seen=f"left out: {', '.join(left_out)}",
            where="site.yaml: costs",
            means="they are not counted as 0: what depends on them is unknown in the comparison of costs",
            remedy="add them to site.yaml; an estimate is better than none",
        )
    ]


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """The gravest first, and always in the same order."""
    rank = {"critical": 0, "warning": 1, "info": 2}
    return sorted(findings, key=lambda finding: (rank[finding.severity], finding.code, finding.where, finding.seen))


def _differs(name: str, cluster: Cluster) -> bool:
    return not gpus.same_model(name, cluster.accelerator)


def _other_model(name: str, stated: str, file: str) -> Finding:
    return Finding(
        severity="warning",
        code="gpu-model-contradicts",
        seen=f"{name}, where site.yaml says {stated}",
        where=file,
        means="memory and speed of the site's GPUs are in doubt, and so is every comparison with the cloud's",
        remedy="correct cluster.accelerator, or take out a file that was measured elsewhere",
    )


def _spans_nodes(collective: Collective, cluster: Cluster) -> bool:
    return (collective.nodes or 0) > 1 or (collective.ranks or 0) > cluster.gpus_per_node


def _another_family(model_name: str, architecture: str) -> bool:
    """Whether a served name is of another family than the architecture. An alias without a family tells nothing."""
    served = {family for family in FAMILIES if family in model_name.casefold()}
    held = {family for family in FAMILIES if family in architecture.casefold()}
    # DeepSeek's distilled models carry its name and have the architecture of Qwen or Llama.
    return bool(served and held and not served & held and "deepseek" not in served)
