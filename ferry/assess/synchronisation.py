"""How long one synchronisation of a model's gradients takes on the network that was measured, and in a cloud's.

The α-β model, fitted to one all-reduce log: the latency of its smallest messages, the bandwidth of its largest. For S
bytes on n ranks of N nodes, B being the bus bandwidth (nccl-tests, doc/PERFORMANCE.md) and α the time of one hop:

    ring: 2(n-1)·α + 2(n-1)/n · S/B             Patarasu & Yuan, J. Parallel Distrib. Comput. 69 (2009) 117-124
    tree: 2(n/N - 1 + ⌈log2 N⌉)·α + 2 · S/B     Sanders, Speck & Träff, Parallel Computing 35 (2009) 581-594

Both as NCCL itself weighs them (NVIDIA/nccl, src/graph/tuning.cc), which takes the faster. α is the measured latency
over the hops of the run that was measured, so that at its own size both give the measured latency. Groups of tensor or
pipeline parallelism share the links of a node, so that all gradients of the model count, whatever their split.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from ferry.artefacts import (
    Cluster,
    Collective,
    CollectiveSize,
    Fabric,
    Figure,
    Finding,
    ModelFacts,
    Synchronisation,
    assumed,
    measured,
    unknown,
)
from ferry.assess.site import TrainingPart
from ferry.catalog import accelerators, instance_types

SMALL_BYTES = 4096
"""Messages up to this take the same time whatever their size: what they take is latency."""
LARGE_BYTES = 2**26
"""Below this no message fills the links: the bandwidth of a log that ends here is less than what the links have."""
BFLOAT16_BYTES = 2
LINE_GBIT_S = 10.0
"""The line to the cloud that a synchronisation is compared with: one Direct Connect port of 10 Gbit/s."""
FLOPS_UTILIZATION = 0.4
FLOPS_SOURCE = (
    "6·N·tokens FLOP (Kaplan et al. 2020, arXiv:2001.08361) at 40 % of the accelerators' peak (38 to 43 % in Llama 3, "
    "arXiv:2407.21783, table 4)"
)
QUOTED_MS = (12.0, 18.0)


@dataclass(frozen=True)
class Fit:
    """What a log says of the network. `own` is whether it can be of this cluster, `spans` whether of several nodes."""

    collective: Collective
    latency_us: float | None
    busbw: float
    source: str
    own: bool
    spans: bool


@dataclass(frozen=True)
class Job:
    """What is synchronised: a training job, or the cluster as a whole."""

    name: str
    nodes: int
    ranks: int
    gradient_bytes: Figure
    compute_parameters: float | None
    iteration_ms: float | None
    tokens_per_iteration: float | None


def synchronisations(
    cluster: Cluster, collectives: Sequence[Collective], training: Sequence[TrainingPart], models: Sequence[ModelFacts]
) -> list[Synchronisation]:
    """One for each training job of at least two ranks, and one for all nodes where no job spans them."""
    jobs = [job for part in training if (job := _job(part, cluster, models)) is not None and job.ranks > 1]
    widest = max((job.nodes for job in jobs), default=0)
    if cluster.nodes > max(widest, 1) and (whole := _whole_cluster(cluster, models)) is not None:
        jobs.append(whole)
    return [made for job in jobs if (fit := choose(cluster, collectives, job)) and (made := _make(job, fit, cluster))]


def choose(cluster: Cluster, collectives: Sequence[Collective], job: Job) -> Fit | None:
    """The log to go by: one of this cluster, over nodes where the job is, of the job's ranks or the nearest."""
    fits = [fit for item in collectives if (fit := fit_of(item, cluster)) is not None]
    if not fits:
        return None
    several = job.nodes > 1

    def merit(fit: Fit) -> tuple[bool, bool, float, int]:
        ranks = fit.collective.ranks or 0
        distance = abs(math.log2(ranks / job.ranks)) if ranks else math.inf
        return (
            fit.own,
            not several or fit.spans,
            -distance,
            fit.collective.largest_message_bytes,
        )

    return max(fits, key=merit)


