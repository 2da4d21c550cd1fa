"""Every figure of an assessment with what it rests on, so that a reader sees at once what nobody has measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from ferry.artefacts import Assessment, Basis, Figure, Money


@dataclass(frozen=True)
class Evidence:
    """One figure: its place in the assessment (`serving.chat.trace.peak_rps`), its text, and its basis."""

    name: str
    text: str
    basis: Basis
    source: str


def evidence(assessment: Assessment) -> list[Evidence]:
    """All figures and amounts of an assessment, in its own order."""
    return list(_walk(assessment, ""))


def _walk(node: object, path: str) -> Iterator[Evidence]:
    if isinstance(node, Figure):
        yield Evidence(path, figure_text(node), node.basis, node.source)
    elif isinstance(node, Money):
        yield Evidence(path, money_text(node), node.basis, node.source)
    elif isinstance(node, BaseModel):
        for field in type(node).model_fields:
            yield from _walk(getattr(node, field), f"{path}.{field}" if path else field)
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _walk(item, f"{path}.{getattr(item, 'name', index)}")


def figure_text(figure: Figure) -> str:
    """A figure for a person: four significant digits, thousands separated, the unit behind."""
    return "unknown" if figure.value is None else f"{number_text(figure.value)} {figure.unit}".strip()


def money_text(money: Money) -> str:
    """An amount for a person, in its own currency."""
    return "unknown" if money.amount is None else f"{money.amount:,.2f} {money.currency}"


def number_text(value: float) -> str:
    """Four significant digits below 1,000; whole numbers with separators above."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
