"""A site.yaml that is there already is the base: it stays as it is, and what is found besides is added to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferry.assess.discovery import Discovery, discover
from ferry.assess.discovery.text import title
from ferry.assess.site import read_site
from ferry.errors import InvalidField
from tests.unit.assess.discovery import inputs
from tests.unit.assess.discovery.conftest import Tree

FILES = {"site.yaml": inputs.SITE, "node-0.csv": inputs.gpu_csv(0), "Llama-Small/config.json": inputs.config()}


def keys(found: Discovery) -> dict[str, str]:
    return {one.path: one.key for one in found.used}


def test_a_site_that_names_everything_is_left_as_it_is(tree: Tree) -> None:
    found = discover(tree(FILES))
    assert (found.adds, found.to_fill_in, found.findings, title(found)) == (0, [], [], None)
    assert keys(found) == {
        "Llama-Small": "named in site.yaml",
        "node-0.csv": "named in site.yaml",
        "site.yaml": "the base",
    }


def test_what_it_does_not_name_is_added_and_its_comments_stay(tree: Tree, tmp_path: Path) -> None:
    more = {
        "node-1.csv": inputs.gpu_csv(1),
        "all.log": inputs.nccl_log(),
        "m.txt": inputs.vllm_page("Llama-Small"),
        "t.csv": inputs.TRACE,
        "dcgm.txt": inputs.dcgm_page(),
        "run.sbatch": inputs.SLURM,
    }
    root = tree(FILES | more)
    found = discover(root)
    assert found.adds == 6
    assert found.dump()["base"] == str(root / "site.yaml")
    assert found.site_yaml.startswith("# ours\nschema: ferry/site/v1\n")
    assert "accelerator: H100-SXM5-80GB   # bought in May\n" in found.site_yaml
    (root / "new.yaml").write_text(found.site_yaml)
    site = read_site(root / "new.yaml")
    assert site.cluster.nvidia_smi == [Path("node-0.csv"), Path("node-1.csv")]
    assert site.cluster.nccl_tests == [Path("all.log")]
    assert site.cluster.metrics == [Path("dcgm.txt")]
    assert site.deployments == [Path("run.sbatch")]
    (service,) = site.serving
    assert service.metrics == [Path("m.txt")]
    assert service.requests is not None
    assert service.requests.trace == Path("t.csv")


def test_the_proposal_may_lie_elsewhere_and_its_paths_follow(tree: Tree, tmp_path: Path) -> None:
    root = tree(FILES | {"logs/all.log": inputs.nccl_log()})
    target = tmp_path / "out" / "site.yaml"
    found = discover(root, site=target)
    target.parent.mkdir()
    target.write_text(found.site_yaml)
    site = read_site(target)
    assert site.cluster.nvidia_smi == [Path("../found/node-0.csv")]
    assert site.cluster.nccl_tests == [Path("../found/logs/all.log")]
    assert site.serving[0].model == Path("../found/Llama-Small")
    assert discover(root, site=target).adds == 0


def test_the_site_that_is_named_is_the_base_where_it_is_there(tree: Tree) -> None:
    root = tree(FILES | {"other.yaml": inputs.SITE.replace("ours", "theirs").replace("[node-0.csv]", "[]")})
    found = discover(root, site=root / "other.yaml")
    assert (found.base, found.adds) == (root / "other.yaml", 1)
    assert {one.path: one.reason for one in found.skipped} == {
        "site.yaml": "is another site.yaml than other.yaml, which was named"
    }


def test_the_nearest_site_is_the_base_and_of_two_as_near_none(tree: Tree) -> None:
    found = discover(tree(FILES | {"old/site.yaml": inputs.SITE}))
    assert found.base is not None
    assert [one.path for one in found.skipped] == ["old/site.yaml"]
    found = discover(tree({"site-2.yaml": inputs.SITE}))
    assert found.base is None
    assert [one.path for one in found.skipped] == ["old/site.yaml", "site-2.yaml", "site.yaml"]


def test_what_contradicts_it_is_a_finding_and_it_stays(tree: Tree) -> None:
    more = {
        "b.csv": inputs.gpu_csv(1, 4, "NVIDIA A100-SXM4-80GB"),
        "c.csv": inputs.gpu_csv(2, 4, "NVIDIA A100-SXM4-80GB"),
    }
    found = discover(tree(FILES | more))
    seen = {finding.seen for finding in found.findings if finding.code == "discovered-contradicts-site"}
    assert seen == {
        "cluster.nodes is 2; the GPUs' states are of 3 servers",
        "cluster.gpus_per_node is 8; 2 servers with 4 GPUs",
        "cluster.accelerator is H100-SXM5-80GB; the GPUs' states say NVIDIA A100-SXM4-80GB",
    }
    assert found.dump()["site"]["cluster"]["nodes"] == 2


def test_where_it_asks_a_live_server_saved_metrics_are_not_added(tree: Tree) -> None:
    asks = "prometheus: {url: 'http://prometheus:9090'}"
    site = inputs.SITE.replace("nvidia_smi: [node-0.csv]", asks).replace("engine: vllm", f"engine: vllm\n    {asks}")
    found = discover(tree({"site.yaml": site, "d.txt": inputs.dcgm_page(), "m.txt": inputs.vllm_page("Llama-Small")}))
    assert found.adds == 0
    assert {one.path: one.reason for one in found.skipped} == {
        "d.txt": "is metrics of GPUs or servers; site.yaml asks cluster.prometheus for them",
        "m.txt": "is metrics of chat; site.yaml asks its prometheus for them",
    }


def test_metrics_that_it_names_say_what_its_model_is_served_as(tree: Tree) -> None:
    site = inputs.SITE.replace("engine: vllm", "engine: vllm\n    metrics: [a.txt]")
    files = {"site.yaml": site, "a.txt": inputs.vllm_page("gpt"), "b.txt": inputs.vllm_page("gpt")}
    assert keys(discover(tree(files)))["b.txt"] == "serving[chat].metrics"


def test_a_proposal_is_valid_once_it_is_filled_in_and_refused_until_then(tree: Tree) -> None:
    root = tree(
        {"a.csv": inputs.gpu_csv(0), "compose.yaml": inputs.COMPOSE, "Llama-Small/config.json": inputs.config()}
    )
    found = discover(root, site=root / "site.yaml")
    assert found.to_fill_in == ["location.country", "location.time_zone", "costs.currency"]
    path = root / "site.yaml"
    path.write_text(found.site_yaml)
    with pytest.raises(
        InvalidField, match=r"still to be filled in, .*: location.country, location.time_zone, costs.currency"
    ):
        read_site(path)
    text = found.site_yaml.replace("country: FILL-IN", "country: US").replace("time_zone: FILL-IN", "time_zone: UTC")
    path.write_text(text.replace("currency: FILL-IN", "currency: USD"))
    site = read_site(path)
    assert (site.cluster.nodes, site.cluster.gpus_per_node, site.serving[0].engine) == (1, 8, "vllm")
    # What nobody said is unknown, and not 0.
    assert site.costs.power.price_per_kwh is None
    assert site.costs.servers.price_each is None
    again = discover(root)
    assert (again.base, again.adds) == (path, 0)


def test_a_site_that_is_named_and_not_filled_in_is_refused(tree: Tree) -> None:
    root = tree({"a.csv": inputs.gpu_csv(0)})
    (root / "site.yaml").write_text(discover(root).site_yaml)
    with pytest.raises(InvalidField, match=r"costs\.currency"):
        discover(root, site=root / "site.yaml")
    (skipped,) = discover(root).skipped
    assert "still to be filled in" in skipped.reason


def test_names_that_yaml_would_read_as_something_else_are_quoted(tree: Tree) -> None:
    root = tree({"no": inputs.gpu_csv(0), "1:30": inputs.gpu_csv(1), "on/config.json": inputs.config()})
    site = discover(root).dump()["site"]
    assert site["cluster"]["nvidia_smi"] == ["1:30", "no"]
    assert (site["serving"][0]["name"], site["serving"][0]["model"]) == ("on", "on")


def test_its_own_spellings_of_values_survive(tree: Tree, tmp_path: Path) -> None:
    more = "  nvme_array: 0.10\n  cooling: 1_000\ntraining:\n  - {name: a, launcher: 'no', nodes: 1, parameters: 4e7}\n"
    root = tree({"site.yaml": inputs.SITE + more, "x.csv": inputs.gpu_csv(1)} | {"node-0.csv": inputs.gpu_csv(0)})
    before = read_site(root / "site.yaml")
    (root / "new.yaml").write_text(discover(root).site_yaml)
    after = read_site(root / "new.yaml")
    assert after.cluster.nvidia_smi == [Path("node-0.csv"), Path("x.csv")]
    assert after.model_copy(update={"cluster": before.cluster}) == before


def test_a_site_with_a_key_twice_is_not_extended(tree: Tree) -> None:
    (skipped,) = discover(tree({"site.yaml": inputs.SITE + "costs:\n  currency: USD\n"})).skipped
    assert skipped.reason.startswith("looks like site.yaml (ferry/site/v1): cannot be extended: found duplicate key")
