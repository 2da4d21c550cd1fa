"""The facts of a request trace: how many requests arrive, when, how long they are and how long they take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

from ferry.artefacts import Figure, Finding, Hourly, Quantiles, TraceFacts, measured, unknown
from ferry.assess import trace_findings
from ferry.assess.prometheus.hours import hour_of, known_zone
from ferry.assess.site import RequestsPart
from ferry.traces import Trace, open_trace, statistics
from ferry.traces.statistics import QUARTER_S, Arrivals, Distribution, Statistics

Progress = Callable[[int, int], None]
_RATE = "requests/s"
_LEAST_OF_AN_HOUR_S = 60.0
"""An hour of the day of which less was seen has no rate."""


def read(
    path: Path, part: RequestsPart, label: str, time_zone: str, progress: Progress | None = None
) -> tuple[TraceFacts, list[Finding]]:
    """Read a trace or log. Raises UnreadableInput or InvalidField; `time_zone` is the site's, for hours."""
    with open_trace(
        path, part.format, dict(part.columns.items()), part.log_format, progress, label=label, paths=tuple(part.paths)
    ) as trace:
        found = statistics.of(trace)
        stated = {"columns": dict(part.columns.items()), "log_format": part.log_format, "paths": list(part.paths)}
        return facts(trace, found, time_zone).model_copy(update=stated), trace_findings.about(trace, found)


def facts(trace: Trace, found: Statistics, time_zone: str) -> TraceFacts:
    """What the trace tells, each figure with its basis."""
    file, arrivals = trace.label, found.arrivals
    mean_rps, peak_rps = _rates(found.requests, arrivals, file)
    return TraceFacts(
        file=file,
        format=trace.format,
        requests=found.requests,
        duration_s=arrivals.duration_s if arrivals else None,
        mean_rps=mean_rps,
        peak_rps=peak_rps,
        input_tokens=_quantiles(found.input_tokens, "tokens", 1, file)
        or _unknown("tokens", f"{file}: {trace.format} has no prompt tokens"),
        output_tokens=_quantiles(found.output_tokens, "tokens", 1, file)
        or _unknown("tokens", f"{file}: {trace.format} has no answer tokens"),
        latency_ms=_quantiles(found.latency_us, "ms", 1000, file),
        ttft_ms=_quantiles(found.ttft_us, "ms", 1000, file),
        by_hour=_by_hour(arrivals, trace.zoned, time_zone, file) if arrivals and arrivals.by_quarter else None,
        peak_in_flight=_in_flight(trace, found),
        client_errors=_share(found.client_errors, found.with_status, f"{file}: status 400 to 499"),
        server_errors=_share(found.server_errors, found.with_status, f"{file}: status 500 and above"),
        prefix_reuse=_share(*found.reused_prompt_tokens, _reuse_source(trace)) if found.reused_prompt_tokens else None,
        damaged_rows=trace.counts.damaged,
        passed_over=trace.counts.other + trace.counts.not_inference,
    )


def _rates(requests: int, arrivals: Arrivals | None, file: str) -> tuple[Figure, Figure]:
    """The mean, and the busiest minute. Minutes count from the first request; the last is not whole, and only counts
    where it is the busiest anyway.
    """
    if arrivals is None:
        none = unknown(_RATE, f"{file}: has no times of arrival")
        return none, none
    mean = peak = unknown(_RATE, f"{file}: shorter than a minute")
    if arrivals.duration_s > 0:
        mean = measured(requests / arrivals.duration_s, _RATE, file)
    if arrivals.duration_s >= 60:
        source = f"{file}: minute {arrivals.busiest_minute} from the start"
        peak = measured(arrivals.in_busiest_minute / 60, _RATE, source)
    return mean, peak


def _by_hour(arrivals: Arrivals, zoned: bool, time_zone: str, file: str) -> Hourly:
    """Requests/s in each hour of the day, over the time of it that the trace covers."""
    zone = known_zone(time_zone) if zoned else "UTC"
    last_s = arrivals.first_us / 1e6 + arrivals.duration_s
    amounts, seconds = [0] * 24, [0.0] * 24
    for quarter in range(arrivals.first_us // (QUARTER_S * 1_000_000), int(last_s // QUARTER_S) + 1):
        start_s = quarter * QUARTER_S
        hour = hour_of(start_s, zone)
        amounts[hour] += arrivals.by_quarter.get(quarter, 0)
        seconds[hour] += min(start_s + QUARTER_S, last_s) - max(start_s, arrivals.first_us / 1e6)
    return Hourly(
        unit=_RATE,
        time_zone=str(ZoneInfo(zone)) if zoned else "as the file has it",
        source=file,
        values=[
            amount / covered if covered >= _LEAST_OF_AN_HOUR_S else None
            for amount, covered in zip(amounts, seconds, strict=True)
        ],
    )


def _quantiles(found: Distribution | None, unit: str, divisor: int, file: str) -> Quantiles | None:
    if found is None:
        return None
    mean, p50, p95, p99 = (
        measured(value / divisor if divisor > 1 else value, unit, file)
        for value in (found.mean, found.p50, found.p95, found.p99)
    )
    return Quantiles(mean=mean, p50=p50, p95=p95, p99=p99)


def _unknown(unit: str, source: str) -> Quantiles:
    none = unknown(unit, source)
    return Quantiles(mean=none, p50=none, p95=none, p99=none)


def _in_flight(trace: Trace, found: Statistics) -> Figure | None:
    if found.peak_in_flight is None:
        return None
    if without := found.requests - trace.known["latency_us"]:
        source = f"{trace.label}: {without} requests have no latency"
        return unknown("requests", source, at_least=float(found.peak_in_flight))
    return measured(found.peak_in_flight, "requests", trace.label)


def _share(part: int, whole: int, source: str) -> Figure | None:
    return measured(part / whole, "share", source) if whole else None


def _reuse_source(trace: Trace) -> str:
    if trace.layout.blocks:
        return f"{trace.label}: blocks of 512 tokens that came before, had a cache of any size kept them"
    return f"{trace.label}: prompt tokens that the engine found in its cache"
