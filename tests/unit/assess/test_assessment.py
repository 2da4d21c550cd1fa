from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ferry.artefacts import Assessment, ExchangeRate, FurtherCosts, assumed, read, sha256_of
from ferry.assess import assess
from ferry.assess.text import describe
from ferry.errors import FerryError, StaleArtefact

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "site" / "site.yaml"
Edit = Callable[[Callable[[dict[str, Any]], object]], Path]


def test_the_example_site_is_assessed_with_exact_values() -> None:
    made = assess(EXAMPLE)
    assert (made.site, made.location.grid, made.cluster.accelerator_seen) == (
        "example-site",
        "us-east-1",
        "NVIDIA A100-SXM4-80GB",
    )
    assert made.cluster.gpu_utilization.value == 16.04
    (collective,) = made.collectives
    assert (collective.operation, collective.ranks, collective.nodes) == ("all_reduce", 16, 2)
    assert collective.largest_message_busbw.value == 185.12
    # 15.2 GB on one of two nodes by a log over both: at most; and on both, as it was measured.
    one, both = made.synchronisations
    assert (one.name, one.ranks, one.bound) == ("finetune", 8, "at most")
    assert (both.name, both.ranks, both.bound, both.ring_ms.basis) == ("all 2 nodes", 16, "exactly", "measured")
    assert both.ring_ms.value == pytest.approx(15_231_233_024 / 186.9e9 * 2 * 15 / 16 * 1e3, rel=5e-3)
    (service,) = made.serving
    assert service.model.parameters.value == 7_615_616_512
    assert service.model.weight_bytes.value == 15_231_233_024
    assert service.trace is not None
    assert (service.trace.requests, service.trace.peak_rps.value) == (5178, 158 / 60)
    assert service.metrics is not None
    assert service.metrics.ttft_ms.p99.value == 496.492452345
    assert service.metrics.running.value == 4
    assert service.metrics.running.source == "metrics.txt:3: vllm:num_requests_running, at one moment"
    assert [(finding.severity, finding.code) for finding in made.findings] == [
        ("warning", "gpu-driver-known-bad"),
        ("warning", "gpu-driver-old"),
        ("warning", "weights-not-here"),
        ("info", "gpu-state-not-measured"),
        ("info", "gpus-mostly-idle"),
        ("info", "gradient-synchronisation"),
        ("info", "gradient-synchronisation"),
        ("info", "iteration-time-unknown"),
        ("info", "metrics-since-start"),
        ("info", "nccl-average-hides-large-messages"),
    ]


def test_costs_are_assumed_because_nobody_measured_them_and_the_rest_is_unknown(change_site: Edit) -> None:
    made = assess(change_site(lambda site: site["costs"].pop("cooling")))
    assert (made.costs.nvme_array.basis, made.costs.nvme_array.source) == ("assumed", "site.yaml: costs.nvme_array")
    assert (made.costs.cooling.basis, made.costs.cooling.amount) == ("unknown", None)
    assert "costs-unknown" in [finding.code for finding in made.findings]


def test_every_file_that_was_read_is_named_with_its_hash(site: Path, tmp_path: Path) -> None:
    output = tmp_path / "out" / "assessment.yaml"
    made = assess(site, artefact_folder=output.parent)
    sources = {source.path: source.sha256 for source in made.made_from}
    assert set(sources) == {
        f"../site/{path.relative_to(site.parent).as_posix()}"
        for path in site.parent.rglob("*")
        if path.is_file() and path.name not in ("README.md", "make.py") and "__pycache__" not in path.parts
    }
    assert sources["../site/trace.csv"] == sha256_of(site.parent / "trace.csv")


def test_the_artefact_survives_the_file_and_notices_a_changed_source(site: Path, tmp_path: Path) -> None:
    output = tmp_path / "assessment.yaml"
    made = assess(site, artefact_folder=tmp_path)
    made.write(output)
    assert read(Assessment, output).serving == made.serving
    (site.parent / "trace.csv").write_text("changed", encoding="utf-8")
    with pytest.raises(StaleArtefact, match=r"trace\.csv has changed since"):
        read(Assessment, output)


