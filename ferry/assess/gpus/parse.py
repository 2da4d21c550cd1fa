"""Reads a file of any of the kinds that name GPUs, whatever its name: each part goes to the reader that knows it.

What no reader knows (prose, prompts, other commands) is passed over, and a finding says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ferry.artefacts import Finding
from ferry.assess.gpus import amd, dmon, listing, log, log_xml, query, table, topology
from ferry.assess.gpus.reading import MEASURE, Reading, Seen, logical_lines
from ferry.errors import UnreadableInput

Reader = Callable[[Sequence[str], int, Reading], int]
READERS: tuple[Reader, ...] = (
    log_xml.read,
    log.read,
    table.read,
    topology.read,
    dmon.read,
    listing.read,
    listing.read_version,
    query.read,
    query.read_without_heading,
)
LARGEST_BYTES = 128 * 2**20
"""A day of `-l 1` on eight GPUs is 70 MB."""
MOST_LINES = 2_000_000
MOST_FAILURES = 10
FAILURES = (
    "nvidia-smi has failed",
    "failed to initialize nvml",
    "no devices were found",
    "unable to determine the device handle",
    "is not a valid field to query",
    "command not found",
    "gpu is lost",
    "nvidia-smi couldn't find",
)
OTHER_KINDS = (
    ("# HELP ", "Prometheus metrics: name it under serving.metrics"),
    ("nThread", "nccl-tests output: name it under cluster.nccl_tests"),
    ("ROCm System Management Interface", "rocm-smi's table: give rocm-smi --showallinfo --json"),
    ("AMD-SMI", "amd-smi's table: give amd-smi static --json and amd-smi metric --json"),
    ("GFX_ACTIVITY: ", "amd-smi's text: give amd-smi static --json and amd-smi metric --json"),
    ("MARKET_NAME: ", "amd-smi's text: give amd-smi static --json and amd-smi metric --json"),
)
KINDS = "nvidia-smi's table, -q, -q -x, -L, topo -m, nvlink, dmon, --version, --query-gpu; rocm-smi's or amd-smi's JSON"
NOISE = re.compile(
    r"```\w*|[#=\-+*_ ]+|Legend:|(X|SYS|NODE|PHB|PXB|PIX|NV#|SOC)\s+= .*|"
    r"\S+ \S+ +[0-9]{1,2} [0-9:]{8}(?: \w+)? [0-9]{4}"
)
PROMPT = re.compile(r"(?:\S{1,60})?[$#>] ?(?:sudo )?(?:nvidia-smi|rocm-smi|amd-smi)\b.{0,200}")


def parse(text: str, file: str) -> Reading:
    """Read a text. Raises UnreadableInput when nothing in it is of a known kind, or when a part is cut off."""
    reading = Reading(file)
    if text.count("\n") > MOST_LINES:
        raise UnreadableInput(f"{file}: has more than {MOST_LINES} lines; give a part of it, or sample less often")
    lines = list(logical_lines(text))
    if json := _json(lines):
        amd.read("\n".join(lines[json - 1 :]), json, reading)
        reading.findings += _about_damage(reading)
        return reading
    failures: list[Seen[str]] = []
    at = 0
    while at < len(lines):
        after = next((end for reader in READERS if (end := reader(lines, at, reading)) > at), at)
        if after == at:
            _pass_over(lines[at], at + 1, reading, failures)
            after += 1
        at = after
    if not reading.kinds:
        raise _refusal(lines, failures, file)
    reading.findings += _about_failures(failures)
    reading.findings += listing.about_links(reading)
    reading.findings += _about_damage(reading)
    return reading


def _json(lines: Sequence[str]) -> int:
    """The line where JSON begins: rocm-smi may print warnings above it, `amd-smi -w` how to stop it. 0: no JSON."""
    for number, line in enumerate(lines[:50], 1):
        if line.lstrip().startswith(("{", "[{")) or line.strip() == "[":
            return number
        if line.strip() and not line.lstrip().upper().startswith(("WARNING", "ERROR", "$", "'CTRL' + 'C'")):
            return 0
    return 0


def _pass_over(line: str, number: int, reading: Reading, failures: list[Seen[str]]) -> None:
    content = line[:1000].strip()
    if any(failure in content.casefold() for failure in FAILURES):
        failures += [Seen(" ".join(content.split())[:160], reading.at(number))][: MOST_FAILURES - len(failures)]
    elif content and not NOISE.fullmatch(content[:300]) and not PROMPT.fullmatch(content[:300]):
        reading.ignored(number, content)


def _refusal(lines: Sequence[str], failures: Sequence[Seen[str]], file: str) -> UnreadableInput:
    if failures:
        return UnreadableInput(f"{failures[0].where}: the tool failed and says: {failures[0].value}; run it again")
    for mark, kind in OTHER_KINDS:
        if any(mark in line[:1000] for line in lines[:200]):
            return UnreadableInput(f"{file}: is {kind}")
    first = next((" ".join(line[:200].split())[:60] for line in lines if line.strip()), "an empty file")
    shown = "".join(letter if letter.isprintable() else "?" for letter in first)
    return UnreadableInput(f"{file}:1: is none of {KINDS}; found: {shown}; measure: {MEASURE}")


def _about_failures(failures: Sequence[Seen[str]]) -> list[Finding]:
    return [
        Finding(
            severity="critical",
            code="gpu-tool-failed",
            seen=failure.value,
            where=failure.where,
            means="a GPU of this server does not answer; it neither serves nor trains until that is repaired",
            remedy="dmesg | grep -i xid names the fault; reset the GPU or restart the server, then measure again",
        )
        for failure in failures
    ]


def _about_damage(reading: Reading) -> list[Finding]:
    found: list[Finding] = []
    if reading.unreadable:
        first, more = reading.unreadable, reading.unreadable_count - 1
        found.append(
            Finding(
                severity="warning",
                code="gpu-value-unreadable",
                seen=_printable(f"{first.value}{f' and {more} more' if more else ''}"),
                where=first.where,
                means="the output is damaged there; no number was taken from it",
                remedy="run the command again and save what it prints",
            )
        )
    if reading.ill:
        found.append(
            Finding(
                severity="critical",
                code="gpu-reports-error",
                seen=_printable(reading.ill.value),
                where=reading.ill.where,
                means="the driver cannot read this GPU; it neither serves nor trains until that is repaired",
                remedy="dmesg | grep -i xid names the fault; reset the GPU or restart the server, then measure again",
            )
        )
    if reading.twice:
        found.append(
            Finding(
                severity="warning",
                code="gpu-index-twice",
                seen=_printable(reading.twice.value),
                where=reading.twice.where,
                means="the file is of several servers, or damaged: how many GPUs it describes is in doubt",
                remedy="give one file a server",
            )
        )
    if reading.attached and reading.attached.value != len(reading.gpus):
        found.append(
            Finding(
                severity="warning",
                code="gpu-count-contradicts-itself",
                seen=f"{reading.attached.value} GPUs are attached, {len(reading.gpus)} are described",
                where=reading.attached.where,
                means="the output was shortened or cut off; what is said of the server holds for the GPUs described",
                remedy="give the whole output of nvidia-smi -q -x, without -i",
            )
        )
    if reading.other_text:
        first, lines = reading.other_text, reading.other_text_count
        found.append(
            Finding(
                severity="info",
                code="gpu-file-holds-other-text",
                seen=_printable(f"{lines} line{'s' if lines > 1 else ''} of other text, first: {first.value}"),
                where=first.where,
                means=f"passed over; read was {', '.join(reading.kinds)}",
                remedy="none needed, unless these lines were meant to be read",
            )
        )
    return found


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
