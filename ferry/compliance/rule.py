"""What a rule is: a question to one resource or to the whole stack, with the clauses that it serves and a remedy.

    @rule(
        "kms-key-rotates",
        zh="KMS 密钥每年自动轮换",
        clauses=["8.1.4.8"],
        types=["aws:kms/key:Key"],
        remedy="set enableKeyRotation to true",
    )
    def kms_key_rotates(key: Resource, context: Context) -> Iterator[Seen]:
        \"\"\"KMS keys rotate.\"\"\"
        yield key.seen("enableKeyRotation", key.get("enableKeyRotation") is True)

A question that yields nothing had nothing to look at: it proves nothing, and breaks nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ferry.compliance.resource import Context, Resource, Seen

Level = Literal["mandatory", "advisory"]
ResourceQuestion = Callable[[Resource, Context], Iterator[Seen]]
StackQuestion = Callable[[Sequence[Resource], Context], Iterator[Seen]]


@dataclass(frozen=True)
class Rule:
    """`clauses` are of GB/T 22239-2019, level 3. A mandatory rule stops `pulumi up`, an advisory one only speaks."""

    id: str
    says: str
    says_zh: str
    clauses: tuple[str, ...]
    level: Level
    remedy: str


@dataclass(frozen=True)
class ResourceRule(Rule):
    """Asked of each resource of its types."""

    types: tuple[str, ...]
    ask: ResourceQuestion
    refuses: bool = False
    """The types must not be there: that the stack has none of them is the proof."""


@dataclass(frozen=True)
class StackRule(Rule):
    """Asked of all resources of a stack together."""

    ask: StackQuestion


@dataclass(frozen=True)
class Answer:
    """What a rule saw in a stack."""

    rule: Rule
    seen: tuple[Seen, ...] = field(default_factory=tuple)

    @property
    def broken(self) -> tuple[Seen, ...]:
        """What is not allowed."""
        return tuple(one for one in self.seen if not one.ok)


RULES: dict[str, ResourceRule | StackRule] = {}
"""Every rule by its id."""


def rule(
    id_: str,
    *,
    zh: str,
    clauses: Iterable[str],
    types: Iterable[str],
    remedy: str,
    level: Level = "mandatory",
    refuses: bool = False,
) -> Callable[[ResourceQuestion], ResourceQuestion]:
    """Make a rule of a question to each resource of some types; its docstring is what the rule says."""

    def made(ask: ResourceQuestion) -> ResourceQuestion:
        _add(ResourceRule(id_, _says(ask), zh, tuple(clauses), level, remedy, tuple(types), ask, refuses))
        return ask

    return made


def stack_rule(
    id_: str, *, zh: str, clauses: Iterable[str], remedy: str, level: Level = "mandatory"
) -> Callable[[StackQuestion], StackQuestion]:
    """Make a rule of a question to the whole stack; its docstring is what the rule says."""

    def made(ask: StackQuestion) -> StackQuestion:
        _add(StackRule(id_, _says(ask), zh, tuple(clauses), level, remedy, ask))
        return ask

    return made


def answers(resources: Sequence[Resource], context: Context) -> list[Answer]:
    """What every rule sees in a stack."""
    return [Answer(one, tuple(_seen(one, resources, context))) for one in RULES.values()]


def excepted(one: Resource, exceptions: Mapping[str, str]) -> str | None:
    """Why a resource is an exception, if its tag `Name` has one of these ends."""
    name = str(one.get("tags.Name", ""))
    return next((why for end, why in exceptions.items() if name.endswith(end)), None)


def broken(resources: Sequence[Resource], context: Context) -> list[Answer]:
    """The rules that a stack breaks."""
    return [answer for answer in answers(resources, context) if answer.broken]


def _seen(one: ResourceRule | StackRule, resources: Sequence[Resource], context: Context) -> Iterator[Seen]:
    if isinstance(one, StackRule):
        yield from one.ask(resources, context)
        return
    found = [seen for each in resources if each.type in one.types for seen in one.ask(each, context)]
    yield from found
    if one.refuses and not found:
        yield Seen("the stack", ", ".join(one.types), f"none among {len(resources)} resources", True)


def _add(new: ResourceRule | StackRule) -> None:
    if new.id in RULES:
        raise ValueError(f"two rules are named {new.id}")
    RULES[new.id] = new


def _says(ask: Callable[..., object]) -> str:
    return " ".join((ask.__doc__ or "").split())
