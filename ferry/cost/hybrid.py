"""What a month costs when serving is on AWS and training is at home: nothing disappears that still has to be paid."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from ferry.artefacts import CostLine, Money
from ferry.cost.local import LocalItem
from ferry.cost.money import cents


def hybrid_lines(
    local: Sequence[LocalItem], cloud: Sequence[CostLine], *, servers_end: date | None, servers_replaced: bool
) -> list[CostLine]:
    """Local lines that stay, then the cloud's.

    Power of the serving nodes ends at once. Their depreciation ends only when the servers have reached the end of their
    life and would have to be bought again (`servers_replaced`); until then it is sunk and stays. Staff stay until
    somebody gives their time other work. NVMe array and cooling do not shrink with the number of servers.
    """
    kept = [_stays(item, servers_end, servers_replaced) for item in local]
    return [*kept, *(line.model_copy(update={"item": f"AWS: {line.item}"}) for line in cloud)]


def ends_now(item: LocalItem, *, servers_replaced: bool) -> bool:
    """Whether the serving part of a cost stops with the move itself."""
    return item.ends == "at once" or (item.ends == "with the servers" and servers_replaced)


def _stays(item: LocalItem, servers_end: date | None, servers_replaced: bool) -> CostLine:
    line, part = item.line, item.serving
    amount = line.amount.amount
    name = f"local: {line.item}"
    if amount is None:
        return line.model_copy(update={"item": name})
    if ends_now(item, servers_replaced=servers_replaced):
        left = cents(amount * (Decimal(1) - part))
        why = f"{part:.0%} of it, the serving nodes' part, ends"
        return CostLine(item=name, amount=_with(line.amount, left), detail=why)
    return CostLine(item=name, amount=line.amount, detail=_why_it_stays(item, servers_end))


def _why_it_stays(item: LocalItem, servers_end: date | None) -> str:
    if item.ends == "with the servers":
        until = f"until {servers_end.isoformat()}" if servers_end else "until their unknown end of life"
        return f"sunk: {item.serving:.0%} of it serves, and stays on the books {until} unless sold or used for training"
    if item.ends == "with the people":
        return f"{item.serving:.0%} of it serves, and stays until the people get other work"
    return "stays: it does not shrink with the number of servers"


def _with(money: Money, amount: Decimal) -> Money:
    return money.model_copy(update={"amount": amount})
