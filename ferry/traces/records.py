"""Traces whose columns have names: CSV, JSON lines, JSON arrays, Parquet.

A known format is known by its names; any other needs the user's `columns`. Sources of the names:
Azure/AzurePublicDataset (2023: no zone, 2024: with one), kvcache-ai/Mooncake (timestamp in ms since the start, hash_ids
of 512-token blocks), HPMLL/BurstGPT (seconds since the start), LiteLLM's StandardLoggingPayload and LiteLLM_SpendLogs,
Envoy's json_format with its operators' usual names (and those of Ferry's own gateway), nginx's variables in
`log_format escape=json`, TGI's --json-output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ferry.traces import values
from ferry.traces.layout import Layout

COLUMNS = (
    "time", "time_s", "time_ms", "end_time", "first_token_time", "input_tokens", "output_tokens", "cached_tokens",
    "latency_s", "latency_ms", "ttft_s", "ttft_ms", "status", "model", "method", "path",
)  # fmt: skip
"""What a user's column map may name. `time_s` and `time_ms` count since the trace's start, or since 1970."""
_INPUT = ("input_tokens", "prompt_tokens", "usage.prompt_tokens", "usage.input_tokens", "num_prompt_tokens")
_OUTPUT = ("output_tokens", "completion_tokens", "usage.completion_tokens", "usage.output_tokens", "generated_tokens")
_PATH = ("path", "uri", "request_uri", "url", "x_envoy_original_path")
_METHOD = ("method", "request_method", "verb")
_TIME = ("timestamp", "time", "ts", "@timestamp", "created_at", "start_time", "arrival_time")


@dataclass(frozen=True)
class RecordFormat:
    """Which names say that it is this format (one of each group), and which columns have which names."""

    name: str
    needs: tuple[tuple[str, ...], ...]
    fields: Mapping[str, tuple[str, ...]]
    time_is: str = "start"
    required: frozenset[str] = frozenset()
    notes: tuple[str, ...] = field(default=())

    def fits(self, names: Sequence[str]) -> bool:
        """Whether a record with these names is of this format."""
        return all(any(_actual(name, names) for name in group) for group in self.needs)


_AZURE = {"time": ("TIMESTAMP",), "input_tokens": ("ContextTokens",), "output_tokens": ("GeneratedTokens",)}
_TOKENS = frozenset({"time", "input_tokens", "output_tokens"})

FORMATS = (
    RecordFormat(
        "azure-llm-2023", (("TIMESTAMP",), ("ContextTokens",), ("GeneratedTokens",)), _AZURE, required=_TOKENS
    ),
    RecordFormat(
        "mooncake",
        (("timestamp",), ("input_length",), ("output_length",)),
        {
            "time_ms": ("timestamp",),
            "input_tokens": ("input_length",),
            "output_tokens": ("output_length",),
            "blocks": ("hash_ids",),
        },
        required=_TOKENS,
    ),
    RecordFormat(
        "burstgpt",
        (("Timestamp",), ("Request tokens",), ("Response tokens",)),
        {
            "time_s": ("Timestamp",),
            "input_tokens": ("Request tokens",),
            "output_tokens": ("Response tokens",),
            "model": ("Model",),
        },
        required=_TOKENS,
        notes=("a failed request is a row with 0 answer tokens",),
    ),
    RecordFormat(
        "litellm",
        (("startTime",), ("endTime",), ("prompt_tokens",), ("completion_tokens",)),
        {
            "time": ("startTime",),
            "end_time": ("endTime",),
            "first_token_time": ("completionStartTime",),
            "input_tokens": ("prompt_tokens",),
            "output_tokens": ("completion_tokens",),
            "error_code": ("error_information.error_code", "metadata.error_information.error_code"),
            "status": ("status",),
            "model": ("model",),
        },
        required=frozenset({"time"}),
        notes=("a failure without an error code counts as a server error",),
    ),
    RecordFormat(
        "tgi-json",
        (("span.total_time", "total_time"), ("message", "fields.message"), ("timestamp",)),
        {
            "time": ("timestamp",),
            "latency_text": ("span.total_time", "total_time"),
            "inference_text": ("span.inference_time", "inference_time"),
            "each_text": ("span.time_per_token", "time_per_token"),
            "only": ("message", "fields.message"),
        },
        time_is="end",
        required=frozenset({"time"}),
        notes=("answer tokens are inference_time over time_per_token; refused requests are not in it",),
    ),
    RecordFormat(
        "envoy-json",
        (("start_time",), ("duration", "duration_ms"), ("response_code", "status")),
        {
            "time": ("start_time",),
            "latency_ms": ("duration_ms", "duration"),
            "ttft_ms": ("first_byte_ms",),
            "status": ("response_code", "status"),
            "method": _METHOD,
            "path": _PATH,
        },
        required=frozenset({"time"}),
        notes=("first_byte_ms, where it is logged, is taken for the time to the first token",),
    ),
    RecordFormat(
        "nginx-json",
        (("request_time", "upstream_response_time"), ("status",)),
        {
            "time": ("time_iso8601", "time_local", "msec", *_TIME),
            "latency_s": ("request_time",),
            "upstream": ("upstream_response_time",),
            "status": ("status",),
            "request": ("request",),
            "method": _METHOD,
            "path": _PATH,
            "input_tokens": _INPUT,
            "output_tokens": _OUTPUT,
        },
        time_is="end",
        required=frozenset({"time"}),
    ),
    RecordFormat(
        "records",
        (_TIME, _INPUT, _OUTPUT),
        {
            "time": _TIME,
            "input_tokens": _INPUT,
            "output_tokens": _OUTPUT,
            "cached_tokens": ("cached_tokens", "usage.prompt_tokens_details.cached_tokens"),
            "latency_s": ("latency_s", "duration_s", "e2e_latency_s"),
            "latency_ms": ("latency_ms", "duration_ms", "e2e_latency_ms"),
            "ttft_s": ("ttft_s",),
            "ttft_ms": ("ttft_ms",),
            "status": ("status", "status_code"),
            "model": ("model",),
        },
        required=frozenset({"time"}),
    ),
)


Sql = Callable[[str], str | None]
"""From one of Ferry's column names to SQL for its text, or None."""


