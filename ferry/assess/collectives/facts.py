"""What a run says of the site: its Collective, and what has to be known of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import fmean

from ferry.artefacts import Collective, CollectiveSize, Finding, measured
from ferry.assess.collectives import rows, runs
from ferry.assess.collectives.runs import Run
from ferry.errors import UnreadableInput

MEASURE = "all_reduce_perf -b 8 -e 8G -f 2 -g 8"


@dataclass(frozen=True)
class CollectiveLog:
    """What one log says. `accelerators` are the devices' names as the log prints them."""

    collectives: list[Collective]
    accelerators: list[str]
    findings: list[Finding] = field(default_factory=list)


def log_of(finished: list[Run], unfinished: list[tuple[Run, str]], file: str) -> CollectiveLog:
    """All runs of a file. One that was not finished costs a finding; a file without a finished one is refused."""
    collectives: list[Collective] = []
    findings: list[Finding] = []
    refusals = [why for _, why in unfinished]
    names: dict[str, None] = {}
    for run in finished:
        try:
            collective, found = facts(run, file)
        except UnreadableInput as error:
            refusals.append(str(error))
            continue
        collectives.append(collective)
        findings += found
        names.update(dict.fromkeys(device.name for device in run.devices.values()))
    if not collectives:
        raise UnreadableInput(f"{refusals[0]}; measure again: {MEASURE}")
    for why in refusals:
        where, _, seen = why.partition(": ")
        findings.append(
            Finding(
                severity="warning",
                code="nccl-run-unfinished",
                seen=seen,
                where=where,
                means="this run is not counted; the whole ones of the file are",
                remedy=f"give its whole output, or measure again: {MEASURE}",
            )
        )
    return CollectiveLog(collectives, list(names), findings)


def facts(run: Run, file: str) -> tuple[Collective, list[Finding]]:
    """Turn a run that reached its end into facts and findings. Raises UnreadableInput when no row is usable."""
    wrong = rows.contradicting(run.rows) if run.columns is None or run.columns.times_are_measured else {}
    # Where most rows contradict, the table means something else by its columns, and none of them is damaged.
    defined_otherwise = 2 * len(wrong) > len(run.rows)
    broken = list(run.broken)
    if not defined_otherwise:
        run.rows = [row for row in run.rows if row not in wrong]
        broken += [f"{row.where}: {why}" for row, why in wrong.items()]
    sizes = len(run.rows)
    usable = [row for row in run.rows if row.first.busbw is not None]
    if not usable:
        what = f"damaged nccl-tests log: {broken[0].partition(': ')[2]}" if broken else "no rows that an average is of"
        raise UnreadableInput(f"{run.where}: {what}")
    largest = max(usable, key=lambda row: row.size)
    last = [row for row in usable if row.size == largest.size][-1]
    average = run.average
    if average is None:
        average = fmean(half.busbw for row in usable for half in row.halves if half.busbw is not None)
    collective = Collective(
        file=file,
        tool=run.tool,
        operation=runs.operation(run),
        ranks=runs.ranks(run),
        nodes=runs.nodes(run),
        sizes=sizes,
        average_busbw=measured(average, "GB/s", run.where),
        largest_message_bytes=last.size,
        largest_message_busbw=measured(last.first.busbw or 0.0, "GB/s", last.where),
        wrong=_wrong(run),
        by_size=[_size(row, run) for row in usable],
    )
    found = _findings(run, collective, last, broken)
    if defined_otherwise:
        found.append(
            Finding(
                severity="warning",
                code="nccl-columns-contradict",
                seen=f"in {len(wrong)} of {sizes} rows; the first: {next(iter(wrong.values()))}",
                where=next(iter(wrong)).where,
                means="the columns do not mean what those of nccl-tests do, or the table is damaged throughout",
                remedy=f"measure again with nccl-tests as published: {MEASURE}",
            )
        )
    return collective, found


def _size(row: rows.Row, run: Run) -> CollectiveSize:
    second = row.second
    errors = [half.errors for half in row.halves if half.errors != "N/A"]
    return CollectiveSize(
        where=row.where,
        bytes=row.size,
        time_us=row.first.time_us,
        algbw=row.first.algbw,
        busbw=row.first.busbw,
        in_place_time_us=second.time_us if second else None,
        in_place_algbw=second.algbw if second else None,
        in_place_busbw=second.busbw if second else None,
        wrong=_sum_wrong(errors) if errors and _counts_wrong(run) else None,
    )


def _wrong(run: Run) -> int | None:
    """Wrong values: summed from the `#wrong` column; older logs have a float there, and a count below the table.

    The count below covers all rows, the column only those that are in the file.
    """
    values = [half.errors for row in run.rows for half in row.halves if half.errors != "N/A"]
    if not values:
        return run.out_of_bounds or None
    return max(_sum_wrong(values), run.out_of_bounds or 0) if _counts_wrong(run) else run.out_of_bounds


def _counts_wrong(run: Run) -> bool:
    """Whether the last column counts: as the header says, or by what an excerpt without one has in it."""
    if run.columns is not None and run.columns.names != rows.USUAL * 2:
        return run.columns.counts_wrong
    return all(_counts(half.errors) for row in run.rows for half in row.halves if half.errors != "N/A")


def _counts(text: str) -> bool:
    """Whether it is a count: `7`, or `1.04858e+06` as %g prints a large one, but not `1e-07`."""
    number = rows.value(text)
    return number is not None and number.is_integer() and "e-" not in text and text != "0e+00"


