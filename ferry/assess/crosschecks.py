"""What follows from holding the readings against each other and against site.yaml: contradictions, gaps, promises.

Pure functions. A gap names the command that fills it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from ferry.artefacts import (
    Cluster,
    ClusterMetrics,
    Collective,
    Figure,
    Finding,
    LocalCosts,
    Money,
    Serving,
    Training,
    measured,
    unknown,
)
from ferry.assess import collectives, gpus
from ferry.assess.collectives import CollectiveLog
from ferry.assess.gpus import GpuSamples
from ferry.catalog import known_bad

IDLE_BELOW_PERCENT = 30.0
ONE_MOMENT = "one moment"
"""The window of metrics that were saved once."""
FAMILIES = ("llama", "qwen", "mistral", "mixtral", "gemma", "phi", "glm", "deepseek")


def gpu_utilization(samples: Sequence[GpuSamples]) -> Figure:
    """Percent, mean over every line of every file that has a value."""
    values = [value for sample in samples for value in sample.utilization]
    files = ", ".join(sample.file for sample in samples)
    if not values:
        return unknown("percent", f"{files or 'site.yaml: cluster.nvidia_smi'}: no sample has a utilisation")
    return measured(round(fmean(values), 2), "percent", files)


def with_metrics(cluster: Cluster, metrics: ClusterMetrics | None) -> Cluster:
    """The cluster with what the exporters say. Their utilisation counts if it covers a time, or no other is."""
    if metrics is None:
        return cluster
    over_time = metrics.utilization.value is not None and metrics.window != ONE_MOMENT
    use = metrics.utilization if over_time or cluster.gpu_utilization.value is None else cluster.gpu_utilization
    seen = [*(cluster.accelerator_seen or "").split(", "), *(gpu.model for gpu in metrics.gpus if gpu.model)]
    names = ", ".join(dict.fromkeys(name for name in seen if name))
    return cluster.model_copy(update={"metrics": metrics, "gpu_utilization": use, "accelerator_seen": names or None})


def about_cluster_metrics(cluster: Cluster) -> list[Finding]:
    """Whether the exporters see the GPUs that site.yaml states, and how busy these are."""
    metrics = cluster.metrics
    if metrics is None or not metrics.gpus:
        return []
    models = dict.fromkeys(gpu.model for gpu in metrics.gpus if gpu.model)
    found = [_other_model(name, cluster.accelerator, metrics.source) for name in models if _differs(name, cluster)]
    # MIG instances share a GPU.
    seen, everything = len({gpu.gpu.partition("/")[0] for gpu in metrics.gpus}), cluster.nodes * cluster.gpus_per_node
    if seen != everything:
        found.append(
            Finding(
                severity="warning",
                code="gpu-metrics-other-count",
                seen=f"the exporters see {seen} GPUs, site.yaml states {everything}",
                where=metrics.source,
                means="use and power of the site are of the GPUs that are seen",
                remedy="let Prometheus scrape every server, or correct cluster.nodes and cluster.gpus_per_node",
            )
        )
    value = metrics.utilization.value
    if value is not None and metrics.window == ONE_MOMENT:
        found.append(
            Finding(
                severity="warning",
                code="gpu-utilization-one-moment",
                seen=f"{value:g} % at one moment",
                where=metrics.utilization.source,
                means="the utilisation of the site does not follow from it",
                remedy="give cluster.prometheus, which answers for a day or a month",
            )
        )
    elif value is not None and value < IDLE_BELOW_PERCENT:
        found.append(
            Finding(
                severity="info",
                code="gpus-mostly-idle",
                seen=f"{value:g} % mean utilisation over {seen} GPUs, {metrics.window}",
                where=metrics.utilization.source,
                means="most of what the servers cost buys idle time; it counts for moving what serves",
                remedy="none needed; a month makes it firmer",
            )
        )
    return found


def about_gpus(cluster: Cluster, samples: Sequence[GpuSamples]) -> list[Finding]:
    """Which GPUs were seen, how many of them, and how busy."""
    found: list[Finding] = []
    for sample in samples:
        found += [
            _other_model(name, cluster.accelerator, sample.file) for name in sample.names if _differs(name, cluster)
        ]
    value = cluster.gpu_utilization.value
    if cluster.metrics is not None and cluster.metrics.utilization.value is not None:
        return found
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


def about_software(versions: Mapping[str, str]) -> list[Finding]:
    """What the list of known-bad versions says of what site.yaml states. Raises CatalogError for what is not listed."""
    found = []
    for product, version in versions.items():
        judged = known_bad.judge(product, version)
        if judged.version is not None and not judged.bad:
            continue
        found.append(
            Finding(
                severity="warning" if judged.bad else "info",
                code="software-known-bad" if judged.bad else "software-version-unknown",
                seen=f"{product} {version} {judged.says}",
                where=f"site.yaml: cluster.software.{product}",
                means="these servers stay: a container on them may take over the server"
                if judged.bad
                else "whether it must not run is unknown",
                remedy=judged.remedy if judged.bad else f"state the version of {product} as it prints it",
            )
        )
    return found


def about_network(cluster: Cluster, logs: Sequence[CollectiveLog], training: Sequence[Training]) -> list[Finding]:
    """Whether the collectives were measured on this cluster, and over as many nodes as training uses."""
    found: list[Finding] = []
    for log in logs:
        file = log.collectives[0].file
        found += [_other_model(name, cluster.accelerator, file) for name in log.accelerators if _differs(name, cluster)]
    everything = cluster.nodes * cluster.gpus_per_node
    runs = [run for log in logs for run in log.collectives]
    own = [run for run in runs if (run.ranks or 0) <= everything]
    found += [
        Finding(
            severity="warning",
            code="nccl-more-ranks-than-gpus",
            seen=f"{run.ranks} ranks, the cluster has {everything} GPUs",
            where=run.file,
            means="the log is of another cluster, or site.yaml leaves servers out",
            remedy=f"measure on this cluster: {collectives.MEASURE}",
        )
        for run in runs
        if run not in own
    ]
    widest = max((job.nodes for job in training), default=0)
    command = collectives.MEASURE
    if widest > 1:
        per_node = cluster.gpus_per_node
        command = f"mpirun -np {widest * per_node} -N {per_node} all_reduce_perf -b 8 -e 8G -f 2 -g 1"
    if not runs or (widest > 1 and not any(_spans_nodes(run, cluster) for run in own)):
        found.append(
            Finding(
                severity="warning",
                code="no-collective-over-nodes" if runs else "no-collective-measured",
                seen=f"no log of this cluster spans nodes, training uses {widest}" if runs else "no nccl-tests log",
                where="site.yaml: cluster.nccl_tests",
                means="how fast the GPUs that stay synchronise is unknown",
                remedy=f"measure: {command}",
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
        value = quantiles.p99.value if quantiles.p99.value is not None else quantiles.p99.at_least
        bound = "" if quantiles.p99.value is not None else "more than "
        if promised is not None and value is not None and value > promised:
            found.append(
                Finding(
                    severity="warning",
                    code="slo-missed-today",
                    seen=f"{short} P99 is {bound}{value:g} ms, promised are {promised:g} ms",
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
