"""The claims as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from ferry.cost.article.claim import Claim

_STYLES = {
    "comes out": "green",
    "comes out under a condition": "yellow",
    "does not come out": "red",
    "cannot be derived": "yellow",
}


def describe(claims: Sequence[Claim], stale: Sequence[str]) -> RenderableType:
    """One paragraph a claim."""
    lines: list[RenderableType] = []
    for number, claim in enumerate(claims, start=1):
        lines.append(Text.assemble((f"{number}. {claim.says}: ", "bold"), (claim.outcome, _STYLES[claim.outcome])))
        lines.append(Text(f"    result   {claim.result}"))
        lines.append(Text(f"    formula  {claim.formula}"))
        for one in claim.inputs:
            lines.append(Text(f"    input    {one.name}: {one.value:,f} {one.unit} ({one.source})", style="dim"))
        lines.append(Text(f"    true if  {claim.holds_when}"))
        lines.append(Text(f"    false    {claim.false_from}"))
        lines.append("")
    return Group(*lines, *(Text(line) for line in stale))
