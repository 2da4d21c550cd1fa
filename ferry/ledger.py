"""The ledger: an append-only JSON-lines file of what the verbs did, each line carrying the hash of the line before.

It lies beside the artefact that a verb wrote. A line holds the time, the verb, the sha256 of what went in and what came
out, and whether a check was overridden with `--force`; never contents, so that no secret can get into it. A verb that
decides by what it measures adds its figures: numbers, names and reasons.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from ferry.artefacts.artefact import now, sha256_of
from ferry.errors import TamperedArtefact, UnwritableOutput

NAME = "ledger.jsonl"
START = "0" * 64
WAIT_SECONDS = 10.0
"""A line takes milliseconds."""


def append(
    folder: Path,
    verb: str,
    *,
    inputs: list[Path],
    outputs: list[Path],
    forced: bool,
    result: str,
    figures: Mapping[str, JsonValue] | None = None,
) -> None:
    """Append one line and flush it to the disk. Two processes that append at once wait for each other, but not for
    ever: one of them may have been stopped while it wrote.

    A process that is killed leaves the whole line or none: it is written with one call.

    Raises UnwritableOutput.
    """
    path = folder / NAME
    try:
        _append(path, verb, inputs=inputs, outputs=outputs, forced=forced, result=result, figures=figures)
    except OSError as error:
        raise UnwritableOutput(f"{path}: what was done cannot be recorded: {error.strerror}") from error


def _append(
    path: Path,
    verb: str,
    *,
    inputs: list[Path],
    outputs: list[Path],
    forced: bool,
    result: str,
    figures: Mapping[str, JsonValue] | None,
) -> None:
    with path.open("ab+", buffering=0) as file:
        _lock(file.fileno())
        file.seek(0)
        lines = _lines(file.read())
        line = {
            "at": now().isoformat(),
            "verb": verb,
            "inputs": _hashes(inputs, path.parent),
            "outputs": _hashes(outputs, path.parent),
            "forced": forced,
            "result": result,
            "previous": _hash(lines[-1]) if lines else START,
        }
        if figures is not None:
            line["figures"] = dict(figures)
        file.write((json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n").encode())
        os.fsync(file.fileno())


def _lock(handle: int) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise TimeoutError(
                    errno.ETIMEDOUT, f"another process has had its lock for more than {WAIT_SECONDS:g} s"
                ) from None
            time.sleep(0.01)
        else:
            return


def read(folder: Path) -> list[Mapping[str, Any]]:
    """All lines, checked. Raises TamperedArtefact naming the first line whose link to the one before is broken."""
    path = folder / NAME
    if not path.is_file():
        return []
    previous, entries = START, []
    for number, line in enumerate(_lines(path.read_bytes()), start=1):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise TamperedArtefact(f"{path}:{number}: not a line of a ledger: {error}") from error
        if entry.get("previous") != previous:
            raise TamperedArtefact(f"{path}:{number}: does not follow the line before: one was changed or removed")
        entries.append(entry)
        previous = _hash(line)
    return entries


def _lines(content: bytes) -> list[str]:
    """Lines as JSON has them: text splits at U+2028 as well, which a reason may hold."""
    return [line.decode() for line in content.splitlines()]


def end(folder: Path, at: int | None = None) -> tuple[int, str]:
    """How many lines a ledger has, and the hash of the last, or of line number `at`: it proves all before.

    An empty one has 0 and `START`. Raises TamperedArtefact where it has fewer lines.
    """
    path = folder / NAME
    lines = _lines(path.read_bytes()) if path.is_file() else []
    number = len(lines) if at is None else at
    if number > len(lines):
        raise TamperedArtefact(f"{path}: has {len(lines)} lines, there were {number}: some were removed")
    return number, _hash(lines[number - 1]) if number else START


def _hash(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


def _hashes(paths: list[Path], folder: Path) -> dict[str, str]:
    return {os.path.relpath(path.resolve(), folder.resolve()): sha256_of(path) for path in paths}
