"""Reads the tables of nccl-tests and rccl-tests as launchers leave them: prefixed, stripped, interleaved, cut off.

What launchers put before a line (mpirun's tags, Slurm's labels, Kubernetes' pods and times) and NCCL's own lines are
passed over. NCCL writes to the same stream, so that its line may stand in the middle of a row, which then goes on in a
line of numbers alone. Bandwidths as nccl-tests defines them (doc/PERFORMANCE.md): an all-reduce of S bytes on n ranks
in t seconds has algbw = S/t and busbw = algbw · 2(n-1)/n.
"""

from __future__ import annotations

import re

from ferry.assess.collectives import rows
from ferry.assess.collectives.facts import CollectiveLog, log_of
from ferry.assess.collectives.runs import MOST_RANKS, Device, Run

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
OPTIONS = re.compile(r"\bnThreads?:? \d+ nGpus:? \d+ (?:nRanks:? (\d{1,7}) )?minBytes\b.*")
VALIDATION = re.compile(r"\bvalidation: (\d+)")
DEVICE = re.compile(
    r"\bRank\s+(\d{1,7})\s+(?:Group\s+(\d{1,7})\s+)?(?:Pid\s+(\d{1,10})\s+)?on\s+(\S+)\s+device\s+\d+\s+\[[^\]]*\]\s+(.+)"
)
PROGRAM = re.compile(
    r"\b(all_reduce|all_gather|reduce_scatter|alltoallv|alltoall|broadcast|sendrecv|hypercube|scatter|gather|reduce)_perf"
)
OUT_OF_BOUNDS = re.compile(r"\bOut of bounds values\s*:\s*(\d{1,18})\s+(?:OK|FAILED)")
AVERAGE = re.compile(r"\bAvg bus bandwidth\s*:\s*(\S*)(\s+FAILED)?")
RCCL = ("rccl-tests: Version", "Errors with asterisks indicate")
NCCL_LINE = re.compile(r"\bNCCL (?:INFO|WARN|TRACE|CALL)\b")
NCCL_HOST = re.compile(r"[A-Za-z_]\S*:\d+:\d+$")
COMMUNICATOR = re.compile(r"\bn[rR]anks (\d{1,7})\b(?:.*?\bnNodes (\d{1,7})\b)?")
FAILURE = re.compile(
    r"((?:Test )?(?:NCCL|CUDA|Cuda) failure .*|Test failure .*|Test timeout .*|Hip error: .*|unhandled \w+ error.*"
    r"|Invalid number of GPUs: .*|\[ERROR\] The number of requested GPUs .*|invalid sizes? (?:for|specified) .*"
    r"|Incompatible NCCL versions.*|error while loading shared libraries: .*"
    r"|\b\w{1,40}_perf\w*: (?:command )?not found.*"
    r"|srun: error: .*|slurmstepd: error: .*|mpirun noticed that .*|mpirun was unable to .*|Segmentation fault.*"
    r"|There are not enough slots .*|OOMKilled.*|Bus error.*)"
)
TROUBLE = ("rror", "ERROR", "ailure", "imeout", "nvalid", "ncompatible", "not found", "mpirun", "fault", "slots", "OOM")
"""Parts of the lines above: looking for these first makes a gigabyte of NCCL's own lines bearable."""
WARNING = re.compile(r"(NCCL WARN .*)")


def parse(text: str, file: str) -> CollectiveLog:
    """Read all runs of a log. Raises UnreadableInput when it holds no whole one, with the log's own reason."""
    reading = _Reading(file)
    for number, line in enumerate(rows.lines(text), 1):
        reading.line(ANSI.sub("", line) if "\x1b" in line else line, number)
    return reading.end()


