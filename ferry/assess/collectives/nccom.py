"""Reads the output of AWS Neuron's nccom-test: a table with named columns, or the file of --report-to-json-file.

Older versions print bandwidths in GiB/s under a column that says GB/s (33554432 bytes in 768 µs as 40.69), newer ones
in GB/s; size over time tells which. The table names neither operation nor ranks: they are in the command, where the
file has it, and ranks follow from busbw/algbw. Source: https://awsdocs-neuron.readthedocs-hosted.com, NCCOM-TEST User
Guide, 1.12 to 2.29.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from ferry.assess.collectives.facts import CollectiveLog, log_of
from ferry.assess.collectives.rows import Half, Row, lines, value
from ferry.assess.collectives.runs import Run

GIB_PER_GB = 2**30 / 1e9
HEADER = re.compile(r"size\(B\)\s+count\(elems\)(?:\s+\S+)+")
COMMAND = re.compile(r"\bnccom-test\s+(\S.*)")
RANKS = re.compile(r"(?:-r|--nworkers)[\s=]+(\d{1,7})\b")
NODES = re.compile(r"(?:-N|--nnodes)[\s=]+(\d{1,7})\b")
OPERATION = re.compile(
    r"\b(all_reduce|allr|all_gather|allg|reduce_scatter|redsct|sendrecv|alltoallv|alltoall|permute)\b"
)
NAMES = {"allr": "all_reduce", "allg": "all_gather", "redsct": "reduce_scatter"}
MARKS = ("size(B)", "nccom-test -", "neuron-bench", "Neuron DKMS Driver")
"""What only nccom-test prints, or those who call it."""
AVERAGE = re.compile(r"\bAvg bus bandwidth:\s*(\S+?)\s*GB/s")
ROW_START = re.compile(r"(?:^|[\s:>|\]])(\d{1,18})\s+(?=\d|Failure)")
FAILURE = re.compile(r"(Failure running neuron-bench.*|\d+ errors? found.*|Neuron DKMS Driver is not running.*)")


def parse(text: str, file: str) -> CollectiveLog:
    """Read all tables of a file. Raises UnreadableInput when none has its average, with the file's own reason."""
    finished: list[Run] = []
    unfinished: list[tuple[Run, str]] = []
    run = Run(tool="nccom-test")
    names: list[str] = []
    failures: list[str] = []
    for number, line in enumerate(lines(text), 1):
        where = f"{file}:{number}"
        if match := COMMAND.search(line):
            run = _command(match[1])
            failures = []
        elif match := HEADER.search(line):
            if run.header:
                unfinished.append((run, _unfinished(run, where, failures)))
            run = replace(run, header=where, rows=[], broken=[])
            names = match[0].split()
        elif match := FAILURE.search(line):
            failures.append(f"; line {number} says: {match[1].strip()[:120]}")
        elif run.header and (match := AVERAGE.search(line)):
            run.average, run.where = value(match[1]), where
            if run.average is None or failures or not run.rows:
                unfinished.append((run, _unfinished(run, where, failures)))
            else:
                finished.append(_in_gb(run, any(name == "time(us)" for name in names)))
            run, failures = Run(tool="nccom-test"), []
        elif run.header and ROW_START.search(line):
            row = _row(dict(zip(names, line.split()[-len(names) :], strict=False)), where, len(names))
            if row is None:
                run.broken.append(f"{where}: a row does not have all of its columns")
            else:
                run.rows.append(row)
    if run.header:
        unfinished.append((run, _unfinished(run, f"{file}: the file ends", failures)))
    if not finished and not unfinished:
        what = f"is nccom-test output without a table{''.join(failures[:2])}"
        unfinished.append((run, f"{file}: {what}"))
    return log_of(finished, unfinished, file)


def from_results(results: Sequence[Any], file: str) -> CollectiveLog:
    """Read the results of a JSON report. It names neither operation nor ranks, and has no average of its own."""
    run = Run(tool="nccom-test", where=f"{file}#results")
    for place, result in enumerate(results):
        where = f"{file}#results[{place}]"
        texts = {key: str(item) for key, item in result.items()} if isinstance(result, dict) else {}
        row = _row(texts, where, len(texts))
        if row is None:
            run.broken.append(f"{where}: a result does not have all of its values")
        else:
            run.rows.append(row)
    if not run.rows:
        return log_of([], [(run, f"{file}: is a report of nccom-test without a whole result")], file)
    return log_of([_in_gb(run, False)], [], file)


def _command(words: str) -> Run:
    """Operation, ranks and nodes from the command line."""
    ranks, nodes, name = RANKS.search(words), NODES.search(words), OPERATION.search(words)
    return Run(
        tool="nccom-test",
        operation=NAMES.get(name[1], name[1]) if name else None,
        said_ranks=(int(ranks[1]) or None) if ranks else None,
        said_nodes=(int(nodes[1]) or None) if nodes else (1 if ranks else None),
    )


def _row(texts: Mapping[str, str], where: str, columns: int) -> Row | None:
    time = next((item for name, item in texts.items() if name.startswith("time:avg(")), None)
    time = time or next((item for name, item in texts.items() if name.startswith("time")), "")
    size, algbw, busbw = texts.get("size(B)", ""), texts.get("algbw(GB/s)", ""), texts.get("busbw(GB/s)", "")
    numbers = [value(text) for text in (time, algbw, busbw)]
    if len(texts) != columns or not size.isdecimal() or len(size) > 18 or None in numbers:
        return None
    return Row(where, int(size), None, None, Half(numbers[0], numbers[1], numbers[2], "N/A"), None)


def _in_gb(run: Run, old_header: bool) -> Run:
    """The run with bandwidths in GB/s. Where the rows leave it open, the older header means GiB/s."""
    ratios = [
        row.size / row.first.time_us / 1000 / row.first.algbw
        for row in run.rows
        if row.first.time_us and row.first.algbw and row.first.algbw > 1
    ]
    if abs(median(ratios) - GIB_PER_GB) > 0.035 if ratios else not old_header:
        return run
    run.rows = [
        Row(
            row.where, row.size, None, None,
            Half(row.first.time_us, _scaled(row.first.algbw), _scaled(row.first.busbw), "N/A"), None,
        )
        for row in run.rows
    ]  # fmt: skip
    run.average = _scaled(run.average)
    return run


def _scaled(number: float | None) -> float | None:
    return None if number is None else number * GIB_PER_GB


def _unfinished(run: Run, why: str, failures: Sequence[str]) -> str:
    last = run.broken[-1].partition(": ")[0] if run.broken else run.rows[-1].where if run.rows else run.header
    what = "a test failed" if failures else "the table has no 'Avg bus bandwidth' line"
    why = why.partition(": ")[2] or "another one starts"
    return f"{last}: nccom-test output without a result: {what}, {why}{''.join(failures[:2])}"
