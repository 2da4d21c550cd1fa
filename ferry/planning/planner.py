"""From an assessment to a plan: fit, size, price, compare, decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ferry.artefacts import Assessment, Candidate, Plan, Serving, now, read, upstream
from ferry.catalog import prices
from ferry.cost.cloud import CloudUse, SpotUse, cloud_lines
from ferry.cost.hybrid import hybrid_lines
from ferry.cost.local import end_of_life, local_items
from ferry.errors import CatalogError, InvalidField
from ferry.planning import configuration, memory, places
from ferry.planning.candidates import Choice, choices
from ferry.planning.copies import quantised
from ferry.planning.demand import Demand, demand
from ferry.planning.fleet_size import LOAD_TARGET
from ferry.planning.roofline import DECODE_EFFICIENCY, PREFILL_EFFICIENCY
from ferry.planning.verdict import Case, verdict


def plan(
    assessment_path: Path,
    *,
    environment: str,
    serving: str | None = None,
    region: str | None = None,
    quantization: str | None = None,
    force: bool = False,
    artefact_folder: Path | None = None,
    today: date | None = None,
) -> Plan:
    """Plan the move of one service. Writes nothing.

    `serving` names it where the site has several, `region` narrows the allowed ones, `quantization` ("fp8" or "awq")
    plans a quantised copy of its model instead of the model as it is, `force` accepts an assessment
    that was edited or whose inputs changed. `artefact_folder` is where the plan will lie (default: beside the
    assessment); `today` is what prices and lifetimes are dated against. Raises ArtefactError, CatalogError,
    InvalidField or PlanError.
    """
    assessment = read(Assessment, assessment_path, force=force)
    service = service_named(assessment, serving)
    if quantization is not None:
        service = service.model_copy(update={"model": quantised(service.model, quantization)})
    wanted = demand(service)
    accepted, refused = choices(service, wanted, places.allowed(assessment, region))
    return compose(
        Composition(
            assessment=assessment,
            path=assessment_path,
            environment=environment,
            service=service,
            demand=wanted,
            choice=accepted[0],
            candidates=[*(one.candidate for one in accepted), *refused],
            is_quantised=quantization is not None,
        ),
        artefact_folder=artefact_folder,
        today=today,
    )


@dataclass(frozen=True, kw_only=True)
class Composition:
    """What a plan is composed of, once the instances are chosen.

    `fleet` are keys of the stack's fleet in place of the plan's own rule, `spot` the part that is Spot, `sizing` what
    the sizes rest on.
    """

    assessment: Assessment
    path: Path
    environment: str
    service: Serving
    demand: Demand
    choice: Choice
    candidates: Sequence[Candidate]
    is_quantised: bool
    fleet: Mapping[str, Any] | None = None
    spot: SpotUse | None = None
    sizing: Sequence[str] = (
        "the trace stands for every hour of the month; between its mean and its peak the load follows a power curve",
    )


def compose(parts: Composition, *, artefact_folder: Path | None = None, today: date | None = None) -> Plan:
    """Configuration, bills, verdict. Raises CatalogError or PlanError."""
    assessment, service, choice, wanted = parts.assessment, parts.service, parts.choice, parts.demand
    made_at = now()
    day = today or made_at.date()

    config, configured = configuration.configuration(
        assessment, service, choice, wanted, parts.environment, parts.fleet
    )
    cloud, used = cloud_lines(_use(service, choice, wanted, parts.spot))
    local = local_items(assessment)
    case = Case(
        assessment=assessment,
        serving=service,
        choice=choice,
        local=local,
        cloud=cloud,
        today=day,
        quantised=parts.is_quantised,
        spot_percentage=(parts.fleet or {}).get("spot_percentage", 0),
    )
    answer, reasons = verdict(case)
    return Plan(
        schema_=Plan.SCHEMA,
        made_at=made_at,
        made_from=[upstream(parts.path, artefact_folder or parts.path.parent)],
        environment=parts.environment,
        site=assessment.site,
        serving=service.name,
        verdict=answer,
        reasons=reasons,
        assumptions=[*wanted.assumptions, *_assumptions(assessment, parts), *configured, *_dates(used, day)],
        region=choice.candidate.region,
        chosen=choice.candidate,
        candidates=list(parts.candidates),
        config=config,
        local_monthly=[item.line for item in local],
        cloud_monthly=cloud,
        hybrid_monthly=hybrid_lines(
            local, cloud, servers_end=end_of_life(assessment), servers_replaced=case.servers_replaced
        ),
        training=assessment.training,
        cluster=assessment.cluster,
        serving_facts=service,
        location=assessment.location,
        slo=service.slo,
    )


def service_named(assessment: Assessment, name: str | None) -> Serving:
    """The service that moves. Raises InvalidField when it is not named and there are several."""
    names = [service.name for service in assessment.serving]
    if name is None and len(names) == 1:
        return assessment.serving[0]
    if name is None:
        raise InvalidField(f"the site serves {', '.join(names)}: name the one that moves with --serving")
    for service in assessment.serving:
        if service.name == name:
            return service
    raise InvalidField(f"--serving {name}: the site serves {', '.join(names) or 'nothing'}")


def _use(service: Serving, choice: Choice, wanted: Demand, spot: SpotUse | None) -> CloudUse:
    tokens = wanted.tokens
    return CloudUse(
        region=choice.candidate.region,
        instance_type=choice.instance.name,
        price=choice.price,
        mean_size=choice.size.mean_size,
        zones=configuration.ZONES,
        root_volume_gib=configuration.root_volume_gib(service),
        weights_gb=memory.weight_bytes(service.model) / 1e9,
        mean_rps=wanted.mean_rps,
        input_tokens=tokens.input_mean,
        output_tokens=tokens.output_mean,
        latency_s=tokens.output_mean * choice.roofline.tpot_seconds(LOAD_TARGET * choice.batch),
        spot=spot,
    )


def _assumptions(assessment: Assessment, parts: Composition) -> list[str]:
    choice = parts.choice
    accelerator = choice.instance.accelerator
    said = [] if assessment.constraints.regions_allowed else ["the site names no region: those of its country"]
    said += [
        *parts.sizing,
        f"engines reach {PREFILL_EFFICIENCY:.0%} of the arithmetic and {DECODE_EFFICIENCY:.0%} of the memory bandwidth "
        "of the datasheet (Llama2-70B on A100 and H100, splitwise-sim's measurements)",
        "the KV cache is 16 bit, and requests share no prefix",
        "NVMe array and cooling are purchases over the servers' lifetime; costs of serving go by number of nodes",
        "on demand all month of 730 h, no savings plan, no Spot" + _spot(choice)
        if parts.spot is None
        else "instances all month of 730 h, Spot at the price that it had, no savings plan",
    ]
    if accelerator.assumed:
        said.append(f"{accelerator.name}: {', '.join(sorted(accelerator.assumed))} rest on memory, not on a document")
    if assessment.constraints.compliance and assessment.constraints.residency != "cn":
        said.append(
            f"{', '.join(assessment.constraints.compliance)}: the controls are applied; a system graded at MLPS "
            "level 3 has to stay in mainland China (residency: cn)"
        )
    return said


def _spot(choice: Choice) -> str:
    try:
        price = prices.spot(choice.instance.name, choice.candidate.region)
    except CatalogError:
        return ""
    return f" (it was {price.per_hour} {price.currency}/h, {price.as_of})"


def _dates(used: Iterable[tuple[str, date]], day: date) -> list[str]:
    return prices.stale_sources(used, day)
