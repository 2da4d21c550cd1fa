"""What the account says, in the words of the program."""

from __future__ import annotations

from typing import Any

import pytest

from ferry.rehearsal.engine.drift import adopted, imported


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"policy": '{"Statement": [{"Action": "a"}]}'}, {"policy": '{"Statement":[{"Action":"a"}]}'}),
        ({"days": 184}, {"days": 184.0}),
        ({"encrypted": "true"}, {"encrypted": True}),
        ({"subnets": ["b", "a"]}, {"subnets": ["a", "b"]}),
        ({"rule": {"mode": "COMPLIANCE"}}, {"rule": {"mode": "COMPLIANCE", "years": 0}}),
        ({"rules": [{"id": "b"}, {"id": "a"}]}, {"rules": [{"id": "a", "n": 1}, {"id": "b", "n": 2}]}),
        ({"notRead": 1}, {}),
    ],
)
def test_what_means_the_same_stays_as_the_program_said_it(given: dict[str, Any], found: dict[str, Any]) -> None:
    assert adopted(given, found) == given


@pytest.mark.parametrize(
    ("given", "found", "expected"),
    [
        ({"maxSize": 4}, {"maxSize": 9}, {"maxSize": 9}),
        ({"tags": {"a": "1"}}, {"tags": {"a": "1", "b": "2"}}, {"tags": {"a": "1", "b": "2"}}),
        ({"retentionInDays": 30}, {"retentionInDays": None}, {}),
        ({"rule": {"mode": "GOVERNANCE"}}, {"rule": {"mode": "COMPLIANCE"}}, {"rule": {"mode": "COMPLIANCE"}}),
        ({"rules": [{"id": "a"}, {"id": "b"}]}, {"rules": [{"id": "b"}]}, {"rules": [{"id": "b"}]}),
        ({"groups": ["a"]}, {"groups": ["a", "b"]}, {"groups": ["a", "b"]}),
        ({"groups": ["a", "a"]}, {"groups": ["a"]}, {"groups": ["a"]}),
        (
            {"steps": [{"by": 1, "from": "0"}]},
            {"steps": [{"by": 2, "from": 0.0, "to": None}]},
            {"steps": [{"by": 2, "from": "0"}]},
        ),
    ],
)
def test_what_differs_is_told(given: dict[str, Any], found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert adopted(given, found) == expected


def test_an_import_takes_what_was_read_and_is_not_empty() -> None:
    assert imported({"a": 1, "b": None, "c": "", "d": {}, "e": False}) == {"a": 1, "e": False}
