from __future__ import annotations

import math
from typing import Any

import pytest

from ferry.artefacts import Cluster, Collective, CollectiveSize, Synchronisation, measured, unknown
from ferry.assess import synchronisation
from ferry.assess.models import Weights, model_facts
from ferry.assess.site import TrainingPart

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
"""8 GB in bfloat16: 4 billion parameters, 8 GB of gradients."""


def cluster(nodes: int = 2) -> Cluster:
    return Cluster(
        nodes=nodes, gpus_per_node=8, accelerator="A100-SXM4-80GB", gpu_utilization=unknown("percent", "nobody")
    )


def run(ranks: int = 16, busbw: float = 150.0, latency_us: float | None = None, **changes: Any) -> Collective:
    """An all-reduce log whose times are latency + S/B · 2(n-1)/n, from 1 KiB to 8 GiB."""
    sizes = [2**exponent for exponent in (10, 11, 12, 20, 26, 30, 31, 32, 33)]
    rows = []
    for number, size in enumerate(sizes):
        if latency_us is None and size <= 4096:
            continue
        time = (latency_us or 0.0) + size / busbw / 1e3 * 2 * (ranks - 1) / ranks
        algbw = size / time / 1e3
        rows.append(
            CollectiveSize(
                where=f"nccl.log:{number}", bytes=size, time_us=time, algbw=algbw, busbw=algbw * 2 * (ranks - 1) / ranks
            )
        )
    facts = {
        "file": "nccl.log",
        "operation": "all_reduce",
        "ranks": ranks,
        "nodes": ranks // 8 or 1,
        "sizes": len(rows),
        "average_busbw": measured(50, "GB/s", "nccl.log:50"),
        "largest_message_bytes": rows[-1].bytes,
        "largest_message_busbw": measured(rows[-1].busbw or 0.0, "GB/s", rows[-1].where),
        "wrong": 0,
        "by_size": rows,
    }
    return Collective(**facts | changes)


def job(nodes: int = 2, **changes: Any) -> TrainingPart:
    return TrainingPart(name="finetune", launcher="slurm", nodes=nodes, **changes)


def made(runs: list[Collective], *jobs: TrainingPart, nodes: int = 2) -> list[Synchronisation]:
    return synchronisation.synchronisations(cluster(nodes), runs, jobs, [MODEL])


def test_eight_gigabytes_on_sixteen_ranks_at_150_gb_s_take_a_tenth_of_a_second() -> None:
    (item,) = made([run()], job())
    # 8 GB / 150 GB/s · 2·15/16; a tree sends all of it up and down, 8 / 150 · 2.
    assert item.ring_ms.value == pytest.approx(100.0)
    assert item.tree_ms.value == pytest.approx(8e9 / 150e9 * 2e3)
    assert (item.name, item.nodes, item.ranks, item.gradient_bytes.value) == ("finetune", 2, 16, 8e9)
    assert (item.ring_ms.basis, item.log, item.bound) == ("measured", "nccl.log", "at least")
    assert item.latency_us.basis == "unknown"


def test_the_fit_takes_latency_from_small_messages_and_bandwidth_from_large_ones_beyond_it() -> None:
    fit = synchronisation.fit_of(run(latency_us=120), cluster())
    assert fit is not None
    assert fit.latency_us == pytest.approx(120, rel=1e-3)
    # The log prints less than 150 at 8 GiB, because the latency is in its times too.
    assert fit.busbw == pytest.approx(150, rel=1e-6)


def test_both_algorithms_give_the_measured_latency_at_the_measured_size() -> None:
    fit = synchronisation.fit_of(run(latency_us=120), cluster())
    assert fit is not None
    assert synchronisation.ring_ms(0, fit, 16) == pytest.approx(0.12, rel=1e-3)
    assert synchronisation.tree_ms(0, fit, 16, 2) == pytest.approx(0.12, rel=1e-3)


def test_latency_grows_with_the_ranks_in_a_ring_and_with_their_logarithm_between_the_nodes_of_a_tree() -> None:
    fit = synchronisation.fit_of(run(latency_us=120), cluster(8))
    assert fit is not None
    # 2·63 hops instead of 2·15; 2·(7 + 3) instead of 2·(7 + 1).
    assert synchronisation.ring_ms(0, fit, 64) == pytest.approx(0.12 * 63 / 15, rel=1e-3)
    assert synchronisation.tree_ms(0, fit, 64, 8) == pytest.approx(0.12 * 10 / 8, rel=1e-3)


