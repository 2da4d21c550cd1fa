"""docker-compose: compose.yaml of any version, `services:` at the top or, as in version 1, the services themselves."""

from __future__ import annotations

from typing import Any

from ferry.assess.deployments import jobs
from ferry.assess.deployments.documents import Section, Tree, documents, items, number, section, text
from ferry.assess.deployments.launches import gpus, is_public, published_port
from ferry.assess.deployments.reading import Reading, Start
from ferry.assess.deployments.shell import commands
from ferry.assess.deployments.words import Variables, Word


def is_compose(tree: Tree) -> bool:
    """Whether a document is a compose file."""
    if not isinstance(tree, dict) or "apiVersion" in tree:
        return False
    services = tree.get("services", tree)
    return isinstance(services, dict) and any(
        isinstance(part, dict) and any(key in part for key in ("image", "build", "command", "entrypoint"))
        for part in services.values()
    )


def read(content: str, label: str) -> Reading:
    """Read a compose file. Raises UnreadableInput."""
    reading = Reading(label, "docker-compose")
    variables = Variables(label)
    for tree in documents(content, label):
        if is_compose(tree):
            services = section(tree, "services") if "services" in tree else tree
            for name, service in services.items():
                if not isinstance(service, Section) or not isinstance(name, Word):
                    continue
                if "services" in tree or "image" in service or "command" in service:
                    start = _start(name, service, variables, reading)
                    if not jobs.add(start, reading):
                        jobs.skip(start, reading)
    return reading


def _start(name: Word, service: Section, variables: Variables, reading: Reading) -> Start:
    def filled(tree: Tree) -> Word | None:
        return Word(variables.text(tree, dollars=True), tree.line) if isinstance(tree, Word) else None

    def words(tree: Tree) -> list[Word]:
        if isinstance(tree, list):
            return [word for item in tree if (word := filled(item)) is not None]
        whole = filled(tree)
        # Compose splits a text into words and gives it to no shell: its variables are not a shell's.
        return (
            [word for part in commands(whole, Variables(reading.file), whole.line) for word in part.words]
            if whole
            else []
        )

    environment = _environment(service.get("environment"), filled)
    for key in ("env_file", "extends"):
        if service.get(key):
            reading.find(
                "info",
                "deployment-file-not-read",
                f"{key} of service {name}",
                getattr(service[key], "line", service.line),
                "what it sets is not known; what is said of the job is without it",
                "give the output of: docker compose config",
            )
    entrypoint, command = words(service.get("entrypoint")), words(service.get("command"))
    deploy = section(service, "deploy")
    ports = [port for item in items(service.get("ports")) if (port := _port(item, filled)) is not None]
    container = filled(service.get("container_name"))
    replicas = number(filled(deploy.get("replicas"))) or number(filled(service.get("scale")))
    return Start(
        name=container or name,
        line=name.line,
        words=[*entrypoint, *command],
        is_arguments=not entrypoint,
        environment=environment,
        image=filled(service.get("image")),
        replicas=replicas,
        gpus=_gpus(service, deploy, filled, environment),
        port=published_port(ports),
        published=text(service.get("network_mode")) == "host" or any(is_public(port) for port in ports),
    )


def _environment(tree: Tree, filled: Any) -> dict[str, Word]:
    if isinstance(tree, dict):
        return {str(name): value for name, item in tree.items() if (value := filled(item)) is not None}
    pairs = [word for item in items(tree) if (word := filled(item)) is not None and "=" in word]
    return {word.partition("=")[0]: Word(word.partition("=")[2], word.line) for word in pairs}


def _port(tree: Tree, filled: Any) -> Word | None:
    if isinstance(tree, dict):
        published, address = filled(tree.get("published")), filled(tree.get("host_ip"))
        return Word(f"{address or ''}:{published}:".lstrip(":"), published.line) if published else None
    return filled(tree)  # type: ignore[no-any-return]


def _gpus(service: Section, deploy: Section, filled: Any, environment: dict[str, Word]) -> int | None:
    reserved = list(items(section(deploy, "resources", "reservations").get("devices")))
    reserved += items(service.get("gpus"))
    total = 0
    for device in reserved:
        if isinstance(device, dict):
            ids = items(device.get("device_ids"))
            total += len(ids) or number(filled(device.get("count"))) or 0
    if total:
        return total
    visible = environment.get("NVIDIA_VISIBLE_DEVICES", Word("", 0))
    named = visible and visible not in ("all", "none", "void") and "$" not in visible
    return gpus(filled(service.get("gpus"))) or (gpus(f"device={visible}") if named else None)
