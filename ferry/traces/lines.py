"""Logs of one request a line: access logs and the lines that engines print.

Patterns are in the common subset of RE2 (DuckDB) and Python's re, and written to what the programs print:
nginx's and Apache's combined format, Envoy's default format, gin's logger (`[GIN] %v |%s %3d %s| %13v | ...`, which
Ollama uses), uvicorn's access line, llama-swap's proxy line, vLLM's `Received request`, SGLang's `Finish: obj=`, TGI's
`Success`. At most four groups a pattern: RE2's one-pass engine, several
times faster than its others, takes no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ferry.traces import values
from ferry.traces.layout import Layout

ISO_PREFIX = (
    r"^(?:[^ |]+ +\| +)?[\[(]?([0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(?:[.,][0-9]+)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)"
)
"""`docker logs -t`, `kubectl logs --timestamps`, CRI, `journalctl -o short-iso`, SGLang, TGI; after a compose name."""
JOURNAL_PREFIX = r"^((?:[^ 0-9]{1,12}|1?[0-9]月)) +([0-9]{1,2}) ([0-9]{2}:[0-9]{2}:[0-9]{2}) "
"""`journalctl`'s short form and syslog: `Feb 07 09:41:01`, with the month as the locale writes it, without a year."""

_NGINX_STATUS = r"^ ([0-9]{3}) "
_NGINX_KEYED = r"(?:[ ,\t\"]rt|request_time)[=:] ?\"?([^ ,\"]+)"
_NGINX_BARE = r'^(?: [0-9-]+){1,2}(?: "(?:[^"\\]|\\.)*")*?(?: [0-9]+)? "?([0-9]+\.[0-9]+)(?:"| |$)'
"""The first of several: `"$request_time" "$upstream_connect_time" …`, whose later ones are `-` where it failed."""
_NGINX_UPSTREAM = r"(?:[ ,\t\"]urt|upstream_response_time)[=:] ?\"?([-0-9., :]+)"
_METHOD_PATH = r'([A-Z]+ [^ "]*)(?: [^"]*)?'


@dataclass(frozen=True)
class LineFormat:
    """A line's pattern. A line with the marker that does not fit the pattern is damaged, one without it is another."""

    name: str
    marker: str
    pattern: str
    groups: tuple[str, ...]
    """Groups of the pattern, the first of which is never empty."""
    layout: Callable[[values.Time | None], Layout]
    """From the time in the line's prefix, if it has one."""


def _nginx(prefix: values.Time | None) -> Layout:
    def found(pattern: str) -> str:
        return f"nullif(regexp_extract(r.rest, {values.literal(pattern)}, 1), '')"

    # The usual place first: a pattern that must be looked for all over the line costs more than all else.
    near = "substr(r.rest, strpos(r.rest, ' rt=') + 4, 12)"
    took = (
        f"CASE WHEN contains(r.rest, ' rt=') THEN regexp_extract({near}, '^\"?([^ ,\"]+)', 1) "
        f"ELSE coalesce({found(_NGINX_KEYED)}, {found(_NGINX_BARE)}) END"
    )
    keyed = "contains(r.rest, ' rt=') OR contains(r.rest, 'request_time')"
    upstream = f"CASE WHEN NOT ({keyed}) THEN {found(_NGINX_UPSTREAM)} END"
    return Layout(
        name="nginx",
        time=values.clf("r.time"),
        time_is="end",
        status=values.status(f"coalesce(nullif(r.status, ''), {found(_NGINX_STATUS)})"),
        request="r.request",
        # Three digits (ngx_http_variable_request_time: "%T.%03M"): a number with fewer was cut off.
        latency=values.either(
            values.duration(took, 1_000_000, "[0-9]+[.,][0-9]{3}"), values.upstream_durations(upstream)
        ),
        required=frozenset({"time", "status"}),
        notes=("request_time, else upstream_response_time, is the latency; a bare number is the former",),
    )


def _envoy(prefix: values.Time | None) -> Layout:
    return Layout(
        name="envoy",
        time=values.moment("r.time"),
        status=values.status("r.status"),
        request="r.request",
        latency=values.duration("r.duration", 1000),
        required=frozenset({"time", "status"}),
    )


def _gin(prefix: values.Time | None) -> Layout:
    return Layout(
        name="ollama",
        time=prefix or values.spelled("r.time", "%Y/%m/%d - %H:%M:%S"),
        time_is="end",
        status=values.status("r.status"),
        request="regexp_replace(r.request, ' +\"', ' ')",
        latency=values.spelled_duration("r.latency"),
        required=frozenset({"time", "status", "latency"}),
        notes=("latencies above a minute are printed in whole seconds",),
    )


def _llama_swap(prefix: values.Time | None) -> Layout:
    return Layout(
        name="llama-swap",
        time=prefix,
        time_is="end",
        status=values.status("r.status"),
        request="r.request",
        latency=values.spelled_duration("r.latency"),
        required=frozenset({"status", "latency"}),
    )


def _uvicorn(prefix: values.Time | None) -> Layout:
    return Layout(
        name="uvicorn",
        time=prefix,
        time_is="end",
        status=values.status("r.status"),
        request="r.request",
        required=frozenset({"status"}),
        notes=("the line is printed when the answer begins",),
    )


