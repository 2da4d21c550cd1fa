"""Opening a trace: its requests as a table of numbers.

What a row must have for its format, and does not, or has and is no number in a sensible range, makes the row damaged:
it is counted, named by its line, and used for nothing. A trace of which more than half is damaged is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from ferry.errors import InvalidField, UnreadableInput
from ferry.traces import lines, prefixes, recognition, records, source, values
from ferry.traces.database import Database, Progress
from ferry.traces.head import Head, read_head
from ferry.traces.layout import GENERATES, Layout
from ferry.traces.nginx_format import compile_format
from ferry.traces.recognition import Recognised
from ferry.traces.records import RecordFormat
from ferry.traces.source import Source
from ferry.traces.values import Value

FORMATS = tuple(
    sorted({"azure-llm-2024", "parquet", *(one.name for one in records.FORMATS)} | {one.name for one in lines.FORMATS})
)
REQUEST, OTHER, DAMAGED, NOT_INFERENCE = range(4)
_TYPES = {
    "input_tokens": "INTEGER",
    "output_tokens": "INTEGER",
    "cached_tokens": "INTEGER",
    "latency": "BIGINT",
    "ttft": "BIGINT",
    "status": "SMALLINT",
}
_NAMED_ROWS = 3
_HALF_A_YEAR_US = 183 * 86_400_000_000
_LEAP_YEAR_US = 366 * 86_400_000_000


class Arrays(NamedTuple):
    """Requests in the order of arrival; seconds since the first. `cached_tokens`: None where nothing tells them."""

    arrival_s: NDArray[np.float64]
    input_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    cached_tokens: NDArray[np.int32] | None


@dataclass(frozen=True)
class Counts:
    """Rows of a file. `other`: lines of something else; `not_inference`: requests that generate no text."""

    requests: int
    other: int
    damaged: int
    not_inference: int
    damaged_at: tuple[str, ...]
    """The first damaged ones: `line 7`."""


class Trace:
    """The requests of one file, in a database that goes away with `close`, or at the end of a `with`."""

    def __init__(self, database: Database, format_: str, layout: Layout, counts: Counts, zoned: bool) -> None:
        self.database = database
        self.label = database.label
        self.format = format_
        self.layout = layout
        self.counts = counts
        self.zoned = zoned
        """Whether its times have a zone, so that an hour of the day follows from them."""
        shown = database.rows("SELECT " + ", ".join(f"count({name})" for name in _COLUMNS) + " FROM requests")[0]
        self.known = dict(zip(_COLUMNS, shown, strict=True))
        """How many requests have each of the columns."""

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the database."""
        self.database.close()

    @property
    def relation(self) -> duckdb.DuckDBPyRelation:
        """The requests in the file's order, NULL where something is not known.

        Columns: arrival_us, input_tokens, output_tokens, cached_tokens, latency_us, ttft_us, status, model. Arrivals
        are µs since 1970, or since the start of a relative trace.
        """
        return self.database.connection.table("requests")

    def arrays(self) -> Arrays:
        """What a simulation needs. Raises UnreadableInput where a time or a token count is missing.

        Requests that were refused (a status of 400 or more) and have no token counts made no work, and are left out.
        """
        served = "NOT (coalesce(status, 0) >= 400 AND (input_tokens IS NULL OR output_tokens IS NULL))"
        names = {"arrival_us": "times of arrival", "input_tokens": "prompt tokens", "output_tokens": "answer tokens"}
        missing = self.database.rows(
            "SELECT count(*), "
            + ", ".join(f"count(*) - count({name})" for name in names)
            + f" FROM requests WHERE {served}"
        )[0]
        for (_, what), count in zip(names.items(), missing[1:], strict=True):
            if count:
                raise UnreadableInput(
                    f"{self.label}: {count} of {missing[0]} requests have no {what}; give a trace that has them all, "
                    "from the gateway's own accounting for example"
                )
        cached = ", cached_tokens" if self.known["cached_tokens"] else ""
        found = self.database.connection.execute(
            "SELECT (arrival_us - min(arrival_us) OVER ()) / 1e6 AS arrival_s, input_tokens, output_tokens"
            f"{cached} FROM requests WHERE {served} ORDER BY arrival_us"
        ).fetchnumpy()
        return Arrays(
            np.asarray(found["arrival_s"], dtype=np.float64),
            np.asarray(found["input_tokens"], dtype=np.int32),
            np.asarray(found["output_tokens"], dtype=np.int32),
            np.ma.filled(found["cached_tokens"], 0).astype(np.int32) if cached else None,
        )


