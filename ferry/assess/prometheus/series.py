"""Series of values as any of the sources gives them: one value each (a saved page, a vector) or many (a matrix)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from statistics import fmean, median
from typing import Literal, NamedTuple

from ferry.artefacts import Finding

LATEST_S = 253402300799.0
"""The last second of the year 9999: beyond it a time is damaged."""
Kind = Literal["page", "vector", "matrix", "server"]


class Point(NamedTuple):
    """A value and when it was so, in seconds since 1970; None: the page does not say."""

    time_s: float | None
    value: float


class Delta(NamedTuple):
    """By how much a counter grew within `seconds`, around `time_s`."""

    time_s: float
    amount: float
    seconds: float


@dataclass(frozen=True)
class Series:
    """One metric with one set of labels. `name` is "" for the result of an expression.

    `step_s`: each value is what was added during the `step_s` seconds before it (an answer to `increase`), not a count.
    """

    name: str
    labels: Mapping[str, str]
    points: Sequence[Point]
    file: str
    line: int | None = None
    step_s: float | None = None

    @property
    def place(self) -> str:
        """Where it stands."""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1].value

    def deltas(self) -> Iterator[Delta]:
        """The growth of a counter between its values. A smaller value is a restart from 0, as Prometheus takes it."""
        if self.step_s is not None:
            for time_s, value in self.points:
                yield Delta((time_s or 0.0) - self.step_s / 2, value, self.step_s)
            return
        for before, after in pairwise(self.points):
            if before.time_s is not None and after.time_s is not None:
                grown = after.value - before.value
                grown = after.value if grown < 0 else grown
                yield Delta((before.time_s + after.time_s) / 2, grown, after.time_s - before.time_s)

    def counted(self) -> float:
        """What a counter says: its growth where there are several values, its value where there is one."""
        return self.last if len(self.points) == 1 else sum(delta.amount for delta in self.deltas())


@dataclass(frozen=True)
class Page:
    """What one file or one server said. `hourly` holds the same once more, by the hour, where a server gave it.

    `window_s` is set where counters hold only what was added within it.
    """

    file: str
    kind: Kind
    series: list[Series]
    hourly: list[Series] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    window_s: float | None = None
    end_s: float | None = None

    @property
    def over_time(self) -> list[Series]:
        """The series that say something about the hours of a day."""
        return self.hourly or [series for series in self.series if len(series.points) > 1]


def totals(series: Iterable[Series], *, average: bool = False) -> list[Point]:
    """The sum (or mean) of gauges at each time. Scrapes lie apart by offsets: times meet on a grid of their own step.

    A mean over the result is right even where instances came and went, which a sum of their means is not.
    """
    series = list(series)
    gaps = [
        after.time_s - before.time_s
        for one in series
        for before, after in pairwise(one.points)
        if before.time_s is not None and after.time_s is not None
    ]
    step = median(gaps) if gaps else 0.0
    start = min((time_s for one in series for time_s, _ in one.points if time_s is not None), default=0.0)
    cells: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    times: dict[int, float | None] = {}
    for number, one in enumerate(series):
        for time_s, value in one.points:
            cell = 0 if time_s is None or step <= 0 else math.floor((time_s - start) / step + 0.5)
            times.setdefault(cell, time_s)
            cells[cell][number].append(value)
    combined = []
    for cell in sorted(cells):
        values = [fmean(own) for own in cells[cell].values()]
        combined.append(Point(times[cell], fmean(values) if average else sum(values)))
    return combined


def covered(pages: Iterable[Page]) -> tuple[float, float] | None:
    """The first and the last time that the pages hold values of; None where they have less than two times."""
    times: list[float] = []
    for page in pages:
        if page.window_s is not None and page.end_s is not None:
            times += [page.end_s - page.window_s, page.end_s]
        times += [
            point.time_s
            for series in page.series
            if len(series.points) > 1 or page.kind == "matrix"
            for point in (series.points[0], series.points[-1])
            if point.time_s is not None
        ]
    return (min(times), max(times)) if times and min(times) < max(times) else None


def window(pages: Sequence[Page]) -> str:
    """What time the counters of these pages cover, in words."""
    said: dict[str, None] = {}
    if span := covered(pages):
        said[f"{moment(span[0])} to {moment(span[1])}"] = None
    if any(page.window_s is None and _counts_from_the_start(page) for page in pages):
        said["since the start of the process"] = None
    return ", and ".join(said)


def _counts_from_the_start(page: Page) -> bool:
    single = [len(series.points) == 1 for series in page.series]
    return all(single) if page.kind == "matrix" else any(single)


def moment(time_s: float) -> str:
    """A time as people and ISO 8601 write it."""
    return datetime.fromtimestamp(round(time_s), UTC).isoformat().replace("+00:00", "Z")


def places(series: Iterable[Series]) -> str:
    """Where the series stand: each file with its lines, the first few files."""
    lines: dict[str, list[int]] = defaultdict(list)
    for one in series:
        lines[one.file] += [] if one.line is None else [one.line]
    found = [
        file if not own else f"{file}:{min(own)}" if min(own) == max(own) else f"{file}:{min(own)}-{max(own)}"
        for file, own in lines.items()
    ]
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def tidy(value: float) -> float:
    """Twelve digits: the number as its source has it, without the noise that adding up leaves in the last bits."""
    return float(f"{value:.12g}")