def test_a_small_model_goes_by_the_tree_and_a_large_one_by_the_ring() -> None:
    small, large = (made([run(latency_us=120)], job(8, parameters=count), nodes=8)[0] for count in (1e3, 1e9))
    assert small.ms == small.tree_ms.value
    assert large.ms == large.ring_ms.value
    assert small.ring_ms.value == pytest.approx(0.504, rel=1e-3)


def test_the_log_of_as_many_ranks_as_the_job_is_chosen_whatever_its_bandwidth() -> None:
    runs = [run(8, 300), run(16, 150), run(32, 100), run(96, 400)]
    picked = {nodes: made(runs, job(nodes), nodes=4)[0].busbw.value for nodes in (1, 2, 4)}
    assert picked == {1: pytest.approx(300), 2: pytest.approx(150), 4: pytest.approx(100)}


def test_a_log_over_nodes_is_preferred_to_one_inside_a_node_and_one_that_cannot_be_of_this_cluster_comes_last() -> None:
    assert made([run(8, 300), run(16, 150)], job(4), nodes=4)[0].busbw.value == pytest.approx(150)
    assert made([run(8, 300), run(96, 400)], job(4), nodes=4)[0].busbw.value == pytest.approx(300)
    # As far from 16 ranks as each other, and what is between the nodes is in one of them only.
    assert made([run(8, 300), run(32, 150)], job(2), nodes=4)[0].busbw.value == pytest.approx(150)
    assert made([run(4, 300), run(16, 150)], job(2, data_parallel=4))[0].busbw.value == pytest.approx(150)
    (foreign,) = made([run(96, 400)], job(4), nodes=4)
    assert (foreign.busbw.value, foreign.ring_ms.basis) == (pytest.approx(400), "assumed")
    assert foreign.ring_ms.source == "nccl.log:8, 96 ranks, scaled to 32"


def test_a_log_inside_a_node_gives_a_lower_bound_for_several() -> None:
    (item,) = made([run(8, 300, latency_us=40)], job())
    assert (item.bound, item.ring_ms.basis) == ("at least", "assumed")
    assert {fabric.times_as_long for fabric in item.fabrics} == {None}
    (finding, *_) = synchronisation.findings([item], [job()])
    assert "take at least 0.0501 s" in finding.seen
    assert made([run(16, latency_us=40)], job())[0].bound == "exactly"


def test_a_log_over_nodes_gives_an_upper_bound_inside_one_and_without_a_latency_only_an_order_of_magnitude() -> None:
    assert made([run(16, latency_us=40)], job(1))[0].bound == "at most"
    assert made([run(16)], job(1))[0].bound == "about"


@pytest.mark.parametrize("changes", [{"operation": "all_gather"}, {"largest_message_busbw": measured(0, "GB/s", "x")}])
def test_what_is_no_all_reduce_or_measured_nothing_answers_nothing(changes: dict[str, Any]) -> None:
    assert made([run(**changes)], job()) == []


def test_a_job_on_one_gpu_synchronises_nothing_and_all_nodes_are_asked_for_where_no_job_spans_them() -> None:
    assert [item.name for item in made([run(32)], job(1, data_parallel=1), nodes=4)] == ["all 4 nodes"]
    assert [item.name for item in made([run(32)], job(4), nodes=4)] == ["finetune"]
    assert made([run(8)], nodes=1) == []


def test_the_gradients_are_of_what_is_trained_in_the_type_that_is_sent() -> None:
    (item,) = made([run()], job(parameters=1e9, gradient_dtype="float32"))
    assert (item.gradient_bytes.value, item.gradient_bytes.source) == (
        4e9,
        "site.yaml: training finetune.parameters, float32",
    )
    assert item.ring_ms.value == pytest.approx(50.0)


def test_the_share_of_an_iteration_is_of_the_time_that_is_stated() -> None:
    (item,) = made([run()], job(iteration_ms=500))
    assert (item.share_of_iteration.value, item.iteration_ms.basis) == (pytest.approx(0.2), "assumed")


