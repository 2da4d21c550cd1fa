"""The verdict: when it says go, conditional, defer and stay, and on what evidence."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from ferry.artefacts import (
    Cluster,
    Constraints,
    ExchangeRate,
    Finding,
    Location,
    Plan,
    Slo,
    Training,
    measured,
    unknown,
)

Planned = Callable[..., Plan]


def says(plan: Plan, kind: str) -> list[str]:
    return [reason.text for reason in plan.reasons if reason.says == kind]


def cluster(purchased: str | None = "2023-01-15", utilization: float | None = 20, **changes: Any) -> Cluster:
    """Servers whose 40 months ended in May 2026."""
    facts: dict[str, Any] = {
        "nodes": 2,
        "gpus_per_node": 8,
        "accelerator": "A100-SXM4-80GB",
        "purchased": purchased,
        "gpu_utilization": unknown("%") if utilization is None else measured(utilization, "%", "nvidia-smi"),
    }
    return Cluster(**{**facts, **changes})


def test_idle_servers_that_are_due_for_replacement_go(make: SimpleNamespace, planned: Planned) -> None:
    plan = planned(make.assessment(cluster=cluster()))
    assert plan.verdict == "go"
    assert says(plan, "for")[0] == "moving saves 7,287 USD a month at once instead of buying new servers"


def test_idle_servers_that_are_not_paid_off_go_only_if_they_find_another_use(
    make: SimpleNamespace, planned: Planned
) -> None:
    plan = planned(make.assessment())
    assert plan.verdict == "conditional"
    assert says(plan, "condition") == [
        "the freed servers are sold or taken over by training; otherwise 8,000 USD a month stay on the books "
        "until 2029-05-15"
    ]


def test_two_sites_that_differ_only_in_load_get_opposite_verdicts(make: SimpleNamespace, planned: Planned) -> None:
    quiet, busy = (planned(make.assessment(cluster=cluster(), requests=make.trace(rate))) for rate in (1, 60))
    assert (quiet.verdict, busy.verdict) == ("go", "stay")
    assert "a month more than the serving nodes do at home" in says(busy, "against")[0]
    assert busy.reasons[0].says == "against"


def test_two_sites_that_differ_only_in_utilisation_get_opposite_verdicts(
    make: SimpleNamespace, planned: Planned
) -> None:
    idle, full = (planned(make.assessment(cluster=cluster(utilization=percent))) for percent in (15, 90))
    assert (idle.verdict, full.verdict) == ("go", "stay")
    assert says(full, "against") == [
        "the GPUs are busy 90 % of the time: owning them is cheaper than renting the same work"
    ]


def test_the_break_even_is_what_home_costs_over_what_renting_the_same_work_costs(
    make: SimpleNamespace, planned: Planned
) -> None:
    plan = planned(make.assessment(cluster=cluster(utilization=20)))
    assert plan.chosen.instance_type == "g5.xlarge"
    # Servers 8,000, staff 12,000, idle power 1,095 and 1,095 more at full load; 16 GPUs x 312/70 x 1.006 x 730 rented.
    services = float(sum(line.amount.amount for line in plan.cloud_monthly if line.item != "instances"))
    expected, lean = ((owned - services) / (16 * 312 / 70 * 1.006 * 730 - 1_095) for owned in (21_095, 9_095))
    assert (
        f"break-even of 16 x A100-80GB at home against g5.xlarge on demand is {expected:.0%}, and {lean:.0%} where "
        "nobody's time is freed" in str(plan.reasons)
    )
    assert (expected, lean) == pytest.approx((0.407, 0.173), abs=0.001)


def test_the_break_even_lies_between_two_sites_with_opposite_verdicts(make: SimpleNamespace, planned: Planned) -> None:
    idle, full = (planned(make.assessment(cluster=cluster(utilization=percent))) for percent in (15, 90))
    evidence = {plan.verdict: next(one.evidence for one in plan.reasons if "busy" in one.text) for plan in (idle, full)}
    assert evidence["go"].startswith("nvidia-smi: 15 % busy; break-even of 16 x A100-80GB at home against g5.xlarge")
    assert evidence["stay"].startswith("nvidia-smi: 90 % busy; break-even of 16 x A100-80GB at home against g5.xlarge")
    assert all("is 41%, and 17% where nobody's time is freed" in said for said in evidence.values())


def test_a_break_even_from_costs_that_are_not_all_known_does_not_decide(
    make: SimpleNamespace, planned: Planned
) -> None:
    local = make.costs(staff_people=make.figure(None))
    plan = planned(make.assessment(cluster=cluster(utilization=90), local=local))
    assert plan.verdict == "defer"
    assert says(plan, "measure") == [
        "state staff in site.yaml, then run ferry assess and ferry plan again: the break-even is higher than what is "
        "known says"
    ]


def test_gpus_that_are_busy_below_the_break_even_are_still_cheaper_to_rent(
    make: SimpleNamespace, planned: Planned
) -> None:
    local = make.costs(server_price_each=make.money("1000000"))
    plan = planned(make.assessment(cluster=cluster(utilization=90), local=local))
    assert "the GPUs are busy 90 % of the time: even so, renting the same work is cheaper" in says(plan, "for")


def test_a_rate_that_the_site_states_makes_its_costs_and_its_budget_comparable(
    make: SimpleNamespace, planned: Planned
) -> None:
    local = make.costs(
        "CNY",
        server_price_each=make.money("1420000", "CNY"),
        staff_price_per_person_year=make.money("1022400", "CNY"),
        power_price_per_kwh=make.money("0.71", "CNY"),
        exchange_rates=[
            ExchangeRate(base="USD", quote="CNY", rate=Decimal("7.1"), as_of="2026-11-20", source="a bank")
        ],
    )
    budget = Constraints(regions_allowed=["us-east-1"], monthly_budget=make.money("14000", "CNY"))
    plan = planned(make.assessment(cluster=cluster(), local=local, constraints=budget))
    assert says(plan, "for")[0] == "moving saves 7,287 USD a month at once instead of buying new servers"
    assert says(plan, "against") == ["the AWS bill of 2,027 USD is over the budget"]
    assert "break-even of 16 x A100-80GB at home against g5.xlarge on demand is 41%" in str(plan.reasons)


def test_moderate_use_above_the_break_even_is_a_condition(make: SimpleNamespace, planned: Planned) -> None:
    plan = planned(make.assessment(cluster=cluster(utilization=60)))
    assert plan.verdict == "conditional"
    assert says(plan, "condition") == [
        "a week of GPU utilisation, per service, shows that the load is no higher than the trace says"
    ]


def test_without_a_trace_nothing_is_decided(make: SimpleNamespace, planned: Planned) -> None:
    facts = make.assessment()
    facts = facts.model_copy(update={"serving": [facts.serving[0].model_copy(update={"trace": None})]})
    plan = planned(facts)
    assert plan.verdict == "defer"
    assert says(plan, "measure") == [
        "record a request trace (serving.requests in site.yaml), then run ferry assess and ferry plan again"
    ]
    assert plan.assumptions[0] == "no request trace: 1 request/s of 1200 tokens in and 210 out"


def test_an_hour_of_trace_is_a_condition(make: SimpleNamespace, planned: Planned) -> None:
    plan = planned(make.assessment(cluster=cluster(), requests=make.trace(hours=1)))
    assert plan.verdict == "conditional"
    assert says(plan, "condition") == ["a trace of a whole week confirms the rates before capacity is committed"]


def test_a_bill_over_the_budget_stays(make: SimpleNamespace, planned: Planned) -> None:
    constraints = Constraints(regions_allowed=["us-east-1"], monthly_budget=make.money("2000"))
    plan = planned(make.assessment(cluster=cluster(), constraints=constraints))
    assert plan.verdict == "stay"
    assert says(plan, "against") == ["the AWS bill of 2,027 USD is over the budget"]


def test_training_on_every_node_leaves_nothing_to_save(make: SimpleNamespace, planned: Planned) -> None:
    plan = planned(make.assessment(training=[Training(name="finetune", launcher="slurm", nodes=2)]))
    assert plan.verdict == "stay"
    assert says(plan, "against") == [
        "training keeps every node, so nothing at home ends and AWS adds 2,027 USD a month"
    ]


def test_costs_in_another_currency_are_neither_mixed_nor_converted(make: SimpleNamespace, planned: Planned) -> None:
    plan = planned(make.assessment(local=make.costs("CNY")))
    assert plan.verdict == "defer"
    assert says(plan, "measure") == [
        "state a rate CNY/USD with its date and source in costs.exchange_rates of site.yaml, then run ferry assess and "
        "ferry plan again: nothing is converted without one"
    ]
    assert {line.amount.currency for line in plan.local_monthly} == {"CNY"}
    assert {line.amount.currency for line in plan.cloud_monthly} == {"USD"}
    assert {line.amount.currency for line in plan.hybrid_monthly} == {"CNY", "USD"}


def test_a_site_in_china_is_planned_in_cny(make: SimpleNamespace, planned: Planned) -> None:
    plan = planned(
        make.assessment(
            cluster=cluster(),
            location=Location(country="CN", time_zone="Asia/Shanghai"),
            local=make.costs("CNY"),
            constraints=Constraints(residency="cn", monthly_budget=make.money("60000", "CNY")),
        )
    )
    assert plan.region == "cn-north-1"
    assert plan.chosen.cny_per_hour == Decimal("9.51389")
    assert plan.chosen.usd_per_hour is None
    assert plan.config["ferry:monitoring"]["monthly_budget_cny"] == "60000"
    assert "monthly_budget_usd" not in plan.config["ferry:monitoring"]
    unpriced = [line.item for line in plan.cloud_monthly if line.amount.amount is None]
    assert unpriced == [
        "root volumes",
        "load balancer",
        "interface endpoints",
        "transfer out",
        "logs and alarms",
        "keys",
        "trail",
    ]
    assert {line.amount.currency for line in plan.cloud_monthly} == {"CNY"}


def test_missing_prices_of_a_region_are_a_condition_not_a_saving(make: SimpleNamespace, planned: Planned) -> None:
    dear = make.costs("CNY", server_price_each=make.money("2000000", "CNY"))
    constraints = Constraints(residency="cn", regions_allowed=["cn-north-1"])
    plan = planned(make.assessment(cluster=cluster(), local=dear, constraints=constraints))
    assert plan.verdict == "conditional"
    assert says(plan, "condition")[0].startswith("the prices of root volumes, load balancer, ")


def test_unknown_local_costs_are_asked_for_when_they_decide(make: SimpleNamespace, planned: Planned) -> None:
    local = make.costs(staff_people=make.figure(None), server_price_each=make.money(None))
    plan = planned(make.assessment(local=local))
    assert plan.verdict == "defer"
    assert says(plan, "measure")[0].startswith(
        "state servers, staff in site.yaml, then run ferry assess and ferry plan again: without it AWS (2,027 USD) is "
    )


def test_unknown_local_costs_do_not_matter_when_the_known_ones_are_higher(
    make: SimpleNamespace, planned: Planned
) -> None:
    plan = planned(make.assessment(cluster=cluster(utilization=10), local=make.costs(staff_people=make.figure(None))))
    assert plan.verdict == "go"


def test_a_saving_within_the_sizings_error_needs_a_load_test(make: SimpleNamespace, planned: Planned) -> None:
    local = make.costs(server_price_each=make.money("25000"), staff_people=make.figure(0))
    plan = planned(make.assessment(cluster=cluster(), local=local))
    assert plan.verdict == "conditional"
    assert says(plan, "condition")[0].startswith("a load test shows that one g5.xlarge serves 0.78 requests/s")


def test_a_critical_finding_defers(make: SimpleNamespace, planned: Planned) -> None:
    finding = Finding(
        severity="critical", code="x", seen="corrupt results", where="nccl.log:3", means="m", remedy="test the links"
    )
    plan = planned(make.assessment(cluster=cluster(), findings=[finding]))
    assert plan.verdict == "defer"
    assert says(plan, "measure") == ["test the links"]
    assert plan.reasons[0].evidence == "nccl.log:3: corrupt results"


@pytest.mark.parametrize(("utilization", "verdict"), [(15, "conditional"), (90, "defer")])
def test_a_thin_sample_of_utilisation_does_not_decide(
    make: SimpleNamespace, planned: Planned, utilization: float, verdict: str
) -> None:
    finding = Finding(
        severity="warning",
        code="gpu-utilization-thin-sample",
        seen="1 of 16 GPUs",
        where="nvidia-smi",
        means="m",
        remedy="measure for a day",
    )
    plan = planned(make.assessment(cluster=cluster(utilization=utilization), findings=[finding]))
    assert plan.verdict == verdict
    assert "GPU utilisation rests on 1 of 16 GPUs: measure for a day" in [reason.text for reason in plan.reasons]


def test_unknown_utilisation_is_a_condition(make: SimpleNamespace, planned: Planned) -> None:
    plan = planned(make.assessment(cluster=cluster(utilization=None)))
    assert plan.verdict == "conditional"
    assert plan.reasons[0].basis == "unknown"


def test_fp8_weights_on_ampere_need_kernels(make: SimpleNamespace, planned: Planned) -> None:
    model = make.llama_3_8b(quantization="fp8", weight_bytes=make.figure(9.1e9))
    constraints = Constraints(regions_allowed=["il-central-1"])
    plan = planned(make.assessment(cluster=cluster(), model=model, constraints=constraints))
    assert plan.chosen.accelerator == "A10G"
    assert says(plan, "condition") == ["the engine has weight-only FP8 kernels for LlamaForCausalLM on A10G"]


def test_a_promise_half_used_up_when_idle_is_to_be_shown_under_load(make: SimpleNamespace, planned: Planned) -> None:
    plan = planned(make.assessment(cluster=cluster(), requests=make.trace(0.1), slo=Slo(ttft_p99_ms=2000)))
    assert plan.chosen.instance_type == "g6.xlarge"
    assert plan.chosen.ttft_p99_ms == 1364.9
    assert says(plan, "condition") == ["shadow traffic holds the time to first token under load"]


def test_downtime_at_home_counts_only_where_it_is_stated(make: SimpleNamespace, planned: Planned) -> None:
    stated = make.costs(mtbf_hours=make.figure(900), mttr_hours=make.figure(8))
    slo = Slo(availability=0.999)
    known, silent = (planned(make.assessment(local=local, slo=slo)) for local in (stated, make.costs()))
    sentence = "the site is up 99.12% of the time and has promised 99.90%"
    assert sentence in says(known, "for")
    assert sentence not in says(silent, "for")
