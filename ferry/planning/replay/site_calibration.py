"""How much faster or slower the site's own engine is than its hardware's figures say, from its measured metrics.

The site's requests are simulated on one engine of the site, at the rate that its metrics show; the coefficients of its
iterations are scaled until means and quantiles of TTFT, TPOT and latency are those that were measured. The same factors
then hold for the same engine on the plan's hardware: what is left out is how engines differ between accelerators.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from datetime import date

import numpy as np

from ferry.artefacts import Cluster, EngineMetrics, Quantiles, Serving
from ferry.catalog import accelerators
from ferry.catalog.instance_types import InstanceType
from ferry.errors import InvalidField
from ferry.planning import memory
from ferry.planning.demand import demand
from ferry.planning.engines import planned
from ferry.planning.iteration_time import iteration_time
from ferry.planning.memory import Misfit
from ferry.planning.roofline import Roofline
from ferry.simulation.calibration import Calibration, calibrate_to_figures
from ferry.simulation.calibration_errors import Figures
from ferry.simulation.iteration_time import IterationTime
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.workload import Workload

MOST_REQUESTS = 2000
"""Each trial of the fit simulates them all."""
SITE_SEQUENCES = 256
"""`--max-num-seqs` of an engine of which nobody says it: vLLM's default on large accelerators."""
PLAUSIBLE = 4.0
"""A factor beyond this is no property of an engine: the metrics are of another model, or of other hardware."""
_METRICS = {"ttft": "ttft_ms", "tpot": "tpot_ms", "latency": "latency_ms"}
_FIGURES = ("mean", "p50", "p95", "p99")


@dataclass(frozen=True)
class SiteCalibration:
    """Factors on the coefficients, in their order. Without `calibration`, the notes say why there is none."""

    factors: tuple[float, ...]
    calibration: Calibration | None
    notes: tuple[str, ...]

    def applied(self, replica: ReplicaSettings) -> ReplicaSettings:
        """The replica with its iterations scaled."""
        scaled = (value * factor for value, factor in zip(astuple(replica.iteration_time), self.factors, strict=True))
        return replace(replica, iteration_time=IterationTime(**dict(zip(_NAMES, scaled, strict=True))))


_NAMES = tuple(IterationTime.__dataclass_fields__)
_UNCHANGED = (1.0,) * len(_NAMES)


NOT_CALIBRATED = SiteCalibration(_UNCHANGED, None, ())


def calibrate_to_site(
    serving: Serving, cluster: Cluster | None, workload: Workload, block_tokens: int
) -> SiteCalibration:
    """Fit the site's engine to its metrics; without them, or where they cannot be this model's, say so in a note."""
    uncalibrated = "iterations take what the hardware's figures give, not calibrated to the site"
    if serving.metrics is None:
        return _none(f"{uncalibrated}: it has no engine metrics (serving.metrics in site.yaml)")
    wanted = _figures(serving.metrics)
    rate = _rate(serving.metrics)
    replica = _site_replica(serving, cluster, block_tokens) if cluster else None
    if not wanted or rate is None or replica is None:
        missing = "times" if not wanted else "rate" if rate is None else "accelerator that holds the model"
        return _none(f"{uncalibrated}: no {missing} of its engine is known")
    try:
        calibration = calibrate_to_figures(wanted, _at_rate(workload, rate, replica), replica)
    except InvalidField as error:
        return _none(f"{uncalibrated}: {error}")
    pairs = zip(astuple(calibration.iteration_time), astuple(replica.iteration_time), strict=True)
    factors = tuple(fitted / start if start else 1.0 for fitted, start in pairs)
    worst = max(factors, key=lambda factor: abs(np.log(factor)))
    largest = max(calibration.errors, key=lambda error: abs(error.relative))
    if not 1 / PLAUSIBLE <= worst <= PLAUSIBLE:
        return _none(
            f"{uncalibrated}: its metrics ({serving.metrics.source}) need a factor of {worst:.2g}, so they are of "
            "another model or of other hardware"
        )
    host, reading, computing = factors[0], factors[1], factors[2]
    return SiteCalibration(
        factors,
        calibration,
        (
            f"iterations are calibrated to {serving.metrics.source}, at {rate:.2f} requests/s on one engine: host "
            f"{host:.2f}, memory {reading:.2f}, arithmetic {computing:.2f} times what the hardware's figures give; "
            f"largest error {largest.metric} {largest.figure} {largest.relative:+.0%}",
            *calibration.cautions,
        ),
    )