def fit_of(collective: Collective, cluster: Cluster) -> Fit | None:
    """Fit the two constants. None where it is no all-reduce, or measured nothing."""
    if collective.operation != "all_reduce" or not collective.largest_message_busbw.value:
        return None
    small = [row for row in collective.by_size if 0 < row.bytes <= SMALL_BYTES and row.time_us]
    times = [time for row in small for time in (row.time_us, row.in_place_time_us) if time]
    latency = median(times) if times else None
    top = collective.largest_message_bytes
    large = [row for row in collective.by_size if row.bytes * 4 >= top and row.busbw and row.time_us]
    # The bandwidth beyond the latency, which the large messages have in their times too.
    busbw = [_beyond(row, latency or 0.0) for row in large if (row.time_us or 0.0) > 2 * (latency or 0.0)]
    everything = cluster.nodes * cluster.gpus_per_node
    ranks, nodes = collective.ranks or 0, collective.nodes or 0
    return Fit(
        collective=collective,
        latency_us=latency,
        busbw=median(busbw) if busbw else collective.largest_message_busbw.value,
        source=collective.largest_message_busbw.source,
        own=ranks <= everything and nodes <= cluster.nodes,
        spans=nodes > 1 or ranks > cluster.gpus_per_node,
    )


def ring_ms(size: float, fit: Fit, ranks: int) -> float:
    """Time of a ring all-reduce of `size` bytes, in ms."""
    alpha = (fit.latency_us or 0.0) / (2 * ((fit.collective.ranks or ranks) - 1) or 1)
    return 2 * (ranks - 1) * alpha / 1e3 + 2 * (ranks - 1) / ranks * size / fit.busbw / 1e6


def tree_ms(size: float, fit: Fit, ranks: int, nodes: int) -> float:
    """Time of a double-binary-tree all-reduce of `size` bytes, in ms."""
    measured_ranks = fit.collective.ranks or ranks
    measured_nodes = fit.collective.nodes or max(1, round(nodes * measured_ranks / ranks))
    alpha = (fit.latency_us or 0.0) / (_tree_hops(measured_ranks, measured_nodes) or 1)
    return _tree_hops(ranks, nodes) * alpha / 1e3 + 2 * size / fit.busbw / 1e6


def bytes_within(ms: float, fit: Fit, ranks: int) -> float:
    """How many bytes a ring all-reduces in a time; 0 where the latency alone takes longer."""
    left = ms - ring_ms(0, fit, ranks)
    return max(left, 0.0) * 1e6 * fit.busbw * ranks / (2 * (ranks - 1))


