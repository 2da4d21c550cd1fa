"""One row of a table of nccl-tests: its sizes, and what was measured out of place and in place.

The columns changed over the years: `res`, then `error` (a float), then `#wrong` (a count); redop and root came and
went; a table has one half or two; there are tables with copybw, with statistics per iteration, and with a timestamp at
the end. What the header says decides; an excerpt without a header is told by the number of its columns. Times were
milliseconds before 2019, when the header said `bytes` and not `size`.
Source: https://github.com/NVIDIA/nccl-tests, src/common.cu and src/util.cu from 2017 to 2.19.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

NUMBER = r"(?:\d+\.?\d*(?:[eE][+-]?\d+)?\*?|N/A|-?nan|-?inf)"
TYPE = r"(?:u?int\d*|char|u?char|half|float\d*|double|bfloat16|bf16|bf8|b?f8e\dm\d|fp8\w*|float8\w*)"
ROW_START = re.compile(rf"(?:^|[\s:>|\]])(\d{{1,18}})\s+(\d{{1,18}})\s+{TYPE}(?=\s|$)(.*)")
HEADER = re.compile(r"\b(size|bytes)\s+(?:count|N)\s+type\b(.*\bbusbw\b.*)")
REDOP = re.compile(r"[a-z]+")
TIMESTAMP = re.compile(r"\s\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\s*$")
NUMBERS_ALONE = re.compile(rf"(?:^|[:>|\]])\s*({NUMBER}(?:\s+{NUMBER}){{0,24}})\s*$")

LONGEST_LINE = 1000
"""Longer lines are cut: a row with every column and a long prefix has half of it."""
ERRORS = ("#wrong", "error", "res")
USUAL = ("time", "algbw", "busbw", "errors")


@dataclass(frozen=True)
class Half:
    """What was measured, out of place or in place. Time in µs, bandwidths in GB/s; None where none was printed."""

    time_us: float | None
    algbw: float | None
    busbw: float | None
    errors: str


@dataclass(frozen=True)
class Row:
    """One size. `where` is file:line; `first` is out of place, but where the table has in-place columns only."""

    where: str
    size: int
    redop: str | None
    root: int | None
    first: Half
    second: Half | None

    @property
    def halves(self) -> tuple[Half, ...]:
        """What was measured of this size."""
        return (self.first,) if self.second is None else (self.first, self.second)


@dataclass(frozen=True)
class Columns:
    """The measured columns that a header names, in order."""

    names: tuple[str, ...]
    times_are_ms: bool = False

    @property
    def half(self) -> tuple[str, ...]:
        """The columns of one half."""
        again = [place for place, name in enumerate(self.names) if name in ("time", "cputime")]
        return self.names[: again[1]] if len(again) == 2 else self.names

    @property
    def counts_wrong(self) -> bool:
        """Whether the table has a column that counts wrong values."""
        return "#wrong" in self.names

    @property
    def times_are_measured(self) -> bool:
        """Whether size over time is the bandwidth: with cputime it is not."""
        return "cputime" not in self.names


def lines(text: str) -> Iterator[str]:
    """The lines of a text one by one, a long one cut: all of them at once would be the text again."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start : min(end, start + LONGEST_LINE)]
        start = end + 1


def columns(line: str) -> Columns | None:
    """The columns, when the line is a header."""
    match = HEADER.search(line)
    if not match:
        return None
    names = match[2].split()
    start = next((place for place, name in enumerate(names) if name in ("time", "cputime")), len(names))
    return Columns(tuple(name for name in names[start:] if name != "timestamp"), match[1] == "bytes")


def row(line: str, where: str, header: Columns | None) -> Row | None:
    """The row, when the line is a whole one."""
    start = ROW_START.search(TIMESTAMP.sub("", line))
    if not start:
        return None
    values = start[3].split()
    redop = values.pop(0) if values and REDOP.fullmatch(values[0]) and values[0] not in ("nan", "inf") else None
    if not all(re.fullmatch(NUMBER, value) for value in values if value != "-1"):
        return None
    shape = _shape(values, header)
    if shape is None:
        return None
    per_half, halves = shape
    before = values[: len(values) - len(per_half) * halves]
    measured = values[len(before) :]
    if len(before) > 1 or any(not re.fullmatch(r"-1|\d{1,9}", value) for value in before) or "-1" in measured:
        return None
    scale = 1000.0 if header is not None and header.times_are_ms else 1.0
    read = [_half(measured[at : at + len(per_half)], per_half, scale) for at in range(0, len(measured), len(per_half))]
    return Row(
        where=where,
        size=int(start[1]),
        redop=redop,
        root=int(before[0]) if before else None,
        first=read[0],
        second=read[1] if halves == 2 else None,
    )


def value(text: str) -> float | None:
    """A number as it is printed; None for N/A and what is not finite."""
    try:
        number = float(text.rstrip("*"))
    except ValueError:
        return None
    return number if -1e300 < number < 1e300 else None


def bandwidth_factor(rows: Sequence[Row]) -> float | None:
    """What busbw is of algbw: 2(n-1)/n for an all-reduce, (n-1)/n for others, 1 for reduce and broadcast."""
    halves = [half for row in rows for half in row.halves]
    factors = [half.busbw / half.algbw for half in halves if half.busbw and half.algbw and half.algbw >= 1]
    return median(factors) if factors else None


def contradicting(rows: Sequence[Row]) -> dict[Row, str]:
    """The rows that contradict themselves: size / time is not algbw, or busbw is not algbw times the run's factor.

    Both hold by definition within the rounding of what is printed (12 µs were once printed as 0.012 ms).
    """
    factor = bandwidth_factor(rows)
    found: dict[Row, str] = {}
    for row, half in [(one, half) for one in rows for half in one.halves if half.algbw is not None]:
        algbw = half.algbw or 0.0
        if half.time_us and not _near(row.size / half.time_us / 1000, algbw, 0.05):
            found.setdefault(row, f"{row.size} bytes in {half.time_us:g} µs are not {algbw:g} GB/s")
        elif factor and half.busbw is not None and not _near(factor * algbw, half.busbw, 0.02):
            found.setdefault(row, f"busbw {half.busbw:g} GB/s does not belong to algbw {algbw:g} GB/s")
    return found


def _near(one: float, other: float, tolerance: float) -> bool:
    """Equal within a share, and the rounding to two places."""
    return abs(one - other) <= tolerance * max(one, other) + 0.03


def _shape(values: list[str], header: Columns | None) -> tuple[tuple[str, ...], int] | None:
    """The columns of a half, and how many halves: as the header says, or as the usual tables have them."""
    if header is not None:
        fits = 0 <= len(values) - len(header.names) <= 1
        return (header.half, len(header.names) // len(header.half)) if fits else None
    halves = next((halves for halves in (2, 1) if 0 <= len(values) - 4 * halves <= 1), 0)
    return (USUAL, halves) if halves else None


def _half(values: list[str], names: tuple[str, ...], scale: float) -> Half:
    by_name = dict(zip(names, values, strict=True))
    time = value(by_name.get("time", by_name.get("cputime", "N/A")))
    return Half(
        time_us=None if time is None else time * scale,
        algbw=value(by_name["algbw"]) if "algbw" in by_name else None,
        busbw=value(by_name["busbw"]) if "busbw" in by_name else None,
        errors=next((by_name[name] for name in (*ERRORS, "errors") if name in by_name), "N/A"),
    )
