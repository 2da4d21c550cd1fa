"""Envoy's counters beside its log: fewer lines than requests that ended are found, and nothing else is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from ferry.traffic.cutover.observation import CrossCheck
from ferry.traffic.gateway.admin import ClusterCounters
from ferry.traffic.requests import Request


@dataclass
class Envoy:
    """An Envoy and its log, as the check sees them once a second."""

    now: float = 0.0
    ended: int = 0
    active: int = 0

    def __post_init__(self) -> None:
        self.check = CrossCheck(clock=lambda: self.now)

    def tick(self, requests: int, *, logged: int | None = None, active: int = 0, seconds: float = 1.0) -> str | None:
        self.now += seconds
        self.ended, self.active = self.ended + requests, active
        lines = requests if logged is None else logged
        self.check.lines(tuple(Request(start_s=0, duration_ms=1, cluster="cloud") for _ in range(lines)))
        facts: dict[str, Any] = {"errors_5xx": 0, "connect_failures": 0, "members": 1, "healthy": 1, "ejected": 0}
        requested = self.ended + active
        return self.check.compare({"cloud": ClusterCounters(requests=requested, active_requests=active, **facts)})


@pytest.fixture
def envoy() -> Envoy:
    return Envoy()


def test_a_log_with_a_line_for_each_request_is_fine(envoy: Envoy) -> None:
    assert [envoy.tick(count, active=3) for count in (500, 700, 0, 900)] == [None] * 4


def test_lines_that_come_a_moment_later_are_fine(envoy: Envoy) -> None:
    assert [envoy.tick(100, logged=logged) for logged in (100, 0, 200, 100)] == [None] * 4


def test_lines_are_waited_for_as_long_as_a_busy_machine_needs(envoy: Envoy) -> None:
    assert [envoy.tick(100, logged=0, seconds=0.1) for _ in range(9)] == [None] * 9
    assert envoy.tick(0, logged=800, seconds=0.1) is None
    assert [envoy.tick(0, seconds=0.1) for _ in range(20)] == [None] * 20


def test_what_ended_before_the_first_look_is_not_counted(envoy: Envoy) -> None:
    assert [envoy.tick(1000, logged=0), envoy.tick(10), envoy.tick(10)] == [None] * 3


def test_lines_that_do_not_come_are_found(envoy: Envoy) -> None:
    envoy.tick(100)
    assert envoy.tick(100, logged=40) is None
    assert "Envoy counts 100 requests that ended at cloud and its log has 40" in str(envoy.tick(0))


def test_as_many_as_are_in_flight_may_be_missing(envoy: Envoy) -> None:
    envoy.tick(100, active=60)
    envoy.tick(100, logged=40, active=60)
    assert envoy.tick(0, active=60) is None


def test_an_envoy_that_was_started_anew_is_said_once_and_counted_from_there(envoy: Envoy) -> None:
    envoy.tick(100)
    envoy.ended = -90
    assert "started anew" in str(envoy.tick(100))
    assert [envoy.tick(100), envoy.tick(100, logged=0)] == [None, None]
    assert "its log has 100" in str(envoy.tick(0))
