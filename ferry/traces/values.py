"""From the texts of a log to numbers, as SQL: times, durations, counts, states.

Each function takes SQL that yields a text (NULL: the log has none) and returns SQL that yields the number in Ferry's
unit, or NULL where the text is no such number or lies out of every sensible range: with a text that is there, this
marks the row as damaged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

MOST_TOKENS = 100_000_000
"""No context window is near it: a larger number is a wrong column."""
LONGEST_REQUEST_S = 7 * 86400
YEARS = (2000, 2100)
_FIRST_S, _LAST_S = 946_684_800, 4_102_444_800
YEARLESS = "2000"
"""The year that a time without one gets: a leap year, so that February 29 exists."""

# glibc's and CLDR's abbreviated months (LC_TIME abmon) of the languages in which journald is met most; `N月` apart.
_MONTHS = (
    "jan janv. janv jän jän. ene ene. gen genn янв 1月",
    "feb feb. févr. févr fév fév. fev febr. фев 2月",
    "mar mars mär märz mrt mrz мар 3月",
    "apr avril avr. avr abr abr. апр 4月",
    "may mai mei mag maj май мая 5月",
    "jun jun. juin juni giu июн 6月",
    "jul jul. juil. juil juli lug июл 7月",
    "aug aug. août ago ago. авг 8月",
    "sep sep. sept. sept set set. сен 9月",
    "oct oct. okt out ott okt. окт 10月",
    "nov nov. ноя 11月",
    "dec dec. déc. déc dez dez. dic dic. дек dic 12月",
)

# What a log prints where a value is missing: nginx and Envoy "-", JSON null, Python None, empty CSV fields.
_MISSING = ("", "-", "null", "None", "NULL", "NaN", "nan")

# Neither IN nor list_contains: DuckDB makes a join of a list, which is slow here and loses the order of lines.
MACROS = f"""
CREATE TEMP MACRO given(x) AS CASE WHEN x >= '0' AND x < ':' THEN x ELSE
    CASE x {" ".join(f"WHEN '{one}' THEN NULL" for one in _MISSING)} ELSE x END END;
CREATE TEMP MACRO comma_number(x) AS CASE WHEN regexp_full_match(x, '-?[0-9]+,[0-9]+')
    THEN TRY_CAST(replace(x, ',', '.') AS DOUBLE) END;
CREATE TEMP MACRO epoch_number_us(x) AS CASE
    WHEN x BETWEEN {_FIRST_S} AND {_LAST_S} THEN CAST(round(x * 1e6) AS BIGINT)
    WHEN x BETWEEN {_FIRST_S}e3 AND {_LAST_S}e3 THEN CAST(round(x * 1e3) AS BIGINT)
    WHEN x BETWEEN {_FIRST_S}e6 AND {_LAST_S}e6 THEN CAST(round(x) AS BIGINT)
    WHEN x BETWEEN {_FIRST_S}e9 AND {_LAST_S}e9 THEN CAST(round(x / 1e3) AS BIGINT) END;
CREATE TEMP MACRO iso_us(x) AS epoch_us(TRY_CAST(replace(x, ',', '.') AS TIMESTAMPTZ));
CREATE TEMP MACRO clf_us(x) AS epoch_us(try_strptime(x, '%d/%b/%Y:%H:%M:%S %z'));
CREATE TEMP MACRO moment_us(x, d, m) AS CASE WHEN d IS NOT NULL THEN epoch_number_us(d) WHEN m IS NOT NULL THEN m
    ELSE coalesce(iso_us(x), clf_us(x)) END;
CREATE TEMP MACRO has_zone(x, d) AS coalesce(d IS NOT NULL OR suffix(x, 'Z')
    OR regexp_matches(x, '(z|UTC|GMT|:[0-9.,]+ ?[+-][0-9][0-9]:?[0-9]?[0-9]?)$'), false);
