"""Nodes, GPUs and accelerator: what the machines say comes first, and what contradicts is a finding."""

from __future__ import annotations

from ferry.assess.discovery import Discovery, discover
from tests.unit.assess.discovery import inputs
from tests.unit.assess.discovery.conftest import Tree


def cluster(found: Discovery) -> tuple[object, object, object]:
    part = found.dump()["site"]["cluster"]
    return part["nodes"], part["gpus_per_node"], part["accelerator"]


def codes(found: Discovery) -> list[str]:
    return [finding.code for finding in found.findings]


def test_two_captures_are_two_servers(tree: Tree) -> None:
    found = discover(tree({"a.csv": inputs.gpu_csv(0), "b.csv": inputs.gpu_csv(1)}))
    assert cluster(found) == (2, 8, "NVIDIA H100 80GB HBM3")
    assert "nodes: 2  # the GPUs' states are of 2 servers: a.csv, b.csv\n" in found.site_yaml
    assert codes(found) == []


def test_two_captures_of_one_server_are_one(tree: Tree) -> None:
    assert cluster(discover(tree({"a.csv": inputs.gpu_csv(0), "b.csv": inputs.gpu_csv(0)}))) == (
        *(1, 8),
        "NVIDIA H100 80GB HBM3",
    )


def test_a_log_over_more_nodes_than_were_captured_counts(tree: Tree) -> None:
    found = discover(tree({"a.csv": inputs.gpu_csv(0), "b.log": inputs.nccl_log(nodes=4)}))
    assert cluster(found) == (4, 8, "NVIDIA H100 80GB HBM3")
    assert codes(found) == []


def test_a_log_alone_says_all_three(tree: Tree) -> None:
    assert cluster(discover(tree({"b.log": inputs.nccl_log(2, 4, "NVIDIA A100-SXM4-40GB")}))) == (
        *(2, 4),
        "NVIDIA A100-SXM4-40GB",
    )


def test_exporters_alone_say_all_three(tree: Tree) -> None:
    pages = {f"{host}.txt": inputs.dcgm_page(host) for host in ("node-0", "node-1", "node-2")}
    assert cluster(discover(tree(pages))) == (3, 8, "NVIDIA H100")


def test_a_job_that_asks_for_more_nodes_counts(tree: Tree) -> None:
    found = discover(tree({"a.csv": inputs.gpu_csv(0), "train.sbatch": inputs.SLURM}))
    assert cluster(found)[0] == 2
    assert "nodes: 2  # finetune asks for 2 servers: train.sbatch\n" in found.site_yaml


def test_nothing_known_is_to_be_filled_in_and_never_a_number(tree: Tree) -> None:
    found = discover(tree({"metrics.txt": inputs.vllm_page()}))
    assert cluster(found) == ("FILL-IN", "FILL-IN", "FILL-IN")
    assert found.to_fill_in[:5] == [
        *("location.country", "location.time_zone"),
        *("cluster.nodes", "cluster.gpus_per_node", "cluster.accelerator"),
    ]


def test_two_accelerators_are_a_finding_and_the_most_common_is_proposed(tree: Tree) -> None:
    found = discover(
        tree({
            "a.csv": inputs.gpu_csv(0, name="NVIDIA A100-SXM4-80GB"),
            "b.csv": inputs.gpu_csv(1),
            "c.csv": inputs.gpu_csv(2),
        })
    )  # fmt: skip
    assert cluster(found) == (3, 8, "NVIDIA H100 80GB HBM3")
    (finding,) = found.findings
    assert (finding.code, finding.severity) == ("discovered-accelerators-differ", "warning")
    assert finding.seen == "the GPUs' states say NVIDIA H100 80GB HBM3; the GPUs' states say NVIDIA A100-SXM4-80GB"
    assert finding.where == "b.csv, c.csv, a.csv"


def test_two_spellings_of_one_accelerator_are_no_contradiction(tree: Tree) -> None:
    files = {"a.csv": inputs.gpu_csv(0), "dcgm.txt": inputs.dcgm_page(), "b.log": inputs.nccl_log(1, name="H100-SXM5")}
    assert codes(discover(tree(files))) == []


def test_two_numbers_of_gpus_in_a_server_are_a_finding(tree: Tree) -> None:
    found = discover(tree({"a.csv": inputs.gpu_csv(0, gpus=4), "b.csv": inputs.gpu_csv(1), "c.csv": inputs.gpu_csv(2)}))
    assert cluster(found) == (3, 8, "NVIDIA H100 80GB HBM3")
    (finding,) = found.findings
    assert finding.code == "discovered-gpus-per-node-differ"
    assert finding.seen == "2 servers with 8 GPUs; 1 server with 4 GPUs"
