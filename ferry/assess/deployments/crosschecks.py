"""Holds the jobs against the rest of the site: contradictions and gaps become findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ferry.artefacts import Cluster, Finding, Serving, Training
from ferry.artefacts.deployment import Deployment
from ferry.assess.deployments.checks import finding_of, ranks


def combine(jobs: Sequence[Deployment]) -> list[Deployment]:
    """The jobs with each systemd drop-in put on its unit: what the drop-in states holds."""
    units = {job.name: job for job in jobs if job.kind == "systemd" and not _is_drop_in(job)}
    found = []
    for job in jobs:
        if _is_drop_in(job) and job.name in units:
            continue
        for over in [
            part for part in jobs if _is_drop_in(part) and part.name == job.name and job is units.get(job.name)
        ]:
            stated = over.model_dump(exclude_defaults=True, exclude={"name", "file", "line", "kind", "role", "lines"})
            job = job.model_copy(update=stated)
        found.append(job)
    return found


def _is_drop_in(job: Deployment) -> bool:
    return job.kind == "systemd" and ".service.d/" in job.file


def about_deployments(
    jobs: Sequence[Deployment],
    cluster: Cluster,
    serving: Sequence[Serving],
    training: Sequence[Training],
    metrics_names: Mapping[str, str],
) -> list[Finding]:
    """What contradicts. `metrics_names` are the models that the metrics name, by service."""
    found: list[Finding] = []
    for job in jobs:
        found += _across_nodes(job, cluster)
        if job.role == "training":
            found += _training(job, training)
        elif (service := service_of(job, serving, jobs)) is None:
            found.append(
                finding_of(
                    job,
                    "warning",
                    "deployment-not-in-site",
                    f"serves {job.model or 'a model'} on {job.engine}",
                    "model",
                    "no service of site.yaml is of this model: neither its load nor its memory is counted",
                    "add it under serving, or take the file out of deployments",
                )
            )
        else:
            found += _against_service(job, service, metrics_names.get(service.name, ""))
    found += _all_gpus(jobs, cluster)
    return found


def service_of(job: Deployment, serving: Sequence[Serving], jobs: Sequence[Deployment]) -> Serving | None:
    """The service that a job is of: by its model's or its own name; or the only one for the only job."""
    names = {name.casefold() for name in (*job.served_names, job.name, _last(job.model)) if name}
    for service in serving:
        if names & {service.name.casefold(), _last(service.model.path).casefold()}:
            return service
    if len(serving) == 1 and sum(other.role == "serving" for other in jobs) == 1:
        return serving[0]
    return None


def _last(path: str | None) -> str:
    return (path or "").rstrip("/").rpartition("/")[2]


def _across_nodes(job: Deployment, cluster: Cluster) -> Iterator[Finding]:
    tensor = job.tensor_parallel or 1
    if tensor > cluster.gpus_per_node:
        yield finding_of(
            job,
            "warning",
            "tensor-parallel-across-nodes",
            f"tensor parallel {tensor}, a server has {cluster.gpus_per_node} GPUs",
            "tensor_parallel",
            "each layer waits for the network between servers, twice: the cloud's fabric decides more than its GPUs do",
            "compare with tensor parallelism in a server and pipeline parallelism across; give nccl-tests over nodes",
        )


def _training(job: Deployment, training: Sequence[Training]) -> Iterator[Finding]:
    known = {name.casefold() for item in training for name in (item.name, item.launcher)}
    if not {job.name.casefold(), (job.launcher or "").casefold()} & known and not (
        job.kind == "slurm" and "slurm" in known
    ):
        yield finding_of(
            job,
            "warning",
            "training-not-in-site",
            f"is training ({job.launcher})",
            "launcher",
            "it stays at home and needs its GPUs: without it, too many of them look free",
            "add it under training in site.yaml",
        )


def _against_service(job: Deployment, service: Serving, metrics_name: str) -> Iterator[Finding]:
    if job.engine != service.engine:
        yield finding_of(
            job,
            "warning",
            "engine-contradicts",
            f"starts {job.engine}, site.yaml says {service.engine} for {service.name}",
            "engine",
            "the plan would build the fleet with another engine than the one whose latency was measured",
            f"correct serving {service.name}.engine, or name the file that starts it now",
        )
    limit = service.model.context_tokens
    if job.context_tokens is not None and job.context_tokens > limit:
        yield finding_of(
            job,
            "warning",
            "context-above-model",
            f"context of {job.context_tokens} tokens, the model has {limit}",
            "context_tokens",
            "the engine refuses it, or stretches positions that the model was not trained on",
            f"set it to {limit}, or give the model's folder with the rope_scaling that is used",
        )
    names = {name.casefold() for name in (*job.served_names, *([] if job.served_names else [job.model or ""])) if name}
    if metrics_name and names and metrics_name.casefold() not in names and not any("$" in name for name in names):
        yield finding_of(
            job,
            "warning",
            "served-name-contradicts",
            f"serves {', '.join(job.served_names) or job.model}, the metrics of {service.name} are of "
            f"{metrics_name[:100]}",
            "served_names" if job.served_names else "model",
            "the latencies may have been measured on another engine than this one",
            "save /metrics of this engine, or name the file that starts the measured one",
        )


def _all_gpus(jobs: Sequence[Deployment], cluster: Cluster) -> Iterator[Finding]:
    """Together the services take more GPUs than there are: they cannot all run at once."""
    everything = cluster.nodes * cluster.gpus_per_node
    serving = [job for job in jobs if job.role == "serving"]
    needed = sum(max(ranks(job), (job.gpus or 1) * (job.nodes or 1)) * (job.replicas or 1) for job in serving)
    if needed > everything:
        yield finding_of(
            serving[0],
            "warning",
            "deployments-exceed-gpus",
            f"with {len(serving) - 1} other services it takes {needed} GPUs, the cluster has {everything}",
            "gpus",
            "they do not all run at once, or share GPUs: what each of them measures depends on the others",
            "name only what runs now, or correct cluster.nodes and cluster.gpus_per_node",
        )
