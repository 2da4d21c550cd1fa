"""Reads the output of nccl-tests: how fast the GPUs of the site synchronise.

The columns are read from the right (time, algbw, busbw, errors; out of place, then in place), because their number on
the left changed between versions. What launchers put before a line, and lines of NCCL itself in between, are passed
over. Bus bandwidth as nccl-tests defines it (doc/PERFORMANCE.md): all-reduce of S bytes on n ranks in t seconds has
algbw = S/t and busbw = algbw · 2(n-1)/n.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace

from ferry.artefacts import Collective, Finding, measured
from ferry.errors import UnreadableInput

_NUMBER = r"(?:\d+\.?\d*(?:[eE][+-]?\d+)?|N/A|-?nan|-?inf)"
_HALF = rf"\s+{_NUMBER}\s+({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})"
_START = r"(?:^|[\s:>|\]])(\d+)\s+(\d+)\s+(?:u?int\d+|char|half|float\w*|double|bfloat16|f8e\dm\d|fp8_\w+)"
ROW = re.compile(rf"{_START}(?:\s+[a-z]\w*)?(?:\s+-?\d+)?{_HALF}{_HALF}\s*$")
ROW_START = re.compile(rf"{_START}(?:\s|$)")
OPTIONS = re.compile(r"\bnThread \d+ nGpus \d+ minBytes")
HEADER = re.compile(r"\b(?:size|bytes)\s+(?:count|N)\s+type\b.*\bbusbw\b")
DEVICE = re.compile(
    r"\bRank\s+(\d+)\s+(?:Group\s+\d+\s+)?(?:Pid\s+\d+\s+)?on\s+(\S+)\s+device\s+\d+\s+\[[^\]]*\]\s+(.+)"
)
PROGRAM = re.compile(
    r"\b(all_reduce|all_gather|reduce_scatter|alltoall|broadcast|sendrecv|hypercube|scatter|gather|reduce)_perf"
)
CONCLUDED = re.compile(r"Collective test concluded")
OUT_OF_BOUNDS = re.compile(r"\bOut of bounds values\s*:\s*(\d+)")
AVERAGE = re.compile(r"\bAvg bus bandwidth\s*:\s*(\S*)")
FAILURE = re.compile(r"((?:Test )?(?:NCCL|CUDA) failure .*|Test failure .*|unhandled \w+ error.*|NCCL WARN .*)")

MEASURE = "all_reduce_perf -b 8 -e 8G -f 2 -g 8"


@dataclass(frozen=True)
class NcclLog:
    """What one log says. `accelerators` are the devices' names as the log prints them."""

    collectives: list[Collective]
    accelerators: list[str]
    findings: list[Finding]


@dataclass(frozen=True)
class _Row:
    line: int
    size: int
    algbw: float | None
    busbw: float | None
    in_place_busbw: float | None
    errors: tuple[str, str]


@dataclass
class _Run:
    """One table of the log, from its options or header to its average."""

    line: int
    operation: str | None = None
    header: int | None = None
    broken: int | None = None
    out_of_bounds: int | None = None
    rows: list[_Row] = field(default_factory=list)
    devices: dict[int, tuple[str, str]] = field(default_factory=dict)


def parse(text: str, file: str) -> NcclLog:
    """Read all runs of a log. Raises UnreadableInput when it holds none, or one that does not reach its average."""
    collectives: list[Collective] = []
    findings: list[Finding] = []
    accelerators: dict[str, None] = {}
    run = _Run(line=1)
    failure = ""
    for number, line in enumerate(text.splitlines(), 1):
        if OPTIONS.search(line):
            _refuse_unfinished(run, file, failure, f"another run starts in line {number}")
            run = _Run(line=number, operation=run.operation)
        elif match := DEVICE.search(line):
            run.devices[int(match[1])] = (match[2], match[3].strip())
        elif (match := PROGRAM.search(line)) and not CONCLUDED.search(line):
            run.operation = match[1]
        elif HEADER.search(line):
            _refuse_unfinished(replace(run, header=None), file, failure, f"another table starts in line {number}")
            run.header = number
        elif row := _row(line, number):
            run.rows.append(row)
        elif ROW_START.search(line):
            run.broken = run.broken or number
        elif match := OUT_OF_BOUNDS.search(line):
            run.out_of_bounds = int(match[1])
        elif (match := AVERAGE.search(line)) and (run.rows or run.header):
            collective, seen = _finish(run, match[1], file, number)
            collectives.append(collective)
            findings.extend(seen)
            accelerators.update(dict.fromkeys(name for _, name in run.devices.values()))
            run = _Run(line=number + 1)
        elif match := FAILURE.search(line):
            failure = failure or f"; line {number} says: {match[1].strip()[:120]}"
    _refuse_unfinished(run, file, failure, "the file ends")
    if not collectives:
        raise UnreadableInput(
            f"{file}: is not nccl-tests output with a result: no table and no 'Avg bus bandwidth'{failure}; "
            f"measure again: {MEASURE}"
        )
    return NcclLog(collectives, list(accelerators), findings)


def synchronisation_seconds(size: float, busbw: float, ranks: int) -> float:
    """Time of an all-reduce of `size` bytes on `ranks` ranks at `busbw` GB/s: t = S/B · 2(n-1)/n."""
    return size / (busbw * 1e9) * 2 * (ranks - 1) / ranks