def _vllm(prefix: values.Time | None) -> Layout:
    # The last one: a prompt, printed before it, may hold the same words.
    listed = r"^.*prompt_token_ids: (\[[0-9, ]*\]|None)"
    ids = f"regexp_extract(r.line, {values.literal(listed)}, 1)"
    commas = f"length({ids}) - length(replace({ids}, ',', ''))"
    count = f"CASE WHEN starts_with({ids}, '[') AND {ids} <> '[]' THEN {commas} + 1 END"
    return Layout(
        name="vllm-requests",
        time=prefix or values.yearless("r.time"),
        yearless=prefix is None,
        input_tokens=values.tokens(f"CAST({count} AS VARCHAR)"),
        required=frozenset({"time"}),
        notes=("the length of a prompt is known only where its token ids are printed, and --max-log-len cuts them",),
    )


def _sglang(prefix: values.Time | None) -> Layout:
    # The last ones: prompt and answer, printed before them, may hold the same words.
    def last(key: str) -> str:
        pattern = f"^.*'{key}': ([0-9.e-]+)"
        return f"nullif(regexp_extract(r.line, {values.literal(pattern)}, 1), '')"

    return Layout(
        name="sglang-requests",
        time=prefix,
        time_is="end",
        input_tokens=values.tokens(last("prompt_tokens")),
        output_tokens=values.tokens(last("completion_tokens")),
        cached_tokens=values.tokens(last("cached_tokens")),
        latency=values.duration(last("e2e_latency"), 1_000_000),
        required=frozenset({"input_tokens", "output_tokens"}),
    )


def _tgi(prefix: values.Time | None) -> Layout:
    return Layout(
        name="tgi",
        time=prefix,
        time_is="end",
        latency=values.spelled_duration("r.total"),
        output_tokens=values.quotient("r.inference", "r.each"),
        required=frozenset({"latency", "output_tokens"}),
        notes=("answer tokens are inference_time over time_per_token; refused requests are not in it",),
    )


FORMATS = (
    LineFormat(
        "vllm-requests",
        r"Received request ",
        r"([0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?) \[?[A-Za-z0-9_./]+:[0-9]+\] (?:\[[^\]]*\] )?"
        r"Received request ([^ :]+):",
        ("time", "id"),
        _vllm,
    ),
    LineFormat("sglang-requests", r"Finish: obj=", r"(Finish): obj=", ("mark",), _sglang),
    LineFormat(
        "tgi",
        r"total_time=\"",
        r"total_time=\"([^\"]*)\" .*inference_time=\"([^\"]*)\" time_per_token=\"([^\"]*)\".*: Success",
        ("total", "inference", "each"),
        _tgi,
    ),
    LineFormat(
        "ollama",
        r"\[GIN\] ",
        r"\[GIN\] ([0-9]{4}/[0-9]{2}/[0-9]{2} - [0-9]{2}:[0-9]{2}:[0-9]{2}) \| *([0-9]{3}) *\| *([^ |]+) *\| "
        r"*[^ |]* *\| *([A-Z]+ +\"[^\"]*)\"",
        ("time", "status", "latency", "request"),
        _gin,
    ),
    LineFormat(
        "llama-swap",
        r"Request [^ ]+ \"[A-Z]+ ",
        rf"Request [^ ]+ \"{_METHOD_PATH}\" ([0-9]{{3}}) [0-9-]+ \"[^\"]*\" ([^ ]+)$",
        ("request", "status", "latency"),
        _llama_swap,
    ),
    LineFormat(
        "envoy",
        r"^[^\[]*\[[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z\] \"",
        rf"^[^\[]*\[([0-9]{{4}}-[0-9T:.-]+Z)\] \"{_METHOD_PATH}\" ([0-9]+) [^ ]+ "
        # Istio puts details, termination details and the upstream's failure here.
        r"(?:[^ \"]*[^ \"0-9][^ \"]* [^ ]+ \"[^\"]*\" )?[0-9]+ [0-9]+ ([0-9]+|-) ",
        ("time", "request", "status", "duration"),
        _envoy,
    ),
    LineFormat(
        "nginx",
        r"\[[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9:]+ [+-][0-9]{4}\]",
        r"^[^\[]*\[([0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9:]+ [+-][0-9]{4})\] +(?:([0-9]{3}) )?"
        r"\"((?:[^\"\\]|\\.)*)\"( .*)$",
        ("time", "status", "request", "rest"),
        _nginx,
    ),
    LineFormat(
        "uvicorn",
        r"INFO: +[^ ]+ - \"[A-Z]+ ",
        rf"INFO: +[^ ]+ - \"{_METHOD_PATH}\" ([0-9]{{3}})",
        ("request", "status"),
        _uvicorn,
    ),
)

THROUGHPUT = (
    (r"Avg prompt throughput: ", "vLLM's statistics lines", "start vLLM with --enable-log-requests"),
    (r"(?:Decode|Prefill) batch[.,:]? ?#", "SGLang's batch lines", "start SGLang with --log-requests"),
)
"""Lines that tell what an engine did in some seconds, and nothing of single requests."""
