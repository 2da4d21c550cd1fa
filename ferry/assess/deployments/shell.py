"""Splits a shell's text into commands.

`shlex` splits one line; it tells neither on which line a word stands nor how it was quoted, and both are needed:
`'$X'` is no variable, `$ARGS` is several words, `"${ARGS[@]}"` are an array's. So the few rules are here: quotes,
continuation, comments, here-documents, redirections, lists, variables and arrays. Nothing is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ferry.assess.deployments.words import Variables, Word, closing
from ferry.errors import UnreadableInput

PLAIN = re.compile(r"[^\s\\'\"$`#;&|()<>]+")
IN_DOUBLE = re.compile(r"[^\\\"$`]+")
BLANK = re.compile(r"[ \t\r\f\v]+")
REDIRECTION = re.compile(r"&?>>?\|?(?:&[0-9-]+)?|<<<|<>|<(?:&[0-9-]+)?")
HERE = re.compile(r"<<(-?)[ \t]*(['\"]?)([A-Za-z_][A-Za-z0-9_]*)\2")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=(.*)", re.DOTALL)
KEYWORDS = frozenset({"if", "then", "elif", "else", "do", "while", "until", "!", "{", "}", "fi", "done", "time"})
DECLARING = frozenset({"export", "declare", "local", "readonly", "typeset"})
MOST_WORDS = 200_000


@dataclass(frozen=True)
class Command:
    """A simple command: its words, and the environment that it is given by the text itself."""

    words: list[Word]
    environment: dict[str, Word]
    line: int


def commands(text: str, variables: Variables, line: int = 1) -> Iterator[Command]:
    """The simple commands of a text whose first line is `line`, with what the text itself sets in place of variables.

    Raises UnreadableInput for a quote or bracket that nothing closes, and for more words than any script has.
    """
    scanner = _Scanner(text, variables, line)
    exported: dict[str, Word] = {}
    while (words := scanner.command()) is not None:
        while words and words[0] in KEYWORDS:
            words.pop(0)
        own: dict[str, Word] = {}
        declares = bool(words) and words[0] in DECLARING
        rest = words[1:] if declares else words
        while rest and (found := ASSIGNMENT.fullmatch(rest[0])):
            name, add, value = found.groups()
            before = variables.values.get(name, "")
            own[name] = Word((before if isinstance(before, str) and add else "") + value, rest[0].line)
            rest = rest[1:]
            while declares and rest and rest[0].startswith("-"):
                rest = rest[1:]
        if declares or not rest:
            for name, word in own.items():
                variables.set(name, word)
            exported |= own if declares and words[0] == "export" else {}
            names = [word for word in rest if NAME.fullmatch(word)] if declares and words[0] == "export" else []
            for word in names:
                held = variables.values.get(word)
                exported |= {str(word): Word(held, word.line)} if isinstance(held, str) else {}
            continue
        yield Command(rest, {**exported, **own}, words[0].line)


class _Scanner:
    def __init__(self, text: str, variables: Variables, line: int, *, in_array: bool = False) -> None:
        self.text, self.at, self.line, self.variables = text, 0, line, variables
        self.words = 0
        self.in_array = in_array
        self.here: list[tuple[str, bool]] = []
        self.parts: list[str] | None = None
        self.started = line
        self.drop_next = False

    def command(self) -> list[Word] | None:
        """The words up to the next `;`, `&`, `|`, bracket or line end; None at the end of the text."""
        words: list[Word] = []
        while self.at < len(self.text):
            letter = self.text[self.at]
            if found := PLAIN.match(self.text, self.at):
                self._add(found.group())
                self.at = found.end()
            elif found := BLANK.match(self.text, self.at):
                self._finish(words)
                self.at = found.end()
            elif letter == "\\":
                self._escape()
            elif letter in "'\"":
                self._quoted(words, letter)
            elif letter in "$`":
                self._dollar(words, quoted=False)
            elif letter == "#" and self.parts is None:
                end = self.text.find("\n", self.at)
                self.at = end if end >= 0 else len(self.text)
            elif letter == "(" and self.parts and self.parts[-1].endswith("=") and self._array():
                continue
            elif letter in "<>" or (letter == "&" and self.text.startswith("&>", self.at)):
                self._redirect(words)
            elif letter in "\n;&|()":
                self._finish(words)
                self.at += 1
                if letter == "\n":
                    self.line += 1
                    self._skip_documents()
                if words or (self.in_array and letter == ")"):
                    return words
            else:
                self._add(letter)
                self.at += 1
        self._finish(words)
        return words or None

    def _add(self, text: str) -> None:
        if self.parts is None:
            self.parts, self.started = [], self.line
        self.parts.append(text)

    def _finish(self, words: list[Word]) -> None:
        if self.parts is None:
            return
        if not self.drop_next:
            words.append(Word("".join(self.parts), self.started))
            self.words += 1
            if self.words > MOST_WORDS:
                raise UnreadableInput(f"{self.variables.file}: has more than {MOST_WORDS} words; give a part of it")
        self.parts, self.drop_next = None, False

    def _escape(self) -> None:
        after = self.text[self.at + 1 : self.at + 3]
        width = 3 if after == "\r\n" else 2
        if after[:1] == "\n" or after == "\r\n":
            self.line += 1
        else:
            self._add(after[:1])
        self.at += width

    def _quoted(self, words: list[Word], quote: str) -> None:
        opened = self.line
        self._add("")
        self.at += 1
        if quote == "'":
            end = self.text.find("'", self.at)
            if end < 0:
                raise self._open(opened, "a quote")
            self._add(self.text[self.at : end])
            self.line += self.text.count("\n", self.at, end)
            self.at = end + 1
            return
        while self.at < len(self.text):
            letter = self.text[self.at]
            if letter == '"':
                self.at += 1
                return
            if found := IN_DOUBLE.match(self.text, self.at):
                self._add(found.group())
                self.line += found.group().count("\n")
                self.at = found.end()
            elif letter == "\\":
                after = self.text[self.at + 1 : self.at + 2]
                self._add("" if after == "\n" else after if after in '$`"\\' else "\\" + after)
                self.line += after == "\n"
                self.at += 2
            else:
                self._dollar(words, quoted=True)
        raise self._open(opened, "a quote")

    def _dollar(self, words: list[Word], *, quoted: bool) -> None:
        start = self.at
        if self.text[start] == "`":
            end = self.text.find("`", start + 1)
            self._verbatim(start, end + 1, "`")
            return
        after = self.text[start + 1 : start + 2]
        if after == "(":
            self._verbatim(start, self._close_bracket(start + 2), "$(")
        elif after == "{":
            end = closing(self.text, start + 2)
            if end < 0:
                raise self._open(self.line, "${")
            self.line += self.text.count("\n", start, end)
            self.at = end + 1
            whole = quoted or self.variables.braces_are_whole
            self._insert(words, self.variables.braced(self.text[start + 2 : end]), whole)
        elif found := NAME.match(self.text, start + 1):
            self.at = found.end()
            self._insert(words, self.variables.braced(found.group()) if self._known(found.group()) else None, quoted)
            if not self._known(found.group()):
                self._add(f"${found.group()}")
        else:
            self._add("$")
            self.at += 1

    def _known(self, name: str) -> bool:
        return name in self.variables.values

    def _insert(self, words: list[Word], values: list[str] | None, quoted: bool) -> None:
        """Put values in: quoted as they are, an array's as words of their own; unquoted split at blanks."""
        if values is None:
            return
        pieces = values if quoted else [piece for value in values for piece in value.split()]
        for number, piece in enumerate(pieces):
            if number:
                self._finish(words)
            self._add(piece)

    def _verbatim(self, start: int, end: int, what: str) -> None:
        if end <= start:
            raise self._open(self.line, what)
        self._add(self.text[start:end])
        self.line += self.text.count("\n", start, end)
        self.at = end

    def _close_bracket(self, at: int) -> int:
        depth = 1
        for found in re.compile(r"'[^']*'|\\.|[()]", re.DOTALL).finditer(self.text, at):
            depth += {"(": 1, ")": -1}.get(found.group(), 0)
            if not depth:
                return found.end()
        return -1

    def _array(self) -> bool:
        """Read `NAME=( … )` into the variables. False where it is none."""
        name = ASSIGNMENT.fullmatch("".join(self.parts or []))
        if name is None or name[3] or self.in_array:
            return False
        inner = _Scanner(self.text, self.variables, self.line, in_array=True)
        inner.at, inner.words = self.at + 1, self.words
        items: list[Word] = []
        while True:
            words = inner.command()
            if words is None:
                raise self._open(self.line, "a bracket")
            items += words
            if self.text[inner.at - 1] == ")":
                break
        before = self.variables.values.get(name[1], [])
        kept = before if name[2] and isinstance(before, list) else []
        self.variables.set(name[1], [*kept, *items])
        self.at, self.line, self.words, self.parts = inner.at, inner.line, inner.words, None
        return True

    def _redirect(self, words: list[Word]) -> None:
        if self.parts is not None and "".join(self.parts).isdigit():
            self.parts = None
        self._finish(words)
        if found := HERE.match(self.text, self.at):
            self.here.append((found[3], bool(found[1])))
            self.at = found.end()
            return
        found = REDIRECTION.match(self.text, self.at)
        taken = found.group() if found else self.text[self.at]
        self.at += len(taken)
        self.drop_next = "&" not in taken[1:] and not self.text.startswith("(", self.at)

    def _skip_documents(self) -> None:
        for mark, indented in self.here:
            while self.at < len(self.text):
                end = self.text.find("\n", self.at)
                end = len(self.text) if end < 0 else end
                content = self.text[self.at : end].rstrip("\r")
                self.at = min(end + 1, len(self.text))
                self.line += 1
                if (content.lstrip("\t") if indented else content) == mark:
                    break
        self.here = []

    def _open(self, line: int, what: str) -> UnreadableInput:
        return UnreadableInput(f"{self.variables.file}:{line}: {what} is opened here and never closed; the file is cut")