def test_the_share_follows_from_flops_where_only_the_batch_is_stated() -> None:
    (item,) = made([run()], job(tokens_per_iteration=1_000_000))
    # 6 · 4e9 · 1e6 FLOP on 16 A100 of 312 TFLOPS at 40 %.
    seconds = 6 * 4e9 * 1e6 / (16 * 312e12 * 0.4)
    assert item.iteration_ms.value == pytest.approx(seconds * 1e3)
    assert item.iteration_ms.basis == "assumed"
    assert "40 % of the accelerators' peak" in item.iteration_ms.source
    assert item.share_of_iteration.value == pytest.approx(0.1 / (seconds + 0.1))


def test_an_iteration_that_nobody_gave_is_unknown_and_asked_for() -> None:
    (item,) = made([run()], job())
    assert (item.share_of_iteration.value, item.share_of_iteration.basis) == (None, "unknown")
    codes = [finding.code for finding in synchronisation.findings([item], [job()])]
    assert codes == ["gradient-synchronisation", "iteration-time-unknown"]


def test_an_iteration_that_is_shorter_than_its_synchronisation_is_a_contradiction() -> None:
    (item,) = made([run()], job(iteration_ms=50))
    (_, finding) = synchronisation.findings([item], [job(iteration_ms=50)])
    assert finding.code == "iteration-shorter-than-synchronisation"
    assert finding.seen == "finetune: 100 ms of synchronisation in an iteration of 50 ms"


def test_what_fits_into_12_and_18_ms_is_said_in_parameters() -> None:
    (item,) = made([run()], job())
    # 150 GB/s · 12 ms · 16/30 bytes, two a parameter.
    assert item.parameters_in_12_ms.value == pytest.approx(0.48e9)
    assert item.parameters_in_18_ms.value == pytest.approx(0.72e9)
    (slow,) = made([run(latency_us=20_000)], job())
    assert slow.parameters_in_12_ms.value == 0


def test_a_cloud_fabric_is_compared_at_its_line_rate_with_instances_of_as_many_accelerators() -> None:
    (item,) = made([run()], job())
    rates = {fabric.gbit_per_s: fabric for fabric in item.fabrics}
    assert set(rates) == {100, 400, 3200, 6400}
    assert rates[400].instance_types == ["g6e.48xlarge", "p4d.24xlarge", "p4de.24xlarge"]
    # Two nodes send and receive 2·(1/2)·8 GB at 50 GB/s: 160 ms, 1.6 times the 100 ms at home.
    assert rates[400].ms.value == pytest.approx(160.0)
    assert rates[400].ms.basis == "assumed"
    assert rates[400].times_as_long == pytest.approx(1.6)
    assert made([run(8)], job(1), nodes=1)[0].fabrics == []


def test_a_line_to_the_cloud_is_compared() -> None:
    (finding, _) = synchronisation.findings(made([run()], job()), [job()])
    assert finding.seen == (
        "finetune: 8.0 GB of gradients (model, bfloat16), all-reduced on 16 ranks at 150 GB/s, take at least 0.1 s"
    )
    assert "over a 10 Gbit/s line to a cloud it would take 12 s each iteration" in finding.means
    assert finding.where == "nccl.log:8"


def test_a_log_of_short_messages_alone_yields_to_one_of_long_messages() -> None:
    short = run(16, 150)
    rows = [row for row in short.by_size if row.bytes <= 2**25]
    short = short.model_copy(update={"by_size": rows, "largest_message_bytes": 2**20, "file": "short.log"})
    assert made([short, run(16, 100)], job())[0].busbw.value == pytest.approx(100)
    (item,) = made([short], job(iteration_ms=500))
    (_, finding) = synchronisation.findings([item], [job(iteration_ms=500)])
    assert (finding.code, finding.seen) == ("nccl-messages-short", "the largest message has 1 MiB, the gradients 8 GB")


def test_no_numbers_of_a_log_end_in_a_traceback() -> None:
    for latency in (1e-9, 1e12):
        for ranks in (2, 3, 1_000_000):
            for item in made([run(ranks, 1e-3, latency_us=latency)], job(2, data_parallel=2), nodes=3):
                assert item.ms is not None
                assert math.isfinite(item.ms)
