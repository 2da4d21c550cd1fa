"""Finds in a command line what it launches, through the programs that only start others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ferry.artefacts.deployment import Engine
from ferry.assess.deployments.shell import Command, commands
from ferry.assess.deployments.words import Variables, Word

WRAPPERS = frozenset({
    "nohup", "exec", "env", "sudo", "time", "numactl", "taskset", "nice", "ionice", "chrt", "setsid", "stdbuf",
    "timeout",
    "srun", "mpirun", "mpiexec", "orterun", "prun", "uv", "uvx", "poetry", "pipenv", "conda", "mamba", "micromamba",
    "singularity", "apptainer", "enroot", "nsys", "tini", "dumb-init", "gosu", "runuser", "su-exec", "command", "eval",
    "trtllm-llmapi-launch", "screen", "tmux", "docker-entrypoint.sh", "nvidia_entrypoint.sh", "ssh", "pdsh", "xargs",
})  # fmt: skip
ALL_ARGUMENTS = frozenset({"$@", "${@}", "$*"})
SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ash", "ksh"})
CONTAINERS = frozenset({"docker", "podman", "nerdctl"})
MODULES: dict[str, Engine] = {
    "vllm.entrypoints.openai.api_server": "vllm",
    "vllm.entrypoints.api_server": "vllm",
    "vllm.entrypoints.cli.main": "vllm",
    "huggingfaceserver": "vllm",
    "dynamo.vllm": "vllm",
    "sglang.launch_server": "sglang",
    "dynamo.sglang": "sglang",
    "tensorrt_llm.commands.serve": "tensorrt-llm",
}
TRAINERS = {
    "torchrun": "", "deepspeed": "", "accelerate": "launch", "axolotl": "train", "llamafactory-cli": "train",
    "swift": "sft|pt|rlhf|megatron", "xtuner": "train", "tune": "run", "trl": "sft|dpo|grpo|kto|orpo|reward",
    "colossalai": "run", "horovodrun": "", "composer": "", "fairseq-train": "", "fairseq-hydra-train": "",
}  # fmt: skip
TRAINING_MODULES = re.compile(
    r"torch\.distributed\.(run|launch)|axolotl\.cli\.(train|preprocess)|accelerate\.commands\.launch|deepspeed\..*|"
    r"verl\.trainer\..*|openrlhf\.(cli|trainer)\..*|llamafactory\..*|trl\..*|swift\.cli\.(sft|pt|rlhf)"
)
TRAINING_SCRIPT = re.compile(
    r"(?:^|[_.-])(?:re|pre)?(?:train|finetune|finetuning|fine_tune|tune|sft|dpo|grpo|ppo|rlhf|lora|pretrain)", re.I
)
SERVING_SCRIPT = re.compile(
    r"(?:^|[_.-])(?:generate|infer|inference|serve|server|predict|eval|evaluate|chat|bench)", re.I
)
PYTHON = re.compile(r"python[0-9.]*|pypy3?")
DEEPEST = 4
# Options of `docker run` and its like that take no value; every other one with two dashes or one letter takes one.
DOCKER_SWITCHES = frozenset({
    "--rm", "--init", "--privileged", "--detach", "--interactive", "--tty", "--read-only", "--publish-all", "--quiet",
    "--no-healthcheck", "--oom-kill-disable", "--sig-proxy", "--disable-content-trust", "--replace", "--rmi",
})  # fmt: skip
DOCKER_LETTERS = re.compile(r"-[ditPq]+")


@dataclass(frozen=True, kw_only=True)
class Launch:
    """An engine or a trainer with its arguments; or an image whose own entry point has them."""

    program: Word
    arguments: list[Word]
    environment: dict[str, Word]
    engine: Engine | None = None
    launcher: str | None = None
    image: Word | None = None
    entrypoint: Word | None = None
    gpus: int | None = None
    name: Word | None = None
    port: Word | None = None
    published: bool = False


def launches(command: Command, variables: Variables, depth: int = 0) -> Iterator[Launch]:
    """What a simple command launches: mostly one thing or nothing, several where a shell's text starts several."""
    words = command.words
    for at, word in enumerate(words):
        base = basename(word)
        if found := _program(words, at):
            yield replace(found, environment=command.environment)
            return
        if base in SHELLS and (script := _script(words, at)) is not None and depth < DEEPEST:
            given = _positional(words, at, script)
            for inner in commands(script, variables, script.line):
                environment = {**command.environment, **inner.environment}
                whole = _with_arguments(inner.words, given)
                yield from launches(replace(inner, words=whole, environment=environment), variables, depth + 1)
            return
        if base in CONTAINERS:
            yield from _container(words, at, command, variables, depth)
            return
        if at == 0 and base not in WRAPPERS:
            return
        if base == "env":
            own = {name: Word(value, part.line) for part in words[at + 1 :] for name, _, value in [part.partition("=")]}
            command = replace(command, environment={**command.environment, **_variables(words[at + 1 :], own)})
        if base in ("ssh", "tmux", "screen", "eval") and depth < DEEPEST and (script := _long_text(words[at + 1 :])):
            for inner in commands(script, variables, script.line):
                yield from launches(inner, variables, depth + 1)
            return


