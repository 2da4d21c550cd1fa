"""Whether to go: go, conditional, defer or stay, with reasons.

`stay` when a known figure speaks against the move: it costs more than it replaces, breaks the budget, or the servers
are busy enough that owning them is cheaper. `defer` when a figure that decides is unknown. `conditional` when the move
pays only if something else happens. What is not known is never counted in favour of the cloud.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Literal

from ferry.artefacts import Assessment, CostLine, Reason, Serving, Verdict
from ferry.cost.break_even import Steady, owned_accelerator, steady
from ferry.cost.hybrid import ends_now
from ferry.cost.local import LocalItem, end_of_life, serving_nodes
from ferry.cost.money import HOURS_PER_MONTH, show, total
from ferry.cost.rates import rates
from ferry.planning.candidates import Choice
from ferry.planning.engines import knows, planned
from ferry.planning.memory import weight_only_fp8

BUSY = Decimal("0.7")
"""GPU utilisation from which owned servers count as steadily used."""
FULL_DAY_S = 86_400
TIGHT = 0.5
"""Share of a promise, used up on an idle instance, from which the tail under load has to be shown first."""
SIZING_ERROR = Decimal("0.25")
"""What the roofline may be wrong by; a saving smaller than this rests on a load test."""
THIN_SAMPLE = "gpu-utilization-thin-sample"
"""The assessment's finding that too few samples stand behind the utilisation to decide by it."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Everything that the verdict rests on."""

    assessment: Assessment
    serving: Serving
    choice: Choice
    local: Sequence[LocalItem]
    cloud: Sequence[CostLine]
    today: date
    quantised: bool = False
    """Whether a quantised copy is planned, which has to be made first."""
    spot_percentage: int = 0
    """Of the instances planned as Spot."""

    @property
    def currency(self) -> str:
        """The region's."""
        return self.choice.price.currency

    @property
    def cloud_total(self) -> Decimal:
        """Known part of the monthly bill."""
        return total(self.cloud).of(self.currency)

    @property
    def factor(self) -> Decimal | None:
        """From the site's currency to the region's; None where they differ and the site states no rate."""
        found = rates(site=self.assessment.costs.exchange_rates).between(self.assessment.costs.currency, self.currency)
        return None if found is None else found[0]

    @property
    def comparable(self) -> bool:
        """Whether what the site and the region name their prices in can be compared."""
        return self.factor is not None

    @property
    def servers_replaced(self) -> bool:
        """Whether the servers reach the end of their lifetime before the move has to be done, and need replacing."""
        end, deadline = end_of_life(self.assessment), self.assessment.constraints.deadline
        by = max(self.today, date.fromisoformat(deadline)) if deadline else self.today
        return end is not None and end <= by

    @property
    def serving_total(self) -> Decimal:
        """Known part of what the serving nodes cost at home in a month, in the region's currency."""
        return self.part(self.local)

    def part(self, items: Iterable[LocalItem]) -> Decimal:
        """The serving nodes' part of some costs at home, in the region's currency; 0 where nothing is comparable."""
        return sum((item.serving_amount or Decimal(0) for item in items), Decimal(0)) * (self.factor or Decimal(0))


def verdict(case: Case) -> tuple[Verdict, list[Reason]]:
    """The verdict and its reasons, the deciding ones first.

    Without a trace the load is assumed, so nothing that follows from it decides: defer.
    """
    reasons = [*_evidence(case), *_costs(case), *_budget(case), *_utilization(case), *_service(case)]
    said = {reason.says for reason in reasons}
    if "against" in said and case.serving.trace is not None:
        answer: Verdict = "stay"
    elif "measure" in said or "against" in said:
        answer = "defer"
    elif "condition" in said:
        answer = "conditional"
    else:
        answer = "go"
    first = {"stay": "against", "defer": "measure", "conditional": "condition", "go": "for"}[answer]
    return answer, sorted(reasons, key=lambda reason: (reason.says != first, _ORDER.index(reason.says)))


_ORDER = ("against", "measure", "condition", "for")


