"""From a file to rows, as SQL: a relation whose row `r` has the texts that a layout reads.

Lines are read as one column, so that the number of a line is known; one that is not UTF-8, or longer than any log's,
is left out by DuckDB, which says its number.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ferry.traces import lines, records, values
from ferry.traces.database import LONGEST_LINE
from ferry.traces.layout import Layout
from ferry.traces.lines import LineFormat
from ferry.traces.recognition import Objects, Recognised, Table, Text
from ferry.traces.records import RecordFormat

# No log has these four in a row: the whole line is one column.
_NO_DELIMITER = "\x1e\x1f\x1e\x1f"
_LINES = (
    f"SELECT line FROM read_csv(?, columns = {{'line': 'VARCHAR'}}, delim = '{_NO_DELIMITER}', quote = '', "
    "escape = '', header = false, auto_detect = false, strict_mode = false, ignore_errors = true, "
    f"store_rejects = true, max_line_size = {LONGEST_LINE})"
)


_JOURNAL = values.Time(
    (
        f"'{values.YEARLESS}-' || month_number(r.stamp.month) || '-' || lpad(r.stamp.day, 2, '0') || ' ' "
        "|| r.stamp.time",
    ),
    "iso_us({})".format,
)


@dataclass(frozen=True)
class Source:
    """`sql` has one parameter, the path. `other` and `broken` are SQL: a line of something else; one beyond reading."""

    sql: str
    layout: Layout
    other: str
    broken: str
    first_line: int
    """The line number of the first row."""
    unit: str = "line"

    def one_by_one(self) -> Source:
        """The same, by one thread, to which no line is too long to be counted."""
        return replace(self, sql=self.sql.replace("store_rejects = true", "store_rejects = true, parallel = false"))


def of_text(found: Recognised) -> Source:
    """The rows of a log of lines."""
    format_, written = found.format, found.written
    assert isinstance(format_, LineFormat)  # noqa: S101
    assert isinstance(written, Text)  # noqa: S101
    groups = ", ".join(values.literal(name) for name in format_.groups)
    pattern = values.literal(format_.pattern)
    shown = ""
    prefix: values.Time | None = None
    if written.prefix == lines.ISO_PREFIX:
        shown = f", regexp_extract(line, {values.literal(written.prefix)}, 1) AS stamp"
        prefix = values.moment("r.stamp")
    layout = format_.layout(prefix)
    if written.prefix == lines.JOURNAL_PREFIX and layout.time is None:
        # It has no year: a time of the line's own tells more.
        shown = f", regexp_extract(line, {values.literal(written.prefix)}, ['month', 'day', 'time']) AS stamp"
        layout = replace(format_.layout(_JOURNAL), yearless=True)
    # Fields one by one: an UNNEST of the struct loses the order of lines.
    fields = ", ".join(f"g.{values.name(name)} AS {values.name(name)}" for name in format_.groups)
    matched = f"SELECT *, regexp_extract(line, {pattern}, [{groups}]) AS g FROM ({_clean(found.docker)})"
    rows = f"SELECT line, {fields}{shown} FROM ({matched})"
    first = f"r.{values.name(format_.groups[0])}"
    unmatched = f"(r.line IS NULL OR {first} = '')"
    return Source(
        rows,
        layout,
        # CASE, as AND and coalesce would look for the marker in each line that is of the format anyway.
        other=f"CASE WHEN r.line IS NULL THEN true WHEN {unmatched} THEN "
        f"NOT regexp_matches(r.line, {values.literal(format_.marker)}) ELSE false END",
        broken=unmatched,
        first_line=1,
    )


def of_records(found: Recognised) -> Source:
    """The rows of CSV or JSON."""
    format_, written = found.format, found.written
    assert isinstance(format_, RecordFormat)  # noqa: S101
    if isinstance(written, Table):
        return _table(format_, written)
    assert isinstance(written, Objects)  # noqa: S101
    names = records.top_level(format_, written.names, written.outermost)
    aliases = {name: name for name in names}
    layout = records.layout(format_, written.names, aliases)
    empty = " AND ".join(f"r.{values.name(name)} IS NULL" for name in names)
    if written.array:
        typed = ", ".join(f"{values.literal(name)}: 'VARCHAR'" for name in names)
        sql = (
            f"SELECT * FROM read_json(?, format = 'array', columns = {{{typed}}}, maximum_object_size = {LONGEST_LINE})"
        )
        return Source(sql, layout, other="false", broken=f"({empty})", first_line=1, unit="item")
    shape = values.literal(json.dumps(dict.fromkeys(names, "VARCHAR")))
    # Fields one by one: an UNNEST of the struct loses the order of lines.
    fields = ", ".join(f"w.{values.name(name)} AS {values.name(name)}" for name in names)
    start = "substr(line, strpos(line, '{'))" if written.prefixed or found.docker else "line"
    parsed = f"CASE WHEN contains(line, '{{') THEN TRY(json_transform({start}, {shape})) END AS w"
    sql = f"SELECT line, {fields} FROM (SELECT line, {parsed} FROM ({_clean(found.docker)}))"
    return Source(sql, layout, other="(r.line IS NULL OR NOT contains(r.line, '{'))", broken=f"({empty})", first_line=1)


def of_parquet(found: RecordFormat, names: Sequence[str]) -> Source:
    """The rows of a Parquet file with these columns."""
    used = records.top_level(found, names, names)
    shown = ", ".join(f"CAST({values.name(name)} AS VARCHAR) AS {values.name(name)}" for name in used)
    layout = records.layout(found, names, {name: name for name in used})
    empty = " AND ".join(f"r.{values.name(name)} IS NULL" for name in used)
    return Source(
        f"SELECT {shown} FROM read_parquet(?)", layout, other="false", broken=f"({empty})", first_line=1, unit="row"
    )


def _table(format_: RecordFormat, written: Table) -> Source:
    aliases = {name: f"c{place}" for place, name in enumerate(written.names)}
    typed = ", ".join(f"{values.literal(alias)}: 'VARCHAR'" for alias in aliases.values())
    used = [aliases[name] for name in records.top_level(format_, written.names, written.names)]
    sql = (
        f"SELECT {', '.join(f'trim({alias}) AS {alias}' for alias in used)} FROM read_csv(?, columns = {{{typed}}}, "
        f"delim = {values.literal(written.delimiter)}, "
        "quote = '\"', escape = '\"', header = false, skip = 1, auto_detect = false, "
        f"ignore_errors = true, store_rejects = true, max_line_size = {LONGEST_LINE})"
    )
    empty = " AND ".join(f"r.{alias} IS NULL" for alias in used)
    layout = records.layout(format_, written.names, aliases)
    return Source(sql, layout, other="false", broken=f"({empty})", first_line=2)


def _clean(docker: bool) -> str:
    """The lines, out of Docker's wrapping and without colours."""
    given = _LINES
    if docker:
        shape = values.literal('{"log": "VARCHAR", "time": "VARCHAR"}')
        given = (
            f"SELECT w.time || ' ' || rtrim(w.log, chr(10) || chr(13)) AS line "
            f"FROM (SELECT TRY(json_transform(line, {shape})) AS w FROM ({_LINES}))"
        )
    plain = "regexp_replace(line, '\\x1b\\[[0-9;?]*[A-Za-z]', '', 'g')"
    return f"SELECT CASE WHEN contains(line, chr(27)) THEN {plain} ELSE line END AS line FROM ({given})"
