"""Reads a saved answer of Prometheus's HTTP API: instant and range vectors. Everything else is refused by its name.

https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ferry.artefacts import Finding
from ferry.assess.prometheus.exposition import KEPT_TOO, KNOWN
from ferry.assess.prometheus.series import LATEST_S, Page, Point, Series
from ferry.errors import UnreadableInput

_VALUE = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf|nan))")
_COUNTER = re.compile(r"_(?:bucket|sum|count|total)$")
SAVE = "save the answer to a query of a metric by its name, /api/v1/query_range?query=vllm:num_requests_running&…"


def parse(text: str, file: str) -> Page:
    """All series of one or several answers in a file. Raises UnreadableInput with the reason where there is none."""
    kinds: list[str] = []
    series: list[Series] = []
    findings: list[Finding] = []
    for document in _documents(text, file):
        kind, own, said = _answer(document, file)
        kinds.append(kind)
        series += own
        findings += said
    if not series:
        raise UnreadableInput(
            f"{file}: the answer is empty: the query matched nothing in that time; check the metric's name against "
            "/api/v1/label/__name__/values"
        )
    nameless = [one for one in series if not one.name]
    if len(nameless) == len(series):
        raise UnreadableInput(f"{file}: {_expression(nameless)}; {SAVE}")
    if nameless:
        findings.append(
            Finding(
                severity="warning",
                code="metrics-of-an-expression",
                seen=_expression(nameless),
                where=file,
                means="these series are not used",
                remedy=SAVE,
            )
        )
    kept = [one for one in series if KNOWN.match(one.name) or one.name in KEPT_TOO]
    if not kept:
        names = ", ".join(sorted({one.name for one in series if one.name})[:3])
        raise UnreadableInput(f"{file}: holds {names}, and no metric that Ferry knows; {SAVE}")
    if "matrix" not in kinds:
        return Page(file, "vector", kept, findings=findings)
    # A counter that was seen once in a range has no growth in it, and its value counts since the start.
    ranged = [one for one in kept if len(one.points) > 1 or not _COUNTER.search(one.name)]
    return Page(file, "matrix", ranged if any(len(one.points) > 1 for one in kept) else kept, findings=findings)


def series_of(result_type: Any, result: Any, place: str) -> list[Series]:
    """The series of a vector or a matrix. Values that are NaN are dropped: an idle server divides nothing by nothing.

    Raises ValueError where it is not in the shape of the API.
    """
    key = {"vector": "value", "matrix": "values"}.get(result_type)
    if key is None or not isinstance(result, list):
        raise ValueError(f"expected a vector or a matrix, got {str(result_type)[:40]}")
    series: list[Series] = []
    for item in result:
        if not isinstance(item, dict) or not isinstance(item.get("metric"), dict):
            raise ValueError("a series has no labels (metric)")
        labels = {str(name): str(value) for name, value in item["metric"].items()}
        if key not in item and ("histogram" in item or "histograms" in item):
            raise ValueError("it holds native histograms, which Ferry does not read: ask for classic ones (_bucket)")
        pairs = item.get(key)
        if not isinstance(pairs, list):
            raise ValueError(f"a series has no {key}")
        points = [_point(pair) for pair in ([pairs] if key == "value" else pairs)]
        name = labels.pop("__name__", "")
        if kept := [point for point in points if point.value == point.value]:
            series.append(Series(name, labels, sorted(kept, key=lambda point: point.time_s or 0.0), place))
    return series


def empty_of(result: Any) -> int:
    """How many series of an answer hold nothing but NaN."""
    return sum(
        all(pair[1] == "NaN" for pair in (item.get("values") or [item.get("value")]))
        for item in result
        if isinstance(item, dict) and (item.get("values") or item.get("value"))
    )


def _point(pair: Any) -> Point:
    time_s, value = pair if isinstance(pair, list) and len(pair) == 2 else (None, None)
    if isinstance(time_s, bool) or not isinstance(time_s, int | float) or not 0 <= time_s <= LATEST_S:
        raise ValueError(f"a value has no time: {str(pair)[:60]}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = repr(value)
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        raise ValueError(f"{str(pair)[:60]} is not a time and a number")
    return Point(float(time_s), float(value))


def _documents(text: str, file: str) -> Iterator[Any]:
    """One JSON text, or several after each other, as a loop around curl writes them."""
    decoder = json.JSONDecoder()
    at, number = 0, 0
    while (at := _past_space(text, at)) < len(text):
        try:
            document, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise UnreadableInput(
                f"{file}: is not JSON, or is cut off: {' '.join(str(error).split())[:120]}; save it again"
            ) from error
        number += 1
        yield document


def _past_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n\ufeff":
        at += 1
    return at


def _answer(document: Any, file: str) -> tuple[str, list[Series], list[Finding]]:
    if isinstance(document, dict) and document.get("status") == "error":
        kind, said = str(document.get("errorType", "error")), " ".join(str(document.get("error", "")).split())
        raise UnreadableInput(f"{file}: is an error of Prometheus ({kind[:40]}): {said[:300]}; correct the query")
    data = document.get("data") if isinstance(document, dict) and "data" in document else document
    if not isinstance(data, dict) or "resultType" not in data:
        raise UnreadableInput(f"{file}: {_other_answer(document, data)}; {SAVE}")
    kind, result = data["resultType"], data.get("result")
    if kind in ("scalar", "string"):
        value = result[1] if isinstance(result, list) and len(result) == 2 else result
        raise UnreadableInput(f"{file}: is a {kind}, {str(value)[:40]}: a value without a name and labels; {SAVE}")
    if kind == "streams":
        raise UnreadableInput(f"{file}: is an answer of Loki: log lines, not metrics; {SAVE}")
    try:
        series = series_of(kind, result, file)
        idle = empty_of(result)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise UnreadableInput(f"{file}: is not an answer of Prometheus: {' '.join(str(error).split())}") from error
    if idle and not series:
        raise UnreadableInput(
            f"{file}: all {idle} series are NaN: nothing divided by nothing, the server was idle in that time; "
            "choose a time with traffic"
        )
    return str(kind), series, warnings_of(document, file) + ([_idle(idle, file)] if idle else [])


def warnings_of(document: Any, where: str) -> list[Finding]:
    """Warnings that a server put beside its answer: with Thanos and the like, a part of the data is missing."""
    said = document.get("warnings") if isinstance(document, dict) else None
    if not isinstance(said, list) or not said:
        return []
    return [
        Finding(
            severity="warning",
            code="prometheus-warns",
            seen=" ".join("; ".join(str(line) for line in said[:3]).split())[:300],
            where=where,
            means="the answer may lack a part of the data",
            remedy="ask the server's keeper; ask again when all of its stores answer",
        )
    ]


def _idle(count: int, file: str) -> Finding:
    return Finding(
        severity="info",
        code="metrics-nan",
        seen=f"{count} series {'is' if count == 1 else 'are'} NaN throughout",
        where=file,
        means="nothing divided by nothing: no requests in that time. It is unknown, not 0",
        remedy="choose a time with traffic",
    )


def _expression(series: list[Series]) -> str:
    shown = ", ".join(f"{name}={value!r}" for name, value in list(series[0].labels.items())[:2])
    values = [point.value for one in series for point in one.points]
    same = len(values) > len(series) and all(len({point.value for point in one.points}) == 1 for one in series)
    flat = (
        f"; it is {series[0].last:g} at every one of its {len(series[0].points)} times, as a quantile without rate() "
        "is, which counts since the start of the process"
        if same
        else ""
    )
    return (
        f"is the result of an expression ({shown or 'no labels'}, no __name__), which the answer does not hold: what "
        f"its numbers mean is unknown{flat}"
    )


def _other_answer(document: Any, data: Any) -> str:
    """What another kind of JSON is."""
    if isinstance(data, dict):
        if isinstance(targets := data.get("activeTargets"), list):
            down = [one for one in targets if isinstance(one, dict) and one.get("health") != "up"]
            return f"is the list of targets ({len(targets)} scraped, {len(down)} of them not up), not values"
        if "alerts" in data or "groups" in data:
            return "is a list of alerts or rules, not values"
        first = next(iter(data.values()), None)
        if isinstance(first, list) and first and isinstance(first[0], dict) and "help" in first[0]:
            return f"is metadata (type and help of {len(data)} metrics: {', '.join(list(data)[:3])[:120]}), not values"
        if "results" in data:
            return "is an answer of Grafana (frames), not of Prometheus"
        return f"is JSON, and no answer of Prometheus: keys {', '.join(map(str, list(data)[:5]))[:120] or 'none'}"
    if isinstance(data, list):
        if data and all(isinstance(item, str) for item in data):
            return f"is a list of {len(data)} names ({', '.join(data[:2])[:80]}, …), not values"
        if data and isinstance(data[0], dict) and "__name__" in data[0]:
            return f"is a list of {len(data)} series without values"
    return f"is JSON, and no answer of Prometheus: {type(document).__name__}"
