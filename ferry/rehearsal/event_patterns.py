"""Whether an event matches an EventBridge pattern. moto 5.2.5 evaluates patterns too, but not inside lists of objects.

Only what Ferry's rules use: values, `prefix`, `$or`, and lists in the event, of which one element has to match.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def matches(pattern: Mapping[str, Any], event: Any) -> bool:
    """Every field of the pattern is met by the event. Raises ValueError for an operator that is not known here."""
    if isinstance(event, list):
        return any(matches(pattern, one) for one in event)
    if not isinstance(event, Mapping):
        return False
    return all(
        any(matches(one, event) for one in wanted) if name == "$or" else _field_matches(wanted, event.get(name))
        for name, wanted in pattern.items()
    )


def _field_matches(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, Mapping):
        return matches(wanted, found)
    values = found if isinstance(found, list) else [found]
    return any(_value_matches(one, value) for one in wanted for value in values)


def _value_matches(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, Mapping):
        return bool(wanted == value)
    if set(wanted) != {"prefix"}:
        raise ValueError(f"the operator {', '.join(wanted)} of an event pattern is not known to the rehearsal")
    return isinstance(value, str) and value.startswith(wanted["prefix"])
