"""What one policy did with the requests: times, use, cost, energy."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from ferry.artefacts import Outcome, Slo, Spread
from ferry.cost.money import HOURS_PER_MONTH, cents
from ferry.planning.quantile import quantile
from ferry.planning.replay.case import Case
from ferry.simulation.flapping import reversals
from ferry.simulation.footprint import Footprint
from ferry.simulation.result import Result
from ferry.simulation.scaling_spec import ScalingSpec
from ferry.simulation.workload import Floats

HOUR_S = Decimal(3600)


def outcome(name: str, description: str, spec: ScalingSpec, case: Case, result: Result, used: Footprint) -> Outcome:
    """The figures of one simulation."""
    served = ~result.refused
    ttft, latency = spread(result.ttft_s[served]), spread(result.latency_s[served])
    gaps = result.tpot_s[np.isfinite(result.tpot_s)]
    tpot = spread(gaps) if len(gaps) else None
    cost = used.cost
    tokens = int(result.workload.input_tokens[served].sum()) + int(result.workload.output_tokens[served].sum())
    lifetime_s = float((result.instances.ended_s - result.instances.launched_s).sum())
    existing = result.periods.in_service + result.periods.pending + result.periods.draining
    return Outcome(
        policy=name,
        description=description,
        warnings=list(spec.warnings),
        requests=len(result.workload),
        refused=int(result.refused.sum()),
        retried=int((result.retries > 0).sum()),
        ttft_ms=ttft,
        tpot_ms=tpot,
        latency_ms=latency,
        keeps_promise=_keeps(case.plan.slo, ttft, tpot),
        utilization=result.utilisation,
        load=_mean(result.periods.load),
        waiting_mean=float(result.periods.waiting.mean()) if len(result.periods.waiting) else 0.0,
        waiting_max=int(result.periods.waiting.max(initial=0)),
        instances_mean=lifetime_s / result.end_s,
        instances_max=int(existing.max(initial=case.sizes.initial)),
        launched=len(result.instances.launched_s),
        flapping=reversals(result.periods.desired),
        preemptions=result.preemptions,
        cost=cents(cost),
        cost_per_month=cents(cost * HOURS_PER_MONTH * HOUR_S / Decimal(repr(result.end_s))),
        cost_per_million_tokens=cents(cost * 10**6 / tokens) if tokens else Decimal(0),
        kwh=used.kwh,
        gco2e=used.gco2e,
    )


def spread(seconds: Floats) -> Spread:
    """Mean and nearest-rank quantiles, in ms."""
    p50, p95, p99 = (quantile(seconds, share) * 1000 for share in (0.5, 0.95, 0.99))
    return Spread(mean=float(seconds.mean()) * 1000, p50=p50, p95=p95, p99=p99)


def _keeps(slo: Slo, ttft: Spread, tpot: Spread | None) -> bool | None:
    if slo.ttft_p99_ms is None and slo.tpot_p99_ms is None:
        return None
    first = slo.ttft_p99_ms is None or ttft.p99 <= slo.ttft_p99_ms
    return first and (slo.tpot_p99_ms is None or tpot is None or tpot.p99 <= slo.tpot_p99_ms)


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0