def basename(word: str) -> str:
    """The last part of a program's path."""
    return word[-400:].rpartition("/")[2]


def _variables(words: Sequence[Word], values: dict[str, Word]) -> dict[str, Word]:
    leading: dict[str, Word] = {}
    for word in words:
        name, equals, _ = word.partition("=")
        if not equals or not name.isidentifier():
            break
        leading[name] = values[name]
    return leading


def _script(words: Sequence[Word], at: int) -> Word | None:
    """The text of `sh -c TEXT`, or None."""
    for number, word in enumerate(words[at + 1 : at + 6], at + 1):
        if not word.startswith("-"):
            return None
        if "c" in word and not word.startswith("--"):
            return words[number + 1] if number + 1 < len(words) else None
    return None


def _positional(words: Sequence[Word], at: int, script: Word) -> list[Word]:
    """The arguments of `sh -c TEXT NAME ARGUMENTS`, which the text calls `"$@"`."""
    after = next(number for number in range(at + 1, len(words)) if words[number] is script) + 1
    return list(words[after + 1 :])


def _with_arguments(words: Sequence[Word], given: Sequence[Word]) -> list[Word]:
    """The words with the first `"$@"` replaced: a second one would only multiply what a hostile text gives."""
    at = next((number for number, word in enumerate(words) if word in ALL_ARGUMENTS), None)
    return list(words) if at is None else [*words[:at], *given, *words[at + 1 :]]


def _long_text(words: Sequence[Word]) -> Word | None:
    return next((word for word in words if " " in word), None)


def _program(words: Sequence[Word], at: int) -> Launch | None:
    word, base = words[at], basename(words[at])
    after = words[at + 1] if at + 1 < len(words) else Word("", word.line)

    def engine(name: Engine, skip: int) -> Launch:
        return Launch(program=word, arguments=list(words[at + skip :]), environment={}, engine=name)

    if base in ("vllm", "sglang") and after == "serve":
        return engine("vllm" if base == "vllm" else "sglang", 2)
    if base in ("text-generation-launcher", "tritonserver"):
        return engine("tgi" if base == "text-generation-launcher" else "triton", 1)
    if base == "trtllm-serve" and after != "mm_embedding_serve":
        return engine("tensorrt-llm", 2 if after in ("serve", "disaggregated") else 1)
    if base == "ollama" and after in ("serve", "start"):
        return engine("ollama", 2)
    if PYTHON.fullmatch(base):
        return _python(words, at)
    if base in TRAINERS and re.fullmatch(TRAINERS[base] or ".*", after, re.DOTALL):
        return _trainer(words, at, base)
    return None


def _trainer(words: Sequence[Word], at: int, launcher: str) -> Launch | None:
    """A trainer, unless the script that it spreads over the GPUs serves: torchrun generate.py."""
    arguments = list(words[at + 1 :])
    script = next((basename(word) for word in arguments if word.endswith(".py")), "")
    if SERVING_SCRIPT.search(script) and not TRAINING_SCRIPT.search(script):
        return None
    return Launch(program=words[at], arguments=arguments, environment={}, launcher=launcher)