CREATE TEMP MACRO status_code(x, d) AS CASE WHEN d IS NOT NULL THEN d
    WHEN regexp_full_match(lower(x), 'success|succeeded|ok|completed|true') THEN 200
    WHEN regexp_full_match(lower(x), 'failure|failed|error|false') THEN 500 END;
CREATE TEMP MACRO month_number(x) AS CASE {
    " ".join(
        f"WHEN regexp_full_match(lower(x), '{names.replace('.', '[.]').replace(' ', '|')}') THEN '{number:02}'"
        for number, names in enumerate(_MONTHS, 1)
    )
} END;
CREATE TEMP MACRO duration_parts(x) AS regexp_extract(x,
    '^(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+(?:[.,][0-9]+)?)(s|ms|us|\u00b5s|\u03bcs|ns))?$',
    ['h', 'm', 'n', 'u']);
CREATE TEMP MACRO parts_us(p) AS CASE WHEN p.h <> '' OR p.m <> '' OR p.n <> '' THEN
    coalesce(TRY_CAST(p.h AS DOUBLE), 0) * 36e8 + coalesce(TRY_CAST(p.m AS DOUBLE), 0) * 6e7
    + coalesce(TRY_CAST(replace(p.n, ',', '.') AS DOUBLE), 0)
    * CASE p.u WHEN 's' THEN 1e6 WHEN 'ms' THEN 1e3 WHEN 'ns' THEN 1e-3 ELSE 1 END END;
"""


Sql = Callable[..., str]
"""From the names of texts' columns to SQL for what follows from them."""


@dataclass(frozen=True)
class Value:
    """One column: SQL for the texts that it rests on, and how its number follows from them.

    DuckDB works out again what is written again, so each step is a column of its own in the query: the text `x`, NULL
    where the log says that it has nothing; `x_d` and `x_m`, the text as a number and as µs since 1970; and the value,
    which counts only from `least` to `most`.
    """

    texts: tuple[str, ...]
    number: Sql
    least: int = 0
    most: int = LONGEST_REQUEST_S * 1_000_000
    whole: bool = False
    present: Sql = lambda *texts: f"coalesce({', '.join((*texts, 'NULL'))}) IS NOT NULL"
    """Whether the log has it: there and no number is damage."""

    def bounded(self, column: str) -> str:
        """SQL: the value in this column, NULL where it cannot be."""
        whole = f" AND {column} = floor({column})" if self.whole else ""
        return (
            f"CASE WHEN {column} BETWEEN {self.least} AND {self.most}{whole} THEN CAST(round({column}) AS BIGINT) END"
        )


@dataclass(frozen=True)
class Time(Value):
    """A moment in µs since 1970 (or since the trace's start)."""

    least: int = _FIRST_S * 1_000_000
    most: int = _LAST_S * 1_000_000
    zone: Sql = lambda text: "false"
    """Whether its text has a zone."""


def moment(column: str) -> Time:
    """ISO 8601, nginx's own spelling, or a number since 1970 in s, ms, µs or ns, told by its size."""
    return Time((column,), "moment_us({0}, {0}_d, {0}_m)".format, zone="has_zone({0}, {0}_d)".format)


def clf(column: str) -> Time:
    """The time of an access log: 19/Jan/2026:14:23:45 +0100."""
    return Time((column,), "clf_us({})".format, zone=lambda text: "true")


def relative(column: str, unit_us: int) -> Time:
    """A number since the trace's start, or since 1970, in the unit that was stated."""
    return Time((column,), lambda x: f"{x}_d * {unit_us}", least=0)


def yearless(column: str) -> Time:
    """`01-31 23:59:59`, with the leap year that stands for all."""
    return Time((column,), f"iso_us('{YEARLESS}-' || {{}})".format)


def spelled(column: str, pattern: str) -> Time:
    """A time in one spelling (strptime's letters), without a zone."""
    return Time((column,), lambda x: f"epoch_us(try_strptime({x}, '{pattern}'))")