def _evidence(case: Case) -> Iterator[Reason]:
    trace = case.serving.trace
    if trace is None:
        yield Reason(
            says="measure",
            text="record a request trace (serving.requests in site.yaml), then run ferry assess and ferry plan again",
            basis="unknown",
            evidence=f"{case.serving.name} has no trace: sizes and costs rest on an assumed load",
        )
    elif (duration_s := trace.duration_s or 0.0) < FULL_DAY_S:
        yield Reason(
            says="condition",
            text="a trace of a whole week confirms the rates before capacity is committed",
            basis="measured",
            evidence=f"{trace.file} covers {duration_s / 3600:.1f} h; nights and weekends are unknown",
        )
    for finding in case.assessment.findings:
        if finding.severity == "critical":
            yield Reason(
                says="measure", text=finding.remedy, basis="measured", evidence=f"{finding.where}: {finding.seen}"
            )
    if case.assessment.cluster.gpu_utilization.value is None:
        yield Reason(
            says="condition",
            text="GPU utilisation over a week shows that the servers have idle time: nvidia-smi "
            "--query-gpu=timestamp,index,utilization.gpu --format=csv -l 60, named in cluster.nvidia_smi of site.yaml",
            basis="unknown",
            evidence="no GPU utilisation was measured",
        )


def _costs(case: Case) -> Iterator[Reason]:
    """Compare the bill with what the serving nodes cost, and with the part of that which really ends."""
    cloud, whole = case.cloud_total, case.serving_total
    currency, missing = case.currency, total(case.cloud).unknown
    bill = show(cloud, currency) + (f" without {', '.join(missing)}, whose prices are unknown" if missing else "")
    if not case.comparable:
        yield Reason(
            says="measure",
            text=f"state a rate {case.assessment.costs.currency}/{currency} with its date and source in "
            "costs.exchange_rates of site.yaml, then run ferry assess and ferry plan again: nothing is converted "
            "without one",
            basis="unknown",
            evidence=f"AWS bills {bill}, the site counts in {case.assessment.costs.currency}",
        )
        return
    if serving_nodes(case.assessment) == 0:
        yield Reason(
            says="against",
            text=f"training keeps every node, so nothing at home ends and AWS adds {bill} a month",
            basis="assumed",
            evidence=f"training uses all {case.assessment.cluster.nodes} nodes of the cluster",
        )
        return
    unknown = _unknown_at_home(case)
    free = f"{serving_nodes(case.assessment)} of {case.assessment.cluster.nodes} nodes"
    evidence = f"a month of {free}: {_parts(case)}; AWS {bill}"
    if cloud > whole and unknown:
        yield Reason(
            says="measure",
            text=f"state {', '.join(unknown)} in site.yaml, then run ferry assess and ferry plan again: without it AWS "
            f"({bill}) is dearer than the known costs",
            basis="unknown",
            evidence=evidence,
        )
        return
    if cloud > whole:
        text = f"AWS costs {show(cloud - whole, currency)} a month more than the serving nodes do at home"
        yield Reason(says="against", text=text, basis="assumed", evidence=evidence)
        return
    if missing:
        text = f"the prices of {', '.join(missing)} in {case.choice.candidate.region} leave AWS cheaper"
        yield Reason(says="condition", text=text, basis="unknown", evidence=evidence)
    if cloud * (1 + SIZING_ERROR) > whole:
        yield Reason(
            says="condition",
            text=f"a load test shows that one {case.choice.instance.name} serves {case.choice.size.requests_per_s:.2f} "
            "requests/s: the saving is smaller than the sizing's error",
            basis="assumed",
            evidence=evidence,
        )
    yield from _what_has_to_end(case, evidence)


def _what_has_to_end(case: Case, evidence: str) -> Iterator[Reason]:
    """The move is cheaper on paper; what else has to happen until money is saved."""
    cloud, currency = case.cloud_total, case.currency
    saved = case.part(item for item in case.local if ends_now(item, servers_replaced=case.servers_replaced))
    if cloud <= saved:
        replaced = " instead of buying new servers" if case.servers_replaced else ""
        text = f"moving saves {show(saved - cloud, currency)} a month at once{replaced}"
        yield Reason(says="for", text=text, basis="assumed", evidence=evidence)
        return
    servers = case.part(item for item in case.local if item.ends == "with the servers")
    staff = case.part(_with_the_people(case))
    if not case.servers_replaced and servers:
        end = end_of_life(case.assessment)
        saved += servers
        yield Reason(
            says="condition",
            text=f"the freed servers are sold or taken over by training; otherwise {show(servers, currency)} a month "
            f"stay on the books until {end.isoformat() if end else 'an unknown date'}",
            basis="assumed",
            evidence=evidence,
        )
    if cloud > saved and staff:
        yield Reason(
            says="condition",
            text=f"the people freed get other work, worth {show(staff, currency)} a month; otherwise AWS costs "
            f"{show(cloud - saved, currency)} a month more",
            basis="assumed",
            evidence=evidence,
        )


