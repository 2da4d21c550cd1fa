"""By the hour of the day, in the site's time zone: when it is busy, and when the hardware waits."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from statistics import fmean
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ferry.artefacts import Hourly
from ferry.assess.prometheus.engines import EngineNames, Metric
from ferry.assess.prometheus.quantiles import histogram_quantile
from ferry.assess.prometheus.series import Delta, Point, Series, places, tidy, totals

LONGEST_GAP_S = 3600.0
"""What was counted over a longer gap cannot be told to an hour."""


def of_engine(series: Sequence[Series], names: EngineNames, time_zone: str) -> dict[str, Hourly]:
    """Rates, gauges and the P99 of the latencies, whatever of them the series give."""
    found: dict[str, Hourly | None] = {}
    time_zone = known_zone(time_zone)
    for name, metrics in (
        ("requests_per_s", names.requests),
        ("input_tokens_per_s", names.input_tokens),
        ("output_tokens_per_s", names.output_tokens),
    ):
        own = next((own for metric in metrics if (own := metric.of(series))), [])
        found[name] = rates(own, name.replace("_per_s", "/s").rpartition("_")[2], time_zone)
    for name, metrics in (("running", names.running), ("waiting", names.waiting), ("kv_cache_use", names.kv_cache_use)):
        own = next((own for metric in metrics if (own := metric.of(series))), [])
        shared = name == "kv_cache_use"
        found[name] = means(totals(own, average=shared), "share" if shared else "requests", time_zone, places(own))
    for name, metrics in (("ttft_p99_ms", names.ttft), ("tpot_p99_ms", names.tpot), ("latency_p99_ms", names.latency)):
        found[name] = next(
            (given for metric in metrics if (given := _p99(metric, metric.of(series, "_bucket"), time_zone))), None
        )
    return {name: hourly for name, hourly in found.items() if hourly is not None}


def means(points: Iterable[Point], unit: str, time_zone: str, source: str) -> Hourly | None:
    """The mean of a gauge in each hour; None where no value has a time."""
    by_hour: dict[int, list[float]] = defaultdict(list)
    for time_s, value in points:
        if time_s is not None and math.isfinite(value):
            by_hour[hour_of(time_s, time_zone)].append(value)
    values = {hour: fmean(values) for hour, values in by_hour.items()}
    return _hourly(values, unit, time_zone, source)


def rates(series: Sequence[Series], unit: str, time_zone: str) -> Hourly | None:
    """A counter's growth per second in each hour, over all instances."""
    amounts: dict[int, float] = defaultdict(float)
    seconds: dict[int, dict[int, float]] = defaultdict(dict)
    for one in series:
        for delta in _told_to_an_hour(one):
            hour = hour_of(delta.time_s, time_zone)
            amounts[hour] += delta.amount
            # Instances run side by side: the same minute of two of them is one minute.
            seconds[hour].setdefault(round(delta.time_s / max(delta.seconds, 1.0)), delta.seconds)
    values = {hour: amounts[hour] / sum(own.values()) for hour, own in seconds.items() if sum(own.values()) > 0}
    return _hourly(values, unit, time_zone, places(series))


def known_zone(time_zone: str) -> str:
    """The time zone, or UTC on a machine without a time-zone database."""
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "UTC"
    return time_zone


def hour_of(time_s: float, time_zone: str) -> int:
    """The hour of the day there."""
    zone = UTC if time_zone == "UTC" else ZoneInfo(time_zone)
    return datetime.fromtimestamp(time_s, zone).hour


def _p99(metric: Metric, buckets: Sequence[Series], time_zone: str) -> Hourly | None:
    counts: dict[int, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    for one in buckets:
        try:
            bound = float(one.labels.get("le", "")) * metric.scale
        except ValueError:
            return None
        for delta in _told_to_an_hour(one):
            counts[hour_of(delta.time_s, time_zone)][bound] += delta.amount
    values = {}
    for hour, own in counts.items():
        quantile = histogram_quantile(0.99, own)
        if math.isfinite(quantile.value) and not quantile.above_highest:
            values[hour] = tidy(quantile.value)
    return _hourly(values, "ms", time_zone, places(buckets))


def _told_to_an_hour(series: Series) -> list[Delta]:
    return [delta for delta in series.deltas() if 0 < delta.seconds <= LONGEST_GAP_S and math.isfinite(delta.amount)]


def _hourly(values: dict[int, float], unit: str, time_zone: str, source: str) -> Hourly | None:
    if not values:
        return None
    return Hourly(unit=unit, time_zone=time_zone, source=source, values=[values.get(hour) for hour in range(24)])
