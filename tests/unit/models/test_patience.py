"""How a transfer waits, with a clock that is moved by hand."""

from __future__ import annotations

import threading

import pytest

from ferry.models.patience import Pace, Patience


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        self._lock = threading.Lock()

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def patience(clock: Clock, chance: float = 1.0) -> Patience:
    return Patience(clock=clock.read, sleep=clock.sleep, chance=lambda: chance)


def test_each_wait_is_twice_the_last_and_none_is_longer_than_twenty_seconds(clock: Clock) -> None:
    waits = patience(clock)
    for failures in range(1, 11):
        waits.after(failures, throttled=False)
    assert clock.slept == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20.0, 20.0]


def test_a_wait_is_a_random_share_of_the_longest_it_may_be(clock: Clock) -> None:
    patience(clock, 0.25).after(3, throttled=False)
    assert clock.slept == [0.1]


def test_a_store_that_throttles_is_waited_for_longer_and_by_everybody(clock: Clock) -> None:
    waits = Patience(clock=clock.read, sleep=clock.slept.append, chance=lambda: 1.0)
    waits.after(1, throttled=True)
    waits.hold()
    assert clock.slept == [0.5, 0.5]
    clock.now += 0.5
    waits.hold()
    assert clock.slept == [0.5, 0.5]


def test_a_wait_that_the_store_names_is_kept(clock: Clock) -> None:
    patience(clock).after(1, throttled=True, retry_after_s=7)
    assert clock.slept == [7]


def test_bytes_go_no_faster_than_the_limit(clock: Clock) -> None:
    pace = Pace(1000, clock=clock.read, sleep=clock.sleep)
    for _ in range(5):
        pace.take(500)
    assert clock.now - 100 == 2.0  # the last piece begins when the four before it are paid for
    clock.now += 60  # time that nobody used is not saved up
    for _ in range(3):
        pace.take(500)
    assert clock.now - 162 == 1.0


def test_threads_share_the_limit(clock: Clock) -> None:
    pace = Pace(1000, clock=clock.read, sleep=clock.slept.append)
    threads = [threading.Thread(target=pace.take, args=(250,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(clock.slept) == [0.25, 0.5, 0.75]
