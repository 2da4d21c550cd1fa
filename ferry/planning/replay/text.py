"""A simulation as people read it: what each policy does with the same requests, then the batch limits."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ferry.artefacts import BatchPoint, Outcome, Simulation

_PROMISE = {True: "kept", False: "broken", None: "none made"}


def describe(simulation: Simulation) -> RenderableType:
    """The simulation for a terminal."""
    return Group(
        Text(f"{simulation.site} / {simulation.serving} on {simulation.instance_type} in {simulation.region}", "bold"),
        Text(
            f"{simulation.trace}: {simulation.outcomes[0].requests:,} requests in {simulation.hours:.1f} h, "
            f"{simulation.requests_per_s:.2f} a second"
        ),
        "",
        _policies(simulation.outcomes, simulation.currency),
        *(_line(outcome) for outcome in simulation.outcomes),
        *([_batch_limits(simulation)] if simulation.batch_limits else []),
        "",
        Text("assumed", style="bold"),
        *(Text(f"  {line}") for line in simulation.assumptions),
    )


def _policies(outcomes: Sequence[Outcome], currency: str) -> Table:
    table = Table(title="by policy", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("policy")
    for name in (
        "TTFT P99",
        "TPOT P99",
        "promise",
        "load",
        "computing",
        "instances",
        "flaps",
        "kWh",
        "kg CO2e",
        f"{currency} a month",
    ):
        table.add_column(name, justify="right")
    for one in outcomes:
        table.add_row(
            escape(one.policy),
            _time(one.ttft_ms.p99),
            _time(one.tpot_ms.p99) if one.tpot_ms else "",
            _PROMISE[one.keeps_promise],
            f"{one.load:.0%}",
            f"{one.utilization:.0%}",
            f"{one.instances_mean:.1f} ({one.instances_max})",
            str(one.flapping),
            f"{one.kwh:,.1f}",
            f"{one.gco2e / 1000:,.1f}",
            f"{one.cost_per_month:,.0f}",
            style="" if one.keeps_promise is not False else "dim",
        )
    table.caption = (
        "load: (running + waiting) / batch limit; computing: share of time in iterations; instances: mean (most)"
    )
    table.caption_justify = "left"
    return table


def _line(outcome: Outcome) -> Text:
    said = [f"  {outcome.policy}: {outcome.description}"]
    for count, what in (
        (outcome.refused, "refused, longer than the engine accepts"),
        (outcome.retried, "began anew on another instance"),
        (outcome.preemptions, "preempted, the KV cache being full"),
    ):
        if count:
            said.append(f"{count:,} {what}")
    if outcome.waiting_max:
        said.append(f"at most {outcome.waiting_max:,} waiting")
    return Text("; ".join([*said, *outcome.warnings]))


def _batch_limits(simulation: Simulation) -> Group:
    table = Table(
        title="by batch limit, one instance with requests always waiting",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("batch limit", "requests/s", "answer tokens/s", "TPOT P99", "in the batch", "preempted"):
        table.add_column(name, justify="right")
    for point in simulation.batch_limits:
        chosen = point.max_sequences == simulation.best_batch_limit
        table.add_row(*_cells(point), style="bold" if chosen else "")
    said = (
        f"best: {simulation.best_batch_limit}, the last one that serves a tenth more than half of it and keeps the "
        "promised pace"
    )
    return Group("", table, Text(said))


def _cells(point: BatchPoint) -> list[str]:
    return [
        str(point.max_sequences),
        f"{point.requests_per_s:.2f}",
        f"{point.output_tokens_per_s:,.0f}",
        _time(point.tpot_p99_ms) if point.tpot_p99_ms is not None else "",
        f"{point.running_mean:.1f}",
        f"{point.preemptions:,}",
    ]


def _time(milliseconds: float) -> str:
    return f"{milliseconds:,.0f} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:,.0f} s"
