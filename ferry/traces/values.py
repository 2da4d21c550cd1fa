"""From the texts of a log to numbers, as SQL: times, durations, counts, states.

Each function takes SQL that yields a text (NULL: the log has none) and returns SQL that yields the number in Ferry's
unit, or NULL where the text is no such number or lies out of every sensible range: with a text that is there, this
marks the row as damaged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MOST_TOKENS = 100_000_000
"""No context window is near it: a larger number is a wrong column."""
LONGEST_REQUEST_S = 7 * 86400
YEARS = (2000, 2100)
_FIRST_S, _LAST_S = 946_684_800, 4_102_444_800
LONGEST_TRACE_S = 10 * 366 * 86400
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
_MISSING = "('', '-', 'null', 'None', 'NULL', 'NaN', 'nan')"

MACROS = f"""
CREATE TEMP MACRO given(x) AS CASE WHEN trim(x) NOT IN {_MISSING} THEN trim(x) END;
CREATE TEMP MACRO number(x) AS coalesce(TRY_CAST(x AS DOUBLE), CASE WHEN regexp_full_match(x, '-?[0-9]+,[0-9]+')
    THEN TRY_CAST(replace(x, ',', '.') AS DOUBLE) END);
CREATE TEMP MACRO within_us(x, least, most) AS CASE WHEN x BETWEEN least AND most THEN CAST(round(x) AS BIGINT) END;
CREATE TEMP MACRO epoch_number_us(x) AS CASE
    WHEN x BETWEEN {_FIRST_S} AND {_LAST_S} THEN CAST(round(x * 1e6) AS BIGINT)
    WHEN x BETWEEN {_FIRST_S}e3 AND {_LAST_S}e3 THEN CAST(round(x * 1e3) AS BIGINT)
    WHEN x BETWEEN {_FIRST_S}e6 AND {_LAST_S}e6 THEN CAST(round(x) AS BIGINT)
    WHEN x BETWEEN {_FIRST_S}e9 AND {_LAST_S}e9 THEN CAST(round(x / 1e3) AS BIGINT) END;
CREATE TEMP MACRO sane_us(x) AS CASE WHEN x BETWEEN {_FIRST_S}000000 AND {_LAST_S}000000 THEN x END;
CREATE TEMP MACRO iso_us(x) AS sane_us(epoch_us(TRY_CAST(replace(x, ',', '.') AS TIMESTAMP)));
CREATE TEMP MACRO clf_us(x) AS sane_us(epoch_us(try_strptime(x, '%d/%b/%Y:%H:%M:%S %z')));
CREATE TEMP MACRO moment_us(x) AS coalesce(epoch_number_us(TRY_CAST(x AS DOUBLE)), iso_us(x), clf_us(x));
CREATE TEMP MACRO has_zone(x) AS coalesce(TRY_CAST(x AS DOUBLE) IS NOT NULL
    OR regexp_matches(x, '(Z|z|UTC|GMT|:[0-9.,]+ ?[+-][0-9][0-9]:?[0-9]?[0-9]?)$'), false);
CREATE TEMP MACRO token_count(x) AS CASE WHEN TRY_CAST(x AS DOUBLE) BETWEEN 0 AND {MOST_TOKENS}
    AND TRY_CAST(x AS DOUBLE) % 1 = 0 THEN CAST(TRY_CAST(x AS DOUBLE) AS INTEGER) END;
CREATE TEMP MACRO status_code(x) AS CASE
    WHEN TRY_CAST(x AS INTEGER) BETWEEN 0 AND 999 THEN TRY_CAST(x AS SMALLINT)
    WHEN lower(x) IN ('success', 'succeeded', 'ok', 'completed', 'true') THEN 200
    WHEN lower(x) IN ('failure', 'failed', 'error', 'false') THEN 500 END;
CREATE TEMP MACRO month_number(x) AS CASE {
    " ".join(
        f"WHEN lower(x) IN ({', '.join(map(repr, names.split()))}) THEN '{number:02}'"
        for number, names in enumerate(_MONTHS, 1)
    )
} END;
CREATE TEMP MACRO duration_parts(x) AS regexp_extract(x,
    '^(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+(?:[.,][0-9]+)?)(s|ms|us|\u00b5s|\u03bcs|ns))?$',
    ['h', 'm', 'n', 'u']);
CREATE TEMP MACRO parts_us(p) AS CASE WHEN p.h <> '' OR p.m <> '' OR p.n <> '' THEN
    coalesce(TRY_CAST(p.h AS DOUBLE), 0) * 36e8 + coalesce(TRY_CAST(p.m AS DOUBLE), 0) * 6e7
    + coalesce(number(p.n), 0) * CASE p.u WHEN 's' THEN 1e6 WHEN 'ms' THEN 1e3 WHEN 'ns' THEN 1e-3 ELSE 1 END END;
