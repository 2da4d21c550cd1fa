"""Simulates a fleet of engines: the entry of the compiled simulation."""

from __future__ import annotations

from typing import Literal, Protocol

from ferry.simulation.fleet import FleetSettings
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.result import Result
from ferry.simulation.workload import Floats, Workload


class Policy(Protocol):
    """What the autoscaler needs of a policy: which metric its datapoints are of, and its own numbers."""

    @property
    def metric(self) -> Literal["load", "kv_use", "utilisation"]:
        """What the datapoint of each minute is the mean of, over the instances in service."""

    def parameters(self) -> Floats:
        """float64[any]: as `ferry.simulation.autoscaler.decide` reads them."""

    def initial_state(self) -> Floats:
        """float64[any]: what `decide` changes from minute to minute."""


def simulate(
    workload: Workload, replica: ReplicaSettings, fleet: FleetSettings, policy: Policy | None = None
) -> Result:
    """Replay the workload until its last request is finished. Nothing is random: equal inputs give equal results.

    Without a policy the number of instances stays as it is (a lost Spot instance is replaced).
    Raises InvalidField when no instance is left, and none will come, for requests that wait.
    """
    raise NotImplementedError