def findings(made: Sequence[Synchronisation], training: Sequence[TrainingPart]) -> list[Finding]:
    """What it means for the move, and what would have to be measured to know it better."""
    found: list[Finding] = []
    for item in made:
        ms, size, busbw = item.ms or 0.0, item.gradient_bytes.value or 0.0, item.busbw.value or 0.0
        over_a_line = 2 * (item.ranks - 1) / item.ranks * size / (LINE_GBIT_S / 8) / 1e9
        bound = "" if item.bound == "exactly" else f"{item.bound} "
        found.append(
            Finding(
                severity="info",
                code="gradient-synchronisation",
                seen=f"{item.name}: {size / 1e9:.1f} GB of gradients ({item.gradient_bytes.source}), all-reduced on "
                f"{item.ranks} ranks at {busbw:.4g} GB/s, take {bound}{ms / 1e3:.3g} s",
                where=item.busbw.source,
                means=f"over a {LINE_GBIT_S:g} Gbit/s line to a cloud it would take {over_a_line:.3g} s each "
                "iteration: training stays whole, and stays here",
                remedy="none needed",
            )
        )
    jobs = {part.name for part in training}
    if without := [item.name for item in made if item.iteration_ms.basis == "unknown" and item.name in jobs]:
        found.append(
            Finding(
                severity="info",
                code="iteration-time-unknown",
                seen=f"no iteration_ms and no tokens_per_iteration: {', '.join(without)}",
                where="site.yaml: training",
                means="what share of an iteration the synchronisation takes is unknown",
                remedy="add training.iteration_ms (from the trainer's log) or training.tokens_per_iteration",
            )
        )
    for item in made:
        if item.largest_message_bytes < LARGE_BYTES:
            found.append(
                Finding(
                    severity="warning",
                    code="nccl-messages-short",
                    seen=f"the largest message has {item.largest_message_bytes / 2**20:g} MiB, the gradients "
                    f"{(item.gradient_bytes.value or 0) / 1e9:.3g} GB",
                    where=item.log,
                    means="such messages do not fill the links: the network is faster, and the synchronisation shorter",
                    remedy="measure up to 8 GiB: all_reduce_perf -b 8 -e 8G -f 2",
                )
            )
        iteration = item.iteration_ms.value or 0.0
        if (item.share_of_iteration.value or 0.0) > 1:
            found.append(
                Finding(
                    severity="warning",
                    code="iteration-shorter-than-synchronisation",
                    seen=f"{item.name}: {item.ms:.4g} ms of synchronisation in an iteration of {iteration:g} ms",
                    where=item.iteration_ms.source,
                    means="the job does not send all gradients of this model each iteration (adapters, accumulation), "
                    "or the log is of a slower network than it runs on",
                    remedy="give training.parameters, the number that is trained, or measure on its nodes",
                )
            )
    return found


def _job(part: TrainingPart, cluster: Cluster, models: Sequence[ModelFacts]) -> Job | None:
    gradients = _gradients(part.parameters, f"site.yaml: training {part.name}.parameters", part.gradient_bytes, models)
    if gradients is None:
        return None
    return Job(
        name=part.name,
        nodes=part.nodes,
        ranks=part.data_parallel or part.nodes * cluster.gpus_per_node,
        gradient_bytes=gradients,
        compute_parameters=_compute_parameters(models),
        iteration_ms=part.iteration_ms,
        tokens_per_iteration=part.tokens_per_iteration,
    )


def _whole_cluster(cluster: Cluster, models: Sequence[ModelFacts]) -> Job | None:
    gradients = _gradients(None, "", BFLOAT16_BYTES, models)
    if gradients is None:
        return None
    ranks = cluster.nodes * cluster.gpus_per_node
    return Job(f"all {cluster.nodes} nodes", cluster.nodes, ranks, gradients, _compute_parameters(models), None, None)


def _gradients(parameters: float | None, source: str, width: int, models: Sequence[ModelFacts]) -> Figure | None:
    """Bytes of the gradients: of the parameters that are stated, else of the first model that is served."""
    kind = {2: "bfloat16", 4: "float32"}[width]
    if parameters is not None:
        return assumed(parameters * width, "bytes", f"{source}, {kind}")
    for model in models:
        if model.parameters.value:
            return assumed(model.parameters.value * width, "bytes", f"{model.path}, {kind}")
    return None


def _compute_parameters(models: Sequence[ModelFacts]) -> float | None:
    known = [model for model in models if model.parameters.value]
    return (known[0].active_parameters.value or known[0].parameters.value) if known else None


