"""How a transfer waits: after a failure, while the store asks for less, and for its share of the link."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

FIRST_WAIT_S = 0.1
FIRST_WAIT_THROTTLED_S = 0.5
LONGEST_WAIT_S = 20.0
"""Between two tries; botocore's standard mode has the same."""


class Patience:
    """Exponential backoff with full jitter (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter), and one
    pause for all threads while the store throttles: it counts the requests of a client together.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock, self._sleep, self._chance = clock, sleep, chance
        self._lock = threading.Lock()
        self._not_before = 0.0

    def hold(self) -> None:
        """Wait, before a request, until a pause that the store asked for is over."""
        with self._lock:
            left = self._not_before - self._clock()
        if left > 0:
            self._sleep(left)

    def after(self, failures: int, *, throttled: bool, retry_after_s: float = 0.0) -> None:
        """Wait after the given number of failures in a row. A throttled one holds back every thread."""
        first = FIRST_WAIT_THROTTLED_S if throttled else FIRST_WAIT_S
        wait = max(retry_after_s, self._chance() * min(LONGEST_WAIT_S, first * 2 ** (failures - 1)))
        if throttled:
            with self._lock:
                self._not_before = max(self._not_before, self._clock() + wait)
            self.hold()
        else:
            self._sleep(wait)


class Pace:
    """Bytes a second that all threads together may move. Time that nobody used is not saved up."""

    def __init__(
        self,
        bytes_per_s: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._bytes_per_s, self._clock, self._sleep = bytes_per_s, clock, sleep
        self._lock = threading.Lock()
        self._free_at = clock()

    def take(self, count: int) -> None:
        """Wait until so many bytes may go."""
        with self._lock:
            now = self._clock()
            begins = max(now, self._free_at)
            self._free_at = begins + count / self._bytes_per_s
        if begins > now:
            self._sleep(begins - now)