def mapped(columns: Mapping[str, str]) -> RecordFormat:
    """The format of a user's column map."""
    return RecordFormat(
        "records",
        tuple((name,) for name in columns.values()),
        {key: (name,) for key, name in columns.items()},
        required=frozenset({"time"}) if columns.keys() & {"time", "time_s", "time_ms"} else frozenset(),
    )


def recognise(names: Sequence[str]) -> RecordFormat | None:
    """The known format with these names."""
    return next((format_ for format_ in FORMATS if format_.fits(names)), None)


def top_level(format_: RecordFormat, names: Sequence[str], outermost: Sequence[str]) -> list[str]:
    """Those of the outermost names that the format reads."""
    found = (_actual(name, names) for candidates in format_.fields.values() for name in candidates)
    tops = (name if name in outermost else name.partition(".")[0] for name in found if name)
    return list(dict.fromkeys(tops))


def layout(format_: RecordFormat, names: Sequence[str], aliases: Mapping[str, str]) -> Layout:
    """The columns of a file with these names. `aliases`: what the row `r` calls the outermost ones."""

    def sql(column: str) -> str | None:
        name = next((found for one in format_.fields.get(column, ()) if (found := _actual(one, names))), None)
        if name is None:
            return None
        if name in aliases:
            return f"r.{values.name(aliases[name])}"
        first, *steps = name.split(".")
        path = values.literal("$" + "".join(f".{values.name(step)}" for step in steps))
        return f"TRY(json_extract_string(r.{values.name(aliases[first])}, {path}))"

    time = values.moment(raw) if (raw := sql("time")) else None
    unit_us = 1_000_000 if (since := sql("time_s")) else 1000
    since = since or sql("time_ms")
    start = values.relative(since, unit_us) if since else time
    end = values.moment(raw) if (raw := sql("end_time")) else None
    first_token = values.moment(raw) if (raw := sql("first_token_time")) else None
    request = sql("request")
    if request is None and (path := sql("path")):
        method = sql("method")
        request = f"{method or chr(39) + 'POST' + chr(39)} || ' ' || {path}"
    model = sql("model")
    blocks = sql("blocks")
    return Layout(
        name=format_.name,
        time=start if start is not None else end,
        time_is=format_.time_is if start is not None else "end",
        relative=since is not None,
        input_tokens=values.tokens(raw) if (raw := sql("input_tokens")) else None,
        output_tokens=_output_tokens(sql),
        cached_tokens=values.tokens(raw) if (raw := sql("cached_tokens")) else None,
        latency=_latency(sql, start, end),
        ttft=_ttft(sql, start, end, first_token),
        status=_status(sql),
        model=model,
        request=request,
        blocks=blocks and f"TRY_CAST({blocks} AS BIGINT[])",
        only=f"{only} = 'Success'" if (only := sql("only")) else None,
        required=format_.required,
        notes=format_.notes,
    )


def _actual(name: str, names: Sequence[str]) -> str | None:
    """The name as the file spells it: Postgres, for one, exports all in lower case."""
    if name in names:
        return name
    return next((one for one in names if one.lower() == name.lower()), None)


def _latency(sql: Sql, start: values.Time | None, end: values.Time | None) -> values.Value | None:
    if raw := sql("latency_s"):
        return values.duration(raw, 1_000_000)
    if raw := sql("latency_ms"):
        return values.duration(raw, 1000)
    if raw := sql("latency_text"):
        return values.spelled_duration(raw)
    if raw := sql("upstream"):
        return values.upstream_durations(raw)
    return values.between(start, end) if start and end else None


def _ttft(
    sql: Sql, start: values.Time | None, end: values.Time | None, first_token: values.Time | None
) -> values.Value | None:
    if raw := sql("ttft_s"):
        return values.duration(raw, 1_000_000)
    if raw := sql("ttft_ms"):
        return values.duration(raw, 1000)
    if start is None or first_token is None:
        return None
    return values.between(start, first_token, streamed_before=end)


def _status(sql: Sql) -> values.Value | None:
    found = [values.status(raw) for column in ("error_code", "status") if (raw := sql(column))]
    return values.either(*found) if found else None


def _output_tokens(sql: Sql) -> values.Value | None:
    if raw := sql("output_tokens"):
        return values.tokens(raw)
    took, each = sql("inference_text"), sql("each_text")
    return values.quotient(took, each) if took and each else None