def _python(words: Sequence[Word], at: int) -> Launch | None:
    for number in range(at + 1, min(at + 8, len(words))):
        word = words[number]
        arguments = list(words[number + 1 :])
        if word == "-m":
            module = arguments[0] if arguments else Word("", word.line)
            if engine := MODULES.get(module):
                skip = 2 if module.endswith("cli.main") else 1
                return Launch(program=module, arguments=arguments[skip:], environment={}, engine=engine)
            if TRAINING_MODULES.fullmatch(module[:200]):
                known = {"torch": "torchrun", "llamafactory": "llamafactory-cli"}
                top = module.partition(".")[0]
                return _trainer(words, number + 1, known.get(top, top))
            return None
        if not word.startswith("-"):
            script = basename(word)
            if script in ("launch_triton_server.py", "launch_server.py"):
                engine = "triton" if "triton" in script else "sglang"
                return Launch(program=word, arguments=arguments, environment={}, engine=engine)
            if script == "api_server.py" and "vllm" in word:
                return Launch(program=word, arguments=arguments, environment={}, engine="vllm")
            if script.endswith(".py") and TRAINING_SCRIPT.search(script) and not SERVING_SCRIPT.search(script):
                launcher = "megatron" if script.startswith("pretrain_") else "python"
                return Launch(program=word, arguments=arguments, environment={}, launcher=launcher)
            return None
    return None


def _container(words: Sequence[Word], at: int, command: Command, variables: Variables, depth: int) -> Iterator[Launch]:
    """`docker run [options] IMAGE [words]`: what the words launch in the image, or the image itself."""
    verbs = [number for number in range(at + 1, min(at + 6, len(words))) if words[number] in ("run", "create")]
    if not verbs:
        return
    options: dict[str, list[Word]] = {}
    number = verbs[0] + 1
    while number < len(words) and words[number].startswith("-"):
        word = words[number]
        name, equals, value = word.partition("=")
        if equals:
            options.setdefault(name, []).append(Word(value, word.line))
        elif name in DOCKER_SWITCHES or DOCKER_LETTERS.fullmatch(name):
            options.setdefault(name, [])
        elif len(name) > 2 and not name.startswith("--"):
            # -p8000:8000, -eNAME=value; a value that is joined to its letter.
            options.setdefault(name[:2], []).append(Word(name[2:], word.line))
        elif number + 1 < len(words):
            number += 1
            options.setdefault(name, []).append(words[number])
        number += 1
    if number >= len(words):
        return

    def given(*names: str) -> list[Word]:
        return [value for name in names for value in options.get(name, [])]

    image, rest = words[number], list(words[number + 1 :])
    # A container has the variables that it is given, and no other of the shell's.
    environment: dict[str, Word] = {}
    for item in given("-e", "--env"):
        name, equals, value = item.partition("=")
        if equals:
            environment[name] = Word(value, item.line)
        elif name in command.environment:
            environment[name] = command.environment[name]
    entrypoint = next(iter(given("--entrypoint")), None)
    ports = given("-p", "--publish")
    container = Launch(
        program=image,
        arguments=rest,
        environment=environment,
        image=image,
        gpus=gpus(next(iter(given("--gpus")), None)),
        name=next(iter(given("--name")), None),
        port=published_port(ports),
        published="host" in given("--network", "--net") or any(is_public(port) for port in ports),
    )
    inner = [entrypoint, *rest] if entrypoint else rest
    found = list(launches(Command(inner, environment, words[number].line), variables, depth + 1)) if inner else []
    for launch in found if depth < DEEPEST else []:
        yield replace(
            launch,
            image=launch.image or image,
            gpus=container.gpus,
            name=container.name,
            port=container.port,
            published=container.published,
        )
    if not found:
        yield replace(container, entrypoint=entrypoint)


def gpus(value: str | None) -> int | None:
    """How many GPUs `--gpus` names: `2`, `device=0,1`, `"device=0,1"`; None for all of them, or none named."""
    content = (value or "").strip("\"'")
    if content.isascii() and content.isdigit() and len(content) < 5:
        return int(content)
    devices = content.partition("device=")[2].strip("\"'")
    return len([part for part in devices.split(",") if part.strip()]) or None


def published_port(ports: Sequence[Word]) -> Word | None:
    """The port on the host of the first mapping: `8000:8000`, `127.0.0.1:8000:8000`."""
    for port in ports:
        parts = port.partition("/")[0].rsplit(":", 2)
        if len(parts) > 1:
            return Word(parts[-2], port.line)
    return None


def is_public(port: str) -> bool:
    """Whether a mapping of ports is on other interfaces than the loopback."""
    return not port.startswith(("127.", "localhost:", "[::1]", "::1"))
