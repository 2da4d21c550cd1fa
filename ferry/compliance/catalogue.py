"""The clauses of GB/T 22239-2019 for level 3, in Chinese and English, and what each of them is proven by.

`clauses.csv` summarises the standard's requirements; it is no copy of its text. `basis` is `stated` where clause, title
and requirement were taken from a mapping with sources, `assumed` where they rest on general knowledge of the standard:
compare those with the text before an evaluation. `whose` is `checked` for what Ferry can look at.
`checks.csv` names the clauses that checks of a rehearsal serve; rules name theirs themselves.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from ferry.artefacts.figures import Frozen
from ferry.compliance.rule import RULES

Whose = Literal["checked", "organisation", "not applicable"]


class Clause(Frozen):
    """One clause: `why` says whose duty it is or why it does not apply, `rest` what no check shows."""

    clause: str
    title_zh: str
    title_en: str
    requirement_zh: str
    requirement_en: str
    whose: Whose
    why_zh: str
    why_en: str
    rest_zh: str
    rest_en: str
    source: str
    basis: str


@dataclass(frozen=True)
class Proof:
    """A policy or a check of the rehearsal, by its name, with what it says."""

    kind: Literal["policy", "check"]
    name: str
    says_zh: str
    says_en: str


@cache
def clauses() -> tuple[Clause, ...]:
    """Every clause, in the order of the standard."""
    return tuple(Clause.model_validate(row) for row in _rows("clauses.csv"))


@cache
def checks() -> dict[str, tuple[Proof, tuple[str, ...]]]:
    """Checks of a rehearsal that prove something, by name, with their clauses."""
    return {
        row["check"]: (
            Proof("check", row["check"], row["zh"], f"{row['check'].capitalize()}."),
            tuple(row["clauses"].split("|")),
        )
        for row in _rows("checks.csv")
    }


def proofs(clause: str) -> list[Proof]:
    """What a clause is proven by, as far as it is: the policies and checks that name it."""
    policies = [Proof("policy", one.id, one.says_zh, one.says) for one in RULES.values() if clause in one.clauses]
    return policies + [proof for proof, named in checks().values() if clause in named]


def _rows(name: str) -> list[dict[str, str]]:
    text = (files("ferry.compliance") / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
