"""Where the best batch limit lies: one instance that always has requests waiting, at 1, 2, 4, … 256 sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ferry.artefacts import BatchPoint
from ferry.planning.quantile import quantile
from ferry.planning.replay.case import Case
from ferry.simulation.engine import simulate
from ferry.simulation.fleet import FleetSettings
from ferry.simulation.workload import Workload

LIMITS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
REQUESTS_PER_SEQUENCE = 8
"""So that filling and emptying the batch, which no steady engine does, count little."""
FEWEST_REQUESTS = 64
WORTH_DOUBLING = 1.10
"""A limit twice as large has to serve a tenth more: the answers that share it all become slower."""


def batch_limits(case: Case, progress: Callable[[int, int], None] = lambda done, of: None) -> list[BatchPoint]:
    """Each limit, with requests of the trace, all waiting from the start; `progress` after each."""
    points = []
    for done, limit in enumerate(LIMITS):
        points.append(_point(case, limit))
        progress(done + 1, len(LIMITS))
    return points


def best(points: list[BatchPoint], tpot_slo_ms: float | None) -> int:
    """The largest limit that keeps the promised pace and serves 10 % more than the one of half the size."""
    chosen = points[0]
    for point in points[1:]:
        keeps = tpot_slo_ms is None or point.tpot_p99_ms is None or point.tpot_p99_ms <= tpot_slo_ms
        if not keeps or point.requests_per_s < WORTH_DOUBLING * chosen.requests_per_s:
            break
        chosen = point
    return chosen.max_sequences


def _point(case: Case, limit: int) -> BatchPoint:
    count = max(FEWEST_REQUESTS, REQUESTS_PER_SEQUENCE * limit)
    # Evenly from the whole trace, so that no hour of it decides.
    chosen = np.linspace(0, len(case.workload) - 1, count).astype(np.int64)
    source = case.workload
    fits = source.input_tokens[chosen] + source.output_tokens[chosen] <= (case.replica.max_model_len or 2**31)
    chosen = chosen[fits]
    workload = Workload(
        arrival_s=np.zeros(len(chosen)),
        input_tokens=source.input_tokens[chosen],
        output_tokens=source.output_tokens[chosen],
        cached_tokens=None if source.cached_tokens is None else source.cached_tokens[chosen],
    )
    budget = max(case.replica.max_batched_tokens, limit)
    result = simulate(
        workload,
        replace(case.replica, max_sequences=limit, max_batched_tokens=budget),
        FleetSettings(initial_instances=1),
    )
    served = ~result.refused
    gaps = result.tpot_s[np.isfinite(result.tpot_s)]
    in_batch_s = float((result.last_token_s - result.first_token_s)[served].sum())
    return BatchPoint(
        max_sequences=limit,
        requests_per_s=float(served.sum()) / result.end_s,
        output_tokens_per_s=float(workload.output_tokens[served].sum()) / result.end_s,
        tpot_p99_ms=quantile(gaps, 0.99) * 1000 if len(gaps) else None,
        running_mean=in_batch_s / result.end_s,
        preemptions=result.preemptions,
    )
