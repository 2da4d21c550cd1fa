"""How far a simulation is from what was measured, figure by figure, and what is not to be relied on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ferry.simulation.measured_requests import MeasuredRequests, ServingTimes
from ferry.simulation.workload import Floats

Metric = Literal["ttft", "tpot", "latency"]
Figure = Literal["mean", "p50", "p90", "p95", "p99"]
Part = Literal["fitted", "held out"]
Figures = Mapping[tuple[Metric, Figure], float]
"""Means and quantiles in seconds."""

METRICS: tuple[Metric, ...] = ("ttft", "tpot", "latency")
FIGURES: tuple[Figure, ...] = ("mean", "p50", "p90", "p99")

TOLERATED: Mapping[Metric, Mapping[Figure, float]] = {
    "ttft": {"mean": 0.10, "p90": 0.10, "p95": 0.10, "p99": 0.10},
    "tpot": {"mean": 0.05, "p50": 0.05, "p90": 0.05, "p95": 0.05, "p99": 0.08},
    "latency": {"mean": 0.05, "p50": 0.05, "p90": 0.05, "p95": 0.05, "p99": 0.08},
}
"""Relative errors that a good calibration stays within; a larger one is a caution."""

SATURATED_TPOTS = 20
"""A typical request that waits for its first token as long as for so many others has waited in a queue."""


@dataclass(frozen=True, kw_only=True)
class CalibrationError:
    """One figure of one metric, measured and predicted, in seconds, of the requests fitted or of those held out."""

    metric: Metric
    figure: Figure
    part: Part
    measured_s: float
    predicted_s: float

    @property
    def relative(self) -> float:
        """(predicted - measured) / measured."""
        return self.predicted_s / self.measured_s - 1

    @property
    def tolerated(self) -> float | None:
        """The relative error up to which this figure is good; None when nothing is promised for it."""
        return TOLERATED[self.metric].get(self.figure)

    @property
    def is_within(self) -> bool:
        """Whether the error is tolerated."""
        return self.tolerated is None or abs(self.relative) <= self.tolerated


def of_metric(times: ServingTimes, metric: Metric) -> Floats:
    """The times of that metric, N."""
    return {"ttft": times.ttft_s, "tpot": times.tpot_s, "latency": times.latency_s}[metric]


def figures_of(times: ServingTimes, part: NDArray[np.bool_], figures: tuple[Figure, ...] = FIGURES) -> Figures:
    """Means and quantiles of the requests in `part` (a mask of N). A metric that none of them has is left out."""
    found: dict[tuple[Metric, Figure], float] = {}
    for metric in METRICS:
        values = of_metric(times, metric)[part]
        values = values[np.isfinite(values)]
        for figure in figures if len(values) else ():
            quantile = values.mean() if figure == "mean" else np.percentile(values, float(figure.removeprefix("p")))
            found[metric, figure] = float(quantile)
    return found


def compare(measured: Figures, predicted: Figures, part: Part) -> tuple[CalibrationError, ...]:
    """One error for each measured figure."""
    return tuple(
        CalibrationError(
            metric=metric, figure=figure, part=part, measured_s=value, predicted_s=predicted[metric, figure]
        )
        for (metric, figure), value in measured.items()
    )


def poor(errors: tuple[CalibrationError, ...]) -> tuple[str, ...]:
    """A sentence for each error that is not tolerated."""
    return tuple(
        f"{error.part}: {error.metric} {error.figure} is off by {error.relative:+.1%} ({error.predicted_s:.4g} for "
        f"{error.measured_s:.4g} s), more than the {error.tolerated:.0%} that are tolerated"
        for error in errors
        if not error.is_within
    )


def extrapolated(
    measured: MeasuredRequests, truth: ServingTimes, fitted: NDArray[np.bool_], max_sequences: int
) -> tuple[str, ...]:
    """What the fitted requests never met: batches as large as allowed, a low load, prompts as long as the others'."""
    cautions = []
    largest = _most_at_once(measured.first_token_s[fitted], measured.last_token_s[fitted])
    if largest < max_sequences:
        cautions.append(f"batches over {largest} sequences were not fitted: up to {max_sequences} is extrapolated")
    longest, other = (int(measured.workload.input_tokens[part].max(initial=0)) for part in (fitted, ~fitted))
    if other > longest:
        cautions.append(f"prompts over {longest} tokens were not fitted: up to {other} is extrapolated")
    waited, step = float(np.median(truth.ttft_s[fitted])), float(np.nanmedian(truth.tpot_s[fitted]))
    if waited > SATURATED_TPOTS * step:
        cautions.append(
            f"half of the requests waited {waited:.1f} s or more: the first token at low load is extrapolated"
        )
    return tuple(cautions)


def _most_at_once(since: Floats, until: Floats) -> int:
    """The most intervals that hold at one time; one that ends when another begins is counted first."""
    times = np.concatenate([since, until])
    changes = np.concatenate([np.ones(len(since)), -np.ones(len(until))])
    order = np.lexsort((changes, times))
    return int(np.cumsum(changes[order]).max())