"""


Sql = Callable[..., str]
"""From SQL for the texts to SQL for what follows from them."""


@dataclass(frozen=True)
class Value:
    """One column: SQL for the texts that it rests on (NULL where one is missing), and how its number follows.

    The texts are columns of their own in the query, so that no expression is written out twice.
    """

    texts: tuple[str, ...]
    number: Sql
    present: Sql = lambda *texts: (
        f"coalesce({', '.join(texts)}) IS NOT NULL" if texts[1:] else f"{texts[0]} IS NOT NULL"
    )
    """Whether the log has it: there and no number is damage."""


@dataclass(frozen=True)
class Time(Value):
    """A moment in µs since 1970 (or since the trace's start)."""

    zone: Sql = lambda text: "false"
    """Whether its text has a zone."""


def text(column: str) -> str:
    """What the log says, NULL where it says that it has nothing."""
    return f"given({column})"


def moment(column: str) -> Time:
    """ISO 8601, nginx's own spelling, or a number since 1970 in s, ms, µs or ns, told by its size."""
    return Time((text(column),), "moment_us({})".format, zone="has_zone({})".format)


def relative(column: str, unit_us: float) -> Time:
    """A number since the trace's start, or since 1970, in the unit that was stated."""
    return Time((text(column),), lambda x: f"within_us(number({x}) * {unit_us!r}, 0, {_LAST_S}e6)")


def spelled(column: str, pattern: str) -> Time:
    """A time in one spelling (strptime's letters), without a zone."""
    return Time((text(column),), lambda x: f"sane_us(epoch_us(try_strptime({x}, '{pattern}')))")


def duration(column: str, unit_us: float, pattern: str = "") -> Value:
    """A duration that is printed as a number, with a point or a comma; `pattern`: how it must look."""

    def number(x: str) -> str:
        exact = f"CASE WHEN regexp_full_match({x}, {literal(pattern)}) THEN {x} END" if pattern else x
        return f"within_us(number({exact}) * {unit_us!r}, 0, {LONGEST_REQUEST_S}e6)"

    return Value((text(column),), number)


def spelled_duration(column: str) -> Value:
    """Go's and Rust's spelling: 1m43s, 57.95s, 684.6ms, 51.8µs (Go: time.Duration.String, Rust: Duration's Debug)."""
    return Value((text(column),), lambda x: f"within_us(parts_us(duration_parts({x})), 0, {LONGEST_REQUEST_S}e6)")


def upstream_durations(column: str) -> Value:
    """All upstreams that nginx asked, in seconds: `0.001, 0.200 : 0.3`, and `-` for one without an answer."""

    def number(x: str) -> str:
        parts = f"list_sum(CAST(regexp_extract_all({x}, '[0-9]+[.]?[0-9]*') AS DOUBLE[]))"
        return (
            f"CASE WHEN regexp_full_match({x}, '[-0-9., :]+') THEN "
            f"within_us({parts} * 1e6, 0, {LONGEST_REQUEST_S}e6) END"
        )

    return Value((f"CASE WHEN regexp_matches({column}, '[0-9]') THEN {column} END",), number)


def tokens(column: str) -> Value:
    """A count of tokens. `374.0`, as a DataFrame with gaps writes it, is 374; `374.5` is damage."""
    return Value((text(column),), "token_count({})".format)


def quotient(took: str, each: str) -> Value:
    """Tokens of an answer, from the time that all took and the time of each, which is the one over the other.

    text-generation-inference, router/src/server.rs: time_per_token = inference_time / generated_tokens, in whole ns.
    """

    def number(all_: str, one: str) -> str:
        ratio = f"round(parts_us(duration_parts({all_})) / nullif(parts_us(duration_parts({one})), 0))"
        return f"token_count(CAST({ratio} AS VARCHAR))"

    return Value((text(took), text(each)), number)


def status(column: str) -> Value:
    """An HTTP status; a word for success counts as 200, one for failure as 500."""
    return Value((text(column),), "status_code({})".format)


def either(*values: Value) -> Value:
    """The first that is there."""
    texts = tuple(text for value in values for text in value.texts)

    def join(columns: tuple[str, ...], choose: Callable[[Value], Sql]) -> str:
        parts, first = [], 0
        for value in values:
            own = columns[first : first + len(value.texts)]
            parts.append(choose(value)(*own))
            first += len(own)
        return f"coalesce({', '.join(parts)})"

    return Value(texts, lambda *columns: join(columns, lambda value: value.number))


def between(start: Time, end: Time, *, streamed_before: Time | None = None) -> Value:
    """The time from one moment to a later one. None where the later one is `streamed_before`: LiteLLM sets the time of
    the first token to the end where an answer was not streamed.
    """
    texts = (*start.texts, *end.texts, *(streamed_before.texts if streamed_before else ()))

    def number(first: str, last: str, *_: str) -> str:
        return f"within_us({end.number(last)} - {start.number(first)}, 0, {LONGEST_REQUEST_S}e6)"

    def present(first: str, last: str, *whole: str) -> str:
        different = f" AND {last} IS DISTINCT FROM {whole[0]}" if whole else ""
        return f"({first} IS NOT NULL AND {last} IS NOT NULL{different})"

    if streamed_before is None:
        return Value(texts, number, present)
    return Value(texts, lambda *x: f"CASE WHEN {present(*x)} THEN {number(*x)} END", present)


def literal(string: str) -> str:
    """A text as SQL."""
    return "'" + string.replace("'", "''") + "'"


def name(string: str) -> str:
    """A column's name as SQL."""
    return '"' + string.replace('"', '""') + '"'
