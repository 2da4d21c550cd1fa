"""Pictures of a simulation, as SVG that works offline."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ferry.artefacts import Simulation
from ferry.simulation.result import Result

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ferry",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
"""Text stays text, and equal data gives an equal file."""
MOST_POINTS = 1500
"""Minutes beyond this are averaged: a screen has no more columns."""


def over_time(simulation: Simulation, results: Mapping[str, Result]) -> bytes:
    """Load and instances over time, a line for each policy, one below the other on one axis of hours."""
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 6), layout="constrained")
        load, computing, instances = figure.subplots(3, 1, sharex=True)
        for name, result in results.items():
            hours = _thin(result.periods.end_s) / 3600
            load.plot(hours, _thin(result.periods.load), label=name, linewidth=1.2)
            computing.plot(hours, _thin(result.periods.utilisation), linewidth=1.2)
            there = result.periods.in_service + result.periods.pending + result.periods.draining
            instances.plot(hours, _thin(there), linewidth=1.2, drawstyle="steps-post")
        load.set_ylabel("load")
        load.set_ylim(bottom=0)
        computing.set_ylabel("computing")
        computing.set_ylim(0, 1.05)
        instances.set_ylabel("instances")
        instances.set_ylim(bottom=0)
        instances.set_xlabel("hours since the trace's start")
        load.legend(frameon=False, ncols=len(results), loc="upper left", bbox_to_anchor=(0, 1.25))
        figure.suptitle(
            f"{simulation.serving} on {simulation.instance_type}: {simulation.trace}, "
            f"{simulation.requests_per_s:.2f} requests/s"
        )
        return svg(figure)


def by_batch_limit(simulation: Simulation) -> bytes:
    """Throughput and pace over the batch limit."""
    points = simulation.batch_limits
    limits = [point.max_sequences for point in points]
    with rc_context(STYLE):
        figure = Figure(figsize=(6, 3.5), layout="constrained")
        axes = figure.subplots()
        pace = axes.twinx()
        axes.plot(limits, [point.output_tokens_per_s for point in points], marker="o", color="C0")
        pace.plot(limits, [point.tpot_p99_ms or np.nan for point in points], marker="s", color="C1")
        axes.set_xscale("log", base=2)
        axes.set_xticks(limits, [str(limit) for limit in limits])
        axes.set_xlabel("batch limit")
        axes.set_ylabel("answer tokens/s", color="C0")
        axes.set_ylim(bottom=0)
        pace.set_ylabel("TPOT P99, ms", color="C1")
        pace.set_ylim(bottom=0)
        if simulation.best_batch_limit:
            axes.axvline(simulation.best_batch_limit, color="0.6", linestyle=":")
        return svg(figure)


def _thin(values: NDArray[Any]) -> NDArray[np.float64]:
    """At most MOST_POINTS means of equal stretches."""
    each = -(-len(values) // MOST_POINTS)
    if each <= 1:
        return np.asarray(values, dtype=np.float64)
    whole = len(values) // each * each
    thinned: NDArray[np.float64] = np.asarray(values[:whole], dtype=np.float64).reshape(-1, each).mean(axis=1)
    return thinned


def svg(figure: Figure) -> bytes:
    """The figure's file, without a date."""
    written = BytesIO()
    figure.savefig(written, format="svg", metadata={"Date": None})
    return written.getvalue()
