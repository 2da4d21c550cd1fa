"""Which format a file has, judged from its head."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ferry.traces import lines, records
from ferry.traces.head import Head
from ferry.traces.lines import LineFormat
from ferry.traces.records import RecordFormat

_SAMPLE = 200
_DELIMITERS = ",;\t|"
_DOCKER = {"log", "stream", "time"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """CSV with a header."""

    names: tuple[str, ...]
    delimiter: str


@dataclass(frozen=True, kw_only=True)
class Objects:
    """JSON objects: a line each (after a prefix, perhaps), or the items of one array."""

    names: tuple[str, ...]
    """Outermost names, and those one and two levels within, with points between."""
    outermost: tuple[str, ...]
    array: bool = False
    prefixed: bool = False


@dataclass(frozen=True, kw_only=True)
class Text:
    """Lines of a log."""

    prefix: str | None
    """The pattern of a time before each line, where the lines have one."""


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """A format and how its file is written. `docker`: each line is wrapped by Docker's json-file driver."""

    format: RecordFormat | LineFormat
    written: Table | Objects | Text
    docker: bool = False


def unwrapped(head: Head) -> tuple[list[str], bool]:
    """The head's lines, out of Docker's json-file wrapping, and whether there was one."""
    given = head.lines()
    if given and isinstance(first := _object(given[0]), dict) and first.keys() >= _DOCKER:
        inner = [item for line in given if isinstance(item := _object(line), dict)]
        return [f"{item.get('time')} {str(item.get('log')).rstrip()}" for item in inner], True
    return given, False


def table(given: Sequence[str]) -> Table | None:
    """The header of a CSV file, by the delimiter that is in it most often."""
    if not given:
        return None
    counts = {one: given[0].count(one) for one in _DELIMITERS}
    delimiter = max(counts, key=lambda one: counts[one])
    try:
        names = next(csv.reader([given[0]], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return None
    names = [name.strip() for name in names]
    return Table(names=tuple(names), delimiter=delimiter) if names and len({*names}) == len(names) else None


def objects(given: Sequence[str]) -> Objects | None:
    """JSON objects, and the names in the first of them."""
    if given and given[0].lstrip().startswith("["):
        items = _items("\n".join(given).lstrip()[1:])
        return _objects(items, array=True) if items else None
    found, prefixed = [], False
    for line in given[:_SAMPLE]:
        start = line.find("{")
        if start >= 0 and isinstance(item := _object(line[start:]), dict):
            found.append(item)
            prefixed = prefixed or line[:start].strip() != ""
    # A log line may well end in something like JSON; a JSON log is JSON in nearly every line.
    if len(found) * 2 <= len(given[:_SAMPLE]):
        return None
    return _objects(found, prefixed=prefixed)


def text_format(given: Sequence[str]) -> LineFormat | None:
    """The line format with requests in the head. The earlier in the list tells more, where an engine prints two."""
    counts: Counter[str] = Counter()
    for format_ in lines.FORMATS:
        pattern = re.compile(format_.pattern)
        counts[format_.name] = sum(1 for line in given if pattern.search(line))
    return next((format_ for format_ in lines.FORMATS if counts[format_.name]), None)


def text(given: Sequence[str], format_: LineFormat) -> Text:
    """What stands before the lines of this format."""
    marked = [line for line in given if re.search(format_.marker, line)][:_SAMPLE]
    for prefix in (lines.ISO_PREFIX, lines.JOURNAL_PREFIX):
        if sum(1 for line in marked if re.search(prefix, line)) * 2 > len(marked):
            return Text(prefix=prefix)
    return Text(prefix=None)


def throughput(given: Sequence[str]) -> tuple[str, str] | None:
    """What lines these are, and what to start the engine with, where they tell nothing of single requests."""
    for pattern, what, remedy in lines.THROUGHPUT:
        if any(re.search(pattern, line) for line in given):
            return what, remedy
    return None


def recognise(head: Head) -> Recognised | None:
    """The format of a text file, or None. A Parquet file names its columns itself."""
    given, docker = unwrapped(head)
    if (found := objects(given)) and (format_ := records.recognise(found.names)):
        return Recognised(format=format_, written=found, docker=docker)
    if not docker and (header := table(given)) and (known := records.recognise(header.names)):
        return Recognised(format=known, written=header)
    if not found and (line_format := text_format(given)):
        return Recognised(format=line_format, written=text(given, line_format), docker=docker)
    return None


def _objects(items: Sequence[Mapping[str, Any]], *, array: bool = False, prefixed: bool = False) -> Objects:
    names: dict[str, None] = {}
    for item in items:
        for name, value in item.items():
            names[name] = None
            for inner, more in value.items() if isinstance(value, dict) else ():
                names[f"{name}.{inner}"] = None
                if isinstance(more, dict):
                    names.update({f"{name}.{inner}.{last}": None for last in more})
    outermost = dict.fromkeys(name for item in items for name in item)
    return Objects(names=tuple(names), outermost=tuple(outermost), array=array, prefixed=prefixed)


def _items(text: str) -> list[dict[str, Any]]:
    """The first objects of a JSON array, of which the end may be missing."""
    found: list[dict[str, Any]] = []
    decoder = json.JSONDecoder()
    while len(found) < _SAMPLE and (text := text.lstrip(", \r\n\t")).startswith("{"):
        try:
            item, end = decoder.raw_decode(text)
        except (ValueError, RecursionError):
            break
        found.append(item)
        text = text[end:]
    return found


def _object(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
