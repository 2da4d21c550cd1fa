"""Fits the coefficients of an iteration's time to what a real engine measured, and says how well they predict.

The whole run is simulated with trial coefficients, since what a request meets depends on those before it; the first
part of the requests decides the coefficients, and the rest is predicted. With only a Prometheus server's quantiles of
a run, the coefficients are scaled in three groups, after what they stand for.

Hits in a prefix cache are no coefficient: in the measured times they look like faster prompts, and `per_token` takes
them in. Where the engine counts them, they belong to the workload that is simulated (`cached_tokens`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, fields, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ferry.errors import InvalidField
from ferry.simulation.calibration_errors import (
    METRICS,
    CalibrationError,
    Figures,
    Metric,
    compare,
    extrapolated,
    figures_of,
    of_metric,
    poor,
)
from ferry.simulation.engine import simulate
from ferry.simulation.fleet import FleetSettings
from ferry.simulation.iteration_time import IterationTime
from ferry.simulation.measured_requests import MeasuredRequests, ServingTimes, serving_times
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.workload import Floats, Workload

ONE_INSTANCE = FleetSettings(initial_instances=1)
FEWEST_REQUESTS = 10
ROBUST_FROM = 0.1
"""Relative errors of single requests count squared up to about here and linearly beyond (soft L1)."""
PRIOR_WEIGHT = 0.01
"""A coefficient that is a factor of e away from where it started weighs as much as an error of 1 % everywhere.

It decides only what the measurements leave open: in pure decoding, `fixed` and `weights` cannot be told apart.
"""
CACHE_FACTORS = (0.95, 1.05, 0.9, 1.1, 0.85, 1.15, 0.8, 1.2)
CACHE_GAIN = 0.98
"""Another size of the cache has to fit better by 2 %: less is noise."""
STEPS = (0.3, 0.1, 0.03, 0.01)
"""Steps of finite differences, in logarithms of coefficients. The simulation jumps where an iteration more or less
fits in, so that coarse fits, which look over the jumps, come first."""
EVALUATIONS = 30
"""The most trials of each fit, each with a simulation for each coefficient."""

TOLERANCE = 1e-4
"""Relative change of coefficients or of the sum of squares at which a fit ends."""

NAMES = tuple(field.name for field in fields(IterationTime))
GROUPS = np.array(
    [
        [name in group for name in NAMES]
        for group in (
            {"fixed", "per_sequence"},
            {"weights", "per_cached_token"},
            {"per_token", "per_attention_pair"},
        )
    ],
    dtype=np.float64,
)
"""Coefficients that aggregates scale together, 3 x 6: the host's, the memory's, the arithmetic's."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Fitted coefficients, their errors, and what to be careful with."""

    iteration_time: IterationTime
    kv_blocks: int
    """With which the fit was made."""
    misfit: float
    """Root of the sum of squares that the fit made as small as possible; about the relative error where it fitted."""
    errors: tuple[CalibrationError, ...]
    cautions: tuple[str, ...]


def calibrate(
    measured: MeasuredRequests,
    replica: ReplicaSettings,
    *,
    fleet: FleetSettings = ONE_INSTANCE,
    fitted: NDArray[np.bool_] | None = None,
) -> Calibration:
    """Fit all coefficients to the `fitted` requests (a mask of N; by default the first half by arrival).

    The fit starts from `replica.iteration_time`, which the hardware's roofline gives. Raises InvalidField when fewer
    than 10 requests are to be fitted, or a coefficient starts from 0.
    """
    fitted = np.arange(len(measured)) < len(measured) // 2 if fitted is None else fitted
    if fitted.sum() < FEWEST_REQUESTS:
        raise InvalidField(f"calibration: {fitted.sum()} requests to fit; at least {FEWEST_REQUESTS} are needed")
    truth = measured.serving_times()
    wanted = figures_of(truth, fitted)

    def predict(time: IterationTime) -> ServingTimes:
        return _predict(measured.workload, replica, fleet, time)

    def residuals(time: IterationTime) -> Floats:
        times = predict(time)
        single = [_single(times, truth, metric, fitted) for metric in METRICS]
        return np.concatenate([*single, _together(figures_of(times, fitted), wanted)])

    time, misfit = _fit(residuals, replica.iteration_time, np.eye(len(NAMES)))
    times = predict(time)
    errors = compare(wanted, figures_of(times, fitted), "fitted")
    errors += compare(figures_of(truth, ~fitted), figures_of(times, ~fitted), "held out")
    return Calibration(
        iteration_time=time,
        kv_blocks=replica.kv_blocks,
        misfit=misfit,
        errors=errors,
        cautions=poor(errors) + extrapolated(measured, truth, fitted, replica.max_sequences),
    )


