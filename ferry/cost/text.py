"""The cost report as people read it: the answer first, then what it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ferry.cost.break_even import Steady
from ferry.cost.report import CostReport
from ferry.cost.tco import CHOICES

_SWINGS_SHOWN = 10


def describe(report: CostReport) -> RenderableType:
    """The report for a terminal."""
    horizon = report.horizon
    discount = f"{horizon.discount_rate:.1%} a year" if horizon.discount_rate else "none"
    return Group(
        Text(f"{report.site}: {horizon.months} months ({report.horizon_from}), discount: {discount}", style="bold"),
        *(Text(line) for line in _answer(report)),
        "",
        _rows(report),
        *(Text(f"unknown: {row.item}; {row.detail}", style="dim") for row in report.tco.rows if not row.known),
        "",
        _ways(report),
        "",
        *(Text(line) for line in _break_evens(report)),
        "",
        _tornado(report),
        *_not_varied(report),
        "",
        _monte_carlo(report),
        "",
        Text("assumed", style="bold"),
        *(Text(f"  {line}") for line in (*report.notes, *report.stale)),
    )


def _answer(report: CostReport) -> Iterator[str]:
    currency = report.inputs.currency
    fleet = f"with the fleet that the plan sizes, {report.inputs.mean_instances:.2f} instances on the mean"
    yield f"{fleet}, moving serving to AWS {_compared(report.tco.saving, currency)}"
    share = report.monte_carlo.cloud_cheaper
    yield f"    it is cheaper in {share:.0%} of {report.monte_carlo.draws} draws (seed {report.monte_carlo.seed})"
    if report.same_work is not None and report.utilization is not None:
        same = f"with what does the work of your GPUs at {report.utilization:.0%} use, {report.same_work.instances:.2f}"
        yield f"{same} instances, it {_compared(report.same_work.tco.saving, currency)}"
    if report.contradicted:
        yield (
            "the two disagree: the trace may not hold all of the load, or the GPUs are busy with little. Record a "
            "trace of a week (serving.requests in site.yaml), and ferry assess and ferry plan again, before moving"
        )


def _compared(saving: Decimal, currency: str) -> str:
    more = "less" if saving > 0 else "more"
    return f"costs {abs(saving):,.0f} {currency} {more} than leaving it, by what is known"


def _rows(report: CostReport) -> Table:
    table = Table(title=f"total, {report.inputs.currency}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("item")
    for choice in CHOICES:
        table.add_column(choice, justify="right")
    table.add_column("basis")
    table.add_column("what it is made of", overflow="fold")
    for row in report.tco.rows:
        if row.known:
            amounts = [f"{getattr(row, choice):,.0f}" for choice in CHOICES]
            table.add_row(escape(row.item), *amounts, row.basis, escape(row.detail))
    table.add_section()
    missing = report.tco.unknown
    totals = [f"{report.tco.total(choice):,.0f}" for choice in CHOICES]
    table.add_row("known total", *totals, "", f"without {', '.join(missing)}" if missing else "", style="bold")
    return table


def _ways(report: CostReport) -> Table:
    table = Table(title="ways to buy the instances", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("way")
    table.add_column(report.inputs.currency, justify="right")
    table.add_column("what it is made of", overflow="fold")
    for way in report.ways:
        amount = "unknown" if way.amount is None else f"{way.amount:,.0f}"
        mark = " (taken)" if way.purchase == report.tco.purchase else ""
        table.add_row(f"{way.purchase}{mark}", amount, escape(way.detail))
    return table


def _break_evens(report: CostReport) -> Iterator[str]:
    used = "unknown" if report.utilization is None else f"{report.utilization:.0%}"
    yield f"break-even utilisation (owning, new servers, against renting the same work; today: {used})"
    if report.like_for_like is not None:
        yield f"  like for like, accelerator for accelerator: {_even(report.like_for_like)}"
    if report.without_staff is not None:
        yield f"  the same, where nobody's time is freed: {_even(report.without_staff)}"
    if report.by_trace is not None:
        yield f"  with the fleet that the trace sizes, scaled with the load: {_even(report.by_trace)}"
    month, ends = report.by_month.break_even, report.by_month.lead_ends
    if month is not None:
        yield f"break-even month, fleet of the plan: from month {month} on, AWS has cost less than leaving it"
    elif ends is not None:
        yield f"break-even month, fleet of the plan: AWS is cheaper at first, and dearer from month {ends} on"
    else:
        yield f"break-even month, fleet of the plan: none within {report.horizon.months} months"


def _even(curve: Steady) -> str:
    even = curve.break_even
    if even is None:
        return "none: renting is cheaper at any utilisation"
    if even == 0:
        return "none: owning is cheaper at any utilisation"
    return f"{even:.0%}; above it owning is cheaper"


def _tornado(report: CostReport) -> Table:
    title = f"what matters most: what moving saves with one input at either end of its range, {report.inputs.currency}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("input", no_wrap=True)
    for name in ("low", "known", "high", "at low", "at high"):
        table.add_column(name, justify="right")
    table.add_column("decides")
    for swing in report.swings[:_SWINGS_SHOWN]:
        one = swing.range
        table.add_row(
            one.name if one.drawn else f"{one.name} *",
            *(_short(value) for value in (one.low, one.base, one.high)),
            f"{swing.at_low:,.0f}",
            f"{swing.at_high:,.0f}",
            "yes" if swing.decides else "",
        )
    if len(report.swings) > _SWINGS_SHOWN:
        table.caption = f"and {len(report.swings) - _SWINGS_SHOWN} that matter less, in --json"
        table.caption_justify = "left"
    return table


def _not_varied(report: CostReport) -> list[RenderableType]:
    if not report.not_varied:
        return []
    return [Text(f"not varied, being unknown: {', '.join(report.not_varied)}", style="dim")]


def _monte_carlo(report: CostReport) -> Table:
    simulated = report.monte_carlo
    title = f"all ranges at once, {simulated.draws} draws, seed {simulated.seed}, {report.inputs.currency}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("total")
    for name in ("P10", "P50", "P90"):
        table.add_column(name, justify="right")
    for name, spread in (*simulated.totals.items(), ("moving saves", simulated.saving)):
        table.add_row(name, *(f"{amount:,.0f}" for amount in (spread.p10, spread.p50, spread.p90)))
    unstated = [swing.range.name for swing in report.swings if not swing.range.drawn]
    table.caption = "each input from a triangle over its range, peak at the known value, independent of the others" + (
        f"; not drawn, since nobody stated it (*): {', '.join(unstated)}" if unstated else ""
    )
    table.caption_justify = "left"
    return table


def _short(value: Decimal) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{float(value):.4g}"
