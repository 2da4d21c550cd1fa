"""What Ferry asks a live server, for one service and for the servers: the PromQL, and its answers as a page.

Totals come from `increase` over the whole window, the hours of the day from `increase` over one hour each. Quantiles
are computed here from the buckets, so that one that lies above the highest bucket is seen.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from ferry.artefacts import Finding
from ferry.assess.prometheus import cluster
from ferry.assess.prometheus.engines import ENGINES, PARTS, EngineNames, Metric, canonical, engines_in
from ferry.assess.prometheus.faults import FAULTS
from ferry.assess.prometheus.series import Page, Point, Series
from ferry.assess.prometheus.server import TIMEOUT_S, Access, Client
from ferry.errors import UnreadableInput

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
FULL_COVER = 0.9
FINE_STEP_UP_TO_DAYS = 7


def ask_engine(
    access: Access,
    engine: str,
    *,
    window_days: int = 1,
    now_s: float | None = None,
    timeout_s: float = TIMEOUT_S,
    environment: Mapping[str, str] = os.environ,
) -> Page:
    """The engine's metrics over the last days. Raises UnreadableInput or InvalidField."""
    end_s = time.time() if now_s is None else now_s
    names = ENGINES[engine]
    with Client(access, environment, timeout_s=timeout_s) as client:
        there = {canonical(name): name for name in sorted(client.names(end_s - window_days * DAY_S, end_s))}
        questions = _Questions(client, names, there, window_days, end_s)
        if not any(name in there for metric in names.metrics() for name in _parts(metric.name)):
            others = engines_in(Series(name, {}, [], access.url) for name in there)
            raise UnreadableInput(
                f"{access.url}: holds no metrics of {engine} in the last {window_days * 24} h; "
                + (f"it holds those of {', '.join(others)}: correct serving.engine" if others else "is it scraped?")
            )
        series, hourly = questions.series(), questions.hourly()
        findings = [*client.findings.values(), *_cover(hourly, access.url, window_days)]
    return Page(access.url, "server", series, hourly, findings, window_days * DAY_S, end_s)


def ask_cluster(
    access: Access,
    *,
    window_days: int = 1,
    now_s: float | None = None,
    timeout_s: float = TIMEOUT_S,
    environment: Mapping[str, str] = os.environ,
) -> Page:
    """The exporters' metrics of servers and GPUs over the last days, each minute or each five. Raises as above."""
    end_s = time.time() if now_s is None else now_s
    start_s = end_s - window_days * DAY_S
    step_s = _step_s(window_days)
    with Client(access, environment, timeout_s=timeout_s) as client:
        there = set(client.names(start_s, end_s))
        series: list[Series] = []
        for names in (cluster.UTILIZATION, cluster.POWER):
            for name in names:
                if name.name in there:
                    series += client.query_range(name.name, start_s, end_s, step_s)
        over_time = list(series)
        wanted = [name.name for name in cluster.MEMORY_USED] + ["nvidia_smi_gpu_info", *cluster.NODE]
        wanted += [fault.name for fault in FAULTS]
        for one in wanted:
            if one in there:
                series += client.query(_NARROW.get(one, one), end_s)
        if not series:
            raise UnreadableInput(
                f"{access.url}: holds no metrics of GPUs or servers in the last {window_days * 24} h; is dcgm-exporter "
                "or node_exporter scraped?"
            )
        findings = [*client.findings.values(), *_cover(over_time, access.url, window_days)]
    return Page(access.url, "server", series, findings=findings)


_NARROW = {"node_cpu_seconds_total": 'node_cpu_seconds_total{mode="idle"}'}


