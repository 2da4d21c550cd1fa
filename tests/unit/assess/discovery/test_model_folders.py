"""A model is one thing, whatever the number of its files; other inputs that lie in its folder are still found."""

from __future__ import annotations

import json
from pathlib import Path

from ferry.assess.discovery import Discovery, discover
from tests.unit.assess.discovery import inputs
from tests.unit.assess.discovery.conftest import Tree

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1000\n"
INDEX = json.dumps({"metadata": {"total_size": 2000}, "weight_map": {"a": "model-1.safetensors"}})


def used(found: Discovery) -> list[tuple[str, str]]:
    return [(one.path, one.kind) for one in found.used]


def test_a_model_folder_is_one_line_with_all_that_is_in_it(tree: Tree) -> None:
    files = {
        "m/config.json": inputs.config(),
        "m/model.safetensors.index.json": INDEX,
        "m/model-1.safetensors": POINTER,
        "m/README.md": "# A model\n",
        "m/.cache/huggingface/download/x.metadata": "abc\n",
        "m/original/params.bin": b"\0\1",
    }
    found = discover(tree(files))
    assert used(found) == [("m", "model")]
    assert found.skipped == []


def test_other_inputs_in_a_model_folder_are_found(tree: Tree) -> None:
    files = {"config.json": inputs.config(), "gpus.csv": inputs.gpu_csv(0), "logs/m.txt": inputs.vllm_page()}
    found = discover(tree(files))
    assert used(found) == [(".", "model"), ("gpus.csv", "GPUs' state"), ("logs/m.txt", "metrics")]
    assert found.skipped == []
    assert found.dump()["site"]["serving"][0]["model"] == "."


def test_a_damaged_log_in_a_model_folder_is_not_taken_for_a_part_of_the_model(tree: Tree) -> None:
    found = discover(tree({"config.json": inputs.config(), "a.log": inputs.nccl_log()[:-60]}))
    assert [one.path for one in found.skipped] == ["a.log"]


def test_a_config_json_of_another_program_makes_no_model_folder(tree: Tree) -> None:
    found = discover(tree({"config.json": '{"port": 80}', "a.csv": inputs.gpu_csv(0)}))
    assert [(one.path, one.reason) for one in found.skipped] == [("config.json", "is of no kind that Ferry reads")]


def test_a_damaged_model_folder_is_skipped_as_one_with_the_readers_reason(tree: Tree) -> None:
    files = {"m/config.json": inputs.config(num_hidden_layers=-1), "m/tokenizer.json": "{}"}
    (skipped,) = discover(tree(files)).skipped
    assert skipped.path == "m"
    assert skipped.reason.startswith("looks like a model folder: ")
    assert "num_hidden_layers" in skipped.reason


def test_the_cache_of_the_hub_is_one_model_links_and_blobs_and_all(tree: Tree) -> None:
    hub = "hub/models--org--Llama-Small"
    root = tree({f"{hub}/blobs/0123": inputs.config(), f"{hub}/blobs/4567": INDEX, f"{hub}/refs/main": "abc"})
    snapshot = root / hub / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to("../../blobs/0123")
    (snapshot / "model.safetensors.index.json").symlink_to("../../blobs/4567")
    found = discover(root)
    assert used(found) == [(hub, "model")]
    assert found.skipped == []
    assert found.dump()["site"]["serving"][0]["name"] == "llama-small"


def test_a_model_folder_with_links_out_of_the_folder_is_not_read(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_text(INDEX)
    root = tree({"m/config.json": inputs.config()})
    (root / "m" / "model.safetensors.index.json").symlink_to(tmp_path / "elsewhere.json")
    found = discover(root)
    assert found.used == []
    assert {one.path: one.reason for one in found.skipped} == {
        "m": "is a model folder with links out of the folder that is searched: name it yourself",
        "m/model.safetensors.index.json": "is a link out of the folder, and is not followed; name its target",
    }


def test_a_store_with_a_link_out_of_the_folder_somewhere_below_is_not_read(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_text(inputs.config())
    root = tree({"models--a--b/refs/main": "abc", "models--a--b/snapshots/abc/README.md": "x"})
    (root / "models--a--b/snapshots/abc/config.json").symlink_to(tmp_path / "elsewhere.json")
    found = discover(root)
    assert found.used == []
    assert "models--a--b" in [one.path for one in found.skipped if "model folder with links out" in one.reason]


def test_a_part_of_a_model_with_a_config_of_its_own_is_no_second_model(tree: Tree) -> None:
    files = {"m/config.json": inputs.config(), "m/1_Pooling/config.json": '{"pooling_mode": true}'}
    found = discover(tree(files))
    assert (used(found), found.skipped) == ([("m", "model")], [])


def test_a_store_of_ollama_without_its_blobs_is_named_model_by_model(tree: Tree) -> None:
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + "a" * 64, "size": 10}
    manifest = json.dumps({"schemaVersion": 2, "layers": [layer]})
    names = "models/manifests/registry.ollama.ai/library"
    files = {f"{names}/phi3/mini": manifest, f"{names}/llama3/latest": manifest, "models/blobs/sha256-bb": "x"}
    found = discover(tree(files))
    assert [one.path for one in found.skipped] == [f"{names}/llama3/latest", f"{names}/phi3/mini"]
    assert all(one.reason.startswith("looks like a model: ") for one in found.skipped)