class _Reading:
    """One pass over the lines of a log."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.run = Run()
        self.finished: list[Run] = []
        self.unfinished: list[tuple[Run, str]] = []
        self.piece: tuple[str, str] | None = None

    def line(self, line: str, number: int) -> None:
        where = f"{self.file}:{number}"
        if "nGpus" in line and (match := OPTIONS.search(line)):
            self._new_run(f"another run starts in line {number}")
            checked = VALIDATION.search(line)
            self.run.checked = checked[1] != "0" if checked else None
            self.run.said_ranks = int(match[1]) if match[1] else None
        elif "Rank" in line and (match := DEVICE.search(line)):
            self._device(match)
        elif "busbw" in line and (header := rows.columns(line)):
            if self.run.started:
                self._new_run(f"another table starts in line {number}")
            self.run.columns, self.run.header = header, where
        elif rows.ROW_START.search(before_nccl(line)):
            self._row(line, where)
        elif "Out of bounds" in line and (match := OUT_OF_BOUNDS.search(line)):
            self.run.out_of_bounds = int(match[1])
        elif "Avg bus" in line and (match := AVERAGE.search(line)) and self.run.started:
            self._average(match, where)
        elif "_perf" in line and (match := PROGRAM.search(line)):
            concluded = "Collective test concluded" in line and self.finished and not self.run.started
            (self.finished[-1] if concluded else self.run).operation = match[1]
            self._failure(line, where)
        elif self.piece is not None and (match := rows.NUMBERS_ALONE.search(before_nccl(line))):
            self._row(f"{self.piece[0]} {match[1]}{' NCCL INFO' if NCCL_LINE.search(line) else ''}", self.piece[1])
        elif any(mark in line for mark in RCCL):
            self.run.tool = "rccl-tests"
        else:
            if "anks " in line and (match := COMMUNICATOR.search(line)):
                self.run.said_ranks = int(match[1]) or None
                self.run.said_nodes = (int(match[2]) or None) if match[2] else self.run.said_nodes
            self._failure(line, where)

    def end(self) -> CollectiveLog:
        """What was read. The reason of a run that was not finished is what the log says of it."""
        self._new_run("the file ends")
        if not self.finished and not self.unfinished:
            what = "is not nccl-tests output with a result: no table and no 'Avg bus bandwidth'"
            self.unfinished.append((self.run, f"{self.file}: {what}{self._reason(self.run)}"))
        return log_of(self.finished, self.unfinished, self.file)

    def _row(self, line: str, where: str) -> None:
        """A row, a part of one that NCCL broke into, or a broken one."""
        if self.piece is not None and self.piece[1] != where:
            self.run.broken.append(f"{self.piece[1]}: a row does not have all of its columns")
        self.piece = None
        whole = before_nccl(line)
        if row := rows.row(whole, where, self.run.columns):
            self.run.rows.append(row)
            if self.run.columns is None and row.second is not None:
                self.run.columns = rows.Columns(rows.USUAL * 2)
        elif whole != line:
            self.piece = (whole, where)
        else:
            self.run.broken.append(f"{where}: a row does not have all of its columns")

    def _device(self, match: re.Match[str]) -> None:
        rank, group = int(match[1]), int(match[2] or 0)
        if rank >= MOST_RANKS:
            return
        process = f"{match[4]} {match[3]}"
        self.run.devices[rank] = Device(match[4], group, process, match[5].strip())
        if rank == 0:
            self.run.processes_of_rank_0.add(process)

    def _average(self, match: re.Match[str], where: str) -> None:
        self._give_up_piece()
        average = rows.value(match[1])
        if average is None:
            what = "truncated nccl-tests log: no number after 'Avg bus bandwidth'"
            self.unfinished.append((self.run, f"{where}: {what}{self._reason(self.run)}"))
            self.run = Run(tool=self.run.tool)
            return
        self.run.average, self.run.where, self.run.below_minimum = average, where, bool(match[2])
        self.finished.append(self.run)
        self.run = Run(tool=self.run.tool)

    def _new_run(self, why: str) -> None:
        """Begin anew. A table that has begun and has no average was cut off."""
        self._give_up_piece()
        run = self.run
        if run.started:
            last = run.broken[-1].partition(": ")[0] if run.broken else run.rows[-1].where if run.rows else run.header
            what = "a row is cut off" if run.broken else "the table has no 'Avg bus bandwidth' line"
            self.unfinished.append((run, f"{last}: truncated nccl-tests log: {what}, {why}{self._reason(run)}"))
            self.run = Run(tool=run.tool)
        else:
            # A failure before the table belongs to the table that did not come, unless the options follow it.
            self.run = Run(tool=run.tool, operation=run.operation, failures=run.failures, warnings=run.warnings)

    def _give_up_piece(self) -> None:
        if self.piece is not None:
            self.run.broken.append(f"{self.piece[1]}: a row does not have all of its columns")
            self.piece = None

    def _failure(self, line: str, where: str) -> None:
        if any(part in line for part in TROUBLE) and (match := FAILURE.search(line)):
            self._current().failures.append(f"{where}: {match[1].strip()[:160]}")
        elif "NCCL WARN" in line and (match := WARNING.search(line)):
            self.run.warnings.append(f"{where}: {match[1].strip()[:160]}")

    def _current(self) -> Run:
        """The run that a line belongs to: after an average it is still the one that ended."""
        return self.run if self.run.started or self.run.devices or not self.finished else self.finished[-1]

    def _reason(self, run: Run) -> str:
        """NCCL's first warning says why, the first failure says what."""
        said = sorted({*run.warnings[:1], *run.failures[:1]}, key=lambda text: int(_line_of(text)))
        return "".join(f"; line {_line_of(text)} says: {text.partition(': ')[2][:120]}" for text in said)


def before_nccl(line: str) -> str:
    """What stands before a line of NCCL's, `host:pid:tid [gpu] file.cc:63 NCCL WARN`; its host may touch a number."""
    match = NCCL_LINE.search(line) if "NCCL " in line else None
    if match is None:
        return line
    words = line[: match.start()].split(" ")
    words.pop()
    if words and re.fullmatch(r"[^\s:]+:\d+", words[-1]):
        words.pop()
    if words and re.fullmatch(r"\[\d+\]", words[-1]):
        words.pop()
        if words and (host := NCCL_HOST.search(words[-1][:255])):
            words[-1] = words[-1][: host.start()]
    return " ".join(words)


def _line_of(text: str) -> str:
    return text.partition(": ")[0].rpartition(":")[2]