def _parts(case: Case) -> str:
    known = [item for item in case.local if item.serving_amount]
    return ", ".join(f"{item.line.item} {show(case.part([item]), case.currency)}" for item in known)


def _budget(case: Case) -> Iterator[Reason]:
    budget = case.assessment.constraints.monthly_budget
    if budget is None or budget.amount is None:
        return
    found = rates(site=case.assessment.costs.exchange_rates).between(budget.currency, case.currency)
    if found is None:
        yield Reason(
            says="measure",
            text=f"state a rate {budget.currency}/{case.currency} in costs.exchange_rates of site.yaml, then run ferry "
            "assess and ferry plan again: nothing is converted without one",
            basis="unknown",
            evidence=f"the budget is {show(budget.amount, budget.currency)}, the region bills in {case.currency}",
        )
        return
    yield _against_budget(case, budget.amount * found[0])


def _against_budget(case: Case, limit: Decimal) -> Reason:
    most = case.choice.price.per_hour * HOURS_PER_MONTH * case.choice.size.max_size
    spent = show(case.cloud_total, case.currency)
    evidence = f"budget {show(limit, case.currency)}; the largest fleet all month would be {show(most, case.currency)}"
    if case.cloud_total > limit:
        return Reason(
            says="against", text=f"the AWS bill of {spent} is over the budget", basis="assumed", evidence=evidence
        )
    return Reason(says="for", text=f"the AWS bill of {spent} is within the budget", basis="assumed", evidence=evidence)


def _utilization(case: Case) -> Iterator[Reason]:
    """Whether the serving GPUs are busier than the break-even, from which owning them is cheaper than renting."""
    cluster, choice = case.assessment.cluster, case.choice
    used = cluster.gpu_utilization.value
    curve = _curve(case)
    owned = owned_accelerator(case.assessment)
    if used is None or curve is None or owned is None:
        return
    share = Decimal(repr(used)) / 100
    even = curve.break_even
    gpus = serving_nodes(case.assessment) * cluster.gpus_per_node
    limit = "none up to 100%" if even is None else f"{even:.0%}"
    staff = sum((item.serving_amount or Decimal(0) for item in _with_the_people(case)), Decimal(0))
    lean = replace(curve, owned_idle=curve.owned_idle - staff).break_even
    evidence = (
        f"{cluster.gpu_utilization.source}: {used:.0f} % busy; break-even of {gpus} x {owned.name} at home against "
        f"{choice.instance.name} on demand is {limit}"
        + ("" if lean == even or lean is None else f", and {lean:.0%} where nobody's time is freed")
    )
    busier = even is not None and share >= even
    basis = cluster.gpu_utilization.basis
    thin = next((finding for finding in case.assessment.findings if finding.code == THIN_SAMPLE), None)
    if thin is not None:
        says: Literal["measure", "condition"] = "measure" if busier else "condition"
        text = f"GPU utilisation rests on {thin.seen}: {thin.remedy}"
        yield Reason(says=says, text=text, basis=basis, evidence=evidence)
    elif busier and (missing := _unknown_at_home(case)):
        text = (
            f"state {', '.join(missing)} in site.yaml, then run ferry assess and ferry plan again: the break-even is "
            "higher than what is known says"
        )
        yield Reason(says="measure", text=text, basis="unknown", evidence=evidence)
    elif busier and share >= BUSY:
        text = f"the GPUs are busy {used:.0f} % of the time: owning them is cheaper than renting the same work"
        yield Reason(says="against", text=text, basis=basis, evidence=evidence)
    elif busier:
        text = "a week of GPU utilisation, per service, shows that the load is no higher than the trace says"
        yield Reason(says="condition", text=text, basis=basis, evidence=evidence)
    else:
        text = f"the GPUs are busy {used:.0f} % of the time: " + (
            "idle hardware is paid for" if share < BUSY else "even so, renting the same work is cheaper"
        )
        yield Reason(says="for", text=text, basis=basis, evidence=evidence)