def _make(job: Job, fit: Fit, cluster: Cluster) -> Synchronisation:
    size, log = job.gradient_bytes.value or 0.0, fit.collective
    source = f"{fit.source}, {log.ranks or 'unknown'} ranks, scaled to {job.ranks}"
    exact = fit.own and log.ranks == job.ranks and (job.nodes == 1 or fit.spans)
    ring, tree = ring_ms(size, fit, job.ranks), tree_ms(size, fit, job.ranks, job.nodes)

    def figure(value: float, unit: str) -> Figure:
        return measured(value, unit, fit.source) if exact else assumed(value, unit, source)

    iteration = _iteration(job, cluster)
    share = unknown("share", "the time of an iteration is unknown")
    if iteration.value:
        # A time that was stated holds the synchronisation already; one that follows from FLOPs does not.
        whole = iteration.value + (0 if job.iteration_ms else min(ring, tree))
        share = assumed(min(ring, tree) / whole, "share", "nothing of it overlapped with the computation")
    made = Synchronisation(
        name=job.name,
        nodes=job.nodes,
        ranks=job.ranks,
        gradient_bytes=job.gradient_bytes,
        log=log.file,
        largest_message_bytes=log.largest_message_bytes,
        latency_us=unknown("µs", f"{log.file}: no message of {SMALL_BYTES} bytes or less")
        if fit.latency_us is None
        else measured(fit.latency_us, "µs", f"{log.file}: messages up to {SMALL_BYTES} bytes"),
        busbw=measured(fit.busbw, "GB/s", fit.source),
        ring_ms=figure(ring, "ms"),
        tree_ms=figure(tree, "ms"),
        bound=_bound(job, fit),
        iteration_ms=iteration,
        share_of_iteration=share,
        parameters_in_12_ms=figure(bytes_within(QUOTED_MS[0], fit, job.ranks) / BFLOAT16_BYTES, "parameters"),
        parameters_in_18_ms=figure(bytes_within(QUOTED_MS[1], fit, job.ranks) / BFLOAT16_BYTES, "parameters"),
    )
    # Against a time that was never measured over nodes, a ratio would say nothing.
    at_home_ms = made.ms if fit.spans else None
    return made.model_copy(update={"fabrics": _fabrics(job, at_home_ms, cluster)})


def _bound(job: Job, fit: Fit) -> Literal["exactly", "at least", "at most", "about"]:
    least = fit.latency_us is None or (job.nodes > 1 and not fit.spans)
    most = fit.collective.largest_message_bytes < LARGE_BYTES or (job.nodes == 1 and fit.spans)
    if least and most:
        return "about"
    return "at least" if least else "at most" if most else "exactly"


def _iteration(job: Job, cluster: Cluster) -> Figure:
    if job.iteration_ms is not None:
        return assumed(job.iteration_ms, "ms", f"site.yaml: training {job.name}.iteration_ms")
    accelerator = accelerators.recognise(cluster.accelerator)
    if job.tokens_per_iteration is None or job.compute_parameters is None or accelerator is None:
        return unknown("ms", "neither iteration_ms nor tokens_per_iteration is given")
    flops = 6 * job.compute_parameters * job.tokens_per_iteration
    peak = job.nodes * cluster.gpus_per_node * accelerator.fp16_dense_tflops * 1e12
    return assumed(flops / (peak * FLOPS_UTILIZATION) * 1e3, "ms", FLOPS_SOURCE)


def _fabrics(job: Job, at_home_ms: float | None, cluster: Cluster) -> list[Fabric]:
    """As many instances with EFA as the job has nodes, each with as many accelerators, by the speed of their network.

    At best: the nodes reduce inside first, so that each sends and receives 2(N-1)/N · S at the rate of its network.
    """
    if job.nodes < 2:
        return []
    by_rate: dict[int, list[str]] = {}
    for kind in instance_types.all_types():
        if kind.efa_interfaces and kind.accelerators == cluster.gpus_per_node:
            by_rate.setdefault(kind.network_mbps, []).append(kind.name)
    made = []
    for mbps, names in sorted(by_rate.items()):
        ms = 2 * (job.nodes - 1) / job.nodes * (job.gradient_bytes.value or 0.0) * 8 / mbps / 1e3
        made.append(
            Fabric(
                instance_types=names,
                gbit_per_s=mbps / 1000,
                ms=assumed(ms, "ms", "ferry/catalog/instance_types.csv: network_mbps, all of it used"),
                times_as_long=ms / at_home_ms if at_home_ms else None,
            )
        )
    return made


def _beyond(row: CollectiveSize, latency_us: float) -> float:
    time = row.time_us or 0.0
    return (row.busbw or 0.0) * time / (time - latency_us)


def _tree_hops(ranks: int, nodes: int) -> int:
    return 2 * (max(ranks // nodes, 1) - 1 + math.ceil(math.log2(nodes)))
