"""What a job's own flags mean for the move, without anything else of the site."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ferry.artefacts import Finding
from ferry.artefacts.deployment import Deployment
from ferry.assess.deployments.engines import TABLES
from ferry.catalog import known_bad

ANYWHERE = frozenset({"0.0.0.0", "::", "[::]", "*"})  # noqa: S104 - compared with, not listened on
HIGHEST_SHARE = 0.95
LOWEST_SHARE = 0.7


def about_job(job: Deployment) -> list[Finding]:
    """All that follows from the job alone."""
    return [*_versions(job), *_serving(job)] if job.role == "serving" else []


def ranks(job: Deployment) -> int:
    """GPUs that one replica takes: tensor × pipeline × data parallel ranks.

    SGLang's data-parallel attention runs inside the tensor-parallel ranks.
    """
    inside = any(flag.startswith("--enable-dp-attention") for flag in job.extra_flags)
    return math.prod(
        size or 1 for size in (job.tensor_parallel, job.pipeline_parallel, 1 if inside else job.data_parallel)
    )


def finding_of(job: Deployment, severity: str, code: str, seen: str, field: str, means: str, remedy: str) -> Finding:
    """A finding about a job, at the line that states a field."""
    return Finding.model_validate(
        {
            "severity": severity,
            "code": code,
            "seen": f"{job.name}: {seen}",
            "where": job.at(field),
            "means": means,
            "remedy": remedy,
        }
    )


def _versions(job: Deployment) -> Iterator[Finding]:
    if job.version is not None:
        yield from _known_bad(job, job.version)
        return
    tag = (job.image or "").partition("@")[0].rpartition("/")[2].partition(":")[2]
    floats = job.image is not None and "@" not in job.image and tag in ("", "latest", "nightly", "main", "dev")
    yield finding_of(
        job,
        "warning" if floats else "info",
        "image-not-pinned" if floats else "engine-version-unknown",
        f"image {job.image}" if job.image else f"{job.engine} of unknown version",
        "image",
        "which version of the engine the measurements are of is unknown, and so is whether it is known to be bad; "
        "defaults and flags change between versions"
        + (", and the same start may fetch another one tomorrow" if floats else ""),
        "pin the version that runs now: the engine prints it at its start"
        + (", docker image inspect tells the digest" if floats else ""),
    )


def _known_bad(job: Deployment, version: str) -> Iterator[Finding]:
    if job.engine is None or job.engine not in known_bad.products():
        return
    judged = known_bad.judge(job.engine, version)
    if judged.bad:
        yield finding_of(
            job,
            "warning",
            "engine-version-known-bad",
            f"{job.engine} {version} {judged.says}",
            "image",
            "it answers requests with a fault that is public: it must not stay at home as it is, nor be moved",
            judged.remedy,
        )


def _serving(job: Deployment) -> Iterator[Finding]:
    table = TABLES[job.engine] if job.engine else None
    if job.max_sequences is None and job.max_cached_tokens is None and table and job.engine != "triton":
        yield finding_of(
            job,
            "info",
            "batch-limit-unknown",
            f"no {table.batch_flag}",
            "engine",
            "the engine's default holds, which differs by version and GPU: how many requests run at once is unknown",
            f"state {table.batch_flag}; the engine prints the value that it chose",
        )
    if job.eager:
        yield finding_of(
            job,
            "warning",
            "eager-mode",
            "runs without CUDA graphs",
            "eager",
            "it costs throughput, most at small batches: today's latency is worse than the hardware allows, and the "
            "cloud would need more GPUs for the same load",
            "leave the flag out if memory allows; measure again before the sizing",
        )
    if job.trust_remote_code:
        yield finding_of(
            job,
            "warning",
            "trust-remote-code",
            "runs code that comes with the model",
            "trust_remote_code",
            "whoever can change the model's folder or repository runs code on the GPU servers, in the cloud too",
            "leave the flag out where the engine knows the architecture; else pin the revision and review its code",
        )
    open_host = job.host in ANYWHERE if job.host else bool(table and table.everywhere and job.published)
    if open_host and not job.api_key:
        inside = job.kind == "kubernetes" and not job.published
        yield finding_of(
            job,
            "info" if inside else "warning",
            "open-without-key",
            f"listens on {job.host or 'every interface'}{f', port {job.port}' if job.port else ''}, asks for no key",
            "host",
            "every pod of the cluster may use it, unless a network policy says otherwise"
            if inside
            else "everybody who reaches the server may use the model and read its metrics",
            "let the gateway check tokens, and let only the gateway reach the engine",
        )
    share = job.gpu_memory_share
    if share is not None and job.engine in ("vllm", "sglang") and not LOWEST_SHARE <= share <= HIGHEST_SHARE:
        high = share > HIGHEST_SHARE
        yield finding_of(
            job,
            "warning" if high else "info",
            "gpu-memory-share",
            f"{share:g} of each GPU's memory",
            "gpu_memory_share",
            "little is left for CUDA graphs and peaks: it may run out of memory on a GPU with another driver"
            if high
            else "the KV cache gets less than the GPU holds: fewer requests at once than the sizing assumes, unless "
            "something else uses the rest",
            "0.9 is usual where the engine has the GPU for itself" if high else "say what else runs on these GPUs",
        )
    if job.gpus is not None and job.gpus * (job.nodes or 1) < (need := ranks(job)):
        yield finding_of(
            job,
            "warning",
            "more-ranks-than-gpus",
            f"{need} ranks, {job.gpus * (job.nodes or 1)} GPUs",
            "tensor_parallel",
            "the job cannot start like that, or the file does not say all of its nodes; today's size is in doubt",
            "correct the flags, or name the file that starts the other nodes",
        )
