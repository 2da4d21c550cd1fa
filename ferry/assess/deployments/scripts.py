"""Shell scripts, and Slurm's batch scripts, which are shell scripts with a heading.

sbatch(1): options after #SBATCH hold until the first command. What stands in a loop or a function is read once.
"""

from __future__ import annotations

import re

from ferry.assess.deployments import jobs
from ferry.assess.deployments.launches import launches
from ferry.assess.deployments.reading import Reading, Start
from ferry.assess.deployments.shell import Command, commands
from ferry.assess.deployments.words import Variables, Word
from ferry.errors import UnreadableInput

LARGEST_LETTERS = 2**20
OPTION = re.compile(r"#SBATCH[ \t]+(-{1,2}[A-Za-z][A-Za-z-]*)(?:[ \t]*=?[ \t]*([^\s#]\S*))?")
SHORT = {"-N": "--nodes", "-G": "--gpus", "-J": "--job-name", "-n": "--ntasks"}
GRES = re.compile(r"(?:^|,)gpu((?::[A-Za-z0-9_.-]{1,40}){0,2})(?=,|$|\()")
LAST_NUMBER = re.compile(r"(?:.*:)?([0-9]{1,5})(?:-[0-9]{1,5})?")
PIN = re.compile(r"(vllm|sglang|tensorrt[-_]llm|text-generation)(?:\[[a-z0-9,_-]*\])?==([0-9][0-9A-Za-z.+!-]{0,30})")
INSTALLERS = frozenset({"pip", "pip3", "uv", "python", "python3", "conda", "poetry"})


def read(content: str, label: str, *, slurm: bool) -> Reading:
    """Read a script. Raises UnreadableInput."""
    if len(content) > LARGEST_LETTERS:
        raise UnreadableInput(
            f"{label}: is a script of more than {LARGEST_LETTERS // 2**20} MiB; give the part with the job"
        )
    reading = Reading(label, "slurm" if slurm else "shell")
    options = _options(content) if slurm else {}
    variables = Variables(label, _given(options))
    pinned: dict[str, Word] = {}
    stem = label.rpartition("/")[2].rpartition(".")[0] or label.rpartition("/")[2]
    name = options.get("--job-name", stem)
    gpus, nodes = _gpus(options), _last(options.get("--nodes"))
    for command in commands(content, variables):
        jobs.report_secrets(command.environment, reading)
        pinned |= _pins(command)
        # A command's own environment belongs to what it launches; each launch is a start of its own.
        for launch in launches(command, variables):
            if launch.engine or launch.launcher or launch.image is not None:
                start = Start(
                    name=name,
                    line=command.line,
                    words=command.words,
                    environment=command.environment,
                    pinned=dict(pinned),
                    nodes=nodes,
                    gpus=gpus,
                )
                if not jobs.add(start, reading, variables):
                    jobs.skip(start, reading)
                break
    jobs.report_secrets({key: value for key, value in variables.values.items() if isinstance(value, Word)}, reading)
    return reading


def _options(content: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in content.splitlines():
        if option := OPTION.match(line[:500]):
            found[SHORT.get(option[1], option[1])] = option[2] or ""
        elif line.strip() and not line.lstrip().startswith("#"):
            break
    return found


def _gpus(options: dict[str, str]) -> int | None:
    """GPUs of one node."""
    if (each := _last(options.get("--gpus-per-node"))) is not None:
        return each
    if found := GRES.search(options.get("--gres", "")):
        last = found[1].rpartition(":")[2]
        return int(last) if last.isdigit() and len(last) < 5 else 1
    nodes = _last(options.get("--nodes")) or 1
    if (everything := _last(options.get("--gpus"))) is not None:
        return everything // nodes or None
    per_task, tasks = _last(options.get("--gpus-per-task")), _last(options.get("--ntasks-per-node"))
    return per_task * (tasks or 1) if per_task else None


def _last(value: str | None) -> int | None:
    """The number of `8`, `a100:8` or `2-4` (the least)."""
    found = LAST_NUMBER.fullmatch((value or "")[:60])
    return int(found[1]) or None if found else None


def _pins(command: Command) -> dict[str, Word]:
    """Versions by package that an installation pins: `pip install vllm==0.8.5`."""
    if command.words[0].rpartition("/")[2] not in INSTALLERS:
        return {}
    pins = [(word, PIN.fullmatch(word[:100])) for word in command.words[1:200]]
    return {pin[1].replace("_", "-"): Word(pin[2], word.line) for word, pin in pins if pin}


def _given(options: dict[str, str]) -> dict[str, str]:
    """The variables that sbatch(1) gives to a script, as far as its heading tells them."""
    nodes, gpus = _last(options.get("--nodes")), _gpus(options)
    tasks = _last(options.get("--ntasks"))
    named = {"SLURM_NNODES": nodes, "SLURM_JOB_NUM_NODES": nodes, "SLURM_GPUS_ON_NODE": gpus, "SLURM_NTASKS": tasks}
    return {name: str(value) for name, value in named.items() if value is not None}
