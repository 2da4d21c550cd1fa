"""Kubernetes manifests: workloads of its own, and those of KServe, KubeAI, Kubeflow, LeaderWorkerSet and KubeRay.

A kind that is not known is read where it holds a pod (a mapping with `containers`), as operators' own kinds do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from ferry.artefacts.deployment import Engine
from ferry.assess.deployments import jobs
from ferry.assess.deployments.documents import Section, Tree, documents, items, number, section, text
from ferry.assess.deployments.reading import Reading, Start
from ferry.assess.deployments.redaction import is_plain
from ferry.assess.deployments.shell import commands
from ferry.assess.deployments.words import Variables, Word, kubernetes

TEMPLATE = ("spec", "template", "spec")
POD_SPECS = {
    "Deployment": TEMPLATE, "StatefulSet": TEMPLATE, "DaemonSet": TEMPLATE, "ReplicaSet": TEMPLATE, "Job": TEMPLATE,
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"), "Pod": ("spec",),
}  # fmt: skip
# github.com/kubeflow/trainer: the replica specs of each of its version 1 kinds.
TRAINING_JOBS = {
    "PyTorchJob": "pytorchReplicaSpecs", "MPIJob": "mpiReplicaSpecs", "TFJob": "tfReplicaSpecs",
    "JAXJob": "jaxReplicaSpecs", "XGBoostJob": "xgbReplicaSpecs", "PaddleJob": "paddleReplicaSpecs",
}  # fmt: skip
# github.com/kubeai-project/kubeai, api/k8s/v1/model_types.go.
KUBEAI_ENGINES: dict[str, Engine] = {"VLLM": "vllm", "OLlama": "ollama"}
# What KServe fills in for a service that names it: it starts nothing by itself.
TEMPLATES = frozenset({"LLMInferenceServiceConfig", "ServingRuntime", "ClusterServingRuntime"})
MOST_PODS = 100
GPU = re.compile(r"(nvidia\.com/(gpu|mig-.+)|amd\.com/gpu)")


def is_manifest(tree: Tree) -> bool:
    """Whether a document is a Kubernetes object."""
    return isinstance(tree, dict) and isinstance(tree.get("apiVersion"), str) and isinstance(tree.get("kind"), str)


def read(content: str, label: str) -> Reading:
    """Read a manifest of any number of documents. Raises UnreadableInput."""
    reading = Reading(label, "kubernetes")
    for tree in documents(content, label):
        for part in items(tree.get("items")) if isinstance(tree, dict) and tree.get("kind") == "List" else [tree]:
            if is_manifest(part):
                _object(part, reading)
    return reading


def _object(part: Section, reading: Reading) -> None:
    kind = str(part["kind"])
    name = text(section(part, "metadata").get("name")) or Word("unnamed", part.line)
    spec = section(part, "spec")
    replicas = number(spec.get("replicas"))
    if kind == "Secret":
        plain = [key for data in ("data", "stringData") for key, value in section(part, data).items() if _plain(value)]
        if plain:
            reading.find(
                "critical",
                "secret-in-plain-text",
                f"Secret {name[:60]} holds {len(plain)} value{'s' if len(plain) > 1 else ''} (not shown here)",
                part.line,
                "base64 hides nothing: who may read the file, its backups or its repository's history has the secret",
                "revoke it and make a new one; keep that in a secret store, and leave it out of the manifests",
            )
    elif kind in POD_SPECS:
        _pod(section(part, *POD_SPECS[kind]), name, kind, reading, replicas=replicas)
    elif kind == "LeaderWorkerSet":
        template = section(spec, "leaderWorkerTemplate")
        leader = section(template, "leaderTemplate", "spec") or section(template, "workerTemplate", "spec")
        _pod(leader, name, kind, reading, replicas=replicas, nodes=number(template.get("size")))
    elif kind in TRAINING_JOBS:
        _training(section(spec, TRAINING_JOBS[kind]), name, kind, reading)
    elif kind == "InferenceService":
        _inference_service(section(spec, "predictor"), name, reading)
    elif kind == "Model" and str(part["apiVersion"]).startswith("kubeai.org/"):
        _kubeai(spec, name, reading)
    elif kind in ("RayService", "RayJob"):
        _ray(spec, name, kind, reading)
    elif kind == "Service" and "serving.knative.dev" in part["apiVersion"]:
        _pod(section(spec, "template", "spec"), name, "Knative Service", reading)
    elif kind == "LLMInferenceService":
        _llm_inference_service(spec, name, reading)
    elif kind not in TEMPLATES:
        for pods in islice(_pods(spec), MOST_PODS):
            _pod(pods.spec, name, kind, reading, replicas=pods.replicas or replicas)


class _Pods(NamedTuple):
    """A pod somewhere in an object, and the replicas that stand nearest above it."""

    spec: Section
    replicas: int | None


def _pods(tree: Tree, replicas: int | None = None) -> Iterator[_Pods]:
    if isinstance(tree, Section):
        replicas = number(tree.get("replicas")) or replicas
        if any(isinstance(item, Section) for item in items(tree.get("containers"))):
            yield _Pods(tree, replicas)
            return
        for value in tree.values():
            yield from _pods(value, replicas)
    elif isinstance(tree, list):
        for value in tree:
            yield from _pods(value, replicas)


def _llm_inference_service(spec: Section, name: Word, reading: Reading) -> None:
    """KServe (config/llmisvcconfig): `vllm serve /mnt/models` unless its main container says otherwise."""
    model, parallel = section(spec, "model"), section(spec, "parallelism")
    uri = text(model.get("uri"))
    uri = Word(uri.removeprefix("hf://"), uri.line) if uri else None
    for part, shape in ((spec, parallel), (section(spec, "prefill"), section(spec, "prefill", "parallelism"))):
        template = section(part, "template")
        if part is not spec and not template:
            continue
        containers = [item for item in items(template.get("containers")) if isinstance(item, Section)]
        main = next((item for item in containers if text(item.get("name")) == "main"), Section())
        start = _container(main, name, "LLMInferenceService", number(part.get("replicas")), None)
        words = [
            Word(f"--{flag}-parallel-size={size}", size.line)
            for flag in ("tensor", "pipeline", "data")
            if (size := text(shape.get(flag)))
        ]
        if text(shape.get("expert")) == "true":
            words.append(Word("--enable-expert-parallel", shape.line))
        if (more := start.environment.get("VLLM_ADDITIONAL_ARGS")) is not None:
            variables = Variables(reading.file, start.environment)
            words += [word for command in commands(more, variables, more.line) for word in command.words]
        made = {"model": uri, "served_name": text(model.get("name")), "engine": "vllm", "words": [*start.words, *words]}
        jobs.add(Start(**{**start.__dict__, **made}), reading)


def _plain(value: Tree) -> bool:
    return isinstance(value, Word) and is_plain(value)


def _pod(
    spec: Section, name: Word, kind: str, reading: Reading, *, replicas: int | None = None, nodes: int | None = None
) -> None:
    skipped: list[Start] = []
    made = False
    for container in items(spec.get("containers")):
        if isinstance(container, Section):
            start = _container(container, name, kind, replicas, nodes, text(spec.get("hostNetwork")) == "true")
            added = jobs.add(start, reading)
            made |= added
            skipped += [] if added else [start]
    # What stands beside an engine in its pod (a sidecar) is part of it.
    for start in [] if made else skipped:
        jobs.skip(start, reading)


def _container(
    part: Section, name: Word, kind: str, replicas: int | None, nodes: int | None, on_host: bool = False
) -> Start:
    environment = _environment(part)

    def words(key: str) -> list[Word]:
        return [
            Word(kubernetes(item, environment), item.line) for item in items(part.get(key)) if isinstance(item, Word)
        ]

    ports = [
        port
        for item in items(part.get("ports"))
        if isinstance(item, dict) and (port := text(item.get("containerPort")))
    ]
    host_ports = [item for item in items(part.get("ports")) if isinstance(item, dict) and item.get("hostPort")]
    return Start(
        name=name,
        line=name.line,
        words=[*words("command"), *words("args")],
        is_arguments=not part.get("command"),
        environment=environment,
        image=text(part.get("image")),
        resource=kind,
        replicas=replicas,
        nodes=nodes,
        gpus=_gpus(part),
        port=ports[0] if ports else None,
        published=on_host or bool(host_ports),
    )


def _environment(part: Section) -> dict[str, Word]:
    return {
        str(item["name"]): value
        for item in items(part.get("env"))
        if isinstance(item, dict)
        and isinstance(item.get("name"), Word)
        and (value := text(item.get("value"))) is not None
    }


def _gpus(part: Section) -> int | None:
    for key in ("limits", "requests"):
        counts = [
            number(value) or 0 for name, value in section(part, "resources", key).items() if GPU.fullmatch(name[:80])
        ]
        if sum(counts):
            return sum(counts)
    return None


def _training(specs: Section, name: Word, kind: str, reading: Reading) -> None:
    """One job of all its replicas: the first that has a command or GPUs stands for it."""
    nodes = 0
    chosen: Start | None = None
    for role in specs.values():
        spec = section(role, "template", "spec")
        containers = [part for part in items(spec.get("containers")) if isinstance(part, Section)]
        if not containers:
            continue
        start = _container(containers[0], name, kind, None, None)
        if start.gpus:
            nodes += number(role.get("replicas")) or 1
        if chosen is None or (start.gpus and not chosen.gpus):
            chosen = start
    if chosen is not None:
        launcher = {"PyTorchJob": "torchrun", "MPIJob": "mpirun"}.get(kind, kind)
        # Whatever it runs is training, by its kind: the words are its arguments.
        fields = {**chosen.__dict__, "launcher": launcher, "is_arguments": True, "nodes": nodes or None}
        jobs.add(Start(**fields), reading)


def _inference_service(predictor: Section, name: Word, reading: Reading) -> None:
    replicas = number(predictor.get("minReplicas"))
    if containers := items(predictor.get("containers")):
        for part in containers:
            if isinstance(part, Section):
                start = _container(part, name, "InferenceService", replicas, None)
                if not jobs.add(start, reading):
                    jobs.skip(start, reading)
        return
    model = section(predictor, "model")
    start = _container(model, name, "InferenceService", replicas, None)
    names = " ".join(filter(None, (text(section(model, "modelFormat").get("name")), text(model.get("runtime")))))
    known: dict[str, Engine] = {
        "vllm": "vllm",
        "huggingface": "vllm",
        "sglang": "sglang",
        "triton": "triton",
        "tgi": "tgi",
    }
    engine = next((engine for part, engine in known.items() if part in names.lower()), None)
    if any(word == "--backend=huggingface" for word in start.words):
        engine = None
    fields = {**start.__dict__, "engine": engine, "model": text(model.get("storageUri"))}
    if not jobs.add(Start(**fields), reading):
        jobs.skip(start, reading)


def _kubeai(spec: Section, name: Word, reading: Reading) -> None:
    url = text(spec.get("url"))
    for prefix in ("hf://", "ollama://"):
        url = Word(url.removeprefix(prefix), url.line) if url else None
    environment = {str(key): value for key, value in section(spec, "env").items() if isinstance(value, Word)}
    profile = text(spec.get("resourceProfile")) or ""
    start = Start(
        name=name,
        line=name.line,
        words=[item for item in items(spec.get("args")) if isinstance(item, Word)],
        is_arguments=True,
        environment=environment,
        image=text(spec.get("image")),
        resource="Model",
        engine=KUBEAI_ENGINES.get(text(spec.get("engine")) or ""),
        model=url,
        served_name=name,
        replicas=number(spec.get("replicas")) or number(spec.get("minReplicas")),
        gpus=int(count[1]) if "gpu" in profile and (count := re.search(r":([0-9]{1,4})$", profile)) else None,
    )
    if not jobs.add(start, reading):
        jobs.skip(start, reading)


def _ray(spec: Section, name: Word, kind: str, reading: Reading) -> None:
    cluster = section(spec, "rayClusterSpec") or section(spec, "rayClusterConfig")
    head = next((part for part in items(section(cluster, "headGroupSpec", "template", "spec").get("containers"))), None)
    image = text(head.get("image")) if isinstance(head, dict) else None
    environment = _environment(head) if isinstance(head, Section) else {}
    if kind == "RayJob":
        entrypoint = text(spec.get("entrypoint")) or Word("", name.line)
        variables = Variables(reading.file, environment)
        words = [word for command in commands(entrypoint, variables, entrypoint.line) for word in command.words]
        start = Start(name=name, line=name.line, words=words, environment=environment, image=image, resource=kind)
        if not jobs.add(start, reading, variables):
            jobs.skip(start, reading)
        return
    made = False
    serve = text(spec.get("serveConfigV2"))
    for tree in documents(serve, reading.file, serve.line) if serve else []:
        for arguments in (
            section(app, "args") for app in items(tree.get("applications") if isinstance(tree, dict) else None)
        ):
            for config in items(arguments.get("llm_configs")):
                loading = section(config, "model_loading_config")
                served = text(loading.get("model_id"))
                scaling = section(config, "deployment_config")
                start = Start(
                    name=name,
                    line=name.line,
                    words=list(_engine_words(section(config, "engine_kwargs"))),
                    is_arguments=True,
                    environment=environment,
                    image=image,
                    resource=kind,
                    engine="vllm",
                    model=text(loading.get("model_source")) or served,
                    served_name=served,
                    replicas=number(scaling.get("num_replicas"))
                    or number(section(scaling, "autoscaling_config").get("min_replicas")),
                )
                made |= jobs.add(start, reading)
    if not made:
        jobs.skip(Start(name=name, line=name.line, image=image, resource=kind), reading)


def _engine_words(arguments: Section) -> Iterator[Word]:
    """Arguments of vLLM as Ray takes them, by name, as the flags that they are."""
    for key, value in arguments.items():
        if isinstance(value, Word):
            yield Word(f"--{key}={value}", value.line)