def calibrate_with_unknown_cache(
    measured: MeasuredRequests, replica: ReplicaSettings, *, fitted: NDArray[np.bool_] | None = None
) -> Calibration:
    """Like `calibrate`, where `replica.kv_blocks` is an estimate: the size that fits best, of some around it, is taken.

    A cache that is never full tells nothing of its size; the estimate then stays. Raises InvalidField as `calibrate`.
    """
    best = calibrate(measured, replica, fitted=fitted)
    for factor in CACHE_FACTORS:
        other = replace(replica, kv_blocks=round(replica.kv_blocks * factor))
        longest = measured.workload.input_tokens + measured.workload.output_tokens
        if -(-int(longest.max()) // other.block_tokens) > other.kv_blocks:
            continue
        trial = calibrate(measured, other, fitted=fitted)
        if trial.misfit < best.misfit * CACHE_GAIN:
            best = trial
    return best


def calibrate_to_figures(
    wanted: Figures, workload: Workload, replica: ReplicaSettings, *, fleet: FleetSettings = ONE_INSTANCE
) -> Calibration:
    """Scale the coefficients in three groups until a trace's simulation has the measured means and quantiles (in s).

    Nothing is held out: the errors say how well the figures are met, not how well others are predicted. Raises
    InvalidField without a figure, or when a coefficient starts from 0.
    """
    if not wanted:
        raise InvalidField("calibration: no figure of TTFT, TPOT or latency is given; at least one is needed")
    everything = np.ones(len(workload), dtype=np.bool_)
    figures = tuple(dict.fromkeys(figure for _, figure in wanted))

    def predict(time: IterationTime) -> Figures:
        return figures_of(_predict(workload, replica, fleet, time), everything, figures)

    time, misfit = _fit(lambda time: _together(predict(time), wanted), replica.iteration_time, GROUPS)
    errors = compare(wanted, predict(time), "fitted")
    caution = "fitted to aggregates of all requests: nothing was held out to check the prediction"
    return Calibration(
        iteration_time=time,
        kv_blocks=replica.kv_blocks,
        misfit=misfit,
        errors=errors,
        cautions=(*poor(errors), caution),
    )


def errors_without_fit(
    measured: MeasuredRequests, replica: ReplicaSettings, *, fleet: FleetSettings = ONE_INSTANCE
) -> tuple[CalibrationError, ...]:
    """What the replica's coefficients predict of all requests: for those that come from hardware figures alone."""
    everything = np.ones(len(measured), dtype=np.bool_)
    times = _predict(measured.workload, replica, fleet, replica.iteration_time)
    return compare(figures_of(measured.serving_times(), everything), figures_of(times, everything), "held out")


def _predict(workload: Workload, replica: ReplicaSettings, fleet: FleetSettings, time: IterationTime) -> ServingTimes:
    result = simulate(workload, replace(replica, iteration_time=time), fleet)
    if result.refused.any():
        raise InvalidField(
            f"calibration: {result.refused.sum()} of {len(workload)} measured requests do not fit the replica "
            f"({replica.kv_blocks} blocks of KV cache, max_model_len {replica.max_model_len}), but they were served; "
            "give the engine's real limits"
        )
    return serving_times(workload, result.first_token_s, result.last_token_s)


def _fit(
    residuals: Callable[[IterationTime], Floats], start: IterationTime, groups: Floats
) -> tuple[IterationTime, float]:
    """Least squares over logarithms of factors on `start`, one for each row of `groups` (factors x coefficients)."""
    initial = np.array(astuple(start))
    if not (initial > 0).all():
        raise InvalidField(f"calibration: starts from {start}; every coefficient must be more than 0 there")

    def at(factors: Floats) -> IterationTime:
        coefficients = initial * np.exp(factors @ groups)
        return IterationTime(**dict(zip(NAMES, coefficients.tolist(), strict=True)))

    def cost(factors: Floats) -> Floats:
        return np.concatenate([residuals(at(factors)), PRIOR_WEIGHT * factors])

    def slopes(step: float, factors: Floats) -> Floats:
        sides = step * np.eye(len(factors))
        return np.stack([(cost(factors + side) - cost(factors - side)) / (2 * step) for side in sides], axis=1)

    factors = np.zeros(len(groups))
    for step in STEPS:
        options = {"jac": partial(slopes, step), "max_nfev": EVALUATIONS, "xtol": TOLERANCE, "ftol": TOLERANCE}
        factors = least_squares(cost, factors, **options).x
    return at(factors), float(np.linalg.norm(cost(factors)))


def _single(times: ServingTimes, truth: ServingTimes, metric: Metric, part: NDArray[np.bool_]) -> Floats:
    """Errors of single requests, together as heavy as one figure's."""
    got, wanted = (of_metric(source, metric)[part] for source in (times, truth))
    known = np.isfinite(wanted) & (wanted > 0)
    error = np.log(got[known] / wanted[known]) / ROBUST_FROM
    robust: Floats = np.sign(error) * np.sqrt(2 * (np.sqrt(1 + error**2) - 1)) * ROBUST_FROM
    return robust / float(np.sqrt(max(1, known.sum())))


def _together(got: Figures, wanted: Figures) -> Floats:
    errors: Floats = np.log(np.array([got[key] / value for key, value in wanted.items()]))
    return errors / float(np.sqrt(len(wanted)))
