"""Reads a request trace: how many requests arrive, when, and how long they are.

Format `azure-llm-2023`: the CSV of Azure's LLM inference traces of 2023, columns TIMESTAMP (no zone, seven digits of a
second), ContextTokens, GeneratedTokens, in the order of arrival. It is read line by line: a trace may be larger than
memory, so tokens are kept as counts per value, which also makes the quantiles exact.
"""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate

from ferry.artefacts import Figure, Finding, Quantiles, TraceFacts, measured, unknown
from ferry.errors import UnreadableInput

FORMAT = "azure-llm-2023"
COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
MOST_TOKENS = 100_000_000
"""No context window is near it: a larger number is a wrong column."""
SHORT_TRACE_S = 1800.0


@dataclass
class _Tally:
    """What is kept of the requests read so far."""

    requests: int = 0
    first: datetime | None = None
    last: datetime | None = None
    by_minute: Counter[int] = field(default_factory=Counter)
    inputs: Counter[int] = field(default_factory=Counter)
    outputs: Counter[int] = field(default_factory=Counter)


def parse(lines: Iterable[str], file: str) -> tuple[TraceFacts, list[Finding]]:
    """Read a trace of format azure-llm-2023. Raises UnreadableInput with the line number."""
    rows = csv.reader(lines)
    tally = _Tally()
    try:
        header = [name.strip().removeprefix("\ufeff") for name in next(rows, [])]
        if missing := [name for name in COLUMNS if name not in header]:
            raise UnreadableInput(
                f"{file}:1: is not a trace of format {FORMAT}: column {missing[0]} is missing; found: "
                f"{' '.join(', '.join(header).split())[:120] or 'an empty file'}"
            )
        places = [header.index(name) for name in COLUMNS]
        for row in rows:
            if row:
                _add(tally, [row[place] if place < len(row) else "" for place in places], f"{file}:{rows.line_num}")
    except csv.Error as error:
        raise UnreadableInput(f"{file}:{rows.line_num}: is not CSV text: {error}") from error
    if tally.first is None or tally.last is None:
        raise UnreadableInput(f"{file}: the trace has no requests")
    return _facts(tally, (tally.last - tally.first).total_seconds(), file)


def _add(tally: _Tally, values: list[str], where: str) -> None:
    try:
        moment = datetime.fromisoformat(values[0].strip())
    except ValueError as error:
        raise UnreadableInput(
            f"{where}: TIMESTAMP {values[0][:40]!r} is not a time like 2023-11-16 18:15:46.6805900"
        ) from error
    if tally.first is None:
        tally.first = moment
    elif (moment.tzinfo is None) != (tally.first.tzinfo is None):
        raise UnreadableInput(f"{where}: TIMESTAMP {values[0]!r}: some times have a zone and others have none")
    elif tally.last is not None and moment < tally.last:
        raise UnreadableInput(f"{where}: TIMESTAMP {values[0]!r} is before the line above; sort the trace by TIMESTAMP")
    tokens = [_count(text, name, where) for text, name in zip(values[1:], COLUMNS[1:], strict=True)]
    tally.last = moment
    tally.requests += 1
    tally.by_minute[int((moment - tally.first).total_seconds() // 60)] += 1
    tally.inputs[tokens[0]] += 1
    tally.outputs[tokens[1]] += 1


def _count(text: str, name: str, where: str) -> int:
    try:
        value = int(text)
    except ValueError as error:
        raise UnreadableInput(f"{where}: {name} {text[:40]!r} is not a whole number") from error
    if not 0 <= value <= MOST_TOKENS:
        raise UnreadableInput(f"{where}: {name} is {text[:40]}; allowed are 0 to {MOST_TOKENS}")
    return value


def _facts(tally: _Tally, duration_s: float, file: str) -> tuple[TraceFacts, list[Finding]]:
    found: list[Finding] = []
    # Minutes count from the first request. The last one is not whole, and only counts where it is the busiest anyway.
    busiest, in_busiest = max(tally.by_minute.items(), key=lambda item: item[1])
    rate = "requests/s"
    mean_rps = peak_rps = unknown(rate, f"{file}: shorter than a minute")
    if duration_s > 0:
        mean_rps = measured(tally.requests / duration_s, rate, file)
    if duration_s >= 60:
        peak_rps = measured(in_busiest / 60, rate, f"{file}: minute {busiest} from the start")
    if duration_s < SHORT_TRACE_S:
        found.append(
            Finding(
                severity="warning",
                code="trace-too-short",
                seen=f"the trace covers {duration_s:.0f} s",
                where=file,
                means="the busiest minute of a day is not in it, so the largest size of the fleet rests on little",
                remedy="give a trace of at least an hour of the busiest day",
            )
        )
    facts = TraceFacts(
        file=file,
        format=FORMAT,
        requests=tally.requests,
        duration_s=duration_s,
        mean_rps=mean_rps,
        peak_rps=peak_rps,
        input_tokens=_quantiles(tally.inputs, file),
        output_tokens=_quantiles(tally.outputs, file),
    )
    return facts, found


def _quantiles(counts: Counter[int], file: str) -> Quantiles:
    """Mean, and quantiles by nearest rank: the smallest value that at least q of all values do not exceed."""
    ordered = sorted(counts.items())
    up_to = list(accumulate(count for _, count in ordered))

    def at(percent: int) -> Figure:
        rank = -(-percent * up_to[-1] // 100)
        return measured(ordered[bisect_left(up_to, rank)][0], "tokens", file)

    mean = sum(value * count for value, count in ordered) / up_to[-1]
    return Quantiles(mean=measured(mean, "tokens", file), p50=at(50), p95=at(95), p99=at(99))
