"""Reads what the inference engine says of itself: its Prometheus metrics, saved from /metrics or asked of a server.

Quantiles are those of PromQL's `histogram_quantile`: linear within a bucket, from 0 in the first one. Where a quantile
lies above the highest finite bucket, PromQL answers with that bucket's bound; it is only a lower bound, so here the
figure is unknown and a finding tells the bound. No observations: unknown, never 0.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from ferry.artefacts import EngineMetrics, Figure, Finding, Quantiles, measured, unknown
from ferry.errors import UnreadableInput

FEWEST_FOR_P99 = 100
"""Below this many observations not even one of them stands for the last percent."""


@dataclass(frozen=True)
class Sample:
    """One value of one series."""

    name: str
    labels: dict[str, str]
    value: float


@dataclass(frozen=True, kw_only=True)
class EngineNames:
    """The names that an engine's versions gave to a metric, the preferred one first. Histograms are in seconds."""

    prefix: str
    running: tuple[str, ...]
    waiting: tuple[str, ...]
    kv_cache_use: tuple[str, ...]
    ttft: tuple[str, ...]
    tpot: tuple[str, ...]
    latency: tuple[str, ...]


# vLLM: vllm/engine/metrics.py (V0), vllm/v1/metrics/loggers.py (V1). V1 renamed gpu_cache_usage_perc, and replaced
# time_per_output_token_seconds by a mean per request and a gap per token.
ENGINES = {
    "vllm": EngineNames(
        prefix="vllm:",
        running=("vllm:num_requests_running",),
        waiting=("vllm:num_requests_waiting",),
        kv_cache_use=("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        ttft=("vllm:time_to_first_token_seconds",),
        tpot=(
            "vllm:request_time_per_output_token_seconds",
            "vllm:time_per_output_token_seconds",
            "vllm:inter_token_latency_seconds",
        ),
        latency=("vllm:e2e_request_latency_seconds",),
    )
}


@dataclass(frozen=True)
class EngineReading:
    """The metrics of one model, the name that the engine serves it as ("" where it has none), and the findings."""

    metrics: EngineMetrics
    model_name: str
    findings: list[Finding]


@dataclass(frozen=True)
class Histogram:
    """Cumulative counts by upper bound, summed over instances; the sum of the observations, in seconds."""

    name: str
    buckets: dict[float, float]
    sum: float

    @property
    def count(self) -> float:
        """Number of observations."""
        return self.buckets.get(math.inf, 0.0)


def parse(text: str, file: str) -> list[Sample]:
    """All samples of an exposition in Prometheus's text format. Raises UnreadableInput with the line."""
    samples: list[Sample] = []
    # One line at a time, for its number. A line ends at a line feed and nowhere else: labels hold other separators.
    for number, line in enumerate(text.split("\n"), 1):
        try:
            for family in text_string_to_metric_families(line):
                samples += [Sample(sample.name, sample.labels, float(sample.value)) for sample in family.samples]
        except (ValueError, IndexError, KeyError) as error:
            raise UnreadableInput(
                f"{file}:{number}: is not Prometheus's text format, or is cut off: "
                f"{' '.join(str(error).split())[:120]}; save it again: curl -s http://ENGINE:8000/metrics"
            ) from error
    return samples


def engine_metrics(
    samples: Sequence[Sample],
    *,
    engine: str,
    source: str,
    served_as: Sequence[str] = (),
    gauges_are: str = "at the moment of saving",
) -> EngineReading:
    """What the engine's samples say of the one model that is assessed. Raises UnreadableInput when they say nothing.

    Samples may come from several instances: histograms and request counts add up, cache use is averaged. Of several
    models in them the one named like `served_as` is taken, else the one with the most requests. `gauges_are` says
    what a gauge stands for: one moment of a saved page, or a mean that a server was asked for.
    """
    names = ENGINES[engine]
    own = [sample for sample in samples if sample.name.startswith(names.prefix)]
    if not own:
        raise UnreadableInput(f"{source}: holds no metrics of {engine}: no name starts with {names.prefix!r}")
    model, findings = _choose_model(own, names, source, served_as)
    chosen = [sample for sample in own if sample.labels.get("model_name", model) == model]
    figures: dict[str, Quantiles] = {}
    for short, candidates in (("ttft", names.ttft), ("tpot", names.tpot), ("latency", names.latency)):
        histogram = _histogram(chosen, candidates, source)
        figures[short], seen = _quantiles(short, histogram, source)
        findings.extend(seen)
    metrics = EngineMetrics(
        source=source,
        engine=engine,
        ttft_ms=figures["ttft"],
        tpot_ms=figures["tpot"],
        latency_ms=figures["latency"],
        running=_gauge(chosen, names.running, "requests", source, gauges_are),
        waiting=_gauge(chosen, names.waiting, "requests", source, gauges_are),
        kv_cache_use=_gauge(chosen, names.kv_cache_use, "share", source, gauges_are, average=True),
    )
    return EngineReading(metrics, model, findings)


def histogram_quantile(q: float, buckets: dict[float, float]) -> tuple[float, bool]:
    """PromQL's quantile of cumulative buckets, and whether it lies above the highest finite bound.

    The algorithm is `bucketQuantile` of promql/quantile.go. NaN without observations or without a +Inf bucket.
    """
    bounds = sorted(buckets)
    if len(bounds) < 2 or bounds[-1] != math.inf:
        return math.nan, False
    counts: list[float] = []
    for bound in bounds:
        counts.append(max(buckets[bound], counts[-1] if counts else 0.0))
    if counts[-1] == 0:
        return math.nan, False
    rank = q * counts[-1]
    at = next(index for index, count in enumerate(counts) if count >= rank or index == len(counts) - 1)
    if at == len(bounds) - 1:
        return bounds[-2], True
    if at == 0 and bounds[0] <= 0:
        return bounds[0], False
    start, below = (bounds[at - 1], counts[at - 1]) if at else (0.0, 0.0)
    inside = counts[at] - below
    return start + (bounds[at] - start) * ((rank - below) / inside if inside else 0.0), False


def _choose_model(
    samples: Iterable[Sample], names: EngineNames, source: str, served_as: Sequence[str]
) -> tuple[str, list[Finding]]:
    requests: dict[str, float] = defaultdict(float)
    for sample in samples:
        if "model_name" in sample.labels:
            finished = sample.name in {f"{name}_count" for name in names.ttft}
            requests[sample.labels["model_name"]] += sample.value if finished and sample.value > 0 else 0.0
    if not requests:
        return "", []
    wanted = {name.casefold() for name in served_as}
    named = [name for name in requests if {name.casefold(), name.rpartition("/")[2].casefold()} & wanted]
    model = named[0] if len(named) == 1 else max(requests, key=lambda name: requests[name])
    if len(requests) == 1:
        return model, []
    others = ", ".join(f"{name} ({requests[name]:g} requests)" for name in requests if name != model)
    return model, [
        Finding(
            severity="warning",
            code="metrics-of-several-models",
            seen=f"model_name {model} ({requests[model]:g} requests), and also {others}",
            where=source,
            means=f"only {model} is assessed: latencies of different models do not add up to one service",
            remedy="list each model as a service of its own under serving, or save /metrics of one engine",
        )
    ]


def _histogram(samples: Sequence[Sample], candidates: Sequence[str], source: str) -> Histogram | None:
    for name in candidates:
        buckets: dict[float, float] = defaultdict(float)
        total = 0.0
        for sample in samples:
            if sample.name == f"{name}_bucket":
                buckets[_bound(sample, source)] += sample.value
            elif sample.name == f"{name}_sum":
                total += sample.value
        if not buckets:
            continue
        if math.inf not in buckets:
            raise UnreadableInput(f"{source}: {name} has no +Inf bucket: the exposition is cut off; save it again")
        return Histogram(name, dict(buckets), total)
    return None


def _bound(sample: Sample, source: str) -> float:
    try:
        return float(sample.labels["le"])
    except (KeyError, ValueError) as error:
        raise UnreadableInput(f"{source}: {sample.name} has a bucket without a number in its label le") from error


def _quantiles(short: str, histogram: Histogram | None, source: str) -> tuple[Quantiles, list[Finding]]:
    if histogram is None:
        none = unknown("ms", f"{source}: no histogram of it")
        return Quantiles(mean=none, p50=none, p95=none, p99=none), []
    where = f"{source}: {histogram.name}"
    count = histogram.count
    if not count > 0:
        none = unknown("ms", f"{where}: no observations")
        idle = Finding(
            severity="info",
            code="metrics-without-requests",
            seen=f"{histogram.name} has no observations",
            where=where,
            means=f"the {short} of this service is unknown; it is not 0",
            remedy="save /metrics after a day of traffic, not after a restart",
        )
        return Quantiles(mean=none, p50=none, p95=none, p99=none), [idle]
    found: list[Finding] = []
    figures: dict[str, Figure] = {"mean": _milliseconds(histogram.sum / count, where)}
    beyond: list[str] = []
    for name, q in (("p50", 0.50), ("p95", 0.95), ("p99", 0.99)):
        value, saturated = histogram_quantile(q, histogram.buckets)
        if saturated:
            beyond.append(name)
            figures[name] = unknown("ms", f"{where}: more than {value * 1000:g} ms, the highest bucket")
        else:
            figures[name] = _milliseconds(value, where)
    if beyond:
        highest = max(bound for bound in histogram.buckets if bound < math.inf)
        found.append(
            Finding(
                severity="warning",
                code="metrics-beyond-last-bucket",
                seen=f"{short} {', '.join(beyond)} above the highest bucket of {highest:g} s",
                where=where,
                means=f"it is more than {highest * 1000:g} ms and how much more is unknown; dashboards show the bound",
                remedy="take it from the gateway's access log, or upgrade the engine to one with higher buckets",
            )
        )
    if count < FEWEST_FOR_P99:
        found.append(
            Finding(
                severity="warning",
                code="metrics-of-few-requests",
                seen=f"{short} rests on {count:g} observations",
                where=where,
                means="the P99 is interpolated inside one bucket, not observed: take it as an order of magnitude",
                remedy="save /metrics after a day of traffic",
            )
        )
    return Quantiles(**figures), found


def _milliseconds(seconds: float, source: str) -> Figure:
    value = round(seconds * 1000, 4)
    return measured(value, "ms", source) if math.isfinite(value) else unknown("ms", f"{source}: not a number")


def _gauge(
    samples: Sequence[Sample],
    candidates: Sequence[str],
    unit: str,
    source: str,
    gauges_are: str,
    *,
    average: bool = False,
) -> Figure:
    for name in candidates:
        values = [sample.value for sample in samples if sample.name == name]
        if not values:
            continue
        value = sum(values) / (len(values) if average else 1)
        if not math.isfinite(value):
            return unknown(unit, f"{source}: {name} is not a number")
        return measured(value, unit, f"{source}: {name}, {gauges_are}")
    return unknown(unit, f"{source}: {candidates[0]} is missing")