def _sum_wrong(values: list[str]) -> int:
    return sum(int(number) for text in values if (number := rows.value(text)) is not None)


def _findings(run: Run, collective: Collective, largest: rows.Row, broken: list[str]) -> list[Finding]:
    average, top = collective.average_busbw.value or 0.0, collective.largest_message_busbw.value or 0.0
    found: list[Finding] = []
    if collective.wrong:
        found.append(
            Finding(
                severity="critical",
                code="nccl-wrong-results",
                seen=f"{collective.wrong} wrong values",
                where=run.where,
                means="the GPUs or the links between them corrupt data: training that stays on them is not safe",
                remedy=f"find the failing link or GPU: dcgmi diag -r 3 on each node, then {MEASURE} on each node alone",
            )
        )
    elif run.checked is False and collective.wrong == 0:
        found.append(
            Finding(
                severity="info",
                code="nccl-results-not-checked",
                seen="0 wrong values, and the options say validation: 0",
                where=run.where,
                means="the results were not compared with what they should be: 0 is not a measurement here",
                remedy=f"with the check on (-c 1): {MEASURE}",
            )
        )
    if broken:
        where, _, what = broken[0].partition(": ")
        found.append(
            Finding(
                severity="warning",
                code="nccl-rows-damaged",
                seen=what + (f", and {len(broken) - 1} more" if len(broken) > 1 else ""),
                where=where,
                means="damaged rows are left out; the others are used",
                remedy=f"give the whole output, or measure again: {MEASURE}",
            )
        )
    if run.failures:
        where, _, what = run.failures[0].partition(": ")
        found.append(
            Finding(
                severity="warning",
                code="nccl-failure-reported",
                seen=what,
                where=where,
                means="the run reached its end all the same; its numbers may be those of a degraded cluster",
                remedy=f"remove the cause, and measure again: {MEASURE}",
            )
        )
    if run.below_minimum:
        found.append(
            Finding(
                severity="warning",
                code="nccl-below-minimum",
                seen=f"average {average:g} GB/s, marked FAILED",
                where=run.where,
                means="it is more than 10 % below NCCL_TESTS_MIN_BW, which whoever measured had set as the minimum",
                remedy="find the slow link or node: measure each pair of nodes alone",
            )
        )
    found += _about_ranks(run, collective)
    if average < 0.8 * top:
        found.append(
            Finding(
                severity="info",
                code="nccl-average-hides-large-messages",
                seen=f"average {average:g} GB/s over {collective.sizes} sizes, {top:g} GB/s at {largest.size} bytes",
                where=largest.where,
                means="gradients travel as large messages, so Ferry uses the bus bandwidth of the largest one",
                remedy="none needed; to measure large messages only: all_reduce_perf -b 128M -e 8G -f 2",
            )
        )
    both = [half.busbw for row in run.rows for half in row.halves if half.busbw is not None]
    if not math.isclose(fmean(both), average, rel_tol=0.02, abs_tol=0.02):
        found.append(
            Finding(
                severity="info",
                code="nccl-rows-missing",
                seen=f"the rows average {fmean(both):.4g} GB/s, the log says {average:g} GB/s",
                where=run.where,
                means="the log is an excerpt; the rows that are there are used",
                remedy=f"give the whole output, or measure again: {MEASURE}",
            )
        )
    return found


def _about_ranks(run: Run, collective: Collective) -> list[Finding]:
    """Whether one communicator was measured, and the one that the log seems to be of."""
    found: list[Finding] = []
    if not any(half.busbw for row in run.rows for half in row.halves):
        alone = len(run.processes_of_rank_0)
        found.append(
            Finding(
                severity="warning",
                code="nccl-nothing-measured",
                seen="every bus bandwidth is 0" + (f", {alone} processes call themselves rank 0" if alone > 1 else ""),
                where=run.where,
                means="each process ran alone, on one rank: nothing was sent, and nothing follows from it",
                remedy="build nccl-tests with MPI=1, and start it with mpirun or srun --mpi=pmix",
            )
        )
        return found
    solved = runs.ranks_from_bandwidths(run)
    if solved is not None and collective.ranks is not None and solved != collective.ranks:
        found.append(
            Finding(
                severity="warning",
                code="nccl-ranks-contradict",
                seen=f"the log names {collective.ranks} ranks, its bandwidths belong to {solved}",
                where=run.where,
                means="the devices that are listed are not those of the table: the log may be put together",
                remedy=f"measure again, into a file of its own: {MEASURE}",
            )
        )
    if run.operation is not None and run.operation != collective.operation:
        found.append(
            Finding(
                severity="warning",
                code="nccl-operation-contradicts",
                seen=f"the log names {run.operation}, its bandwidths belong to {collective.operation or 'another one'}",
                where=run.where,
                means="the program's name in the file is not that of the table",
                remedy=f"measure again, into a file of its own: {MEASURE}",
            )
        )
    if run.groups > 1:
        found.append(
            Finding(
                severity="info",
                code="nccl-split-groups",
                seen=f"{run.groups} communicators of {collective.ranks} ranks ran side by side",
                where=run.where,
                means="the bandwidth is that of one of them while the others shared the links (NCCL_TESTS_SPLIT)",
                remedy=f"for the whole cluster: unset NCCL_TESTS_SPLIT; {MEASURE}",
            )
        )
    return found
