"""The pictures of a cost report, as SVG that needs no network: what is drawn is computed elsewhere."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from ferry.cost.break_even import Steady
from ferry.cost.report import CostReport
from ferry.cost.tco import CHOICES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 101
SWINGS = 10
_LOCAL, _CLOUD, _HYBRID, _OTHER = "#334155", "#ea580c", "#0d9488", "#94a3b8"


def plots(report: CostReport) -> Mapping[str, bytes]:
    """The pictures by file name; the same report gives the same bytes. Those without data are left out."""
    drawn: dict[str, Callable[[Axes], None]] = {
        "total.svg": lambda axes: _by_month(report, axes),
        "tornado.svg": lambda axes: _tornado(report, axes),
        "monte-carlo.svg": lambda axes: _monte_carlo(report, axes),
    }
    if report.like_for_like is not None:
        drawn["break-even.svg"] = lambda axes: _utilization(report, axes)
    return {name: _svg(draw) for name, draw in drawn.items()}


def utilization_curve(curve: Steady) -> tuple[list[float], list[float], list[float]]:
    """Utilisation in percent from 0 to 100, and what owning and renting cost a month there."""
    steps = [Decimal(step) / (POINTS - 1) for step in range(POINTS)]
    return (
        [float(step * 100) for step in steps],
        [float(curve.owned(step)) for step in steps],
        [float(curve.rented(step)) for step in steps],
    )


def _svg(draw: Callable[[Axes], None]) -> bytes:
    # The object interface: no global state, no display, and nothing to close.
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "ferry", "svg.fonttype": "none", "font.size": 9.0, "axes.spines.top": False}):
        figure = Figure(figsize=(7, 4), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        written = io.BytesIO()
        figure.savefig(written, format="svg", metadata={"Date": None})
    return written.getvalue()


def _utilization(report: CostReport, axes: Axes) -> None:
    curve = report.like_for_like
    assert curve is not None  # noqa: S101 - plots() asks for this picture only then
    percent, owned, rented = utilization_curve(curve)
    axes.plot(percent, owned, color=_LOCAL, label="owning")
    axes.plot(percent, rented, color=_CLOUD, label="renting the same work, like for like")
    if report.by_trace is not None:
        axes.plot(percent, utilization_curve(report.by_trace)[2], color=_CLOUD, ls="--", label="renting, by the trace")
    even = curve.break_even
    if even:
        axes.axvline(float(even * 100), color=_OTHER, lw=0.8)
        axes.annotate(
            f"{even:.0%}", (float(even * 100), float(curve.owned(even))), xytext=(4, 8), textcoords="offset points"
        )
    if report.utilization is not None:
        axes.axvline(float(report.utilization * 100), color=_HYBRID, lw=0.8, ls=":", label="today")
    axes.set(xlabel="steady GPU utilisation, %", ylabel=f"{report.inputs.currency} a month", ylim=(0, None))
    axes.legend(frameon=False)


def _by_month(report: CostReport, axes: Axes) -> None:
    months = range(1, report.horizon.months + 1)
    for choice, color in zip(CHOICES, (_LOCAL, _CLOUD, _HYBRID), strict=True):
        totals = report.by_month.totals[choice]
        axes.plot(months, [float(amount) for amount in totals], color=color, label=choice)
    axes.set(xlabel="months", ylabel=f"total cost, {report.inputs.currency}")
    axes.legend(frameon=False)


def _tornado(report: CostReport, axes: Axes) -> None:
    swings = report.swings[:SWINGS][::-1]
    known = float(report.tco.saving)
    for place, swing in enumerate(swings):
        for end, color in ((swing.at_low, _OTHER), (swing.at_high, _CLOUD)):
            axes.barh(place, float(end) - known, left=known, color=color)
    axes.set_yticks(range(len(swings)), [swing.range.name for swing in swings])
    axes.axvline(known, color=_LOCAL, lw=0.8)
    axes.axvline(0, color=_LOCAL, lw=0.8, ls=":")
    axes.set(xlabel=f"what moving saves, {report.inputs.currency}: grey at the low end, orange at the high end")


def _monte_carlo(report: CostReport, axes: Axes) -> None:
    simulated = report.monte_carlo
    axes.hist([float(amount) for amount in simulated.savings], bins=40, color=_OTHER)
    for name, amount in (("P10", simulated.saving.p10), ("P50", simulated.saving.p50), ("P90", simulated.saving.p90)):
        axes.axvline(float(amount), color=_CLOUD, lw=0.8)
        axes.annotate(
            name, (float(amount), 1), xycoords=("data", "axes fraction"), xytext=(2, -10), textcoords="offset points"
        )
    axes.axvline(0, color=_LOCAL, lw=0.8, ls=":")
    axes.set(xlabel=f"what moving saves, {report.inputs.currency}", ylabel=f"of {simulated.draws} draws")
