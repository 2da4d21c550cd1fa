from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ferry.artefacts import (
    Cluster,
    ClusterMetrics,
    Collective,
    EngineMetrics,
    Finding,
    GpuUse,
    LocalCosts,
    Money,
    Quantiles,
    Serving,
    Slo,
    Training,
    assumed,
    measured,
    unknown,
)
from ferry.assess import crosschecks
from ferry.assess.collectives import CollectiveLog
from ferry.assess.gpus import GpuSamples
from ferry.assess.models import Weights, model_facts
from ferry.errors import CatalogError

FINETUNE = Training(name="finetune", launcher="slurm", nodes=2)
MODEL = model_facts(
    {
        "model_type": "qwen2",
        "architectures": ["Qwen2ForCausalLM"],
        "hidden_size": 16,
        "intermediate_size": 32,
        "max_position_embeddings": 128,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "vocab_size": 100,
        "torch_dtype": "bfloat16",
    },
    Weights(source="index", total_bytes=8_000_000_000),
    "model",
)[0]


def cluster(utilization: float | None = 50.0) -> Cluster:
    figure = unknown("percent") if utilization is None else measured(utilization, "percent", "smi.csv")
    return Cluster(nodes=2, gpus_per_node=8, accelerator="A100-SXM4-80GB", gpu_utilization=figure)


def samples(gpus: int = 16, lines: int = 160, name: str = "NVIDIA A100-SXM4-80GB") -> GpuSamples:
    return GpuSamples("smi.csv", [name], gpus, lines, [50.0] * lines)


def log(name: str = "NVIDIA A100-SXM4-80GB", **changes: Any) -> CollectiveLog:
    collective = Collective(
        **{
            "file": "nccl.log",
            "operation": "all_reduce",
            "ranks": 16,
            "nodes": 2,
            "sizes": 31,
            "average_busbw": measured(50, "GB/s", "nccl.log:50"),
            "largest_message_bytes": 2**33,
            "largest_message_busbw": measured(150, "GB/s", "nccl.log:49"),
            "wrong": 0,
        }
        | changes
    )
    return CollectiveLog([collective], [name], [])


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]


def test_utilization_is_the_mean_over_all_lines_of_all_files() -> None:
    figure = crosschecks.gpu_utilization(
        [GpuSamples("a.csv", ["A"], 1, 2, [10, 20]), GpuSamples("b.csv", ["A"], 1, 1, [90])]
    )
    assert (figure.value, figure.basis, figure.source) == (40.0, "measured", "a.csv, b.csv")
    assert crosschecks.gpu_utilization([]).source == "site.yaml: cluster.nvidia_smi: no sample has a utilisation"


def test_a_full_sample_of_a_busy_cluster_gives_no_finding() -> None:
    assert crosschecks.about_gpus(cluster(), [samples()]) == []


def test_another_gpu_than_stated_is_a_contradiction() -> None:
    (finding,) = crosschecks.about_gpus(cluster(), [samples(name="NVIDIA H100 80GB HBM3")])
    assert (finding.code, finding.where) == ("gpu-model-contradicts", "smi.csv")
    assert finding.seen == "NVIDIA H100 80GB HBM3, where site.yaml says A100-SXM4-80GB"


@pytest.mark.parametrize(("gpus", "lines"), [(8, 160), (16, 16)])
def test_a_sample_of_few_gpus_or_of_one_moment_is_thin(gpus: int, lines: int) -> None:
    assert codes(crosschecks.about_gpus(cluster(5.0), [samples(gpus, lines)])) == ["gpu-utilization-thin-sample"]


def test_an_idle_cluster_is_said_to_be_idle() -> None:
    (finding,) = crosschecks.about_gpus(cluster(12.5), [samples()])
    assert (finding.code, finding.seen) == ("gpus-mostly-idle", "12.5 % mean utilisation over 16 GPUs")


def test_no_sample_asks_for_the_command_that_takes_one() -> None:
    (finding,) = crosschecks.about_gpus(cluster(None), [])
    assert finding.code == "gpu-utilization-unknown"
    assert "nvidia-smi --query-gpu=" in finding.remedy


def test_a_log_over_all_nodes_gives_no_finding() -> None:
    assert crosschecks.about_network(cluster(), [log()], [FINETUNE]) == []


def test_no_log_asks_for_the_command_that_measures_it() -> None:
    (finding,) = crosschecks.about_network(cluster(), [], [])
    assert finding.code == "no-collective-measured"
    assert finding.remedy == "measure: all_reduce_perf -b 8 -e 8G -f 2 -g 8"


def test_a_log_of_one_node_does_not_cover_training_on_two() -> None:
    (finding,) = crosschecks.about_network(cluster(), [log(nodes=1, ranks=8)], [FINETUNE])
    assert finding.code == "no-collective-over-nodes"
    assert finding.remedy == "measure: mpirun -np 16 -N 8 all_reduce_perf -b 8 -e 8G -f 2 -g 1"


def test_a_log_of_a_larger_cluster_is_found_and_does_not_count_as_a_measurement_of_this_one() -> None:
    assert codes(crosschecks.about_network(cluster(), [log(ranks=96, nodes=None)], [FINETUNE])) == [
        "nccl-more-ranks-than-gpus",
        "no-collective-over-nodes",
    ]


NINE_HUNDRED = Quantiles(**{key: measured(900, "ms", "page") for key in ("mean", "p50", "p95", "p99")})
ENGINE = EngineMetrics(
    source="page",
    engine="vllm",
    ttft_ms=NINE_HUNDRED,
    tpot_ms=NINE_HUNDRED,
    latency_ms=NINE_HUNDRED,
    running=unknown("requests"),
    waiting=unknown("requests"),
    kv_cache_use=unknown("share"),
)


