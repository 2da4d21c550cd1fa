"""A judgement in words, for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ferry.artefacts import Compliance
from ferry.compliance.page import WORDS

STYLES = {"met": "green", "met in part": "yellow", "not met": "bold red", "not proven": "red"}


def describe(judgement: Compliance) -> RenderableType:
    """How many clauses stand how, and each that is not met or not proven, with the reason."""
    words = WORDS["en"]
    counts = ", ".join(f"{len(judgement.of_status(status))} {said}" for status, said in words["status"].items())
    table = Table("clause", "title", "status", "why", box=None, pad_edge=False, header_style="dim")
    for one in judgement.clauses:
        if one.status in STYLES and one.status != "met":
            open_proofs = [f"{proof.name}: {proof.state}" for proof in one.proofs if proof.state != "holds"]
            why = [*open_proofs, *([f"left to show: {one.rest_en}"] if one.rest_en else [])]
            if not one.proofs:
                why = ["no check proves it", *why]
            table.add_row(one.clause, one.title_en, Text(one.status, style=STYLES[one.status]), Text("; ".join(why)))
    return Group(
        Text(f"{judgement.environment} in {judgement.region}, {judgement.standard}", style="bold"),
        Text(words["judged"][judgement.judged]),
        Text(counts),
        table,
    )
