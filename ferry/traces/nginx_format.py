"""nginx's `log_format`, as the user's configuration has it, turned into a pattern."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ferry.errors import InvalidField
from ferry.traces import values
from ferry.traces.layout import Layout
from ferry.traces.lines import LineFormat

_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_TIMES = ("time_iso8601", "msec", "time_local")
_DIRECTIVE = re.compile(r"^\s*log_format\s+\S+\s+(?:escape=\w+\s+)?(.*?);?\s*$", re.DOTALL)
# What a variable prints where that is narrower than "anything but what follows".
_PATTERNS = {"status": "[0-9]{3}", "request": r'(?:[^"\\]|\\.)*', "msec": r"[0-9.]+", "request_time": r"[0-9.]+|-"}


def compile_format(log_format: str, columns: Mapping[str, str]) -> LineFormat:
    """The lines that this format prints. `columns` names variables for what nginx itself does not know: tokens.

    Raises InvalidField for a format that tells too little.
    """
    if directive := _DIRECTIVE.match(log_format):
        log_format = directive[1]
    if re.fullmatch(r"\s*(?:'[^']*'\s*)+", log_format):
        log_format = "".join(re.findall(r"'([^']*)'", log_format))
    found = [one or other for one, other in _VARIABLE.findall(log_format)]
    if missing := [name for name in columns.values() if name.removeprefix("$") not in found]:
        raise InvalidField(f"requests.columns names ${missing[0]}, which the log_format does not print")
    wanted = {name.removeprefix("$") for name in columns.values()}
    wanted |= {*_TIMES, "request", "request_method", "request_uri", "uri", "status"}
    wanted |= {"request_time", "upstream_response_time"}
    pieces, groups, end = ["^(?:.*? )?" if not log_format.startswith("^") else ""], [], 0
    for place in _VARIABLE.finditer(log_format):
        pieces.append(re.escape(log_format[end : place.start()]))
        name, end = place[1] or place[2], place.end()
        following = log_format[end : end + 1]
        kind = _PATTERNS.get(name, f"[^{re.escape(following)}]*" if following else ".*")
        if name.startswith("upstream_") and following == " ":
            # A list of all upstreams that were asked has spaces of its own.
            kind = "[^ ,]+(?:(?:,| :) [^ ,]+)*"
        if name in wanted and name not in groups:
            groups.append(name)
            pieces.append(f"({kind})")
        else:
            pieces.append(f"(?:{kind})")
    pieces.append(re.escape(log_format[end:]))
    if not groups:
        raise InvalidField("requests.log_format names none of $time_iso8601, $time_local, $msec, $request, $status")
    # Python's re.escape is RE2's, too. A group that may be empty cannot tell a match, so the whole line is one.
    pattern = f"({''.join(pieces)})"
    return LineFormat("nginx", ".", pattern, ("matched", *groups), lambda _: _layout(groups, dict(columns)))


def _layout(groups: list[str], columns: dict[str, str]) -> Layout:
    def sql(column: str) -> str | None:
        return f"r.{values.name(columns[column].removeprefix('$'))}" if column in columns else None

    time = next((values.moment(f"r.{name}") for name in _TIMES if name in groups), None)
    latency = [values.duration("r.request_time", 1_000_000)] if "request_time" in groups else []
    if "upstream_response_time" in groups:
        latency.append(values.upstream_durations("r.upstream_response_time"))
    request = "r.request" if "request" in groups else None
    path = next((name for name in ("request_uri", "uri") if name in groups), None)
    if request is None and path:
        method = "r.request_method" if "request_method" in groups else "'POST'"
        request = f"{method} || ' ' || r.{path}"
    model = sql("model")
    return Layout(
        name="nginx",
        time=time,
        time_is="end",
        status=values.status("r.status") if "status" in groups else None,
        request=request,
        latency=values.either(*latency) if latency else None,
        input_tokens=values.tokens(raw) if (raw := sql("input_tokens")) else None,
        output_tokens=values.tokens(raw) if (raw := sql("output_tokens")) else None,
        model=model,
        required=frozenset({"time"}) if time else frozenset(),
    )