def service(model_name: str = "m", **changes: Any) -> list[Finding]:
    parts = {"name": "chat", "engine": "vllm", "model": MODEL, "trace": None, "metrics": ENGINE, "slo": Slo()}
    return crosschecks.about_service(Serving(**parts | changes), model_name)


def test_a_service_without_trace_or_metrics_is_told_how_to_get_them() -> None:
    findings = service(metrics=None)
    assert [(finding.severity, finding.code) for finding in findings] == [
        ("critical", "no-request-trace"),
        ("warning", "no-engine-metrics"),
    ]


def test_a_promise_that_is_missed_today_is_found() -> None:
    findings = service(slo=Slo(ttft_p99_ms=1000, tpot_p99_ms=100))
    (missed,) = [finding for finding in findings if finding.code == "slo-missed-today"]
    assert missed.seen == "tpot P99 is 900 ms, promised are 100 ms"
    assert missed.remedy == "plan for the promise, or correct site.yaml: serving chat.slo.tpot_p99_ms"


def test_a_promise_below_what_is_at_least_true_is_missed() -> None:
    beyond = unknown("ms", "m.txt", at_least=500.0)
    none = Quantiles(mean=beyond, p50=beyond, p95=beyond, p99=beyond)
    given = service(slo=Slo(ttft_p99_ms=400, tpot_p99_ms=600), metrics=ENGINE.model_copy(update={"ttft_ms": none}))
    (missed,) = [finding for finding in given if finding.code == "slo-missed-today" and "ttft" in finding.seen]
    assert missed.seen == "ttft P99 is more than 500 ms, promised are 400 ms"


def exporters(utilization: float, gpus: int = 16, window: str = "a day", model: str = "A100-SXM4-80GB") -> Cluster:
    use, none = measured(utilization, "percent", "dcgm"), unknown("W")
    given = ClusterMetrics(
        source="dcgm",
        window=window,
        gpus=[
            GpuUse(gpu=f"GPU-{n}", host=None, model=model, driver=None, utilization=use, power=none, memory_used=none)
            for n in range(gpus)
        ],
        utilization=use,
        power=none,
    )
    return crosschecks.with_metrics(cluster(50.0), given)


def test_use_over_a_day_counts_more_than_a_sample_and_a_moment_does_not() -> None:
    assert exporters(20.0).gpu_utilization.value == 20.0
    assert exporters(20.0, window=crosschecks.ONE_MOMENT).gpu_utilization.value == 50.0


def test_what_the_exporters_see_is_held_against_the_site() -> None:
    assert codes(crosschecks.about_cluster_metrics(exporters(50.0))) == []
    assert codes(crosschecks.about_cluster_metrics(exporters(20.0))) == ["gpus-mostly-idle"]
    found = crosschecks.about_cluster_metrics(exporters(20.0, 8, crosschecks.ONE_MOMENT, "NVIDIA L4"))
    assert codes(found) == ["gpu-model-contradicts", "gpu-metrics-other-count", "gpu-utilization-one-moment"]


@pytest.mark.parametrize(
    ("model_name", "other"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", True),
        ("Qwen/Qwen2.5-7B-Instruct", False),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", False),
        ("deepseek-r1", False),
        ("chat", False),
        ("", False),
    ],
)
def test_metrics_of_another_family_of_models_are_found(model_name: str, other: bool) -> None:
    assert ("metrics-of-another-model" in codes(service(model_name))) is other


def test_costs_that_are_left_out_are_listed() -> None:
    def money(amount: int | None) -> Money:
        if amount is None:
            return Money(currency="USD", basis="unknown")
        return Money(amount=Decimal(amount), currency="USD", basis="assumed", source="site.yaml")

    costs = LocalCosts(
        currency="USD",
        server_count=2,
        server_price_each=money(1),
        server_lifetime_months=assumed(36, "months", "s"),
        server_residual_share=assumed(0.2, "share", "s"),
        nvme_array=money(None),
        cooling=money(0),
        power_kw_full_load=assumed(1, "kW", "s"),
        power_kw_idle=unknown("kW"),
        power_price_per_kwh=money(1),
        power_usage_effectiveness=assumed(1, "ratio", "s"),
        staff_people=assumed(1, "people", "s"),
        staff_price_per_person_year=money(1),
        mtbf_hours=assumed(1, "hours", "s"),
        mttr_hours=assumed(1, "hours", "s"),
    )
    (finding,) = crosschecks.about_costs(costs)
    assert finding.seen == "left out: nvme_array, power_kw_idle"


def test_software_that_must_not_run_is_a_warning_and_what_is_no_version_is_said() -> None:
    bad, unknown = crosschecks.about_software(
        {"nvidia-container-toolkit": "1.17.7", "containerd": "newest", "runc": "1.3.3"}
    )
    assert (bad.severity, bad.code, bad.where) == (
        "warning",
        "software-known-bad",
        "site.yaml: cluster.software.nvidia-container-toolkit",
    )
    assert bad.seen.startswith("nvidia-container-toolkit 1.17.7 must not run: CVE-2025-23266 (critical): ")
    assert bad.remedy.startswith("install nvidia-container-toolkit 1.19.1 or newer (https://nvidia.custhelp.com/")
    assert (unknown.severity, unknown.code) == ("info", "software-version-unknown")


def test_software_that_is_not_listed_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(CatalogError, match="no versions of 'container' are listed"):
        crosschecks.about_software({"container": "2.2.5"})


def test_findings_are_sorted_gravest_first() -> None:
    findings = [*crosschecks.about_gpus(cluster(5.0), [samples()]), *service(metrics=None)]
    assert codes(crosschecks.by_severity(findings)) == ["no-request-trace", "no-engine-metrics", "gpus-mostly-idle"]
