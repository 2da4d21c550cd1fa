"""What a rule is: a pure predicate on plain values, with an id, a source, and a sentence for what breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, ParamSpec

P = ParamSpec("P")

FERRY = "Ferry"
"""Source of a rule that is Ferry's own: AWS would accept what it refuses."""


@dataclass(frozen=True)
class Rule(Generic[P]):
    """Called with plain values, it returns what is wrong, with the value given, those allowed and the remedy, or None.

    `source` is the address of the page where AWS says so, or `Ferry`. `statement` is what has to be true.
    """

    id: str
    source: str
    statement: str
    predicate: Callable[P, str | None]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """The sentence for what is wrong, None when nothing is."""
        broken = self.predicate(*args, **kwargs)
        return broken and f"{broken} [{self.id}: {self.source}]"


RULES: dict[str, Rule[...]] = {}
"""Every rule by its id."""


def rule(id_: str, source: str) -> Callable[[Callable[P, str | None]], Rule[P]]:
    """Make a rule of a predicate; its docstring is the statement."""

    def made(predicate: Callable[P, str | None]) -> Rule[P]:
        if id_ in RULES:
            raise ValueError(f"two rules are named {id_}")
        new = Rule(id_, source, " ".join((predicate.__doc__ or "").split()), predicate)
        RULES[id_] = new
        return new

    return made
