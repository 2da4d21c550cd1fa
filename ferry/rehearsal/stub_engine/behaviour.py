"""How the stub engine behaves: latency as distributions, and faults as shares of the requests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from ferry.errors import InvalidField

Fate = Literal["answered", "error", "cut", "hung"]
ENDINGS = ("reset", "end")


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """Latency and faults; all of it may change while the engine runs, for the requests that come afterwards.

    Raises InvalidField for a value out of its range.
    """

    ttft_ms: float = 20.0
    """Median time to the first token."""
    ttft_sigma: float = 0.25
    """Of the log-normal distribution of the time to first token; the P99 is the median times exp(2.33 sigma)."""
    tpot_ms: float = 2.0
    """Median time per output token after the first. The event loop's clock ticks each millisecond."""
    tpot_sigma: float = 0.1
    slow_rate: float = 0.0
    """Share of the requests that take `slow_factor` times as long."""
    slow_factor: float = 2.0
    pause_ms: float = 0.0
    """Silence in the middle of each answer."""
    error_rate: float = 0.0
    """Share of the requests that are answered with `error_status`, after the time to first token."""
    error_status: int = 500
    truncate_rate: float = 0.0
    """Share of the answers that break off in the middle, status 200."""
    truncated_by: str = "reset"
    """`reset`: the connection breaks off. `end`: the stream ends as HTTP wants it, without its last events."""
    hang_rate: float = 0.0
    """Share of the requests that are never answered; their connections stay open."""
    refuse: bool = False
    """Whether connections are refused, and those that are open are reset."""
    cold: bool = False
    """Whether the model is still being loaded: 503 to everything, `/health` included."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            self._check(field.name, getattr(self, field.name), type(field.default))
        if self.error_rate + self.truncate_rate + self.hang_rate > 1:
            raise InvalidField(
                f"error_rate + truncate_rate + hang_rate is {self.error_rate + self.truncate_rate + self.hang_rate:g}; "
                "allowed: at most 1; a request meets one fate"
            )

    def changed(self, changes: Mapping[str, Any]) -> Behaviour:
        """The same behaviour with other values. Raises InvalidField, also for a name that does not exist."""
        names = [field.name for field in dataclasses.fields(self)]
        if unknown := sorted(set(changes) - set(names)):
            raise InvalidField(f"unknown: {', '.join(unknown)}; allowed: {', '.join(names)}")
        return dataclasses.replace(self, **changes)

    def fate(self, random: Random) -> Fate:
        """What becomes of the next request."""
        at = random.random()
        for fate, rate in (("error", self.error_rate), ("cut", self.truncate_rate), ("hung", self.hang_rate)):
            if at < rate:
                return fate  # type: ignore[return-value]
            at -= rate
        return "answered"

    def times(self, random: Random) -> tuple[float, float]:
        """Seconds to the first token of the next answer, and seconds per token after it."""
        factor = self.slow_factor if random.random() < self.slow_rate else 1.0
        ttft = self.ttft_ms * random.lognormvariate(0, self.ttft_sigma)
        return factor * ttft / 1000, factor * self.tpot_ms * random.lognormvariate(0, self.tpot_sigma) / 1000

    def _check(self, name: str, value: Any, kind: type[Any]) -> None:
        if kind is float and type(value) is int:
            value = float(value)
        if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
            raise InvalidField(f"{name} is {value!r}; allowed: {kind.__name__}")
        if isinstance(value, float) and not 0 <= value < float("inf"):
            raise InvalidField(f"{name} is {value:g}; allowed: 0 and more")
        if name.endswith("_rate") and value > 1:
            raise InvalidField(f"{name} is {value:g}; allowed: a share, 0 to 1")
        if name == "error_status" and not 400 <= value <= 599:
            raise InvalidField(f"{name} is {value}; allowed: 400 to 599")
        if name == "truncated_by" and value not in ENDINGS:
            raise InvalidField(f"{name} is {value!r}; allowed: {', '.join(ENDINGS)}")