_COLUMNS = ("arrival_us", "input_tokens", "output_tokens", "cached_tokens", "latency_us", "ttft_us", "status", "model")


def recognise(path: Path) -> str | None:
    """The format of a trace or log, from its first mebibyte; None for what is none. Raises UnreadableInput."""
    head = read_head(path, str(path))
    if head.is_parquet:
        return "parquet"
    found = recognition.recognise(head)
    return found.format.name if found else None


def open_trace(
    path: Path,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    log_format: str | None = None,
    progress: Progress | None = None,
    *,
    label: str | None = None,
    paths: tuple[str, ...] = (),
) -> Trace:
    """Read a trace or log of any size, in bounded memory.

    `columns` maps Ferry's columns (`records.COLUMNS`) to the file's; `log_format` is nginx's; `paths` are prefixes of
    paths that generate text beside the usual ones; `label` names the file in messages. Raises UnreadableInput for a
    file that is no trace, and InvalidField for options that do not fit it.
    """
    label = label or str(path)
    columns = dict(columns or {})
    if format is not None and format not in FORMATS:
        raise InvalidField(f"{label}: requests.format is {format[:40]!r}; allowed are {', '.join(FORMATS)}")
    if unknown := [key for key in columns if key not in records.COLUMNS]:
        raise InvalidField(
            f"{label}: requests.columns has the key {unknown[0][:40]!r}; allowed are {', '.join(records.COLUMNS)}"
        )
    head = read_head(path, label)
    if not head.content.strip():
        raise UnreadableInput(f"{label}: the trace has no requests: the file is empty")
    database = Database(path, label)
    try:
        rows = _source(head, database, format, columns, log_format)
        if head.has_huge_line():
            rows = rows.one_by_one()
        zoned = _load(database, rows, paths, progress)
        counts = _counts(database, rows)
        _refuse(label, rows.layout, counts)
        if rows.layout.blocks:
            prefixes.find(database)
        name = rows.layout.name
        if name == "azure-llm-2023" and zoned:
            name = "azure-llm-2024"
        return Trace(database, name, rows.layout, counts, zoned)
    except BaseException:
        database.close()
        raise


def _source(
    head: Head, database: Database, wanted: str | None, columns: dict[str, str], log_format: str | None
) -> Source:
    """How to read the file: as the user says, else as it looks."""
    if log_format is not None:
        line_format = compile_format(log_format, columns)
        _, docker = recognition.unwrapped(head)
        written = recognition.Text(prefix=None)
        return source.of_text(Recognised(format=line_format, written=written, docker=docker))
    if head.is_parquet:
        names = [row[0] for row in database.rows("DESCRIBE SELECT * FROM read_parquet(?)", [database.path])]
        found = records.mapped(columns) if columns else records.recognise(names)
        if found is None or not found.fits(names):
            raise _missing(head.label, columns, names)
        return source.of_parquet(found, names)
    recognised = _mapped(head, columns) if columns else _named(head, wanted)
    if isinstance(recognised.format, RecordFormat):
        return source.of_records(recognised)
    return source.of_text(recognised)


def _mapped(head: Head, columns: dict[str, str]) -> Recognised:
    """With a column map: whatever has these names."""
    given, docker = recognition.unwrapped(head)
    format_ = records.mapped(columns)
    objects = recognition.objects(given)
    written = objects or recognition.table(given)
    if written is None:
        raise UnreadableInput(f"{head.label}: requests.columns needs CSV with a header, JSON or Parquet; it is neither")
    if objects:
        # What lies deeper, or comes later, than the names that were looked at.
        deeper = tuple(name for name in columns.values() if name.partition(".")[0] in objects.names)
        written = replace(objects, names=tuple(dict.fromkeys((*objects.names, *deeper))))
    if not format_.fits(written.names):
        raise _missing(head.label, columns, written.names)
    return Recognised(format=format_, written=written, docker=docker)


