"""A sweep as people read it: what was searched, what was ruled out and why, and what the choice gives up."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ferry.artefacts import Sweep, SweepPoint

_WORDS = {
    "cost": "cheapest",
    "carbon": "lowest emissions",
    "ttft": "shortest TTFT P99",
    "latency": "shortest latency P99",
}
_MEANS = {
    "no copy": "no such copy can be made",
    "no price": "the catalogue has no price",
    "does not fit": "the model does not fit",
    "starts too slowly": "a new instance loads the model too long",
    "refuses too many": "more requests are too long than may be refused",
    "first token too slow": "TTFT P99 above the promise on idle instances",
    "tokens too slow": "TPOT P99 above the promise on idle instances",
    "too few instances": "the largest size cannot keep up with the requests",
    "too dear": "the smallest size alone costs too much above the best found",
    "too slow": "slower on idle instances than the best found",
}


def describe(sweep: Sweep) -> RenderableType:
    """The sweep for a terminal."""
    promised = [
        f"{name} P99 {value:g} ms"
        for name, value in (("TTFT", sweep.slo.ttft_p99_ms), ("TPOT", sweep.slo.tpot_p99_ms))
        if value is not None
    ]
    lines = [
        Text(
            f"{sweep.candidates} candidates, for the {_WORDS[sweep.by]} that holds {', '.join(promised)}", style="bold"
        ),
        Text(
            f"{sweep.replayed} replayed with {sweep.requests} requests over {sweep.hours:.1f} h of {sweep.trace}; "
            f"{sweep.shared} have the same times as one of these and differ in price only; {sweep.holding} hold"
        ),
        *(Text(f"{count} ruled out: {_MEANS[bound]} ({bound})") for bound, count in sweep.bounds.items()),
    ]
    if sweep.compared is not None:
        other = sweep.compared
        lines.append(
            Text(
                f"{other.scaling} on {other.min_size} to {other.max_size} x {other.instance_type} would be better "
                f"({other.cost_per_month:,.0f} {sweep.currency} a month, TTFT P99 {other.ttft_p99_ms:.0f} ms), and no "
                "component makes it"
            )
        )
    return Group(*lines, "", _front(sweep))


def given_up(sweep: Sweep, point: SweepPoint) -> str:
    """What choosing something else than this point of the front gives up or saves, against the chosen one."""
    chosen = sweep.chosen
    if point == chosen:
        return "chosen"
    dearer = point.cost_per_month - chosen.cost_per_month
    faster = chosen.ttft_p99_ms - point.ttft_p99_ms
    cost = f"{abs(dearer):,.0f} {'more' if dearer > 0 else 'less'}"
    return f"{cost}, {abs(faster):,.0f} ms {'sooner' if faster > 0 else 'later'}"


def _front(sweep: Sweep) -> Table:
    title = "what more money buys: no other is cheaper and faster"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("instances", "weights", "scaling"):
        table.add_column(name)
    for name in ("Spot", f"{sweep.currency} a month", "TTFT P99", "TPOT P99", "against the chosen"):
        table.add_column(name, justify="right")
    # What was chosen for its speed may be beaten in cost at the same time; it is shown all the same.
    shown = sweep.front if sweep.chosen in sweep.front else [*sweep.front, sweep.chosen]
    for point in shown:
        table.add_row(
            escape(f"{point.min_size}-{point.max_size} {point.instance_type} {point.region}"),
            escape(point.quantization),
            escape(point.scaling),
            f"{point.spot_percentage}%",
            f"{point.cost_per_month:,.0f}",
            f"{point.ttft_p99_ms:,.0f} ms",
            f"{point.tpot_p99_ms:,.0f} ms",
            given_up(sweep, point),
            style="bold" if point == sweep.chosen else None,
        )
    return table
