"""What the simulation takes, from a plan: the requests, one replica, and the times in which instances come and go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ferry.artefacts import Assessment, Plan, read
from ferry.catalog import instance_types
from ferry.catalog.instance_types import InstanceType
from ferry.errors import PlanError
from ferry.planning import memory
from ferry.planning.demand import demand
from ferry.planning.engines import planned
from ferry.planning.iteration_time import iteration_time
from ferry.planning.memory import Fit, Misfit
from ferry.planning.replay.requests import Requests, read_requests, trace_of
from ferry.planning.replay.site_calibration import calibrate_to_site
from ferry.planning.roofline import Roofline
from ferry.simulation import boot
from ferry.simulation.fleet import FleetSettings
from ferry.simulation.policies import Sizes
from ferry.simulation.replica import ReplicaSettings
from ferry.simulation.workload import Workload
from stacks.settings import EngineSettings, Settings
from stacks.settings import FleetSettings as StackFleet

BLOCK_TOKENS = 16
"""Tokens of a block of KV cache: vLLM's default `--block-size` on NVIDIA GPUs."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A plan's fleet, and the requests that it is to serve."""

    plan: Plan
    trace: str
    started_at: datetime
    workload: Workload
    instance: InstanceType
    replica: ReplicaSettings
    fleet: FleetSettings
    stack: StackFleet
    sizes: Sizes
    notes: tuple[str, ...]

    @property
    def hours(self) -> float:
        """From the first to the last arrival."""
        return float(self.workload.arrival_s[-1] - self.workload.arrival_s[0]) / 3600


def case_of(plan: Plan, plan_path: Path, *, trace: Path | None = None, initial: int | None = None) -> Case:
    """Read the plan's requests, or those of `trace` instead, and compose the rest from the plan.

    The fleet starts with `initial` instances, else with the plan's smallest size. Raises PlanError when there is no
    trace or the plan's model does not fit its instances, and what reading a trace raises.
    """
    requests = _requests(plan, plan_path, trace)
    instance = instance_types.find(plan.chosen.instance_type)
    calibration = calibrate_to_site(plan.serving_facts, plan.cluster, requests.workload, BLOCK_TOKENS)
    version = Settings.from_config(plan.config).model_versions[0]
    sizes = Sizes(
        min_size=version.fleet.min_size,
        max_size=version.fleet.max_size,
        initial=version.fleet.min_size if initial is None else initial,
        time_zone=plan.location.time_zone,
    )
    weights = memory.weight_bytes(plan.serving_facts.model)
    start_s = boot.seconds(weights, instance)
    warm = version.fleet.warm_pool
    fleet = FleetSettings(
        initial_instances=sizes.initial,
        start_s=start_s,
        warm_pool_size=warm.min_size if warm else 0,
        warm_start_s=boot.warm_seconds(weights, instance),
        on_demand_base=version.fleet.on_demand_base,
        spot_share=version.fleet.spot_percentage / 100,
    )
    return Case(
        plan=plan,
        trace=requests.label,
        started_at=requests.started_at,
        workload=requests.workload,
        instance=instance,
        replica=calibration.applied(_replica(plan, instance, version.engine)),
        fleet=fleet,
        stack=version.fleet,
        sizes=sizes,
        notes=(
            *requests.notes,
            *calibration.notes,
            f"a new instance serves after {start_s:.0f} s (start, image, model, engine: assumed in parts)",
            "instances are as many as are asked for: capacity and quotas are not simulated",
        ),
    )


def _requests(plan: Plan, plan_path: Path, given: Path | None) -> Requests:
    facts = plan.serving_facts.trace
    if given is not None:
        return read_requests(given, None, plan.location.time_zone)
    if facts is None:
        raise PlanError(
            f"{plan.serving} has no request trace: name one with --trace FILE, or under serving.requests in site.yaml"
        )
    assessment_path = plan_path.parent / plan.made_from[0].path
    if not assessment_path.is_file():
        raise PlanError(f"{assessment_path}, which says where the trace lies, is not there any more: use --trace FILE")
    path = trace_of(read(Assessment, assessment_path, force=True), assessment_path, facts)
    return read_requests(path, facts, plan.location.time_zone)


def _replica(plan: Plan, instance: InstanceType, engine: EngineSettings) -> ReplicaSettings:
    serving = plan.serving_facts
    placed = memory.fit(serving.model, planned(serving.engine), instance, engine.max_model_tokens)
    if isinstance(placed, Misfit):
        raise PlanError(f"{instance.name}: {placed.reason}; plan again with ferry plan")
    roofline = Roofline(serving.model, instance, placed.tensor_parallel, demand(serving).tokens)
    return replica_of(roofline, placed, engine.max_sequences, engine.max_model_tokens)


def replica_of(roofline: Roofline, placed: Fit, max_sequences: int, max_model_tokens: int) -> ReplicaSettings:
    """One engine as the plan's nodes start it, from hardware figures."""
    return ReplicaSettings(
        iteration_time=iteration_time(roofline, max_sequences),
        max_sequences=max_sequences,
        max_batched_tokens=max(memory.tokens_per_step(roofline.instance), max_sequences),
        kv_blocks=max(1, placed.kv_tokens // BLOCK_TOKENS),
        block_tokens=BLOCK_TOKENS,
        max_model_len=max_model_tokens,
    )