def _named(head: Head, wanted: str | None) -> Recognised:
    """Without one: the format that was named, or the one that it looks like."""
    given, docker = recognition.unwrapped(head)
    found = recognition.recognise(head)
    if wanted is None:
        if found is None:
            raise _unknown(head.label, given)
        return found
    known = "azure-llm-2023" if wanted == "azure-llm-2024" else wanted
    if found is not None and found.format.name == known:
        return found
    if line_format := next((one for one in lines.FORMATS if one.name == known), None):
        return Recognised(format=line_format, written=recognition.text(given, line_format), docker=docker)
    record_format = next((one for one in records.FORMATS if one.name == known), None)
    written = recognition.objects(given) or recognition.table(given)
    names = written.names if written else ()
    if record_format is None or written is None or not record_format.fits(names):
        lacking = next(
            (group[0] for group in (record_format.needs if record_format else ()) if not _has(group, names)), "its mark"
        )
        raise UnreadableInput(
            f"{head.label}:1: is not a trace of format {wanted}: column {lacking} is missing; found: {_shown(names)}"
        )
    return Recognised(format=record_format, written=written, docker=docker)


def _has(group: tuple[str, ...], names: tuple[str, ...]) -> bool:
    return bool({name.lower() for name in group} & {name.lower() for name in names})


def _load(database: Database, rows: Source, paths: tuple[str, ...], progress: Progress | None) -> bool:
    """Read the file into the table `rows`, and give whether its times have a zone."""
    layout = rows.layout
    found = layout.values()
    aliases = {text: f"t{place}" for place, text in enumerate(_distinct(found))}
    texts = {name: [aliases[text] for text in value.texts] for name, value in found.items()}
    named = aliases.values()
    damaged = [f"({value.present(*texts[name])} AND {name} IS NULL)" for name, value in found.items()]
    damaged += [f"NOT {value.present(*texts[name])}" for name, value in found.items() if name in layout.required]
    arrival = "time" if layout.time else "NULL"
    if layout.time_is == "end" and layout.time and layout.latency:
        arrival = "time - coalesce(latency, 0)"
    chosen = [f"{name if name in found else 'NULL'}::{kind} AS {name}" for name, kind in _TYPES.items()]
    steps = [
        # Texts as the file has them, and what the row is.
        f"SELECT {_comma(f'{text} AS {alias}' for text, alias in aliases.items())} "
        f"{layout.model or 'NULL::VARCHAR'} AS model, "
        f"{layout.blocks or 'NULL::BIGINT[]'} AS blocks, {rows.broken} AS is_broken, "
        f"({rows.other}{f' OR NOT coalesce({layout.only}, false)' if layout.only else ''}) AS is_other, "
        f"coalesce({_generates(layout, paths)}, false) AS generates FROM ({rows.sql}) AS r",
        f"SELECT * REPLACE ({_comma(f'given({one}) AS {one}' for one in named)} given(left(model, 200)) AS model)",
        f"SELECT *, {_comma(f'TRY_CAST({one} AS DOUBLE) AS {one}_d' for one in named)} "
        f"{_comma(f'epoch_us(TRY_CAST({one} AS TIMESTAMPTZ)) AS {one}_m' for one in named)} 0 AS unused",
        f"SELECT *, {_comma(f'{value.number(*texts[name])} AS {name}' for name, value in found.items())} "
        f"{layout.time.zone(*texts['time']) if layout.time else 'false'} AS zoned",
        f"SELECT * REPLACE ({_comma(f'{value.bounded(name)} AS {name}' for name, value in found.items())} "
        "coalesce(zoned, false) AS zoned)",
        f"SELECT CASE WHEN is_other THEN {OTHER} WHEN is_broken THEN {DAMAGED} WHEN NOT generates THEN {NOT_INFERENCE} "
        f"WHEN {' OR '.join(damaged) or 'false'} THEN {DAMAGED} ELSE {REQUEST} END AS kind, "
        f"({arrival})::BIGINT AS arrival_us, "
        f"{_comma(chosen)} model, blocks, zoned",
    ]
    query = steps[0]
    for step in steps[1:]:
        query = f"{step} FROM ({query})"
    database.rows(f"CREATE TABLE rows AS {query}", [database.path], progress)
    database.rows(
        "CREATE VIEW requests AS SELECT arrival_us, input_tokens, output_tokens, cached_tokens, latency AS latency_us, "
        f"ttft AS ttft_us, status, model FROM rows WHERE kind = {REQUEST}"
    )
    if layout.yearless:
        # From December to January the year turns, which such a time does not say.
        database.rows(
            f"UPDATE rows SET arrival_us = arrival_us + {_LEAP_YEAR_US} WHERE kind = {REQUEST} AND arrival_us < "
            f"(SELECT arrival_us FROM rows WHERE kind = {REQUEST} ORDER BY rowid LIMIT 1) - {_HALF_A_YEAR_US}"
        )
    zoned, local = database.rows(
        f"SELECT count(*) FILTER (zoned), count(*) FILTER (NOT zoned) FROM rows WHERE kind = {REQUEST}"
    )[0]
    if zoned and local:
        raise UnreadableInput(
            f"{database.label}: some times have a zone and others have none ({zoned} and {local}); write them alike"
        )
    return bool(zoned)


