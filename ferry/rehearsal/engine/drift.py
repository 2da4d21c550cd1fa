"""What the account says, put into the form in which the program said it: what means the same, stays the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

FREE_FORM = frozenset({"tags", "dimensions", "inputPaths"})
"""Maps whose keys the program makes up: one that it did not give is a difference, not a default."""


def adopted(given: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The given properties, with the account's value where it is another. What was not read stays as it is."""
    return {
        key: _adopted(key, value, found[key]) if key in found else value
        for key, value in given.items()
        if key not in found or found[key] is not None
    }


def imported(found: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs of what no program has described yet: all that was read and is not empty."""
    return {key: value for key, value in found.items() if value not in (None, "", [], {})}


def _adopted(key: str, given: Any, found: Any) -> Any:
    if isinstance(given, Mapping) and isinstance(found, Mapping):
        if key in FREE_FORM:
            return given if _text(given) == _text(found) else dict(found)
        return {
            name: _adopted(name, value, found.get(name)) for name, value in given.items() if found.get(name) is not None
        }
    if isinstance(given, list) and isinstance(found, list):
        return _list(key, given, found)
    return given if _same(given, found) else found


def _list(key: str, given: list[Any], found: list[Any]) -> list[Any]:
    """AWS keeps most lists as sets. What is found is put beside what was given, then what is left in AWS's order."""
    left, kept = list(found), []
    for one in given:
        for other in left:
            if _same(_adopted(key, one, other), one):
                left.remove(other)
                kept.append(one)
                break
    lost = [one for one in given if one not in kept]
    return kept + [_adopted(key, lost.pop(0), one) if lost else one for one in left]


def _same(given: Any, found: Any) -> bool:
    return _text(given) == _text(found)


def _text(value: Any) -> str:
    """One text for all forms of a value: policies are JSON in any layout, numbers and flags are strings at times."""
    if isinstance(value, Mapping):
        return json.dumps({str(key): _text(item) for key, item in value.items()}, sort_keys=True)
    if isinstance(value, list):
        return json.dumps([_text(item) for item in value])
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return _text(json.loads(value))
        except ValueError:
            return value
    return str(value)
