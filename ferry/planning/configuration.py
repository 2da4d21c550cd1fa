"""The stack's configuration of a plan: `aws:region` and Ferry's own keys, as `ferry render` writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from pydantic import ValidationError

from ferry.artefacts import Assessment, Serving, first_problem
from ferry.catalog import known_bad
from ferry.errors import PlanError
from ferry.planning import memory
from ferry.planning.candidates import Choice
from ferry.planning.copies import QUANTIZATIONS
from ferry.planning.demand import Demand
from ferry.planning.engines import planned
from ferry.planning.fleet_size import LOAD_RELEASE, LOAD_TARGET, SCALE_OUT_STEP
from ferry.simulation import boot
from stacks.settings import Settings

ZONES = 2
SYSTEM_GIB = 80
"""System, drivers and CUDA of the machine image: assumed."""
_NAMELESS = {"", ".", "model", "models", "weights"}
_SLUG_LENGTH = 24


def configuration(
    assessment: Assessment,
    serving: Serving,
    choice: Choice,
    demand: Demand,
    environment: str,
    fleet: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """The configuration and what was assumed in it. Raises PlanError when the stack's settings refuse it.

    `fleet` are keys of the stack's fleet that stand in place of those of the plan's own rule.
    """
    said: list[str] = []
    config: dict[str, Any] = {
        "aws:region": choice.candidate.region,
        "ferry:environment": environment,
        "ferry:network": {"zone_count": ZONES},
        "ferry:model_versions": [_model_version(serving, choice, demand, fleet or {}, said)],
        "ferry:gateway": {"domain_name": _domain_name(assessment, serving, said)},
        "ferry:monitoring": _monitoring(assessment, serving, choice, demand, said),
    }
    said.append("the gateway lets nobody in until ferry:gateway.allowed_cidrs names the site's addresses")
    said.append("nobody is told of alarms until ferry:monitoring.notification_emails names somebody")
    try:
        Settings.from_config(config)
    except ValidationError as error:
        raise PlanError(f"the stack's settings refuse the plan: {first_problem(error)}") from error
    return config, said


def root_volume_gib(serving: Serving) -> int:
    """System, engine image and the model, with a tenth to spare, in steps of 10 GiB, at least 200."""
    needed = SYSTEM_GIB + (boot.IMAGE_BYTES + memory.weight_bytes(serving.model)) * 1.1 / memory.GIB
    return max(200, math.ceil(needed / 10) * 10)


def _model_version(
    serving: Serving, choice: Choice, demand: Demand, fleet: Mapping[str, Any], said: list[str]
) -> dict[str, Any]:
    engine = planned(serving.engine)
    expected = boot.seconds(memory.weight_bytes(serving.model), choice.instance)
    said.append(f"the account's registry holds the engine as {engine.image}")
    said.append(f"{engine.image}: {known_bad.judge_image(engine.name, engine.image).says}")
    said.append(f"a new instance serves after about {expected:.0f} s (image and model over network and volume)")
    size = choice.size
    return {
        "name": "v1",
        "model": model_slug(serving),
        "version": "1",
        "weight": 100,
        "engine": {
            "name": engine.name,
            "image": engine.image,
            "tensor_parallel": choice.fit.tensor_parallel,
            "max_sequences": choice.batch,
            "max_model_tokens": demand.max_model_tokens,
            "gpu_memory_utilization": memory.GPU_MEMORY_UTILIZATION,
        },
        "fleet": {
            "instance_types": [choice.instance.name],
            "min_size": size.min_size,
            "max_size": size.max_size,
            "root_volume_gib": root_volume_gib(serving),
            "boot_timeout_seconds": boot.timeout_seconds(expected),
            "scaling": {
                "scale_out_above": LOAD_TARGET,
                "scale_out_add": SCALE_OUT_STEP,
                "scale_in_below": LOAD_RELEASE,
                "scale_in_remove": 1,
                "warmup_seconds": math.ceil(expected),
            },
            **fleet,
        },
    }


def model_slug(serving: Serving) -> str:
    """The name under which the model is stored: its folder's, or the service's where the folder is just `model`."""
    folder = PurePath(serving.model.path).name
    # The name of a quantised copy ends with its kind, however long the rest is.
    kind = next((f"-{name}" for name in QUANTIZATIONS if folder.endswith(f"-{name}")), "")
    given = folder.removesuffix(kind)
    for name in (serving.name if given.lower() in _NAMELESS else given, serving.name):
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).lstrip("-0123456789")[: _SLUG_LENGTH - len(kind)].strip("-")
        if len(slug) > 1:
            return slug + kind
    return f"model{kind}"


def _domain_name(assessment: Assessment, serving: Serving, said: list[str]) -> str:
    name = f"{serving.name}.{assessment.site}.example"
    said.append(f"the gateway's name is {name}: put the real one, with an issued certificate, in ferry:gateway")
    return name


def _monitoring(
    assessment: Assessment, serving: Serving, choice: Choice, demand: Demand, said: list[str]
) -> dict[str, Any]:
    monitoring: dict[str, Any] = {}
    slo, metrics = serving.slo, serving.metrics
    if slo.ttft_p99_ms is not None and slo.tpot_p99_ms is not None:
        seconds = (slo.ttft_p99_ms + slo.tpot_p99_ms * demand.tokens.output_p99) / 1000
        monitoring["latency_p99_seconds"] = round(seconds, 1)
    elif metrics is not None and metrics.latency_ms.p99.value:
        monitoring["latency_p99_seconds"] = round(metrics.latency_ms.p99.value / 1000, 1)
        said.append("the latency alarm stands at today's 99th percentile: nothing was promised")
    else:
        said.append("the latency alarm stands at the stack's default: nothing was promised or measured")
    budget = assessment.constraints.monthly_budget
    # A budget in AWS is in the currency that the account is billed in.
    if budget is not None and budget.amount is not None and budget.currency == choice.price.currency:
        monitoring[f"monthly_budget_{budget.currency.lower()}"] = str(budget.amount)
    return monitoring
