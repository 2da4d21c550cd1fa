"""Requests and searches for the tests of the sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ferry.artefacts import Slo
from ferry.planning.sweep.replaying import Measured, Task, measure
from ferry.planning.sweep.search import Found
from ferry.planning.sweep.space import Space
from ferry.simulation.workload import Workload

SECONDS = 900.0


@dataclass(frozen=True)
class Searched:
    space: Space
    workload: Workload
    slo: Slo
    found: Found


def requests(rate: float = 4.0, seed: int = 1) -> Workload:
    """A quarter of an hour; a third of it has most of the requests."""
    random = np.random.default_rng(seed)
    count = int(rate * SECONDS)
    is_peak = random.random(count) < 0.6
    moments = np.where(is_peak, random.uniform(300, 600, count), random.uniform(0, SECONDS, count))
    return Workload(
        arrival_s=np.sort(moments),
        input_tokens=random.integers(50, 3000, count).astype(np.int32),
        output_tokens=random.integers(1, 300, count).astype(np.int32),
    )


def in_turn(workload: Workload) -> Callable[[Sequence[Task]], Iterator[Measured]]:
    """Replays in this process."""
    return lambda tasks: (measure(workload, task) for task in tasks)
