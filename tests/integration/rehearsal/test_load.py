"""The rehearsal's clients, asking a stub engine."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

import pytest

from ferry.rehearsal.load import Answer, Load
from ferry.rehearsal.stub_engine import StubEngine
from tests.gateways import wait_until


@pytest.fixture(scope="module")
def running() -> Iterator[StubEngine]:
    with StubEngine("home", ttft_ms=1, tpot_ms=0.1) as engine:
        yield engine


@pytest.fixture
def engine(running: StubEngine) -> StubEngine:
    running.recover()
    running.forget()
    return running


def answers(load: Load, count: int) -> list[Answer]:
    with load:
        wait_until(lambda: len(load.answers) >= count)
    return load.answers


def test_each_request_is_sent_once_and_each_third_asks_for_a_stream(engine: StubEngine) -> None:
    numbers = itertools.count()
    load = Load(engine.url, requests_per_second=200, headers=lambda: {"x-request-id": str(next(numbers))})
    found = sorted(answers(load, 30), key=lambda answer: answer.number)
    assert [answer.number for answer in found] == list(range(len(found)))
    assert [answer.streamed for answer in found] == [number % 3 == 0 for number in range(len(found))]
    assert {(answer.outcome, answer.status, answer.engine) for answer in found} == {("answered", 200, "home")}
    assert (engine.seen().distinct, engine.seen().repeated) == (len(found), {})


@pytest.mark.parametrize(
    ("behaviour", "outcomes"),
    [
        ({"error_rate": 1}, {("refused", 500)}),
        ({"truncate_rate": 1}, {("truncated", 200)}),
        ({"truncate_rate": 1, "truncated_by": "end"}, {("truncated", 200)}),
        ({"refuse": True}, {("lost", None)}),
        ({"hang_rate": 1}, {("late", None)}),
    ],
)
def test_what_becomes_of_a_request_is_told_apart(
    engine: StubEngine, behaviour: dict[str, object], outcomes: set[tuple[str, int | None]]
) -> None:
    engine.behave(**behaviour)
    load = Load(engine.url, requests_per_second=200, timeout_s=0.2 if "hang_rate" in behaviour else 30)
    assert {(answer.outcome, answer.status) for answer in answers(load, 5)} == outcomes


def test_the_rate_holds_while_answers_are_late(engine: StubEngine) -> None:
    engine.behave(hang_rate=1)
    with Load(engine.url, requests_per_second=100, timeout_s=1) as load:
        wait_until(lambda: engine.seen().requests >= 10)
        assert load.answers == []
    assert Counter(answer.outcome for answer in load.answers)["late"] == len(load.answers) >= 10
