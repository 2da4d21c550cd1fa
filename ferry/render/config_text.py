"""The text of `config` in a stack file, edited so that everything else stays as it is, byte for byte.

Only the lines of an entry that changes are written anew, by ruamel.yaml, so that comments and quotes inside it stay;
all other lines are copied.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString


def replace(text: str, key: str, before: Any, after: Any) -> str:
    """Give an entry of `config` another value. Raises LookupError or ruamel's YAMLError for a layout it cannot edit."""
    entry = _entries(text)[key]
    lines = text[entry.start : entry.end].replace("\r\n", "\n").split("\n")
    fragment = "\n".join(line[min(entry.indent, len(line) - len(line.lstrip())) :] for line in lines)
    node = _round_trip(fragment).load(fragment)
    _make_equal(node, {key: before}, {key: after})
    return text[: entry.start] + _dump(node, entry.indent, text, like=fragment) + text[entry.end :]


def append(text: str, key: str, value: Any) -> str:
    """Add an entry after the last one of `config`, which is made where it is missing. Raises LookupError."""
    entries = _entries(text)
    if entries:
        last = max(entries.values(), key=lambda entry: entry.end)
        before, after, indent = text[: last.end], text[last.end :], last.indent
    else:
        (before, after), indent = _empty_config(text), 2
    added = _dump(_styled({key: value}), indent, text, like=text)
    return before + _newline(text) + added + (after or _newline(text))


def same(one: Any, other: Any) -> bool:
    """Whether two YAML values are equal, types included (1, 1.0 and true differ)."""
    return json.dumps(one, sort_keys=True, default=repr) == json.dumps(other, sort_keys=True, default=repr)


@dataclass(frozen=True)
class _Entry:
    """Where an entry of `config` stands: from the start of its first line to the end of its last."""

    start: int
    end: int
    indent: int


def _empty_config(text: str) -> tuple[str, str]:
    """The text up to the end of the line that opens `config`, and the rest. Without such a line one is added."""
    found = re.search(r"^config:(?P<value>[ \t]+(\{\}|null|~))?[ \t]*(#.*?)?(?=\r?$)", text, re.MULTILINE)
    if found is None:
        gap = "" if not text or text.endswith("\n") else _newline(text)
        return f"{text}{gap}config:", ""
    opened = found.group() if found["value"] is None else found.group().replace(found["value"], "", 1)
    return text[: found.start()] + opened, text[found.end() :]


def _entries(text: str) -> dict[str, _Entry]:
    """Every entry of `config`. Raises LookupError where it is not a block, or has one key twice."""
    events = iter(yaml.parse(text, Loader=yaml.SafeLoader))
    found: dict[str, _Entry] = {}
    for key, value in _pairs(events, _first_mapping(events)):
        if key.value != "config" or not isinstance(value, yaml.MappingStartEvent):
            _end(events, value)
            continue
        for name, inner in _pairs(events, value):
            if value.flow_style:
                raise LookupError("`config` is in flow style")
            if name.value in found:
                raise LookupError(f"{name.value} stands there twice")
            start = name.start_mark.index - name.start_mark.column
            end = len(text[: _end(events, inner)].rstrip())
            line_end = text.find("\n", end)
            end = len(text if line_end < 0 else text[:line_end].removesuffix("\r"))
            found[name.value] = _Entry(start, end, name.start_mark.column)
    return found


def _first_mapping(events: Iterator[Any]) -> Any:
    return next((event for event in events if isinstance(event, yaml.MappingStartEvent)), None)


def _pairs(events: Iterator[Any], opened: Any) -> Iterator[tuple[Any, Any]]:
    """Keys of an opened mapping, each with the event that starts its value; the caller consumes the value."""
    while opened is not None and not isinstance(key := next(events), yaml.MappingEndEvent):
        if not isinstance(key, yaml.ScalarEvent):
            raise LookupError(f"a key in line {key.start_mark.line + 1} is not plain text")
        yield key, next(events)


def _end(events: Iterator[Any], first: Any) -> int:
    """Consume a node; the index after its last character. A block's own end mark is where the next token starts."""
    if not isinstance(first, yaml.MappingStartEvent | yaml.SequenceStartEvent):
        return _index(first.end_mark)
    end = _index(first.start_mark)
    while not isinstance(event := next(events), yaml.MappingEndEvent | yaml.SequenceEndEvent):
        end = max(end, _end(events, event))
    return max(end, _index(event.end_mark)) if first.flow_style else end


def _index(mark: Any) -> int:
    return int(mark.index)


def _make_equal(node: Any, before: Any, after: Any) -> None:
    """Change only what differs, so that comments, quotes and order of the rest stay."""
    if isinstance(after, Mapping):
        for key in [key for key in before if key not in after]:
            del node[key]
        steps = [(key, key in before, before.get(key), after[key]) for key in after]
    else:
        del node[len(after) :]
        steps = [
            (at, at < len(before), before[at] if at < len(before) else None, value) for at, value in enumerate(after)
        ]
    for step, is_there, old, new in steps:
        if not is_there and isinstance(node, list):
            node.append(_styled(new))
        elif is_there and _same_shape(old, new):
            _make_equal(node[step], old, new)
        elif not is_there or not same(old, new):
            node[step] = _styled(new)


def _same_shape(old: Any, new: Any) -> bool:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return bool(new) and old.get("name") == new.get("name")
    return isinstance(old, list) and isinstance(new, list) and bool(old) and bool(new)


def _styled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _styled(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_styled(each) for each in value]
    if isinstance(value, str) and "\n" in value:
        return LiteralScalarString(value)
    # ruamel writes YAML 1.2, where `on` and 12:30 are text; readers of YAML 1.1 need the quotes.
    return DoubleQuotedScalarString(value) if isinstance(value, str) and _reads_as_other(value) else value


def _reads_as_other(value: str) -> bool:
    try:
        return not isinstance(yaml.safe_load(value), str)
    except yaml.YAMLError:
        return False


def _round_trip(like: str) -> YAML:
    emitter = YAML(typ="rt")
    emitter.preserve_quotes = True
    emitter.width = 4096
    lines = [line for line in like.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    flush = any(
        dash.lstrip().startswith("- ") and parent.rstrip().endswith(":") and _indent(dash) == _indent(parent)
        for parent, dash in pairwise(lines)
    )
    emitter.indent(mapping=2, sequence=2 if flush else 4, offset=0 if flush else 2)
    return emitter


def _dump(node: Any, indent: int, text: str, *, like: str) -> str:
    stream = io.StringIO()
    _round_trip(like).dump(node, stream)
    lines = stream.getvalue().rstrip().split("\n")
    return _newline(text).join(" " * indent + line if line.strip() else "" for line in lines)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
