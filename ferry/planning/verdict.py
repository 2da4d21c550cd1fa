"""Whether to go: go, conditional, defer or stay, with reasons.

`stay` when a known figure speaks against the move: it costs more than it replaces, breaks the budget, or the servers
are busy enough that owning them is cheaper. `defer` when a figure that decides is unknown. `conditional` when the move
pays only if something else happens. What is not known is never counted in favour of the cloud.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from ferry.artefacts import Assessment, CostLine, Money, Reason, Serving, Verdict
from ferry.catalog import accelerators
from ferry.cost.hybrid import ends_now
from ferry.cost.local import LocalItem, end_of_life, serving_nodes
from ferry.cost.money import HOURS_PER_MONTH, show, total
from ferry.planning.candidates import Choice
from ferry.planning.memory import weight_only_fp8

BUSY = 0.7
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

    @property
    def currency(self) -> str:
        """The region's."""
        return self.choice.price.currency

    @property
    def cloud_total(self) -> Decimal:
        """Known part of the monthly bill."""
        return total(self.cloud).of(self.currency)

    @property
    def comparable(self) -> bool:
        """Whether site and region name their prices in one currency."""
        return self.assessment.costs.currency == self.currency

    @property
    def servers_replaced(self) -> bool:
        """Whether the servers reach the end of their lifetime before the move has to be done, and need replacing."""
        end, deadline = end_of_life(self.assessment), self.assessment.constraints.deadline
        by = max(self.today, date.fromisoformat(deadline)) if deadline else self.today
        return end is not None and end <= by

    @property
    def serving_total(self) -> Decimal:
        """Known part of what the serving nodes cost at home in a month."""
        return sum((item.serving_amount or Decimal(0) for item in self.local), Decimal(0))


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
            text="GPU utilisation over a week (nvidia_smi or DCGM in site.yaml) shows that the servers have idle time",
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
            text=f"state the costs in {currency}, or an exchange rate of your own: nothing is converted",
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
    unknown = [item.line.item for item in case.local if item.serving and item.line.amount.amount is None]
    free = f"{serving_nodes(case.assessment)} of {case.assessment.cluster.nodes} nodes"
    evidence = f"a month of {free}: {_parts(case)}; AWS {bill}"
    if cloud > whole and unknown:
        yield Reason(
            says="measure",
            text=f"state {', '.join(unknown)} in site.yaml: without it AWS ({bill}) is dearer than the known costs",
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
    saved = _sum(item for item in case.local if ends_now(item, servers_replaced=case.servers_replaced))
    if cloud <= saved:
        replaced = " instead of buying new servers" if case.servers_replaced else ""
        text = f"moving saves {show(saved - cloud, currency)} a month at once{replaced}"
        yield Reason(says="for", text=text, basis="assumed", evidence=evidence)
        return
    servers = _sum(item for item in case.local if item.ends == "with the servers")
    staff = _sum(item for item in case.local if item.ends == "with the people")
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
    return ", ".join(f"{item.line.item} {show(item.serving_amount or Decimal(0), case.currency)}" for item in known)


def _sum(items: Iterator[LocalItem]) -> Decimal:
    return sum((item.serving_amount or Decimal(0) for item in items), Decimal(0))


def _budget(case: Case) -> Iterator[Reason]:
    budget = case.assessment.constraints.monthly_budget
    if budget is None or budget.amount is None:
        return
    if budget.currency != case.currency:
        yield Reason(
            says="measure",
            text=f"state the monthly budget in {case.currency}: nothing is converted",
            basis="unknown",
            evidence=f"the budget is {show(budget.amount, budget.currency)}, the region bills in {case.currency}",
        )
        return
    yield _against_budget(case, budget, budget.amount)


def _against_budget(case: Case, budget: Money, limit: Decimal) -> Reason:
    most = case.choice.price.per_hour * HOURS_PER_MONTH * case.choice.size.max_size
    spent = show(case.cloud_total, case.currency)
    evidence = (
        f"budget {show(limit, budget.currency)}; the largest fleet all month would be {show(most, case.currency)}"
    )
    if case.cloud_total > limit:
        return Reason(
            says="against", text=f"the AWS bill of {spent} is over the budget", basis="assumed", evidence=evidence
        )
    return Reason(says="for", text=f"the AWS bill of {spent} is within the budget", basis="assumed", evidence=evidence)


def _utilization(case: Case) -> Iterator[Reason]:
    """Break-even: the share of time that the serving GPUs may be busy before owning them is cheaper than renting.

    Renting the same work takes GPUs x utilisation of the chosen accelerator, scaled by the scarcer of arithmetic and
    memory bandwidth. Break-even = cost at home / (GPUs x scale x price of one rented accelerator).
    """
    cluster = case.assessment.cluster
    used = cluster.gpu_utilization.value
    owned = accelerators.recognise(cluster.accelerator_seen or "") or accelerators.recognise(cluster.accelerator)
    gpus = serving_nodes(case.assessment) * cluster.gpus_per_node
    if used is None or owned is None or not gpus or not case.serving_total or not case.comparable:
        return
    rented = case.choice.instance.accelerator
    scale = max(
        owned.fp16_dense_tflops / rented.fp16_dense_tflops,
        owned.memory_bandwidth_gb_s / rented.memory_bandwidth_gb_s,
    )
    each = case.choice.price.per_hour * HOURS_PER_MONTH / case.choice.instance.accelerators
    even = float(case.serving_total / (gpus * Decimal(repr(scale)) * each))
    share = used / 100
    evidence = (
        f"{cluster.gpu_utilization.source}: {used:.0f} % busy; break-even of {gpus} x {owned.name} at home against "
        f"{case.choice.instance.name} on demand is {even:.0%}"
    )
    basis = cluster.gpu_utilization.basis
    thin = next((finding for finding in case.assessment.findings if finding.code == THIN_SAMPLE), None)
    if thin is not None:
        says: Literal["measure", "condition"] = "measure" if share >= even else "condition"
        text = f"GPU utilisation rests on {thin.seen}: {thin.remedy}"
        yield Reason(says=says, text=text, basis=basis, evidence=evidence)
    elif share >= even and share >= BUSY:
        text = f"the GPUs are busy {used:.0f} % of the time: owning them is cheaper than renting the same work"
        yield Reason(says="against", text=text, basis=basis, evidence=evidence)
    elif share >= even:
        text = "a week of GPU utilisation, per service, shows that the load is no higher than the trace says"
        yield Reason(says="condition", text=text, basis=basis, evidence=evidence)
    else:
        text = f"the GPUs are busy {used:.0f} % of the time: idle hardware is paid for"
        yield Reason(says="for", text=text, basis=basis, evidence=evidence)


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
    if weight_only_fp8(case.serving.model, case.choice.instance):
        yield Reason(
            says="condition",
            text=f"the engine has weight-only FP8 kernels for {case.serving.model.architecture} on "
            f"{case.choice.instance.accelerator.name}",
            basis="unknown",
            evidence="FP8 arithmetic needs compute capability 8.9; below it vLLM runs W8A16 (docs.vllm.ai, FP8 W8A8)",
        )
