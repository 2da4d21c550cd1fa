"""Reads the file that nccl-tests writes with `--json` (since 2.17): one run, its devices and its results.

Its list of devices has one entry per process, and the program's arguments name the operation. Its list of environment
variables is never looked at: it may hold secrets. Source: https://github.com/NVIDIA/nccl-tests, src/util.cu.
"""

from __future__ import annotations

from typing import Any

from ferry.assess.collectives import nccom
from ferry.assess.collectives.facts import CollectiveLog, log_of
from ferry.assess.collectives.nccl_tests import PROGRAM
from ferry.assess.collectives.rows import Columns, Half, Row
from ferry.assess.collectives.runs import MOST_RANKS, Device, Run
from ferry.assess.files import json_object
from ferry.errors import UnreadableInput


def parse(text: str, file: str) -> CollectiveLog:
    """Read the report. Raises UnreadableInput when it is cut off, of another kind, or of a run that failed."""
    document = json_object(text, file)
    results = document.get("results")
    if not isinstance(results, list):
        errors = "; ".join(str(error)[:120] for error in _list(document, "errors"))
        raise UnreadableInput(
            f"{file}: is not a report of nccl-tests or nccom-test: it has no list of results"
            + (f"; it says: {' '.join(errors.split())}" if errors else "")
        )
    if any(isinstance(result, dict) and "size(B)" in result for result in results):
        return nccom.from_results(results, file)
    run = Run(where=f"{file}: average_bus_bandwidth", columns=Columns(("time", "algbw", "busbw", "#wrong") * 2))
    names = [match[1] for word in _list(document, "args")[:1] if (match := PROGRAM.search(str(word)))]
    run.operation = names[0] if names else None
    for place, result in enumerate(results):
        where = f"{file}#results[{place}]"
        row = _row(result, where)
        if row is None:
            run.broken.append(f"{where}: a result does not have all of its values")
        else:
            run.rows.append(row)
    _devices(run, document.get("config"))
    average, bounds = document.get("average_bus_bandwidth"), document.get("out_of_bounds")
    if isinstance(bounds, dict):
        run.out_of_bounds = _count(bounds.get("count"))
    if not isinstance(average, dict) or _number(average.get("bandwidth")) is None:
        return log_of([], [(run, f"{file}: truncated report of nccl-tests: it has no average_bus_bandwidth")], file)
    run.average, run.below_minimum = _number(average.get("bandwidth")), average.get("okay") is False
    return log_of([run], [], file)


def _row(result: Any, where: str) -> Row | None:
    if not isinstance(result, dict) or (size := _count(result.get("size"))) is None:
        return None
    halves = [half for key in ("out_of_place", "in_place") if (half := _half(result.get(key))) is not None]
    if not halves:
        return None
    root = str(result.get("root", "")).strip()
    return Row(
        where=where,
        size=size,
        redop=str(result["redop"]) if isinstance(result.get("redop"), str) else None,
        root=int(root) if root.lstrip("-").isdecimal() and len(root) < 10 else None,
        first=halves[0],
        second=halves[1] if len(halves) == 2 else None,
    )


def _half(part: Any) -> Half | None:
    if not isinstance(part, dict):
        return None
    wrong = _count(part.get("nwrong"))
    return Half(
        time_us=_number(part.get("time")),
        algbw=_number(part.get("alg_bw")),
        busbw=_number(part.get("bus_bw")),
        errors="N/A" if wrong is None else str(wrong),
    )


def _devices(run: Run, config: Any) -> None:
    """One entry a process: the ranks of its other GPUs and threads are not listed, and are the same host's."""
    if not isinstance(config, dict):
        return
    per_process = min((_count(config.get("nthreads")) or 1) * (_count(config.get("ngpus")) or 1), MOST_RANKS)
    run.ranks_per_entry = per_process
    run.checked = None if config.get("validation") is None else bool(config.get("validation"))
    for entry in _list(config, "devices"):
        rank = _count(entry.get("rank")) if isinstance(entry, dict) else None
        if rank is None or rank >= MOST_RANKS:
            continue
        host, name = str(entry.get("hostname", ""))[:255], " ".join(str(entry.get("device_info", "")).split())[:255]
        run.devices[rank] = Device(host, _count(entry.get("group")) or 0, f"{host} {entry.get('pid')}", name)


def _list(document: dict[str, Any], key: str) -> list[Any]:
    return value if isinstance(value := document.get(key), list) else []


def _number(value: Any) -> float | None:
    """A finite number; nccl-tests writes what is not one as the text "nan"."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e300 < value < 1e300:
        return None
    return float(value)


def _count(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number.is_integer() and 0 <= number < 1e18 else None