def _row(line: str, number: int) -> _Row | None:
    match = ROW.search(line)
    if not match:
        return None
    size, _, algbw, busbw, error, _, in_place_busbw, in_place_error = match.groups()
    return _Row(number, int(size), _value(algbw), _value(busbw), _value(in_place_busbw), (error, in_place_error))


def _value(text: str) -> float | None:
    value = float(text.replace("N/A", "nan"))
    return value if math.isfinite(value) else None


def _refuse_unfinished(run: _Run, file: str, failure: str, why: str) -> None:
    if run.rows or run.header or run.broken:
        last = run.broken or (run.rows[-1].line if run.rows else run.header)
        what = "a row is cut off" if run.broken else "the table has no 'Avg bus bandwidth' line"
        raise UnreadableInput(
            f"{file}:{last}: truncated nccl-tests log: {what}, {why}{failure}; give the whole output, or measure "
            f"again: {MEASURE}"
        )


def _finish(run: _Run, average: str, file: str, line: int) -> tuple[Collective, list[Finding]]:
    """Turn a run that reached its average into facts and findings."""
    if run.broken:
        raise UnreadableInput(f"{file}:{run.broken}: damaged nccl-tests log: a row does not have all of its columns")
    try:
        mean = float(average)
    except ValueError:
        mean = math.nan
    if not math.isfinite(mean):
        raise UnreadableInput(f"{file}:{line}: truncated nccl-tests log: no number after 'Avg bus bandwidth'")
    rows = [row for row in run.rows if row.busbw is not None]
    if not rows:
        raise UnreadableInput(f"{file}:{line}: nccl-tests log has an average and no rows that it was made from")
    largest = max(rows, key=lambda row: (row.size, row.line))
    ranks = max(run.devices) + 1 if run.devices else _ranks_from_bandwidths(rows)
    complete = bool(run.devices) and len(run.devices) == ranks
    collective = Collective(
        file=file,
        operation=run.operation or _operation_from_bandwidths(rows),
        ranks=ranks,
        nodes=len({host for host, _ in run.devices.values()}) if complete else None,
        sizes=len(run.rows),
        average_busbw=measured(mean, "GB/s", f"{file}:{line}"),
        largest_message_bytes=largest.size,
        largest_message_busbw=measured(largest.busbw or 0.0, "GB/s", f"{file}:{largest.line}"),
        wrong=_wrong(run),
    )
    return collective, _findings(run, collective, largest, f"{file}:{line}")


def _wrong(run: _Run) -> int | None:
    """Wrong values: summed from the `#wrong` column; older logs have a float there, and a count below the table."""
    values = [value for row in run.rows for value in row.errors if value != "N/A"]
    if not values:
        return None
    if all(value.isdigit() for value in values):
        return sum(int(value) for value in values)
    return run.out_of_bounds


def _operation_from_bandwidths(rows: list[_Row]) -> str | None:
    """Only all-reduce has a bus bandwidth above its algorithm bandwidth; older versions do not print the name."""
    best = max(rows, key=lambda row: row.busbw or 0.0)
    return "all_reduce" if best.busbw and best.algbw and best.busbw > 1.05 * best.algbw else None


def _ranks_from_bandwidths(rows: list[_Row]) -> int | None:
    """Solve busbw/algbw = 2(n-1)/n for n within the rounding of both columns (±0.005); None unless one n fits."""
    least, most = 2.0, math.inf
    for row in rows:
        if row.busbw and row.algbw and row.busbw > 1.05 * row.algbw > 10:
            low = (row.busbw - 0.005) / (row.algbw + 0.005)
            high = (row.busbw + 0.005) / (row.algbw - 0.005)
            least = max(least, 2 / (2 - low)) if low < 2 else math.inf
            most = min(most, 2 / (2 - high)) if high < 2 else most
    found = range(math.ceil(least), math.floor(most) + 1) if most < math.inf and least < math.inf else range(0)
    return found[0] if len(found) == 1 else None


def _findings(run: _Run, collective: Collective, largest: _Row, where: str) -> list[Finding]:
    average, top = collective.average_busbw.value or 0.0, collective.largest_message_busbw.value or 0.0
    found: list[Finding] = []
    if collective.wrong:
        found.append(
            Finding(
                severity="critical",
                code="nccl-wrong-results",
                seen=f"{collective.wrong} wrong values",
                where=where,
                means="the GPUs or the links between them corrupt data: training that stays on them is not safe",
                remedy=f"find the failing link or GPU: dcgmi diag -r 3 on each node, then {MEASURE} on each node alone",
            )
        )
    if average < 0.8 * top:
        found.append(
            Finding(
                severity="info",
                code="nccl-average-hides-large-messages",
                seen=f"average {average:g} GB/s over {collective.sizes} sizes, {top:g} GB/s at {largest.size} bytes",
                where=f"{where.rpartition(':')[0]}:{largest.line}",
                means="gradients travel as large messages, so Ferry uses the bus bandwidth of the largest one",
                remedy="none needed; to measure large messages only: all_reduce_perf -b 128M -e 8G -f 2",
            )
        )
    both = [value for row in run.rows for value in (row.busbw, row.in_place_busbw) if value is not None]
    if not math.isclose(sum(both) / len(both), average, rel_tol=0.02, abs_tol=0.02):
        found.append(
            Finding(
                severity="info",
                code="nccl-rows-missing",
                seen=f"the rows average {sum(both) / len(both):.4g} GB/s, the log says {average:g} GB/s",
                where=where,
                means="the log is an excerpt; the rows that are there are used",
                remedy=f"give the whole output, or measure again: {MEASURE}",
            )
        )
    return found