def _none(note: str) -> SiteCalibration:
    return SiteCalibration(_UNCHANGED, None, (note,))


def _figures(metrics: EngineMetrics) -> Figures:
    found: Figures = {}
    for metric, name in _METRICS.items():
        quantiles: Quantiles = getattr(metrics, name)
        for figure in _FIGURES:
            value = getattr(quantiles, figure).value
            if value:
                found[metric, figure] = value / 1000  # type: ignore[index]
    return found


def _rate(metrics: EngineMetrics) -> float | None:
    """Requests/s: as counted, else by Little's law from those that run and how long they take."""
    if metrics.requests_per_s is not None and metrics.requests_per_s.value:
        return metrics.requests_per_s.value
    running, latency = metrics.running.value, metrics.latency_ms.mean.value
    return running / (latency / 1000) if running and latency else None


def _site_replica(serving: Serving, cluster: Cluster, block_tokens: int) -> ReplicaSettings | None:
    """One engine on as few of a server's accelerators as hold the model; None where none is known to."""
    accelerator = accelerators.recognise(cluster.accelerator_seen or "") or accelerators.recognise(cluster.accelerator)
    if accelerator is None:
        return None
    tokens = demand(serving)
    width = 1
    while width <= cluster.gpus_per_node:
        server = InstanceType(
            name="the site's server",
            vcpus=1,
            memory_gib=1,
            accelerator=accelerator,
            accelerators=width,
            accelerator_memory_gib=accelerator.memory_gb,
            network_mbps=0,
            efa_interfaces=0,
            local_nvme_gb=0,
            as_of=date.today(),  # noqa: DTZ011  (of no price)
            source="site.yaml",
        )
        placed = memory.fit(serving.model, planned(serving.engine), server, tokens.max_model_tokens)
        if not isinstance(placed, Misfit) and placed.tensor_parallel == width:
            roofline = Roofline(serving.model, server, width, tokens.tokens)
            return ReplicaSettings(
                iteration_time=iteration_time(roofline, SITE_SEQUENCES),
                max_sequences=SITE_SEQUENCES,
                max_batched_tokens=max(memory.tokens_per_step(server), SITE_SEQUENCES),
                kv_blocks=max(1, placed.kv_tokens // block_tokens),
                block_tokens=block_tokens,
            )
        width *= 2
    return None


def _at_rate(workload: Workload, rate: float, replica: ReplicaSettings) -> Workload:
    """The first requests that fit the engine, at that many a second, with the trace's own ups and downs."""
    fits = workload.input_tokens + workload.output_tokens <= replica.kv_blocks * replica.block_tokens
    chosen = np.flatnonzero(fits)[:MOST_REQUESTS]
    if len(chosen) < 2:
        raise InvalidField(f"{len(chosen)} of the trace's requests fit the site's engine")
    arrival = workload.arrival_s[chosen] - workload.arrival_s[chosen[0]]
    if not arrival[-1]:
        raise InvalidField("the trace's requests all come at once")
    return Workload(
        arrival_s=arrival * ((len(chosen) / rate) / arrival[-1]),
        input_tokens=workload.input_tokens[chosen],
        output_tokens=workload.output_tokens[chosen],
        cached_tokens=None if workload.cached_tokens is None else workload.cached_tokens[chosen],
    )
