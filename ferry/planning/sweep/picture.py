"""The Pareto front of a sweep as SVG that works offline."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure

from ferry.artefacts import Sweep
from ferry.planning.replay.plots import STYLE, svg
from ferry.planning.sweep.search import Answer


def picture(sweep: Sweep, answers: Sequence[Answer]) -> bytes:
    """Cost against TTFT P99 of what was replayed, with the front, the promise and the chosen candidate.

    Candidates beyond four times the promise or the front's cost are left out: they would squeeze the rest together.
    """
    promise = sweep.slo.ttft_p99_ms
    dearest = 4 * max(float(point.cost_per_month) for point in [*sweep.front, sweep.chosen])
    slowest = 4 * (promise or max(point.ttft_p99_ms for point in [*sweep.front, sweep.chosen]))
    with rc_context(STYLE):
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.subplots()
        for holds, colour, label in ((False, "0.8", "breaks a promise"), (True, "C0", "holds")):
            shown = [
                (float(answer.cost), answer.measured.ttft_p99_s * 1000) for answer in answers if answer.holds == holds
            ]
            near = sorted({(round(x, 2), round(y, 2)) for x, y in shown if x <= dearest and y <= slowest})
            axes.scatter([x for x, _ in near], [y for _, y in near], s=6, color=colour, label=label, linewidths=0)
        costs = [float(point.cost_per_month) for point in sweep.front]
        axes.step(costs, [point.ttft_p99_ms for point in sweep.front], where="post", color="C1", label="front")
        axes.plot(costs, [point.ttft_p99_ms for point in sweep.front], "o", color="C1", markersize=4)
        chosen = sweep.chosen
        axes.plot([float(chosen.cost_per_month)], [chosen.ttft_p99_ms], "*", color="C3", markersize=12, label="chosen")
        if promise is not None:
            axes.axhline(promise, color="0.4", linestyle=":", label="promised")
        axes.set_xlabel(f"instances, {sweep.currency} a month")
        axes.set_ylabel("TTFT P99, ms")
        axes.set_yscale("log")
        axes.legend(frameon=False)
        axes.set_title(f"{sweep.serving}: {sweep.candidates} candidates, {sweep.replayed} replayed", loc="left")
        return svg(figure)
