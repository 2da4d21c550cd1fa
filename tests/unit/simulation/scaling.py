"""A group whose instances start, warm up and drain, for the tests of the autoscaler: one minute a step, no requests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from ferry.simulation.autoscaler import compile_spec, decide
from ferry.simulation.scaling_spec import (
    AdjustmentType,
    AlarmSpec,
    Comparison,
    MissingData,
    ScalingSpec,
    StepAdjustment,
    StepPolicy,
)


def alarm(
    comparison: Comparison,
    threshold: float,
    *,
    m: int = 1,
    n: int | None = None,
    period_seconds: int = 60,
    treat_missing_data: MissingData = "missing",
) -> AlarmSpec:
    return AlarmSpec(
        threshold=threshold,
        comparison=comparison,
        evaluation_periods=m if n is None else n,
        datapoints_to_alarm=m,
        period_seconds=period_seconds,
        treat_missing_data=treat_missing_data,
    )


def steps(
    when: AlarmSpec,
    *bounds: tuple[float | None, float | None, int],
    kind: AdjustmentType = "ChangeInCapacity",
    least: int = 0,
) -> StepPolicy:
    return StepPolicy(
        alarm=when,
        steps=tuple(StepAdjustment(lower_bound=a, upper_bound=b, adjustment=c) for a, b, c in bounds),
        adjustment_type=kind,
        min_adjustment_magnitude=least,
    )


def run(
    spec: ScalingSpec,
    datapoints: Sequence[float | None],
    *,
    start_minutes: int = 0,
    drain_minutes: int = 0,
    start: datetime | None = None,
    compiled: bool = False,
) -> list[int]:
    """Desired capacity after each minute's datapoint; None is a minute without one.

    A launched instance is in service `start_minutes` later; one that is removed drains for `drain_minutes`.
    """
    call = decide if compiled else decide.py_func
    program = compile_spec(spec, start=start, horizon_s=60.0 * len(datapoints) + 1)
    state, desired = program.initial_state(), program.initial_instances
    service_from = [0.0] * desired
    draining: list[float] = []
    found = []
    for minute, value in enumerate(datapoints, start=1):
        now = 60.0 * minute
        draining = [until for until in draining if until > now]
        desired = call(
            program.parameters(),
            state,
            now,
            math.nan if value is None else value,
            desired,
            np.array(service_from),
            len(draining),
        )
        found.append(desired)
        while len(service_from) < desired:
            service_from.append(now + 60.0 * start_minutes)
        for _ in range(len(service_from) - desired):
            if max(service_from) <= now:
                draining.append(now + 60.0 * drain_minutes)
            service_from.remove(max(service_from))
    return found
