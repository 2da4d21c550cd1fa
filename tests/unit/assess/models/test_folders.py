"""Folders beyond index and shards: pickles, ranks, the Hugging Face cache, packed weights, git-lfs history."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from ferry.assess.models import pointers, read_model, safetensors
from ferry.errors import UnreadableInput

CONFIG = {
    "model_type": "llama", "torch_dtype": "bfloat16", "hidden_size": 64, "intermediate_size": 128, "vocab_size": 100,
    "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 128, "tie_word_embeddings": False,
}  # fmt: skip
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
BITS = safetensors.ELEMENT_BITS


def tensors(named: dict[str, tuple[str, int]]) -> bytes:
    header, offset = {}, 0
    for name, (dtype, elements) in named.items():
        size = elements * BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": [elements], "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(offset)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def refusal(path: Path) -> str:
    with pytest.raises(UnreadableInput) as refused:
        read_model(path, "m")
    assert "\n" not in str(refused.value)
    return str(refused.value)


def quantised(
    folder: Path, quantization: dict[str, Any], named: dict[str, tuple[str, int]], **more: int
) -> float | None:
    (folder / "config.json").write_text(json.dumps(CONFIG | more | {"quantization_config": quantization}))
    (folder / "model.safetensors").write_bytes(tensors(named))
    facts = read_model(folder, "m").facts
    assert facts.parameters.basis == "measured"
    return facts.parameters.value


def test_packed_weights_are_unpacked_in_the_count(folder: Path) -> None:
    gptq = {
        "model.layers.0.q_proj.qweight": ("I32", 100),
        "model.layers.0.q_proj.qzeros": ("I32", 10),
        "model.layers.0.q_proj.scales": ("F16", 10),
        "model.layers.0.q_proj.g_idx": ("I32", 64),
        "lm_head.weight": ("F16", 6400),
    }
    assert quantised(folder, {"quant_method": "gptq", "bits": 4}, gptq) == 800 + 6400
    assert quantised(folder, {"quant_method": "gptq", "bits": 8}, gptq) == 400 + 6400


def test_blocks_of_four_bits_hold_two_weights_a_byte_and_scales_none(folder: Path) -> None:
    named = {
        "model.layers.0.mlp.experts.down_proj_blocks": ("U8", 160),
        "model.layers.0.mlp.experts.down_proj_scales": ("U8", 10),
    }
    assert quantised(folder, {"quant_method": "mxfp4"}, named) == 320


def test_scales_and_prediction_layers_are_no_parameters_of_an_fp8_decoder(folder: Path) -> None:
    named = {
        "model.layers.1.q_proj.weight": ("F8_E4M3", 1000),
        "model.layers.1.q_proj.weight_scale_inv": ("F32", 4),
        "model.layers.2.eh_proj.weight": ("F8_E4M3", 500),
        "mtp.layers.0.weight": ("F8_E4M3", 7),
    }
    assert quantised(folder, {"quant_method": "fp8"}, named) == 1500
    assert quantised(folder, {"quant_method": "fp8"}, named, num_nextn_predict_layers=1) == 1000


def test_pickled_weights_are_sized_and_never_opened(folder: Path) -> None:
    for number in (1, 2):
        (folder / f"pytorch_model-0000{number}-of-00002.bin").write_bytes(bytes(1000))
    model = read_model(folder, "m")
    assert (model.facts.weight_bytes.value, model.facts.weight_bytes.source) == (2000, "m: sizes of 2 files")
    assert "weights-are-pickles" in [finding.code for finding in model.findings]
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    assert refusal(folder) == "m: has no shard number 2 of 2; finish the copy"


def test_pickled_shards_smaller_than_their_index_are_refused(folder: Path) -> None:
    index = {"metadata": {"total_size": 3000}, "weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    (folder / "pytorch_model-00001-of-00001.bin").write_bytes(bytes(1000))
    assert "its weight files have 1000 bytes, the index says 3000" in refusal(folder)


def test_files_by_tensor_parallel_rank_are_summed_and_have_to_be_all_there(folder: Path) -> None:
    for rank in (0, 1):
        (folder / f"model{rank}-mp2.safetensors").write_bytes(tensors({"layers.0.w": ("BF16", 50)}))
    facts = read_model(folder, "m").facts
    assert facts.weight_bytes.value == 200
    (folder / "model1-mp2.safetensors").rename(folder / "model3-mp2.safetensors")
    assert "has 2 of the 2 files by rank" in refusal(folder)


def test_six_digits_number_shards_as_five_do(folder: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-000003.safetensors", "b": "model-00003-of-000003.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "numbered up to 3, and it does not name number 2" in refusal(folder)


def test_a_model_of_the_hugging_face_cache_is_its_snapshot(tmp_path: Path) -> None:
    for name in ("aaa", "bbb"):
        snapshot = tmp_path / "snapshots" / name
        snapshot.mkdir(parents=True)
        (tmp_path / f"blob-{name}").write_text(json.dumps(CONFIG | {"vocab_size": 100 if name == "aaa" else 200}))
        (snapshot / "config.json").symlink_to(tmp_path / f"blob-{name}")
    assert refusal(tmp_path) == "m: has 2 snapshots; name one: m/snapshots/aaa"
    (tmp_path / "refs").mkdir()
    (tmp_path / "refs" / "main").write_text("bbb")
    assert read_model(tmp_path, "m").facts.vocabulary == 200


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json", "model-00001-of-00001.safetensors"])
def test_a_file_of_a_model_folder_stands_for_the_folder(folder: Path, name: str) -> None:
    shard = "model-00001-of-00001.safetensors"
    (folder / shard).write_bytes(tensors({"model.layers.0.w": ("BF16", 500)}))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"model.layers.0.w": shard}}))
    model = read_model(folder / name, f"m/{name}")
    assert (model.facts.path, model.facts.parameters.value) == ("m", 500)


def test_an_index_alone_is_refused_with_what_it_says(tmp_path: Path) -> None:
    index = {"metadata": {"total_size": 4711}, "weight_map": {"transformer.h.79.w": "model-00001-of-00001.safetensors"}}
    (tmp_path / "index.json").write_text(json.dumps(index))
    assert refusal(tmp_path / "index.json").startswith(
        "m: is an index of 1 tensors in 1 shards, 4711 bytes, 80 layers,"
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"*.bin filter=lfs diff=lfs merge=lfs -text\n", "m: is a .gitattributes"),
        (b"# DeepSeek\n671B parameters\n", "a page of text has no figures that Ferry would trust"),
        (b"PK\x03\x04rest", "m: is a zip archive; unpack it"),
        (POINTER.format("0" * 64, 4711).encode(), "m: is a git-lfs pointer to 4711 bytes"),
        (b"", "m: is none of config.json"),
        (b"[1]", "m: is none of config.json"),
        (b"{", "m: is not JSON, or is cut off"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_the_reason(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "given").write_bytes(content)
    assert says in refusal(tmp_path / "given")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert refusal(tmp_path / "pipe") == "m: is not a regular file"
    assert refusal(Path("/dev/zero")) == "m: is not a regular file"
    assert refusal(tmp_path / "absent") == "m: cannot be read: No such file or directory"
    assert "cannot be read" in refusal(tmp_path / "loop")
    (tmp_path / "config.json").mkdir()
    assert refusal(tmp_path).startswith("m: has no config.json")


def store(folder: Path, sizes: list[int]) -> None:
    for number, size in enumerate(sizes):
        oid = f"{number:064x}"
        path = folder / ".git" / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))


def test_history_is_what_git_lfs_keeps_beside_the_checkout(folder: Path) -> None:
    store(folder, [5000, 5000, 3000, 2000])
    (folder / "a.bin").write_bytes(bytes(5000))
    (folder / "b.bin").write_text(POINTER.format("2" * 64, 3000))
    kept = pointers.history(folder)
    assert kept == pointers.History(objects=4, bytes=15_000, checked_out=2, checked_out_bytes=8000, whole=True)
    (finding,) = pointers.about_history(kept, "m")
    assert (finding.severity, finding.seen) == (
        "info",
        "4 objects of 1.5e-05 GB; the checkout has 2 of them, 8e-06 GB (by size)",
    )


def test_history_larger_than_the_checkout_is_a_warning(folder: Path) -> None:
    store(folder, [5000, 9000])
    (folder / "a.safetensors.old").write_bytes(bytes(5000))
    found = [finding for finding in read_model(folder, "m").findings if finding.code == "git-lfs-history"]
    assert [(finding.severity, finding.where) for finding in found] == [("warning", "m/.git/lfs/objects")]


def test_the_git_folder_of_a_worktree_is_followed(tmp_path: Path) -> None:
    store(tmp_path / "main", [700])
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / ".git").write_text("gitdir: ../main/.git\n")
    kept = pointers.history(tmp_path / "tree")
    assert kept is not None
    assert kept.bytes == 700


def test_a_folder_without_git_has_no_history(folder: Path) -> None:
    assert pointers.history(folder) is None
    assert pointers.about_history(None, "m") == []


def test_a_vision_tower_in_the_weights_does_not_contradict_the_decoders_dimensions(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(tensors({"model.layers.0.w": ("BF16", 200_000)}))
    codes = [finding.code for finding in read_model(folder, "m").findings]
    assert codes == ["weights-do-not-match-config"]
    (folder / "config.json").write_text(json.dumps(CONFIG | {"vision_config": {"hidden_size": 8}}))
    assert read_model(folder, "m").findings == []