def damage(name: str, edit: Callable[[str], str]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / name
        path.write_text(edit(path.read_text(encoding="utf-8")), encoding="utf-8")

    return apply


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (
            damage("nccl_all_reduce_2x8.log", lambda text: text[: len(text) // 2]),
            "nccl_all_reduce_2x8.log:31: truncated nccl-tests log",
        ),
        (damage("nccl_all_reduce_2x8.log", lambda _: "hello\n"), "nccl_all_reduce_2x8.log: is not nccl-tests output"),
        (
            lambda folder: (folder / "nccl_all_reduce_2x8.log").unlink(),
            "nccl_all_reduce_2x8.log: cannot be read: No such file or directory",
        ),
        (
            lambda folder: (folder / "model" / "model-00002-of-00004.safetensors").write_bytes(bytes(5000)),
            "model/model.safetensors.index.json: names 4 shards, 3 of them are missing or git-lfs pointers",
        ),
        (
            damage("model/model.safetensors.index.json", lambda text: text[:200]),
            "model/model.safetensors.index.json: is not JSON, or is cut off",
        ),
        (lambda folder: shutil.rmtree(folder / "model"), "model: cannot be read: No such file or directory"),
        (
            damage("site.yaml", lambda text: text.replace("accelerator:", "accelerater:")),
            "cluster.accelerater: unknown key; did you mean 'accelerator'?",
        ),
        (damage("metrics.txt", lambda _: "<html>"), "metrics.txt: is a web page, perhaps a login"),
        (damage("trace.csv", lambda text: text.replace("TIMESTAMP", "WHEN", 1)), "trace.csv:1: is not a trace of"),
        (lambda folder: (folder / "trace.csv").unlink(), "trace.csv: cannot be read: No such file or directory"),
        (
            damage("gpu-node-1_nvidia_smi.csv", lambda text: text.replace(" %", ", %", 9)),
            "gpu-node-1_nvidia_smi.csv:2: has",
        ),
        (lambda folder: (folder / "site.yaml").unlink(), "site.yaml: cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(site: Path, break_it: Callable[[Path], None], says: str) -> None:
    break_it(site.parent)
    before = sorted(path for path in site.parent.rglob("*"))
    with pytest.raises(FerryError) as refused:
        assess(site)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert sorted(path for path in site.parent.rglob("*")) == before


def test_a_site_with_nothing_measured_is_assessed_and_told_what_to_measure(change_site: Edit) -> None:
    def edit(site: dict[str, Any]) -> None:
        del site["cluster"]["nccl_tests"], site["cluster"]["nvidia_smi"]
        del site["serving"][0]["metrics"], site["serving"][0]["requests"]
        site["costs"] = {"currency": "USD"}

    made = assess(change_site(edit))
    assert [finding.code for finding in made.findings] == [
        "no-request-trace",
        "costs-unknown",
        "gpu-utilization-unknown",
        "no-collective-measured",
        "no-engine-metrics",
        "weights-not-here",
    ]
    assert (made.cluster.accelerator_seen, made.serving[0].trace, made.serving[0].metrics) == (None, None, None)


def spoken(made: Assessment) -> str:
    console = Console(width=160, record=True, force_terminal=False)
    with console.capture() as capture:
        console.print(describe(made))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def test_the_note_names_the_site_its_measurements_and_every_finding() -> None:
    made = assess(EXAMPLE)
    note = spoken(made)
    assert note.startswith("example-site, US (America/New_York)")
    assert "16 ranks on 2 nodes: 185.12 GB/s at 8192 MiB, 52.7026 GB/s on average" in note
    assert "all 2 nodes: 153.1 ms. In 12 to 18 ms, 16 ranks on 2 nodes synchronise a bfloat16 model of" in note
    assert "on 2 p5.48xlarge or p5e.48xlarge or p5en.48xlarge or p6-b200.48xlarge (3200 Gbit/s EFA): at best" in note
    assert "7.62 billion measured" in note
    assert "busiest minute  2.633 requests/s measured" in note
    for finding in made.findings:
        assert finding.code in note
        assert finding.seen in note
    # A saved page has no time, so it gives no rate.
    assert "serving[assistant].metrics.requests_per_s" in unknown_in(note)
    assert "costs." not in unknown_in(note)


def unknown_in(note: str) -> str:
    return note.partition("\nUnknown\n")[2].partition("\nFindings")[0]


def test_pages_of_the_exporters_tell_of_gpus_and_contradict_the_site(site: Path, change_site: Edit) -> None:
    labels = 'gpu="0",UUID="GPU-1",modelName="NVIDIA L4",Hostname="n1"'
    page = f"DCGM_FI_DEV_GPU_UTIL{{{labels}}} 40\nDCGM_FI_DEV_POWER_USAGE{{{labels}}} 70\n"
    (site.parent / "dcgm.txt").write_text(page)
    made = assess(change_site(lambda site: site["cluster"].update(metrics=["dcgm.txt"], nvidia_smi=[])))
    assert made.cluster.metrics is not None
    assert (made.cluster.metrics.power.value, made.cluster.gpu_utilization.value) == (70.0, 40.0)
    assert made.cluster.accelerator_seen == "NVIDIA L4"
    codes = {finding.code for finding in made.findings}
    assert {"gpu-model-contradicts", "gpu-metrics-other-count", "gpu-utilization-one-moment"} <= codes
    assert any(source.path.endswith("dcgm.txt") for source in made.made_from)


def test_the_note_lists_what_is_unknown(change_site: Edit) -> None:
    note = spoken(assess(change_site(lambda site: site["costs"].pop("cooling"))))
    assert "costs.cooling" in unknown_in(note)
    assert "12 of 13 items stated, in USD" in note


def test_what_only_a_horizon_needs_is_asked_of_nobody_and_kept_where_it_is_stated(change_site: Edit) -> None:
    def state(site: dict[str, Any]) -> None:
        costs = site["costs"]
        costs["racks"] = {"count": 2, "price_per_month": 450}
        costs["servers"]["resale_share"] = 0.5
        costs["reliability"]["price_per_hour_down"] = 800
        costs["delay"] = {"days_at_home": 21, "days_on_aws": 7, "times_per_year": 4, "price_per_day": 900}
        costs["exchange_rates"] = [{"pair": "USD/CNY", "rate": 7.1, "as_of": "2026-11-20", "source": "a bank"}]

    bare, made = assess(EXAMPLE), assess(change_site(state))
    assert bare.costs.further == FurtherCosts()
    further = made.costs.further
    assert further.racks == assumed(2, "racks", "site.yaml: costs.racks.count")
    assert further.rack_price_per_month is not None
    assert further.rack_price_per_month.amount == 450
    assert further.server_resale_share is not None
    assert further.server_resale_share.value == 0.5
    assert further.staff_freed_share is None
    assert [getattr(further, name).value for name in ("delay_days_at_home", "delay_days_on_aws")] == [21, 7]
    assert made.costs.exchange_rates == [
        ExchangeRate(base="USD", quote="CNY", rate=Decimal("7.1"), as_of="2026-11-20", source="a bank")
    ]
    assert "21 of 21 items stated, in USD" in spoken(made)


def test_many_unknown_costs_are_counted_where_a_finding_lists_them(change_site: Edit) -> None:
    note = spoken(assess(change_site(lambda site: site.update(costs={"currency": "CNY"}))))
    assert "13 items of costs" in unknown_in(note)
    assert "costs." not in unknown_in(note)


def test_the_note_tells_the_busiest_hour(site: Path, change_site: Edit) -> None:
    # Midnight UTC is 19:00 in New York; an answer to query_range of a counter.
    pairs = [[1700006400 + 1800 * step, str(count)] for step, count in enumerate((0, 3600, 7200, 7300, 7400))]
    labels = {"__name__": "vllm:request_success_total", "model_name": "m"}
    answer = {"resultType": "matrix", "result": [{"metric": labels, "values": pairs}]}
    (site.parent / "metrics.txt").write_text(json.dumps({"status": "success", "data": answer}))
    note = spoken(assess(change_site(lambda site: None)))
    assert "busiest hour  19:00 with 2 requests/s, the quietest 20:00 with 0.05556 (America/New_York)" in note


def test_what_looks_like_markup_is_printed_as_it_stands(change_site: Edit) -> None:
    note = spoken(assess(change_site(lambda site: site["cluster"].update(accelerator="[bold]A100-SXM4-80GB"))))
    assert "2 × 8 [bold]A100-SXM4-80GB" in note
