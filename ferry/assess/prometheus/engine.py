"""What the engine's metrics say of the one model that is assessed: latencies, throughput, queue, cache use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from ferry.artefacts import EngineMetrics, Figure, Finding, Quantiles, measured, unknown
from ferry.assess.prometheus import hours
from ferry.assess.prometheus.distributions import Distribution, quantiles
from ferry.assess.prometheus.engines import ENGINES, EngineNames, Metric, canonical, engines_in, known_names
from ferry.assess.prometheus.series import Page, Series, covered, places, totals, window
from ferry.errors import UnreadableInput

SHORT = {"ttft": "ttft", "tpot": "tpot", "latency": "latency", "queue": "queue time"}


@dataclass(frozen=True)
class EngineReading:
    """The metrics of one model, the name that the engine serves it as ("" where it has none), and the findings."""

    metrics: EngineMetrics
    model_name: str
    findings: list[Finding]


def engine_metrics(
    pages: Sequence[Page], *, engine: str, source: str, served_as: Sequence[str] = (), time_zone: str = "UTC"
) -> EngineReading:
    """What the engine's series say of the one model that is assessed. Raises UnreadableInput when they say nothing.

    Pages may come from several instances: histograms, counters and requests add up, cache use is averaged. Of several
    models in them the one named like `served_as` is taken, else the one with the most requests.
    """
    names = ENGINES[engine]
    known = known_names(engine)
    pages, findings = _each_process_once(pages)
    everything = [one for page in pages for one in page.series]
    own = [one for one in everything if canonical(one.name) in known]
    if not own:
        raise UnreadableInput(f"{source}: holds no metrics of {engine}: {_what_else(everything)}")
    model, said = _choose_model(own, names, source, served_as)
    findings = [finding for page in pages for finding in page.findings] + findings + said
    chosen = [one for one in own if _is_of(one, names, model)]
    over_time = [one for page in pages for one in page.over_time if canonical(one.name) in known]
    over_time = [one for one in over_time if _is_of(one, names, model)]
    span = covered(pages)
    seconds = span[1] - span[0] if span else None
    figures: dict[str, Quantiles] = {}
    counted: dict[str, Distribution | None] = {}
    for field, short in SHORT.items():
        counted[field] = Distribution.of(chosen, getattr(names, field), names, window(pages))
        figures[field], seen = quantiles(short, counted[field], source, names.absent.get(field, ""))
        findings += seen if field != "queue" else []
    kv_cache_use, seen = _kv_cache_use(chosen, names, source)
    metrics = EngineMetrics(
        source=source,
        engine=engine,
        window=window(pages),
        ttft_ms=figures["ttft"],
        tpot_ms=figures["tpot"],
        latency_ms=figures["latency"],
        queue_ms=figures["queue"] if counted["queue"] else None,
        running=_gauge(chosen, names.running, "requests", source),
        waiting=_gauge(chosen, names.waiting, "requests", source),
        kv_cache_use=kv_cache_use,
        requests_per_s=_rate(chosen, names.requests, (), "requests/s", seconds, source),
        input_tokens_per_s=_rate(chosen, names.input_tokens, names.input_rate, "tokens/s", seconds, source),
        output_tokens_per_s=_rate(chosen, names.output_tokens, names.output_rate, "tokens/s", seconds, source),
        by_hour=hours.of_engine(over_time, names, time_zone),
    )
    findings += seen
    if "since" in metrics.window and any(figures[field].p50.value is not None for field in SHORT):
        findings.append(_since_start(metrics))
    return EngineReading(metrics, model, findings)


def _since_start(metrics: EngineMetrics) -> Finding:
    return Finding(
        severity="info",
        code="metrics-since-start",
        seen="the histograms count since the engine started: no rate() over a time",
        where=metrics.source,
        means="the quantiles mix quiet and busy hours; those of a busy hour may be worse",
        remedy="give prometheus: {url: …}, which answers for each hour, or save /metrics after the busy hours",
    )


def _is_of(series: Series, names: EngineNames, model: str) -> bool:
    return names.model_label is None or series.labels.get(names.model_label, model) == model


def _what_else(series: Sequence[Series]) -> str:
    others = engines_in(series)
    if others:
        return f"they are of {', '.join(others)}; correct serving.engine"
    if any(one.name.startswith(("DCGM_", "dcgm_", "nvidia_smi_", "node_")) for one in series):
        return "they are of the machines and their GPUs; name the file under cluster.metrics"
    return "none of those that Ferry knows"


def _each_process_once(pages: Sequence[Page]) -> tuple[list[Page], list[Finding]]:
    """One process that was saved twice counts once: the same start to the millisecond is the same process."""
    by_start: dict[float, Page] = {}
    kept: list[Page] = []
    findings: list[Finding] = []
    for page in pages:
        starts = [one.last for one in page.series if one.name == "process_start_time_seconds" and page.kind == "page"]
        before = by_start.get(starts[0]) if len(starts) == 1 else None
        if len(starts) == 1:
            by_start[starts[0]] = page
        if before is not None:
            later, earlier = (page, before) if _size(page) >= _size(before) else (before, page)
            kept.remove(before)
            by_start[starts[0]] = later
            kept.append(later)
            findings.append(
                Finding(
                    severity="warning",
                    code="metrics-of-one-process-twice",
                    seen=f"{earlier.file} and {later.file} are of one process, started at {starts[0]:.3f}",
                    where=later.file,
                    means=f"its requests would count twice: only {later.file}, the later one, is used",
                    remedy="save one page for each instance of the engine",
                )
            )
        else:
            kept.append(page)
    return kept, findings


def _size(page: Page) -> float:
    return sum(one.last for one in page.series if one.name.endswith("_count"))


def _choose_model(
    series: Sequence[Series], names: EngineNames, source: str, served_as: Sequence[str]
) -> tuple[str, list[Finding]]:
    if names.model_label is None:
        return "", []
    requests: dict[str, float] = defaultdict(float)
    counts = {metric.name for metric in names.requests} | {f"{metric.name}_count" for metric in names.ttft}
    by_name: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for one in series:
        if model := one.labels.get(names.model_label):
            requests[model] += 0.0
            if canonical(one.name) in counts and one.counted() > 0:
                by_name[model][canonical(one.name)] += one.counted()
    if not requests:
        return "", []
    for model, counted in by_name.items():
        requests[model] = max(counted.values())
    wanted = {name.casefold() for name in served_as}
    named = [name for name in requests if {name.casefold(), name.rpartition("/")[2].casefold()} & wanted]
    # Triton runs one request through several models of its repository: the ensemble sees the whole of it.
    whole = [name for name in requests if name in ("ensemble", "tensorrt_llm_bls")]
    model = named[0] if len(named) == 1 else max(requests, key=lambda name: (requests[name], name in whole))
    if len(requests) == 1:
        return model, []
    shown = {name: f"{name} ({requests[name]:g} requests)" if by_name else name for name in requests}
    others = ", ".join(said for name, said in shown.items() if name != model)
    return model, [
        Finding(
            severity="warning",
            code="metrics-of-several-models",
            seen=f"{names.model_label} {shown[model]}, and also {others}",
            where=source,
            means=f"only {model} is assessed: latencies of different models do not add up to one service",
            remedy="list each model as a service of its own under serving, or save /metrics of one engine",
        )
    ]


def _kv_cache_use(series: Sequence[Series], names: EngineNames, source: str) -> tuple[Figure, list[Finding]]:
    figure = _gauge(series, names.kv_cache_use, "share", source, average=True)
    blocks = {
        kind: Metric("nv_trt_llm_kv_cache_block_metrics", where=(("kv_cache_block_type", kind),)).of(series)
        for kind in ("used", "max")
    }
    used, most = (sum(one.last for one in blocks[kind]) for kind in ("used", "max"))
    reason = ""
    if figure.value is not None and not 0 <= figure.value <= 1:
        reason = f"the share of the KV cache in use is {figure.value:g}, where 0 to 1 is possible"
    elif figure.value is not None and most > 0 and abs(used / most - figure.value) > 0.05:
        reason = f"fraction is {figure.value:g}, used / max is {used:g} / {most:g} = {used / most:.4g}"
    if not reason:
        return figure, []
    return unknown("share", f"{figure.source}: {reason}"), [
        Finding(
            severity="warning",
            code="kv-cache-use-contradicts",
            seen=reason,
            where=figure.source,
            means="how full the KV cache is, is unknown",
            remedy="save the page again; if it says the same, look at the engine's own log",
        )
    ]


def _gauge(
    series: Sequence[Series], candidates: Sequence[Metric], unit: str, source: str, *, average: bool = False
) -> Figure:
    for metric in candidates:
        own = [one for one in metric.of(series) if all(_is_number(point.value) for point in one.points)]
        if not own:
            if metric.of(series):
                return unknown(unit, f"{source}: {metric.name} is not a number")
            continue
        points = totals(own, average=average)
        value = fmean(point.value for point in points) * metric.scale
        when = f"mean of {len(points)} times" if len(points) > 1 else "at one moment"
        if any(one.file.startswith("query ") for one in own):
            when = "mean over the window"
        if value < 0:
            return unknown(unit, f"{places(own)}: {metric.name} is {value:g}, below 0")
        return measured(value, unit, f"{places(own)}: {metric.name}, {when}")
    missing = candidates[0].name if candidates else "a metric of it"
    return unknown(unit, f"{source}: {missing} is missing")


def _rate(
    series: Sequence[Series],
    counters: Sequence[Metric],
    gauges: Sequence[Metric],
    unit: str,
    seconds: float | None,
    source: str,
) -> Figure:
    """A counter's growth per second; where the page has no times, the engine's own gauge of it."""
    for metric in counters:
        own = [one for one in metric.of(series) if len(one.points) > 1 or one.step_s is not None]
        if own and seconds:
            value = sum(one.counted() for one in own) / seconds
            if _is_number(value) and value >= 0:
                return measured(value, unit, f"{places(own)}: {metric.name}")
    if gauges and any(metric.of(series) for metric in gauges):
        return _gauge(series, gauges, unit, source)
    counted = [one for metric in counters for one in metric.of(series)]
    why = "counts since the start of the process, and no time" if counted else "no counter of it"
    return unknown(unit, f"{places(counted) or source}: {why}")


def _is_number(value: float) -> bool:
    return abs(value) < float("inf")
