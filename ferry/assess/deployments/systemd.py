"""systemd units and their drop-ins; also what `systemctl cat` prints, which is both in one text.

systemd.service(5), systemd.exec(5), systemd.syntax(7): continuation by a backslash, `Environment=` repeated and reset,
prefixes of ExecStart, `$NAME` and `${NAME}` from the unit's environment.
"""

from __future__ import annotations

import re

from ferry.artefacts.deployment import Engine
from ferry.assess.deployments import jobs
from ferry.assess.deployments.reading import Reading, Start
from ferry.assess.deployments.shell import commands
from ferry.assess.deployments.words import Variables, Word

UNIT = re.compile(r"([A-Za-z0-9_.\\-]+?)(?:@[A-Za-z0-9_.\\-]*)?\.service")
KEY = re.compile(r"\s*([A-Za-z]+)\s*=\s*(.*)", re.DOTALL)


def read(content: str, label: str) -> Reading:
    """Read a unit, a drop-in, or several one after the other. Raises UnreadableInput."""
    reading = Reading(label, "systemd")
    named = UNIT.findall(label)
    name = named[0] if named else label.rpartition("/")[2].partition(".")[0]
    variables = Variables(label)
    variables.braces_are_whole = True
    environment: dict[str, Word] = {}
    starts: list[Word] = []
    first = 1
    in_service = False
    for key, value in _settings(content):
        if key == "[":
            in_service = value == "Service"
            first = value.line if in_service and first == 1 else first
        elif in_service and key == "ExecStart":
            starts = [*starts, value] if value else []
        elif in_service and key == "Environment":
            environment = {**environment, **_assignments(value, reading)} if value else {}
        elif in_service and key == "EnvironmentFile":
            reading.find(
                "info",
                "deployment-file-not-read",
                f"EnvironmentFile={value[:100]}",
                value.line,
                "what it sets is not known: flags and limits may stand there",
                "put what is no secret of it into Environment=",
            )
    for item, value in environment.items():
        variables.set(item, value)
    made = [_start(name, line, environment, reading, variables) for line in starts]
    if not starts:
        engine: Engine | None = "ollama" if any(key.startswith("OLLAMA_") for key in environment) else None
        made = [Start(name=name, line=first, environment=environment, engine=engine)]
    for start in made:
        if not jobs.add(start, reading, variables):
            jobs.skip(start, reading)
    return reading


def _start(name: str, line: Word, environment: dict[str, Word], reading: Reading, variables: Variables) -> Start:
    whole = Word(line.lstrip("-@:+!|"), line.line)
    words = [word for command in commands(whole, variables, whole.line) for word in command.words]
    return Start(name=name, line=line.line, words=words, environment=environment)


def _assignments(value: Word, reading: Reading) -> dict[str, Word]:
    """`"A=1" B=2 'C=3 4'`: quoted whole, as a shell does not have it."""
    words = [
        word
        for command in commands("env " + value, Variables(reading.file), value.line)
        for word in command.words[1:]
        if "=" in word
    ]
    return {word.partition("=")[0]: Word(word.partition("=")[2], word.line) for word in words}


def _settings(content: str) -> list[tuple[str, Word]]:
    """Keys with values, continuation lines kept in the value; a section's heading has the key `[`."""
    found: list[tuple[str, Word]] = []
    held: list[str] = []
    started = 1
    for number, line in enumerate(content.splitlines(), 1):
        if not held:
            started = number
        if line.lstrip().startswith(("#", ";")):
            # A comment between continuation lines does not end them.
            held += [""] if held else []
            continue
        held.append(line.rstrip())
        if line.rstrip().endswith("\\"):
            continue
        whole, held = "\n".join(part if part else "\\" for part in held) if len(held) > 1 else held[0], []
        if heading := re.fullmatch(r"\s*\[([A-Za-z0-9 _-]{1,60})\]\s*", whole):
            found.append(("[", Word(heading[1], started)))
        elif setting := KEY.fullmatch(whole):
            found.append((setting[1], Word(setting[2].strip(), started)))
    return found
