"""Plans, bills and drift in words."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ferry.artefacts import ResourceChange
from ferry.provisioning.drift import Difference
from ferry.provisioning.price import Bill

COLOURS = {"create": "green", "update": "yellow", "replace": "bold red", "delete": "red", "import": "cyan"}

Bills = tuple[Bill, Bill]


def changed(changes: list[ResourceChange]) -> RenderableType:
    """One line for each resource that changes."""
    if not changes:
        return Text("nothing changes", style="green")
    table = Table("", "resource", "name", "because of", box=None, pad_edge=False, header_style="dim")
    for one in changes:
        table.add_row(Text(one.action, style=COLOURS[one.action]), one.type, one.name, ", ".join(one.properties))
    counts = Counter(one.action for one in changes)
    return Group(table, Text(", ".join(f"{count} to {action}" for action, count in sorted(counts.items()))))


def describe(stack: str, changes: list[ResourceChange], bills: Bills, waiting: list[str] | None) -> RenderableType:
    """What `ferry up` says before it asks. `waiting` for the update are these policies; None: there is no pack."""
    return Group(
        Text(stack, style="bold"),
        changed(changes),
        _policies(waiting),
        *_cost(*bills),
    )


def document(stack: str, changes: list[ResourceChange], bills: Bills, waiting: list[str] | None) -> dict[str, Any]:
    """The same as `--json`."""
    return {
        "stack": stack,
        "changes": [one.model_dump() for one in changes],
        "policies_checked": waiting is not None,
        "policies_waiting": waiting or [],
        "per_month": [
            {
                "least": str(one.least),
                "most": str(one.most),
                "currency": one.currency,
                "not_priced": dict(sorted(one.not_priced.items())),
            }
            for one in bills
        ],
    }


def _policies(waiting: list[str] | None) -> Text:
    if waiting is None:
        return Text("policies: no policy pack in policies/, nothing was checked")
    if not waiting:
        return Text("policies: checked")
    return Text(
        f"policies: checked; of {len(waiting)} some is asked in the update only, when AWS has told the values: "
        f"{', '.join(waiting)}; `ferry rehearse` asks them now"
    )


def _cost(before: Bill, after: Bill) -> list[Text]:
    lines = []
    currency = after.currency or before.currency
    if currency:
        lines.append(
            Text(
                f"a month with every group at its smallest size: {before.least:,.0f} → {after.least:,.0f} {currency} "
                f"({after.least - before.least:+,.0f}); at its largest: {before.most:,.0f} → {after.most:,.0f} "
                f"({after.most - before.most:+,.0f}); on-demand list prices"
            )
        )
    lines += [Text(f"not priced: {count} × {what}", style="dim") for what, count in sorted(after.not_priced.items())]
    return lines


def drifted(stack: str, found: list[Difference]) -> RenderableType:
    """What was changed behind Pulumi's back, with what it may be."""
    if not found:
        return Text(f"{stack}: the account is as the state says", style="green")
    table = Table("resource", "property", "expected", "found", "", box=None, pad_edge=False, header_style="dim")
    for one in found:
        name = f"{one.type} {one.name}{' (protected)' if one.protected else ''}"
        table.add_row(*(Text(cell) for cell in (name, one.property, one.expected, one.found, one.explanation)))
    return Group(Text(f"{stack}: {len(found)} differences", style="bold red"), table)
