"""A latency's distribution: from a histogram's buckets, a summary's quantiles, or only a mean from two counters."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from ferry.artefacts import Figure, Finding, Quantiles, measured, unknown
from ferry.assess.prometheus.engines import EngineNames, Metric
from ferry.assess.prometheus.quantiles import falls, histogram_quantile
from ferry.assess.prometheus.series import Series, places, tidy

FEWEST_FOR_P99 = 100
"""Below this many observations not even one of them stands for the last percent."""
WANTED = (("p50", 0.50), ("p95", 0.95), ("p99", 0.99))


@dataclass(frozen=True)
class Distribution:
    """What was counted of one metric. Bounds, sum and quantiles are in ms; `damage` says why it cannot be used."""

    name: str
    where: str
    buckets: dict[float, float] = field(default_factory=dict)
    stated: dict[float, float] = field(default_factory=dict)
    count: float | None = None
    total: float | None = None
    damage: str = ""
    repaired: bool = False

    @classmethod
    def of(
        cls, series: Sequence[Series], candidates: Sequence[Metric], names: EngineNames, window: str
    ) -> Distribution | None:
        """The first of the candidates that is there; None where none is."""
        for metric in candidates:
            buckets, counts, sums = (metric.of(series, suffix) for suffix in ("_bucket", "_count", "_sum"))
            bare = metric.of(series)
            stated = [one for one in bare if "quantile" in one.labels]
            if bare and not stated and not buckets and not counts:
                return cls._of_counters(metric, bare, [one for r in names.requests for one in r.of(series)], window)
            if buckets or counts or stated:
                where = f"{places(buckets or counts or stated)}: {metric.name}"
                where = f"{where}, {window}" if window else where
                return cls._of_parts(metric, where, buckets, counts, sums, stated)
        return None

    @classmethod
    def _of_parts(
        cls,
        metric: Metric,
        where: str,
        buckets: list[Series],
        counts: list[Series],
        sums: list[Series],
        stated: list[Series],
    ) -> Distribution:
        damage, by_bound, torn = _add_up(metric, buckets)
        count = sum(one.counted() for one in counts) if counts else by_bound.get(math.inf)
        total = sum(one.counted() for one in sums) * metric.scale if sums else None
        for number in (count, total):
            if number is not None and not (math.isfinite(number) and number >= 0):
                damage = damage or f"its _count or _sum is {number:g}"
        if counts and math.inf in by_bound and not math.isclose(by_bound[math.inf], count or 0.0, rel_tol=0.01):
            damage = damage or f"its +Inf bucket counts {by_bound[math.inf]:g} and its _count {count:g}"
        quantiles: dict[float, float] = {}
        for one in stated:
            quantile, value = _number(one.labels["quantile"]), one.last * metric.scale
            if quantile is None or not math.isfinite(value):
                continue
            if quantile in quantiles and not damage and not by_bound:
                damage = "several summaries of it do not add up to one"
            quantiles[quantile] = value
        return cls(metric.name, where, by_bound, quantiles, count, total, damage, torn)

    @classmethod
    def _of_counters(cls, metric: Metric, sums: list[Series], counts: list[Series], window: str) -> Distribution:
        count, total = sum(one.counted() for one in counts), sum(one.counted() for one in sums) * metric.scale
        where = f"{places(sums)}: {metric.name}{f', {window}' if window else ''}"
        usable = math.isfinite(count) and math.isfinite(total) and total >= 0
        return cls(metric.name, where, count=count, total=total, damage="" if usable else f"it is {total:g}")


def _add_up(metric: Metric, buckets: list[Series]) -> tuple[str, dict[float, float], bool]:
    """Buckets by bound, over all instances; what is wrong with them; and whether the counts of one of them fall."""
    by_series: dict[tuple[object, ...], dict[float, float]] = defaultdict(dict)
    by_bound: dict[float, float] = defaultdict(float)
    for one in buckets:
        bound, counted = _number(one.labels.get("le", "")), one.counted()
        if bound is None or math.isnan(bound):
            return (
                f"a bucket at {one.place} has no number in its label le: {one.labels.get('le', '')[:20]!r}",
                {},
                False,
            )
        if not (math.isfinite(counted) and counted >= 0):
            return f"a bucket at {one.place} counts {counted:g}", {}, False
        bound *= metric.scale
        rest = tuple(sorted((k, v) for k, v in one.labels.items() if k != "le"))
        by_series[one.file, rest][bound] = counted
        by_bound[bound] += counted
    if buckets and math.inf not in by_bound:
        return "it has no +Inf bucket: the page is cut off", {}, False
    if any(math.inf not in own for own in by_series.values()):
        return "one of its series has no +Inf bucket: the page is cut off", {}, False
    torn = any(falls(own) for own in by_series.values())
    if len({frozenset(own) for own in by_series.values()}) > 1:
        return "its instances have different buckets: sums of them mean nothing", dict(by_bound), torn
    return "", dict(by_bound), torn


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def quantiles(
    short: str, distribution: Distribution | None, source: str, absent: str
) -> tuple[Quantiles, list[Finding]]:
    """Mean, P50, P95 and P99 in ms, with what there is to say about them."""
    if distribution is None:
        return _none(f"{source}: {absent or 'no histogram of it'}"), []
    where = distribution.where
    if distribution.damage:
        return _none(f"{where}: {distribution.damage}"), [
            Finding(
                severity="warning",
                code="metrics-damaged-histogram",
                seen=f"{distribution.name}: {distribution.damage}",
                where=where,
                means=f"the {short} of this service is unknown",
                remedy="save the page again, whole, one file for each instance",
            )
        ]
    if not distribution.count:
        return _none(f"{where}: no observations"), [
            Finding(
                severity="info",
                code="metrics-without-requests",
                seen=f"{distribution.name} has no observations",
                where=where,
                means=f"the {short} of this service is unknown; it is not 0",
                remedy="save /metrics after a day of traffic, not after a restart",
            )
        ]
    found: list[Finding] = []
    mean = unknown("ms", f"{where}: no sum") if distribution.total is None else None
    figures = {"mean": mean or _milliseconds((distribution.total or 0.0) / distribution.count, where)}
    beyond: dict[str, float] = {}
    for name, q in WANTED:
        if not distribution.buckets:
            stated = distribution.stated.get(q)
            why = f"{where}: only its mean is counted" if not distribution.stated else f"{where}: no quantile {q:g}"
            figures[name] = unknown("ms", why) if stated is None else _milliseconds(stated, where)
            continue
        quantile = histogram_quantile(q, distribution.buckets)
        if quantile.above_highest:
            beyond[name] = quantile.value
            why = f"{where}: more than {quantile.value:g} ms, the highest bucket"
            figures[name] = unknown("ms", why, at_least=tidy(quantile.value))
        else:
            figures[name] = _milliseconds(quantile.value, where)
    if beyond:
        found.append(_saturated(short, beyond, where))
    if distribution.repaired:
        found.append(_torn(short, distribution, where))
    if distribution.count < FEWEST_FOR_P99:
        found.append(
            Finding(
                severity="warning",
                code="metrics-of-few-requests",
                seen=f"{short} rests on {distribution.count:g} observations",
                where=where,
                means="the P99 is interpolated inside one bucket, not observed: take it as an order of magnitude",
                remedy="save /metrics after a day of traffic",
            )
        )
    return Quantiles(**figures), found


def _saturated(short: str, beyond: dict[str, float], where: str) -> Finding:
    highest = max(beyond.values())
    return Finding(
        severity="warning",
        code="metrics-beyond-last-bucket",
        seen=f"{short} {', '.join(beyond)} above the highest bucket of {highest / 1000:g} s",
        where=where,
        means=f"it is more than {highest:g} ms and how much more is unknown; dashboards show the bound",
        remedy="take it from the gateway's access log, or upgrade the engine to one with higher buckets",
    )


def _torn(short: str, distribution: Distribution, where: str) -> Finding:
    return Finding(
        severity="warning",
        code="metrics-buckets-fall",
        seen=f"a bucket of {distribution.name} counts less than the one below it",
        where=where,
        means=f"the counts are not of one moment; they are lifted as Prometheus does, and the {short} is rough",
        remedy="save the page again",
    )


def _none(source: str) -> Quantiles:
    none = unknown("ms", source)
    return Quantiles(mean=none, p50=none, p95=none, p99=none)


def _milliseconds(value: float, source: str) -> Figure:
    value = tidy(value)
    return measured(value, "ms", source) if math.isfinite(value) else unknown("ms", f"{source}: not a number")
