"""What a simulation gives: when each request had its tokens, and what the fleet looked like minute by minute."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ferry.simulation.workload import Floats, Workload

Counts = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Periods:
    """One entry for each full minute, P in all; row i is the state at end_s[i], after what happens at that time.

    Sampled before the autoscaler's decision at that time; `desired` is after it.
    """

    end_s: Floats
    in_service: Counts
    pending: Counts
    draining: Counts
    desired: Counts
    running: Counts
    """Requests in batches, of all instances that serve or drain."""
    waiting: Counts
    """Requests in the queues of these instances, and at the gateway."""
    gateway: Counts
    """Requests at the gateway, since no instance is in service."""
    load: Floats
    """Mean over instances in service of (running + waiting) / max_sequences; NaN without one."""
    kv_use: Floats
    """Mean over instances in service of the share of KV blocks in use; NaN without one."""
    utilisation: Floats
    """Mean over instances in service of the share of the minute that they spent in iterations; NaN without one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Instances:
    """One entry for each instance that was launched, M in all, by id (order of launch). Times in seconds.

    An instance that never came into service or was still there at the end has its time of the end instead.
    """

    launched_s: Floats
    in_service_s: Floats
    ended_s: Floats
    busy_s: Floats
    """Time in iterations."""
    is_spot: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """Arrays of length N belong to the workload's requests, in its order; NaN and -1 stand where one was refused."""

    workload: Workload
    first_token_s: Floats
    last_token_s: Floats
    instance: Counts
    """Id of the instance that finished the request; -1: refused."""
    retries: NDArray[np.int16]
    """How often the request began anew on another instance."""
    end_s: float
    """When the last request was finished."""
    periods: Periods
    instances: Instances
    preemptions: int
    iterations: int

    @cached_property
    def refused(self) -> NDArray[np.bool_]:
        """bool[N]: can never fit into the KV cache, or is longer than max_model_len."""
        return self.instance < 0

    @cached_property
    def ttft_s(self) -> Floats:
        """float64[N]: from arrival to first token."""
        return self.first_token_s - self.workload.arrival_s

    @cached_property
    def tpot_s(self) -> Floats:
        """float64[N]: mean time between tokens after the first; NaN for a single token."""
        gaps = np.where(self.workload.output_tokens > 1, self.workload.output_tokens - 1, np.nan)
        return (self.last_token_s - self.first_token_s) / gaps

    @cached_property
    def latency_s(self) -> Floats:
        """float64[N]: from arrival to last token."""
        return self.last_token_s - self.workload.arrival_s

    def instance_seconds(self, *, spot: bool) -> float:
        """Seconds from launch to end, of all Spot or all on-demand instances."""
        lifetimes = self.instances.ended_s - self.instances.launched_s
        return float(lifetimes[self.instances.is_spot == spot].sum())

    @property
    def utilisation(self) -> float:
        """Share of the time in service that was spent in iterations, over all instances; NaN when there was none."""
        serving_s = float((self.instances.ended_s - self.instances.in_service_s).sum())
        return float(self.instances.busy_s.sum()) / serving_s if serving_s > 0 else math.nan
