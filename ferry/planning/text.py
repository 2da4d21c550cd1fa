"""A plan as people read it: the verdict first, then why, what was chosen, what was refused, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ferry.artefacts import Candidate, CostLine, Plan
from ferry.cost.money import total

_VERDICTS = {
    "go": ("bold green", "go: the move pays, and nothing that decides is unknown"),
    "conditional": ("bold yellow", "conditional: the move pays if the conditions below hold"),
    "defer": ("bold yellow", "defer: figures that decide are missing; measure them first"),
    "stay": ("bold red", "stay: the move does not pay, or breaks a limit"),
}
_SHOWN = 8
_REFUSED_SHOWN = 4
_MARKS = {"against": "-", "measure": "?", "condition": "!", "for": "+"}


def describe(plan: Plan) -> RenderableType:
    """The plan for a terminal."""
    style, sentence = _VERDICTS[plan.verdict]
    chosen = plan.chosen
    hourly = _money(chosen.usd_per_hour, chosen.cny_per_hour, places=4)
    return Group(
        Text(f"{plan.site} / {plan.serving} -> {plan.environment}", style="bold"),
        Text(sentence, style=style),
        "",
        *(_reason(plan)),
        "",
        Text.from_markup(
            f"[bold]{escape(chosen.instance_type)}[/bold] in {escape(plan.region)}: {chosen.min_size} to "
            f"{chosen.max_size} instances, {chosen.mean_size:.2f} over time, {hourly} an hour each, "
            f"tensor parallel {chosen.tensor_parallel}; {escape(chosen.reason)}"
        ),
        "",
        _candidates(plan.candidates),
        *_refusals(plan.candidates),
        "",
        _costs(plan),
        "",
        Text("assumed", style="bold"),
        *(Text(f"  {line}") for line in plan.assumptions),
    )


def _reason(plan: Plan) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for reason in plan.reasons:
        lines.append(Text(f"{_MARKS[reason.says]} {reason.text}"))
        lines.append(Text(f"    {reason.basis}: {reason.evidence}", style="dim"))
    return lines


def _candidates(candidates: Sequence[Candidate]) -> Table:
    """The cheapest that serve."""
    table = Table(title="what would serve, cheapest first", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("instance type", "region"):
        table.add_column(name)
    for name in ("GiB", "sequences", "requests/s", "size", "a month"):
        table.add_column(name, justify="right")
    serving = [one for one in candidates if one.fits]
    for one in serving[:_SHOWN]:
        table.add_row(
            escape(one.instance_type),
            escape(one.region),
            f"{one.memory_gib:g}",
            f"{one.max_sequences}",
            f"{one.requests_per_s:.2f}",
            f"{one.min_size}-{one.max_size}",
            _money(one.usd_per_month, one.cny_per_month),
        )
    if len(serving) > _SHOWN:
        table.caption = f"and {len(serving) - _SHOWN} dearer ones, in the plan"
        table.caption_justify = "left"
    return table


def _refusals(candidates: Sequence[Candidate]) -> list[RenderableType]:
    """The refused ones, those with one reason together, the least that is missing first."""
    refused = _refused(candidates)
    lines: list[RenderableType] = []
    for reason, names, regions, _ in refused[:_REFUSED_SHOWN]:
        lines.append(Text(f"refused: {names} ({regions})"))
        lines.append(Text(f"    {reason}", style="dim"))
    if len(refused) > _REFUSED_SHOWN:
        lines.append(Text(f"and {len(refused) - _REFUSED_SHOWN} more refusals, in the plan", style="dim"))
    return lines


def _refused(candidates: Sequence[Candidate]) -> list[tuple[str, str, str, str]]:
    """Reason, instance types, regions and memory of the refused, those with one reason together."""
    grouped: dict[tuple[str, str], list[Candidate]] = {}
    for one in candidates:
        if not one.fits:
            grouped.setdefault((one.reason, one.region), []).append(one)
    return [
        (reason, ", ".join(one.instance_type for one in group), region, _range([one.memory_gib for one in group]))
        for (reason, region), group in grouped.items()
    ]


def _range(sizes: Sequence[float]) -> str:
    return f"{min(sizes):g}" if min(sizes) == max(sizes) else f"{min(sizes):g}-{max(sizes):g}"


def _costs(plan: Plan) -> Table:
    """The three bills side by side; a line that a bill does not have is empty, one of unknown amount says so."""
    bills = (plan.local_monthly, plan.cloud_monthly, plan.hybrid_monthly)
    table = Table(title="a month", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("item")
    for name in ("local today", "serving on AWS", "hybrid"):
        table.add_column(name, justify="right")
    for item, amounts in _rows(plan).items():
        table.add_row(escape(item), *amounts)
    table.add_section()
    table.add_row("known total", *(_total(bill) for bill in bills), style="bold")
    return table


def _rows(plan: Plan) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for column, lines in enumerate((plan.local_monthly, plan.cloud_monthly, plan.hybrid_monthly)):
        for line in lines:
            name = line.item.removeprefix("local: ").removeprefix("AWS: ")
            amounts = rows.setdefault(name, ["", "", ""])
            known = line.amount.amount
            amounts[column] = "unknown" if known is None else f"{known:,.0f} {line.amount.currency}"
    return rows


def _total(lines: Sequence[CostLine]) -> str:
    summed = total(lines)
    shown = " + ".join(f"{amount:,.0f} {currency}" for currency, amount in sorted(summed.amounts.items())) or "nothing"
    return shown if summed.complete else f"at least {shown}"


def _money(dollars: Decimal | None, yuan: Decimal | None, places: int = 0) -> str:
    if dollars is not None:
        return f"{dollars:,.{places}f} USD"
    return f"{yuan:,.{places}f} CNY" if yuan is not None else ""
