from __future__ import annotations

from typing import Any

import pytest
from moto.events.models import EventPattern

from ferry.rehearsal.event_patterns import matches


@pytest.mark.parametrize(
    ("pattern", "event", "expected"),
    [
        ({"a": ["x", "y"]}, {"a": "y"}, True),
        ({"a": ["x"]}, {"a": "z"}, False),
        ({"a": ["x"]}, {}, False),
        ({"a": {"b": ["x"]}, "c": ["z"]}, {"a": {"b": "x"}, "c": "z"}, True),
        ({"a": {"b": ["x"]}, "c": ["z"]}, {"a": {"b": "x"}, "c": "y"}, False),
        ({"a": {"b": ["x"]}}, {"a": "x"}, False),
        ({"a": [{"prefix": "Put"}]}, {"a": "PutBucketPolicy"}, True),
        ({"a": [{"prefix": "Put"}]}, {"a": "GetBucketPolicy"}, False),
        ({"a": {"$or": [{"b": ["x"]}, {"c": ["y"]}]}}, {"a": {"c": "y"}}, True),
        ({"a": {"$or": [{"b": ["x"]}, {"c": ["y"]}]}}, {"a": {"b": "y", "c": "x"}}, False),
        ({"a": ["x"]}, {"a": ["w", "x"]}, True),
    ],
)
def test_patterns_match_as_moto_has_it(pattern: Any, event: Any, expected: bool) -> None:
    assert matches(pattern, event) is expected
    assert EventPattern(None, pattern).matches_event(event) is expected


def test_one_object_of_a_list_has_to_match_the_whole_of_a_pattern() -> None:
    pattern = {"resources": {"ARN": ["k"], "type": ["key"]}}
    assert matches(pattern, {"resources": [{"ARN": "x", "type": "key"}, {"ARN": "k", "type": "key"}]})
    assert not matches(pattern, {"resources": [{"ARN": "k", "type": "other"}, {"ARN": "x", "type": "key"}]})


def test_an_operator_that_is_not_known_is_an_error() -> None:
    with pytest.raises(ValueError, match="the operator suffix of an event pattern is not known"):
        matches({"a": [{"suffix": "x"}]}, {"a": "x"})