class _Questions:
    """The queries of one engine. `there` maps an engine's own spelling of a name to the server's."""

    def __init__(
        self, client: Client, names: EngineNames, there: Mapping[str, str], window_days: int, end_s: float
    ) -> None:
        self.client, self.names, self.there, self.end_s = client, names, there, end_s
        self.window_days = window_days
        self.by = names.model_label

    def series(self) -> list[Series]:
        """All of the window at once."""
        window = f"{self.window_days}d"

        def ask(promql: str) -> list[Series]:
            return self.client.query(promql, self.end_s)

        found = self._distributions(ask, window)
        for counters in (self.names.requests, self.names.input_tokens, self.names.output_tokens):
            # A histogram's sum serves as a counter of tokens: it is asked for by its own name.
            for metric in self._first(counters, whole=True):
                asked = self._counter(ask, metric.name, window)
                found += [replace(one, step_s=self.window_days * DAY_S) for one in asked]
        return found + self._gauges(ask, window, f"{_step_s(self.window_days):g}s")

    def hourly(self) -> list[Series]:
        """Each full hour of the window by itself."""
        end_s = self.end_s - self.end_s % HOUR_S
        start_s = end_s - (self.window_days * 24 - 1) * HOUR_S

        def ask(promql: str) -> list[Series]:
            return self.client.query_range(promql, start_s, end_s, HOUR_S)

        added = self._distributions(ask, "1h")
        for counters in (self.names.requests, self.names.input_tokens, self.names.output_tokens):
            for metric in self._first(counters, whole=True):
                added += self._counter(ask, metric.name, "1h")
        # A mean over the hour that ends at a time is of the hour before it.
        means = [
            replace(one, points=[Point((at or 0.0) - HOUR_S / 2, value) for at, value in one.points])
            for one in self._gauges(ask, "1h", "60s")
        ]
        return [replace(one, step_s=HOUR_S) for one in added] + means

    def _distributions(self, ask: Callable[[str], list[Series]], window: str) -> list[Series]:
        found: list[Series] = []
        for candidates in (self.names.ttft, self.names.tpot, self.names.latency, self.names.queue):
            for metric in self._first(candidates):
                for suffix in ("_bucket", "_sum", "_count"):
                    if metric.name + suffix in self.there:
                        found += self._counter(ask, metric.name + suffix, window)
                if metric.name in self.there and f"{metric.name}_count" in self.there and window != "1h":
                    # A summary: its quantiles are of its own sliding window.
                    found += self._named(ask(self.there[metric.name]), metric.name)
                elif metric.name in self.there and f"{metric.name}_count" not in self.there:
                    found += self._counter(ask, metric.name, window)
        return found

    def _counter(self, ask: Callable[[str], list[Series]], name: str, window: str) -> list[Series]:
        by = ", ".join(label for label in ("le" if name.endswith("_bucket") else None, self.by) if label)
        return self._named(ask(f"sum by ({by}) (increase({self.there[name]}[{window}]))"), name)

    def _gauges(self, ask: Callable[[str], list[Series]], window: str, step: str) -> list[Series]:
        found: list[Series] = []
        for candidates, how in (
            (self.names.running, "sum"),
            (self.names.waiting, "sum"),
            (self.names.kv_cache_use, "avg"),
        ):
            for metric in self._first(candidates, whole=True):
                where = ",".join([*(f'{key}="{value}"' for key, value in metric.where), 'priority=""'])
                once = f"max without ({', '.join(PARTS)}) ({self.there[metric.name]}{{{where}}})"
                asked = ask(f"avg_over_time({how} by ({self.by or ''}) ({once})[{window}:{step}])")
                found += [
                    replace(one, labels={**one.labels, **dict(metric.where)}) for one in self._named(asked, metric.name)
                ]
        return found

    def _named(self, series: Iterable[Series], name: str) -> list[Series]:
        return [replace(one, name=name) for one in series]

    def _first(self, candidates: Iterable[Metric], *, whole: bool = False) -> list[Metric]:
        """The first that the server has (`whole`: by its own name, not as a histogram's parts), as a list."""
        names = {one: (one.name,) if whole else _parts(one.name) for one in candidates}
        return [one for one, own in names.items() if any(name in self.there for name in own)][:1]


def _parts(name: str) -> tuple[str, ...]:
    return (name, f"{name}_bucket", f"{name}_count")


def _step_s(window_days: int) -> float:
    return 60.0 if window_days <= FINE_STEP_UP_TO_DAYS else 300.0


def _cover(series: Iterable[Series], url: str, window_days: int) -> list[Finding]:
    """Whether the server's values cover the time that was asked for."""
    times = [at for one in series for at, _ in one.points if at is not None]
    reach_s = max(times) - min(times) if times else 0.0
    if reach_s >= FULL_COVER * window_days * DAY_S:
        return []
    return [
        Finding(
            severity="warning",
            code="prometheus-window-not-covered",
            seen=f"the values reach over {reach_s / HOUR_S:.1f} of {window_days * 24} h",
            where=url,
            means="the hours without values are unknown; sums and means are of the others",
            remedy="ask again when the server has scraped for long enough, or lengthen its retention",
        )
    ]