def duration(column: str, unit_us: int, pattern: str = "") -> Value:
    """A duration that is printed as a number, with a point or a comma; `pattern`: how it must look."""

    def number(x: str) -> str:
        value = f"coalesce({x}_d, comma_number({x})) * {unit_us}"
        return f"CASE WHEN regexp_full_match({x}, {literal(pattern)}) THEN {value} END" if pattern else value

    return Value((column,), number)


def spelled_duration(column: str) -> Value:
    """Go's and Rust's spelling: 1m43s, 57.95s, 684.6ms, 51.8µs (Go: time.Duration.String, Rust: Duration's Debug)."""
    return Value((column,), "parts_us(duration_parts({}))".format)


def upstream_durations(column: str) -> Value:
    """All upstreams that nginx asked, in seconds: `0.001, 0.200 : 0.3`, and `-` for one without an answer."""

    def number(x: str) -> str:
        parts = f"list_sum(CAST(regexp_extract_all({x}, '[0-9]+[.]?[0-9]*') AS DOUBLE[]))"
        return f"CASE WHEN regexp_full_match({x}, '[-0-9., :]+') THEN {parts} * 1000000 END"

    return Value((column,), number, present="coalesce(regexp_matches({}, '[0-9]'), false)".format)


def tokens(column: str) -> Value:
    """A count of tokens. `374.0`, as a DataFrame with gaps writes it, is 374; `374.5` is damage."""
    return Value((column,), "{}_d".format, most=MOST_TOKENS, whole=True)


def quotient(took: str, each: str) -> Value:
    """Tokens of an answer, from the time that all took and the time of each, which is the one over the other.

    text-generation-inference, router/src/server.rs: time_per_token = inference_time / generated_tokens, in whole ns.
    """

    def number(all_: str, one: str) -> str:
        return f"round(parts_us(duration_parts({all_})) / nullif(parts_us(duration_parts({one})), 0))"

    return Value((took, each), number, most=MOST_TOKENS)


def status(column: str) -> Value:
    """An HTTP status; a word for success counts as 200, one for failure as 500."""
    return Value((column,), "status_code({0}, {0}_d)".format, most=999, whole=True)


def either(first: Value, *others: Value) -> Value:
    """The first that is there. All have the bounds of the first."""
    values = (first, *others)
    texts = tuple(text for value in values for text in value.texts)

    def join(columns: tuple[str, ...], choose: Callable[[Value], Sql], glue: str) -> str:
        parts, start = [], 0
        for value in values:
            own = columns[start : start + len(value.texts)]
            parts.append(choose(value)(*own))
            start += len(own)
        return glue.join(parts)

    return replace(
        first,
        texts=texts,
        number=lambda *columns: f"coalesce({join(columns, lambda value: value.number, ', ')})",
        present=lambda *columns: f"({join(columns, lambda value: value.present, ' OR ')})",
    )


def between(start: Time, end: Time, *, streamed_before: Time | None = None) -> Value:
    """The time from one moment to a later one. None where the later one is `streamed_before`: LiteLLM sets the time of
    the first token to the end where an answer was not streamed.
    """

    def number(first: str, last: str, *_: str) -> str:
        return f"{end.number(last)} - {start.number(first)}"

    def present(first: str, last: str, *whole: str) -> str:
        different = f" AND {last} IS DISTINCT FROM {whole[0]}" if whole else ""
        return f"({first} IS NOT NULL AND {last} IS NOT NULL{different})"

    if streamed_before is None:
        return Value((*start.texts, *end.texts), number, present=present)
    texts = (*start.texts, *end.texts, *streamed_before.texts)
    return Value(texts, lambda *x: f"CASE WHEN {present(*x)} THEN {number(*x)} END", present=present)


def literal(string: str) -> str:
    """A text as SQL."""
    return "'" + string.replace("'", "''") + "'"


def name(string: str) -> str:
    """A column's name as SQL."""
    return '"' + string.replace('"', '""') + '"'
