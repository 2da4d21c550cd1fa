"""The fleet: how many engines there are, who gets a request, how instances come and go."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from ferry.errors import InvalidField
from ferry.simulation.workload import Floats, Integers

Routing = Literal["least_outstanding_requests", "round_robin"]

SPOT_NOTICE_S = 120.0
"""EC2 announces a Spot interruption two minutes ahead (EC2 User Guide, "Spot Instance interruption notices")."""

MOST_INSTANCES = 100_000


def _none() -> Floats:
    return np.empty(0)


def _all_oldest() -> Integers:
    return np.empty(0, np.int32)


@dataclass(frozen=True, kw_only=True, eq=False)
class FleetSettings:
    """One engine an instance. The initial instances are in service at 0 s.

    routing:                 the load balancer's algorithm, ties to the instance that was launched first
    start_s:                 from launch to in service: boot, and loading the model
    warm_pool_size:          stopped instances; a launch (on-demand only) takes one when it is ready and is in service
                             after warm_start_s; the pool's replacement is ready start_s later
    deregistration_delay_s:  how long an instance that is scaled in may finish its requests (ALB's default: 300 s)
    on_demand_base:          instances that are always on-demand; above them, a share of `spot_share` (0 … 1) is Spot,
                             rounded in favour of on-demand (OnDemandBaseCapacity, OnDemandPercentageAboveBaseCapacity)
    spot_interruptions_s:    float64[any], ascending: when Spot instances are interrupted, with two minutes' notice
    spot_interruption_slots: int32[same], 0 everywhere if not given: slot s interrupts the s-th oldest Spot instance in
                             service (0 the oldest), and nothing when there are not that many

    Raises InvalidField.
    """

    initial_instances: int
    routing: Routing = "least_outstanding_requests"
    start_s: float = 0.0
    warm_pool_size: int = 0
    warm_start_s: float = 0.0
    deregistration_delay_s: float = 300.0
    on_demand_base: int = 0
    spot_share: float = 0.0
    spot_interruptions_s: Floats = field(default_factory=_none)
    spot_interruption_slots: Integers = field(default_factory=_all_oldest)

    def __post_init__(self) -> None:
        if self.routing not in get_args(Routing):
            raise InvalidField(f"fleet: routing is {self.routing!r}; it must be one of {', '.join(get_args(Routing))}")
        for name in ("initial_instances", "warm_pool_size", "on_demand_base"):
            if not 0 <= getattr(self, name) <= MOST_INSTANCES:
                raise InvalidField(f"fleet: {name} is {getattr(self, name)}; it must be 0 … {MOST_INSTANCES}")
        for name in ("start_s", "warm_start_s", "deregistration_delay_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InvalidField(f"fleet: {name} is {value!r}; it must be a number of at least 0")
        if not 0 <= self.spot_share <= 1:
            raise InvalidField(f"fleet: spot_share is {self.spot_share!r}; it must be 0 … 1")
        times = np.ascontiguousarray(self.spot_interruptions_s, dtype=np.float64)
        if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) < 0).any():
            raise InvalidField("fleet: spot_interruptions_s must be finite times in ascending order")
        slots = self.spot_interruption_slots
        slots = np.ascontiguousarray(slots, dtype=np.int32) if len(slots) else np.zeros(len(times), np.int32)
        if slots.shape != times.shape or (slots < 0).any():
            raise InvalidField(
                f"fleet: spot_interruption_slots must be {len(times)} numbers of at least 0, one for each interruption"
            )
        object.__setattr__(self, "spot_interruptions_s", times)
        object.__setattr__(self, "spot_interruption_slots", slots)
