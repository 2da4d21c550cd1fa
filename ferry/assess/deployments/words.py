"""Words that know their line, and what may stand in their place: variables of a shell, of compose, of Kubernetes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ferry.errors import UnreadableInput

LONGEST_VALUE = 2**16
DEEPEST = 8
REFERENCE = re.compile(r"\$(?:\$|[A-Za-z_][A-Za-z0-9_]*|\{)")
BRACED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\[[@*]\])?(?:(:?[-=?+])(.*))?", re.DOTALL)


class Word(str):
    """A text with the line, from 1, that it stands on."""

    line: int

    def __new__(cls, text: str, line: int) -> Word:
        """Give a text its line."""
        word = super().__new__(cls, text)
        word.line = line
        return word


class Variables:
    """Values by name, texts or lists. What nothing sets stays as it is written: `$NAME` is better than a guess.

    `budget` bounds what all expansions of a file may yield, in letters: values may double themselves.
    """

    def __init__(self, file: str, values: Mapping[str, str] | None = None, budget: int = 2**22) -> None:
        self.file = file
        self.values: dict[str, str | list[str]] = dict(values or {})
        self.budget = budget
        self.braces_are_whole = False
        """Whether `${NAME}` is one word whatever it holds, as systemd has it, and no shell."""

    def set(self, name: str, value: str | list[str]) -> None:
        """Remember a value, unless it is larger than any command line."""
        if sum(map(len, value)) <= LONGEST_VALUE:
            self.values[name] = value

    def braced(self, inside: str, depth: int = 0) -> list[str]:
        """What `${inside}` stands for: one text, or the items of an array."""
        whole = BRACED.fullmatch(inside)
        if whole is None or depth > DEEPEST:
            return [self._spent("${" + inside + "}")]
        name, items, operator, other = whole.groups()
        value = self.values.get(name)
        if isinstance(value, list):
            return [self._spent(item) for item in value] if items else [self._spent(value[0] if value else "")]
        if operator and operator.endswith("+"):
            return [self.text(other, depth + 1) if value else ""]
        if value or (value == "" and operator and not operator.startswith(":")):
            return [self._spent(value)]
        if operator and operator[-1] in "-=":
            return [self.text(other, depth + 1)]
        # Without the message of `:?`, which has blanks in it.
        return [self._spent("${" + name + "}" if operator or value is None else "")]

    def text(self, text: str, depth: int = 0, *, dollars: bool = False) -> str:
        """A text with its references replaced. With `dollars`, `$$` is a dollar, as compose has it."""
        parts: list[str] = []
        at = 0
        while found := REFERENCE.search(text, at):
            parts.append(text[at : found.start()])
            mark, at = found.group()[1:], found.end()
            if mark == "$":
                parts.append("$" if dollars else "$$")
            elif mark == "{":
                end = closing(text, at)
                if end < 0:
                    parts.append(text[found.start() :])
                    return "".join(parts)
                parts.append(" ".join(self.braced(text[at:end], depth)))
                at = end + 1
            else:
                value = self.values.get(mark, found.group())
                parts.append(self._spent(value if isinstance(value, str) else " ".join(value[:1])))
        return "".join([*parts, text[at:]])

    def _spent(self, value: str) -> str:
        self.budget -= len(value)
        if self.budget < 0:
            raise UnreadableInput(f"{self.file}: its variables expand to more than any command line holds")
        return value


def closing(text: str, at: int) -> int:
    """Where the brace that was opened before `at` closes, or -1."""
    depth = 1
    for found in re.compile(r"[{}]").finditer(text, at, at + LONGEST_VALUE):
        depth += 1 if found.group() == "{" else -1
        if not depth:
            return found.start()
    return -1


KUBERNETES = re.compile(r"\$\$?\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")


def kubernetes(text: str, environment: Mapping[str, str]) -> str:
    """`$(NAME)` of a container's command and args, from its environment; `$$(NAME)` is left alone."""
    if len(text) > LONGEST_VALUE:
        return text
    return KUBERNETES.sub(
        lambda found: found.group() if found.group().startswith("$$") else environment.get(found[1], found.group()),
        text,
    )