def _comma(parts: Iterable[str]) -> str:
    return "".join(f"{part}, " for part in parts)


def _distinct(found: Mapping[str, Value]) -> list[str]:
    return list(dict.fromkeys(text for value in found.values() for text in value.texts))


def _generates(layout: Layout, paths: tuple[str, ...]) -> str:
    if layout.request is None:
        return "true"
    more = [f"starts_with({layout.request}, {values.literal('POST ' + path)})" for path in paths]
    return " OR ".join([f"regexp_matches({layout.request}, {values.literal(GENERATES)})", *more])


def _counts(database: Database, rows: Source) -> Counts:
    kinds = dict(database.rows("SELECT kind, count(*) FROM rows GROUP BY kind"))
    rejected: list[int] = []
    if "store_rejects" in rows.sql:
        rejected = [row[0] for row in database.rows("SELECT DISTINCT line FROM reject_errors ORDER BY line")]
    at = [
        row[0] + rows.first_line
        for row in database.rows(f"SELECT rowid FROM rows WHERE kind = {DAMAGED} ORDER BY rowid LIMIT {_NAMED_ROWS}")
    ]
    named = sorted([*(_past(line, rejected) for line in at), *rejected[:_NAMED_ROWS]])[:_NAMED_ROWS]
    return Counts(
        requests=kinds.get(REQUEST, 0),
        other=kinds.get(OTHER, 0),
        damaged=kinds.get(DAMAGED, 0) + len(rejected),
        not_inference=kinds.get(NOT_INFERENCE, 0),
        damaged_at=tuple(f"{rows.unit} {line}" for line in named),
    )


def _past(line: int, rejected: list[int]) -> int:
    """The number of a line when the lines that were left out before it are counted."""
    for one in rejected:
        if one <= line:
            line += 1
    return line


def _refuse(label: str, layout: Layout, counts: Counts) -> None:
    where = f" ({', '.join(counts.damaged_at)})" if counts.damaged_at else ""
    if not counts.requests and counts.not_inference:
        raise UnreadableInput(
            f"{label}: none of the {counts.not_inference} requests generates text (POST to /v1/chat/completions, "
            "/v1/completions, /generate, /api/chat, …); name other paths in requests.paths"
        )
    if counts.damaged > counts.requests + counts.not_inference:
        raise UnreadableInput(
            f"{label}: {counts.damaged} rows are damaged{where} and {counts.requests} are not; more than half is no "
            f"trace of format {layout.name}: export it again, or name its format or columns in site.yaml"
        )
    if not counts.requests:
        raise UnreadableInput(f"{label}: the trace has no requests; it was read as {layout.name}{where}")


def _unknown(label: str, given: list[str]) -> UnreadableInput:
    if what := recognition.throughput(given):
        return UnreadableInput(
            f"{label}: has only {what[0]}: throughput of some seconds, no single requests; {what[1]}, or give the "
            "gateway's access log"
        )
    names = (found.names if (found := recognition.objects(given) or recognition.table(given)) else ())[:40]
    return UnreadableInput(
        f"{label}: is no trace or log that Ferry knows; name its columns in requests.columns (found: {_shown(names)}), "
        f"or its nginx log_format; known formats: {', '.join(FORMATS)}"
    )


def _missing(label: str, columns: Mapping[str, str], names: tuple[str, ...] | list[str]) -> UnreadableInput:
    absent = [name for name in columns.values() if name.lower() not in {one.lower() for one in names}]
    what = f"column {absent[0][:60]!r} of requests.columns is not in it" if absent else "no known columns"
    return UnreadableInput(f"{label}: {what}; found: {_shown(names)}")


def _shown(names: tuple[str, ...] | list[str]) -> str:
    """Names of columns. The first row of a file without a header may be anything, also a prompt: it has a number."""
    plain = all(re.fullmatch(r"[A-Za-z_@][\w.@-]{0,39}", name) for name in names)
    return ", ".join(names[:12]) if plain and len(names) > 1 else "no names of columns"
