"""Plans: what is chosen, what is refused and why, what the stack gets, and the errors that leave no plan."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from ferry.artefacts import Assessment, Candidate, Constraints, Plan, Slo, read, sha256_of, unknown
from ferry.errors import CatalogError, InvalidField, PlanError, StaleArtefact, TamperedArtefact
from ferry.planning import plan as make_plan
from ferry.planning.configuration import model_slug
from ferry.planning.text import describe
from stacks.settings import Settings

Planned = Callable[..., Plan]


def refused(plan: Plan) -> dict[str, Candidate]:
    return {one.instance_type: one for one in plan.candidates if not one.fits}


def test_the_cheapest_candidate_is_chosen(make: SimpleNamespace, planned: Planned) -> None:
    plan = planned(make.assessment())
    serving = [one for one in plan.candidates if one.fits]
    assert plan.chosen == serving[0]
    months = [one.usd_per_month for one in serving]
    assert months == sorted(months)
    assert plan.chosen.model_dump(include={"instance_type", "region", "min_size", "max_size", "tensor_parallel"}) == {
        "instance_type": "g5.xlarge",
        "region": "us-east-1",
        "min_size": 2,
        "max_size": 4,
        "tensor_parallel": 1,
    }
    assert plan.chosen.usd_per_hour == Decimal("1.006")
    assert plan.chosen.max_sequences == 20


def test_every_refused_candidate_says_why(make: SimpleNamespace, planned: Planned) -> None:
    out = refused(planned(make.assessment(model=make.deepseek_v3())))
    assert out.keys() >= {"p4de.24xlarge", "p5.48xlarge", "g5.xlarge", "g4dn.xlarge", "p5e.48xlarge"}
    assert all(one.reason for one in out.values())
    assert "has 640 (8 x 80)" in out["p4de.24xlarge"].reason
    assert out["g5.xlarge"].reason.startswith("needs ")
    assert out["p5e.48xlarge"].reason == (
        "fits, but the catalogue has no on-demand price in us-east-1; it has in no region"
    )


def test_the_whole_671b_goes_to_eight_h200(make: SimpleNamespace, planned: Planned) -> None:
    plan = planned(make.assessment(model=make.deepseek_v3()))
    assert (plan.chosen.instance_type, plan.chosen.tensor_parallel) == ("p5en.48xlarge", 8)
    assert plan.nodes_per_replica == 1
    fleet = plan.config["ferry:model_versions"][0]["fleet"]
    # 80 + (25e9 + 688,586,727,753) B x 1.1 = 811.1 GiB
    assert fleet["root_volume_gib"] == 820
    assert fleet["boot_timeout_seconds"] == 4560


def test_a_model_that_fits_nowhere_in_the_region_is_an_error(make: SimpleNamespace, planned: Planned) -> None:
    constraints = Constraints(regions_allowed=["cn-north-1"], residency="cn")
    with pytest.raises(
        PlanError, match=r"chat: DeepseekV3ForCausalLM fits no instance type of cn-north-1; p5en\.48xlarge: fits, but"
    ):
        planned(make.assessment(model=make.deepseek_v3(), constraints=constraints))


def test_a_model_that_needs_several_nodes_is_refused(make: SimpleNamespace, planned: Planned) -> None:
    constraints = Constraints(regions_allowed=["eu-west-2"])
    with pytest.raises(
        PlanError, match=r"fits only over several nodes per replica in eu-west-2; .*p5\.48xlarge: .*2 nodes"
    ):
        planned(make.assessment(model=make.deepseek_v3(), constraints=constraints))


def test_a_type_without_a_price_in_the_region_names_the_regions_that_have_one(
    make: SimpleNamespace, planned: Planned
) -> None:
    constraints = Constraints(regions_allowed=["eu-central-1"])
    with pytest.raises(PlanError, match=r"no on-demand price in eu-central-1; it has in .*us-east-1"):
        planned(make.assessment(model=make.deepseek_v3(weight_bytes=make.figure(900e9)), constraints=constraints))


def test_a_promise_that_no_idle_instance_keeps_is_an_error(make: SimpleNamespace, planned: Planned) -> None:
    with pytest.raises(PlanError, match=r"time to first token is .* ms when idle, promised are 1"):
        planned(make.assessment(slo=Slo(ttft_p99_ms=1)))


def test_candidates_that_break_a_promise_when_idle_are_refused(make: SimpleNamespace, planned: Planned) -> None:
    out = refused(planned(make.assessment(slo=Slo(tpot_p99_ms=50))))
    assert out["g5.xlarge"].reason == "a token takes 54 ms when idle, promised are 50 (roofline)"


def test_a_promise_of_the_first_token_takes_more_instances(make: SimpleNamespace, planned: Planned) -> None:
    loose, tight = (
        planned(make.assessment(requests=make.trace(5), slo=Slo(ttft_p99_ms=promised))) for promised in (60_000, 2_500)
    )
    rates = [next(one for one in plan.candidates if one.instance_type == "g5.xlarge") for plan in (loose, tight)]
    assert rates[0].requests_per_s > rates[1].requests_per_s
    assert rates[0].min_size < rates[1].min_size


def test_the_configuration_is_what_the_stack_takes(make: SimpleNamespace, planned: Planned) -> None:
    slo = Slo(ttft_p99_ms=3000, tpot_p99_ms=100)
    constraints = Constraints(regions_allowed=["us-east-1"], monthly_budget=make.money("9000"))
    plan = planned(make.assessment(slo=slo, constraints=constraints), environment="prod")
    version = plan.config["ferry:model_versions"][0]
    assert plan.config == {
        "aws:region": "us-east-1",
        "ferry:environment": "prod",
        "ferry:network": {"zone_count": 2},
        "ferry:model_versions": [
            {
                "name": "v1",
                "model": "llama-3-8b",
                "version": "1",
                "weight": 100,
                "engine": {
                    "name": "vllm",
                    "image": "vllm-openai:v0.33.0",
                    "tensor_parallel": 1,
                    "max_sequences": plan.chosen.max_sequences,
                    "max_model_tokens": 8192,
                    "gpu_memory_utilization": 0.9,
                },
                "fleet": {
                    "instance_types": [plan.chosen.instance_type],
                    "min_size": plan.chosen.min_size,
                    "max_size": plan.chosen.max_size,
                    "root_volume_gib": 200,
                    "boot_timeout_seconds": version["fleet"]["boot_timeout_seconds"],
                    "scaling": {
                        "scale_out_above": 0.8,
                        "scale_out_add": 2,
                        "scale_in_below": 0.3,
                        "scale_in_remove": 1,
                        "warmup_seconds": version["fleet"]["scaling"]["warmup_seconds"],
                    },
                },
            }
        ],
        "ferry:gateway": {"domain_name": "chat.test-site.example"},
        "ferry:monitoring": {"latency_p99_seconds": 63.0, "monthly_budget_usd": "9000"},
    }
    assert Settings.from_config(plan.config).model_versions[0].fleet.max_size == plan.chosen.max_size
    assert version["fleet"]["boot_timeout_seconds"] > version["fleet"]["scaling"]["warmup_seconds"]


def test_an_environment_that_the_stack_refuses_is_an_error(make: SimpleNamespace, planned: Planned) -> None:
    with pytest.raises(PlanError, match="the stack's settings refuse the plan: environment"):
        planned(make.assessment(), environment="Prod!")


@pytest.mark.parametrize(
    ("path", "slug"),
    [
        ("model-awq", "chat-awq"),
        ("DeepSeek-R1-Distill-Qwen-32B-awq", "deepseek-r1-distill-awq"),
        ("model", "chat"),
        ("models/DeepSeek-R1-Distill-Qwen-32B", "deepseek-r1-distill-qwen"),
        ("./72B", "chat"),
    ],
)
def test_the_model_is_named_after_its_folder_or_its_service(make: SimpleNamespace, path: str, slug: str) -> None:
    serving = make.assessment(model=make.llama_3_8b(path=path)).serving[0]
    assert model_slug(serving) == slug


def test_what_is_assumed_is_said(make: SimpleNamespace, planned: Planned) -> None:
    said = "\n".join(planned(make.assessment()).assumptions)
    for part in (
        "vllm-openai:v0.33.0",
        "chat.test-site.example",
        "engines reach 45% of the arithmetic",
        "A10G: fp16_dense_tflops, interconnect_gb_s, memory_bandwidth_gb_s rest on memory",
        "no Spot (it was 0.37222 USD/h, 2025-05-28)",
        "up to 8192 tokens",
        "prices from karpenter-provider-aws zz_generated.pricing are of 2026-07-20, 127 days old: check them",
    ):
        assert part in said


def test_fresh_prices_are_not_called_old(make: SimpleNamespace, planned: Planned) -> None:
    said = planned(make.assessment(), today=date(2024, 10, 20)).assumptions
    assert [line for line in said if line.startswith("prices from")] == [
        "prices from infracost's golden files are of 2024-07-01, 111 days old: check them"
    ]


def test_the_plan_names_the_assessment_that_it_was_made_from(
    make: SimpleNamespace, planned: Planned, tmp_path: Path
) -> None:
    plan = planned(make.assessment(), artefact_folder=tmp_path / "out")
    assert [(source.path, source.sha256) for source in plan.made_from] == [
        ("../assessment.yaml", sha256_of(tmp_path / "assessment.yaml"))
    ]
    plan.write(tmp_path / "out" / "plan.yaml")
    again = read(Plan, tmp_path / "out" / "plan.yaml")
    assert again.chosen == plan.chosen
    planned(make.assessment(utilization=30))
    with pytest.raises(StaleArtefact):
        read(Plan, tmp_path / "out" / "plan.yaml")


def test_an_edited_assessment_is_refused_unless_forced(make: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "assessment.yaml"
    make.assessment().write(path)
    path.write_text(path.read_text().replace("test-site", "best-site"))
    with pytest.raises(TamperedArtefact):
        make_plan(path, environment="dev")
    assert make_plan(path, environment="dev", force=True).site == "best-site"


def test_one_of_several_services_has_to_be_named(make: SimpleNamespace, planned: Planned) -> None:
    facts = make.assessment()
    other = facts.serving[0].model_copy(update={"name": "code"})
    facts = facts.model_copy(update={"serving": [facts.serving[0], other]})
    with pytest.raises(InvalidField, match="the site serves chat, code: name the one that moves with --serving"):
        planned(facts)
    assert planned(facts, serving="code").serving == "code"
    with pytest.raises(InvalidField, match="--serving search: the site serves chat, code"):
        planned(facts, serving="search")


def run_by(make: SimpleNamespace, engine: str) -> Assessment:
    facts = make.assessment()
    return facts.model_copy(update={"serving": [facts.serving[0].model_copy(update={"engine": engine})]})


@pytest.mark.parametrize(("engine", "image"), [("vllm", "vllm-openai:v0.33.0"), ("sglang", "sglang:v0.5.16")])
def test_an_engine_that_nodes_start_is_kept(make: SimpleNamespace, planned: Planned, engine: str, image: str) -> None:
    plan = planned(run_by(make, engine))
    started = plan.config["ferry:model_versions"][0]["engine"]
    assert (plan.chosen.engine, started["name"], started["image"]) == (engine, engine, image)
    assert not [reason for reason in plan.reasons if "nodes do not start" in reason.text]


def test_an_engine_that_nodes_do_not_start_is_replaced_on_a_condition(make: SimpleNamespace, planned: Planned) -> None:
    plan = planned(run_by(make, "ollama"))
    assert plan.config["ferry:model_versions"][0]["engine"]["name"] == "vllm"
    assert "clients and answers are tried on vllm: nodes do not start ollama" in [
        reason.text for reason in plan.reasons if reason.says == "condition"
    ]


def test_sglang_is_not_planned_on_accelerators_that_its_kernels_do_not_run_on(
    make: SimpleNamespace, planned: Planned
) -> None:
    facts = run_by(make, "sglang")
    model = make.llama_3_8b(dtype="float16", quantization="awq", weight_bytes=make.figure(5.7e9))
    facts = facts.model_copy(update={"serving": [facts.serving[0].model_copy(update={"model": model})]})
    assert refused(planned(facts))["g4dn.xlarge"].reason == (
        "sglang runs awq weights from compute capability 8.0 on, T4 has 7.5"
    )


def test_a_quantised_copy_is_planned_only_when_it_is_asked_for(make: SimpleNamespace, planned: Planned) -> None:
    constraints = Constraints(regions_allowed=["eu-west-2"])
    facts = make.assessment(model=make.deepseek_v3(), constraints=constraints)
    with pytest.raises(PlanError, match=r"in 4 bit .* it would fit: --quantization awq plans such a copy"):
        planned(facts)
    plan = planned(facts, quantization="awq")
    # 671e9 - 2 x 129,280 x 7168 at 0.51953125 B, the rest at 2 B
    assert plan.chosen.weights_gib == pytest.approx(327.22, abs=0.01)
    assert plan.chosen.quantization == "awq"
    assert plan.config["ferry:model_versions"][0]["model"] == "deepseek-v3-awq"
    assert "a copy of the model in awq is made, and its answers are evaluated" in [
        reason.text for reason in plan.reasons if reason.says == "condition"
    ]


@pytest.mark.parametrize(
    ("model", "quantization", "says"),
    [
        ({}, "int2", "quantization 'int2' is unknown; allowed are fp8, awq"),
        ({"quantization": "awq"}, "fp8", "is quantised already .awq.; plan it as it is"),
        ({"quantization": "fp8"}, "fp8", "is quantised already .fp8.; plan it as it is"),
        ({"parameters": unknown("")}, "awq", "the number of parameters is unknown"),
    ],
)
def test_a_copy_that_makes_no_sense_is_an_error(
    make: SimpleNamespace, planned: Planned, model: dict[str, Any], quantization: str, says: str
) -> None:
    with pytest.raises(PlanError, match=says):
        planned(make.assessment(model=make.llama_3_8b(**model)), quantization=quantization)


def test_weights_that_the_engine_is_not_known_to_load_are_a_condition(make: SimpleNamespace, planned: Planned) -> None:
    plan = planned(make.assessment(model=make.llama_3_8b(quantization="exl2")))
    assert "vllm is shown to load exl2 weights" in [
        reason.text for reason in plan.reasons if reason.says == "condition"
    ]


def test_an_unknown_region_is_an_error(make: SimpleNamespace, planned: Planned) -> None:
    with pytest.raises(CatalogError, match="unknown region 'moon-1'"):
        planned(make.assessment(), region="moon-1")


def test_planning_writes_nothing(make: SimpleNamespace, planned: Planned, tmp_path: Path) -> None:
    planned(make.assessment())
    assert [path.name for path in tmp_path.iterdir()] == ["assessment.yaml"]


def test_more_load_never_costs_less_on_any_candidate(make: SimpleNamespace, planned: Planned) -> None:
    months: dict[str, list[Decimal]] = {}
    for rate in (0.5, 2, 8, 32, 128):
        for one in planned(make.assessment(requests=make.trace(rate))).candidates:
            if one.usd_per_month is not None:
                months.setdefault(one.instance_type, []).append(one.usd_per_month)
    assert len(months) > 30
    assert all(costs == sorted(costs) for costs in months.values())


def test_the_text_starts_with_the_verdict_and_shows_every_part(make: SimpleNamespace, planned: Planned) -> None:
    plan = planned(make.assessment(model=make.deepseek_v3()))
    screen = Console(width=200, no_color=True, force_terminal=False)
    with screen.capture() as capture:
        screen.print(describe(plan))
    lines = capture.get().splitlines()
    assert lines[0] == "test-site / chat -> dev"
    assert lines[1] == "stay: the move does not pay, or breaks a limit"
    text = "\n".join(lines)
    for part in ("- AWS costs", "p5en.48xlarge in us-east-1", "known total", "refused", "assumed", "hybrid"):
        assert part in text
