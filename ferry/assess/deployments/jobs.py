"""Makes jobs of what a file starts: finds what it launches, reads its flags, keeps its secrets out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.artefacts.deployment import Deployment, Engine
from ferry.assess.deployments import flags
from ferry.assess.deployments.engines import TABLES, TRAINING, of_image, version_of
from ferry.assess.deployments.launches import Launch, gpus, launches
from ferry.assess.deployments.reading import MOST_JOBS, Reading, Start
from ferry.assess.deployments.redaction import Redactor, is_plain, is_secret_name
from ferry.assess.deployments.shell import Command
from ferry.assess.deployments.words import Variables, Word
from ferry.errors import UnreadableInput

MOST_EXTRA = 100


def add(start: Start, reading: Reading, variables: Variables | None = None) -> bool:
    """Add what a start launches to the reading, or say why it is none. True where it is a job."""
    report_secrets(start.environment, reading)
    found = _launches(start, variables or Variables(reading.file, start.environment))
    for launch in found:
        if len(reading.jobs) >= MOST_JOBS:
            raise UnreadableInput(f"{reading.file}: starts more than {MOST_JOBS} jobs; give a part of it")
        reading.jobs.append(_job(start, launch, reading))
    return bool(found)


def skip(start: Start, reading: Reading) -> None:
    """Note that a start is neither serving nor training."""
    redact = Redactor(value for name, value in start.environment.items() if is_secret_name(name))
    what = start.image or " ".join(start.words[:3]) or "nothing"
    reading.skipped.append(redact(f"{start.name} ({what[:60]})"))


def report_secrets(environment: Mapping[str, Word], reading: Reading) -> None:
    """A finding for each variable that holds a secret in plain text; the value is never shown."""
    for name, value in environment.items():
        if is_secret_name(name) and is_plain(value):
            report_secret(Redactor()(name), value.line, reading)


def report_secret(name: str, line: int, reading: Reading) -> None:
    """A finding about one secret, by the name of its flag or variable."""
    reading.find(
        "critical",
        "secret-in-plain-text",
        f"{name} with its value in the file (not shown here)",
        line,
        "who may read the file, its backups or its repository's history has the secret; it would move along with it",
        "revoke it and make a new one; keep that in a secret store, and name only where it stands",
    )


def _launches(start: Start, variables: Variables) -> list[Launch]:
    line = start.line
    if start.words and not start.is_arguments:
        found = list(launches(Command(list(start.words), dict(start.environment), line), variables))
        if found or start.engine is None:
            return [
                _by_image(launch) for launch in found if launch.engine or launch.launcher or _by_image(launch).engine
            ]
    engine = start.engine
    if engine is None and start.image is not None:
        inner = (
            list(launches(Command(list(start.words), dict(start.environment), line), variables)) if start.words else []
        )
        if inner:
            return inner
        engine = _server_image(start.image)
        # `vllm/vllm-openai` with `serve` would be the model's name; an image of ollama gets the verb.
        if engine == "ollama" and start.words and start.words[0] not in ("serve", "start"):
            engine = None
    if engine is None and start.launcher is None:
        return []
    program = start.image or (start.words[0] if start.words else Word(start.name, line))
    arguments = start.words[1:] if engine == "ollama" else start.words
    environment = dict(start.environment)
    return [
        Launch(
            program=program, arguments=list(arguments), environment=environment, engine=engine, launcher=start.launcher
        )
    ]


def _server_image(image: str) -> Engine | None:
    engine = of_image(image)
    return engine if engine and TABLES[engine].image_is_server else None


def _by_image(launch: Launch) -> Launch:
    """A `docker run IMAGE --flags`, whose image starts the server."""
    if launch.engine or launch.launcher or launch.image is None or launch.entrypoint is not None:
        return launch
    engine = _server_image(launch.image)
    arguments = launch.arguments[1:] if engine == "ollama" and launch.arguments[:1] == ["serve"] else launch.arguments
    return Launch(**{**launch.__dict__, "engine": engine, "arguments": arguments})


def _job(start: Start, launch: Launch, reading: Reading) -> Deployment:
    image = launch.image or start.image
    environment = launch.environment
    report_secrets(launch.environment, reading)
    table = TABLES[launch.engine] if launch.engine else TRAINING
    settings = flags.read(table, launch.arguments, environment)
    secrets = [value for name, value in environment.items() if is_secret_name(name)]
    redact = Redactor([*secrets, *(value for _, value in settings.secrets)])
    for name, value in settings.secrets:
        if is_plain(value):
            report_secret(redact(name), value.line, reading)
    for name, value in settings.files:
        reading.find(
            "info",
            "deployment-file-not-read",
            f"{name} {redact(value)}",
            name.line,
            "flags may stand in that file, too; what is said of the job is without them",
            "put them on the command line, or compare the file by eye",
        )
    _prepare(launch, start, settings)
    values, lines = _values(settings, redact, reading)
    version = version_of(image, launch.engine) if image else None
    pinned = start.pinned.get(launch.engine) if launch.engine and version is None else None
    line = launch.program.line if reading.kind in ("shell", "slurm", "systemd") else start.line
    stated: dict[str, Any] = {
        "replicas": start.replicas,
        "nodes": start.nodes,
        "gpus": launch.gpus
        or start.gpus
        or gpus(None if "$" in (v := environment.get("CUDA_VISIBLE_DEVICES", Word("", 0))) else f"device={v}"),
        "version": version or pinned,
        "image": redact(image) if image else None,
    }
    stated = {name: value for name, value in stated.items() if value is not None}
    lines |= {"image": image.line} if image is not None else {}
    extra = [redact(" ".join([name, *values_])) for name, values_ in settings.extra[:MOST_EXTRA]]
    port = launch.port or start.port
    if port is not None and (number := flags.count(port)) is not None and "port" not in values:
        stated["port"], lines["port"] = number, port.line
    return Deployment(
        name=redact(launch.name or start.name) or "unnamed",
        file=reading.file,
        line=line,
        kind=reading.kind,
        resource=start.resource,
        role="serving" if launch.engine else "training",
        engine=launch.engine,
        launcher=launch.launcher,
        api_key=settings.asks_for_key,
        published=launch.published or start.published,
        extra_flags=extra,
        lines=lines,
        **{**stated, **values},
    )


def _prepare(launch: Launch, start: Start, settings: flags.Settings) -> None:
    """What an engine means by its values where they do not say it themselves."""
    fields = settings.fields
    if start.model is not None:
        fields.setdefault("model", [start.model])
    if start.served_name is not None:
        fields.setdefault("served_names", [start.served_name])
    if launch.engine == "sglang" and "chunked_prefill" in fields:
        size = fields["chunked_prefill"][0]
        fields["chunked_prefill"] = [Word("false" if size.startswith("-") else "true", size.line)]
        if flags.count(size):
            fields.setdefault("max_batch_tokens", [size])
    if launch.engine == "vllm" and "expert_parallel" in fields:
        # docs/serving/expert_parallel_deployment.md: the experts spread over tensor × data parallel ranks.
        switch = fields.pop("expert_parallel")[0]
        sizes = [flags.count(fields[name][0]) if name in fields else 1 for name in ("tensor_parallel", "data_parallel")]
        if switch == "true" and all(sizes):
            fields["expert_parallel"] = [Word(str((sizes[0] or 1) * (sizes[1] or 1)), switch.line)]
    if launch.engine == "ollama" and "host" in fields:
        host, colon, port = fields["host"][0].rpartition("://")[2].rstrip("/").rpartition(":")
        line = fields["host"][0].line
        if colon and port.isdigit():
            fields["port"] = [Word(port, line)]
        fields["host"] = [Word(host if colon and port.isdigit() else fields["host"][0], line)]


def _values(settings: flags.Settings, redact: Redactor, reading: Reading) -> tuple[dict[str, Any], dict[str, int]]:
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for name, texts in settings.fields.items():
        if not texts or (len(texts) == 1 and not texts[0]):
            continue
        text = texts[0]
        value: Any = None
        if name in flags.LISTS:
            value = [redact(item) for item in (flags.adapters(texts) if name == "lora_adapters" else texts)]
        elif name in flags.COUNTS:
            value = flags.count(text)
        elif name == "gpu_memory_share":
            value = flags.share(text)
        elif name in flags.BOOLEANS:
            value = flags.boolean(text)
        elif name == "model" and not text.strip("/."):
            value = None  # what is left of "$DIR/$NAME" where both are empty unless the caller sets them
        else:
            value = redact(flags.speculation(text) if name == "speculative" else text)
        if value is not None:
            values[name], lines[name] = value, text.line
        elif text.lower() not in flags.ENGINE_DECIDES:
            reading.find(
                "warning",
                "deployment-value-unknown",
                f"{name.replace('_', ' ')} is {redact(text)[:80]!r}",
                text.line,
                "no number was taken from it; what follows from it is unknown",
                "give the file with the variable filled in, as docker compose config or helm template print it"
                if "$" in text or "{{" in text
                else "correct the value",
            )
    return values, lines