def _curve(case: Case) -> Steady | None:
    """Owning against renting at each utilisation, in the site's currency; None where nothing can be compared."""
    if case.factor is None:
        return None
    services = total(line for line in case.cloud if line.item != "instances").of(case.currency)
    return steady(
        case.assessment,
        case.local,
        case.choice.instance,
        per_hour=case.choice.price.per_hour,
        services=services,
        factor=1 / case.factor,
    )


def _unknown_at_home(case: Case) -> list[str]:
    """What serving costs at home, and nobody stated."""
    return [item.line.item for item in case.local if item.serving and item.line.amount.amount is None]


def _with_the_people(case: Case) -> list[LocalItem]:
    return [item for item in case.local if item.ends == "with the people"]


def _service(case: Case) -> Iterator[Reason]:
    """What the move does to the promises, and what the engine has to be able to do."""
    slo, candidate, costs = case.serving.slo, case.choice.candidate, case.assessment.costs
    idle = candidate.ttft_p99_ms
    if slo.ttft_p99_ms is not None and idle is not None:
        evidence = f"roofline of {candidate.instance_type}: {idle:.0f} ms idle, promised {slo.ttft_p99_ms:g}"
        tight = idle > TIGHT * slo.ttft_p99_ms
        yield Reason(
            says="condition" if tight else "for",
            text="shadow traffic holds the time to first token under load"
            if tight
            else "the time to first token has room below its promise",
            basis="assumed",
            evidence=evidence,
        )
    if slo.availability is not None and costs.mtbf_hours.value is not None and costs.mttr_hours.value is not None:
        at_home = costs.mtbf_hours.value / (costs.mtbf_hours.value + costs.mttr_hours.value)
        if at_home < slo.availability:
            yield Reason(
                says="for",
                text=f"the site is up {at_home:.2%} of the time and has promised {slo.availability:.2%}",
                basis="assumed",
                evidence=f"MTBF {costs.mtbf_hours.value:g} h, MTTR {costs.mttr_hours.value:g} h, stated in site.yaml",
            )
    if case.spot_percentage:
        yield Reason(
            says="condition",
            text=f"Spot capacity of {case.choice.instance.name} is there when it is needed: ferry plan --check-account "
            "reads placement scores, and a recording of interruptions says how often it is taken back",
            basis="unknown",
            evidence=f"{case.spot_percentage} % of the instances are Spot, which EC2 takes back at two minutes' notice",
        )
    yield from _engine(case)
    if weight_only_fp8(case.serving.model, case.choice.instance):
        yield Reason(
            says="condition",
            text=f"the engine has weight-only FP8 kernels for {case.serving.model.architecture} on "
            f"{case.choice.instance.accelerator.name}",
            basis="unknown",
            evidence="FP8 arithmetic needs compute capability 8.9; below it vLLM runs W8A16 (docs.vllm.ai, FP8 W8A8)",
        )


def _engine(case: Case) -> Iterator[Reason]:
    """What another engine, or other weights than the site's, have to show first."""
    model, engine = case.serving.model, planned(case.serving.engine)
    if engine.name != case.serving.engine:
        yield Reason(
            says="condition",
            text=f"clients and answers are tried on {engine.name}: nodes do not start {case.serving.engine}",
            basis="assumed",
            evidence=f"the site runs {case.serving.engine}; {engine.name} serves an OpenAI-compatible API",
        )
    if case.quantised:
        yield Reason(
            says="condition",
            text=f"a copy of the model in {model.quantization} is made, and its answers are evaluated",
            basis="unknown",
            evidence="quantising changes answers; by how much depends on the model and on what it is asked",
        )
    elif not knows(engine, model):
        yield Reason(
            says="condition",
            text=f"{engine.name} is shown to load {model.quantization} weights",
            basis="unknown",
            evidence=f"not among what it is known to load: {', '.join(engine.quantizations)} ({engine.source})",
        )
