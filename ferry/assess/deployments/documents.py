"""Reads YAML of unknown origin into texts that know their line: bounded in size, depth, aliases and merges."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from ferry.assess.deployments.words import Word
from ferry.errors import UnreadableInput

# What aliases repeat is shared and never copied; only merge keys copy, and they have a limit of their own.
Tree = Any  # Word | None | list[Tree] | dict[str, Tree]
LARGEST_LETTERS = 4 * 2**20
MOST_EVENTS = 500_000
MOST_MERGED = 100_000
DEEPEST = 60
NOTHING = frozenset({"", "~", "null", "Null", "NULL"})
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
QUOTED = re.compile(r"'(?!<)[^']*'")
HELM = re.compile(r"\{\{.{0,500}?\}\}")


class Section(dict[str, Tree]):
    """A mapping with the line that it starts on."""

    line: int = 1


def documents(text: str, file: str, line: int = 1) -> list[Tree]:
    """All documents of a text whose first line is `line`. Raises UnreadableInput on one line, without its content."""
    if len(text) > LARGEST_LETTERS:
        raise UnreadableInput(
            f"{file}: is YAML of more than {LARGEST_LETTERS // 2**20} MiB; give the part with the job"
        )
    try:
        return _Builder(file, line).documents(_events(text, file))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f"{file}:{mark.line + line}" if mark else file
        problem = QUOTED.sub("…", str(getattr(error, "problem", None) or getattr(error, "reason", "unreadable")))
        raise _template_or(
            UnreadableInput(f"{at}: is not YAML: {' '.join(problem.split())[:120]}"), text, file
        ) from None
    except (ValueError, OverflowError):
        # libyaml and Python's own reader refuse some letters, surrogates for one, in ways of their own.
        raise UnreadableInput(f"{file}: is not YAML: has letters that YAML does not allow") from None
    except UnreadableInput as error:
        raise _template_or(error, text, file) from None


def _template_or(error: UnreadableInput, text: str, file: str) -> UnreadableInput:
    if not HELM.search(text[:LARGEST_LETTERS]):
        return error
    return UnreadableInput(
        f"{file}: is a template of Helm or Jinja; render it and name the result: "
        "helm template RELEASE CHART > rendered.yaml"
    )


def _events(text: str, file: str) -> Iterator[yaml.Event]:
    for number, event in enumerate(yaml.parse(str(text), Loader=LOADER)):
        if number > MOST_EVENTS:
            raise UnreadableInput(f"{file}: has more than {MOST_EVENTS} values; give the part with the job")
        yield event


class _Builder:
    def __init__(self, file: str, line: int) -> None:
        self.file, self.first, self.merged = file, line, 0
        self.anchors: dict[str, Tree] = {}

    def documents(self, events: Iterator[yaml.Event]) -> list[Tree]:
        found: list[Tree] = []
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                self.anchors = {}
            elif isinstance(event, yaml.NodeEvent):
                found.append(self._node(event, events, 0))
        return found

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Tree:
        line = (event.start_mark.line if event.start_mark else 0) + self.first
        if depth > DEEPEST:
            raise UnreadableInput(f"{self.file}:{line}: is nested deeper than {DEEPEST} levels")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise UnreadableInput(f"{self.file}:{line}: names an anchor that is not defined before it")
            return self.anchors[event.anchor]
        node: Tree
        if isinstance(event, yaml.ScalarEvent):
            plain = event.style is None and not event.tag
            # The text of a block begins on the line after its mark.
            node = None if plain and event.value in NOTHING else Word(event.value, line + (event.style in ("|", ">")))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = []
            while not isinstance(inner := next(events), yaml.SequenceEndEvent):
                node.append(self._node(inner, events, depth + 1))
        else:
            node = self._mapping(events, depth, line)
        if anchor := getattr(event, "anchor", None):
            self.anchors[anchor] = node
        return node

    def _mapping(self, events: Iterator[yaml.Event], depth: int, line: int) -> Section:
        section, merges = Section(), []
        section.line = line
        while not isinstance(inner := next(events), yaml.MappingEndEvent):
            key = self._node(inner, events, depth + 1)
            if isinstance(key, list | dict):
                raise UnreadableInput(f"{self.file}:{line}: has a key that is no text")
            value = self._node(next(events), events, depth + 1)
            if key == "<<":
                merges += value if isinstance(value, list) else [value]
            elif key is not None:
                section[key] = value
        for merge in merges:
            if isinstance(merge, dict):
                self.merged += len(merge)
                if self.merged > MOST_MERGED:
                    raise UnreadableInput(f"{self.file}:{line}: merges more than {MOST_MERGED} keys")
                for key, value in merge.items():
                    section.setdefault(key, value)
        return section


def section(tree: Tree, *keys: str) -> Section:
    """The mapping under a path of keys; an empty one where there is none."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, Section) else Section()


def items(tree: Tree) -> list[Tree]:
    """A list as it is; nothing where there is none."""
    return tree if isinstance(tree, list) else []


def text(tree: Tree) -> Word | None:
    """A text as it is; nothing where there is none."""
    return tree if isinstance(tree, Word) else None


def number(tree: Tree) -> int | None:
    """A whole number from 0 to a million; nothing where there is none."""
    return int(tree) if isinstance(tree, Word) and re.fullmatch(r"[0-9]{1,6}", tree) else None
