from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ferry.assess.models import read_model
from ferry.errors import UnreadableInput
from tests.unit.assess.models import build


def write(folder: Path, name: str = "model.gguf", **parts: Any) -> Path:
    path = folder / name
    path.write_bytes(build.gguf(**parts))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UnreadableInput) as refused:
        read_model(path, "m.gguf")
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(("version", "order"), [(2, "<"), (3, "<"), (3, ">")])
def test_a_file_is_counted_from_the_shapes_of_its_tensors(tmp_path: Path, version: int, order: str) -> None:
    model = read_model(write(tmp_path, version=version, order=order), "model.gguf")
    facts = model.facts
    assert (facts.parameters.value, facts.parameters.basis) == (build.PARAMETERS, "measured")
    assert (facts.weight_bytes.value, facts.weight_bytes.basis) == (build.BYTES, "measured")
    assert facts.parameters.source == "model.gguf: shapes of 4 tensors"
    assert (facts.dtype, facts.quantization) == ("q4_k_m", "gguf")
    assert (facts.attention, facts.layers, facts.hidden_size, facts.head_dim) == ("GQA", 2, 256, 64)
    assert (facts.context_tokens, facts.vocabulary) == (4096, 100)
    assert [finding.code for finding in model.findings] == ["weights-are-gguf"]
    assert model.read == []


def test_a_file_is_known_by_its_first_bytes_whatever_its_name(tmp_path: Path) -> None:
    assert read_model(write(tmp_path, "weights.bin"), "w").facts.layers == 2


def test_a_folder_with_one_model_its_projector_and_its_origins_configuration_is_read(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    write(tmp_path, "mmproj-model.gguf")
    assert read_model(tmp_path, "m").facts.parameters.value == build.PARAMETERS


def test_a_folder_with_two_models_asks_which_one_is_served(tmp_path: Path) -> None:
    write(tmp_path, "a-Q4.gguf")
    write(tmp_path, "a-Q8.gguf")
    assert refusal(tmp_path) == "m.gguf: holds 2 GGUF models: a-Q4.gguf, a-Q8.gguf; name the file that is served"


def splits(folder: Path, stated: int = 4) -> list[Path]:
    """Metadata in the first file, tensors in both, as gguf-split writes them."""
    names = list(build.TENSORS)
    first = build.LLAMA | {"split.no": 0, "split.count": 2, "split.tensors.count": stated}
    parts = [(first, names[:1]), ({"split.no": 1, "split.count": 2, "split.tensors.count": stated}, names[1:])]
    return [
        write(
            folder,
            f"m-{number:05d}-of-00002.gguf",
            metadata=metadata,
            tensors={name: build.TENSORS[name] for name in held},
        )
        for number, (metadata, held) in enumerate(parts, start=1)
    ]


def test_the_splits_of_a_model_are_read_together_whichever_is_named(tmp_path: Path) -> None:
    for path in (*splits(tmp_path), tmp_path):
        facts = read_model(path, "m").facts
        assert (facts.parameters.value, facts.weight_bytes.value) == (build.PARAMETERS, build.BYTES)


def test_a_missing_split_is_refused(tmp_path: Path) -> None:
    first, second = splits(tmp_path)
    second.unlink()
    assert refusal(first) == "m.gguf: 1 of the 2 splits are missing: m-00002-of-00002.gguf; finish the copy"


def test_splits_that_hold_fewer_tensors_than_stated_are_refused(tmp_path: Path) -> None:
    assert "names 5 tensors over all splits, they hold 4" in refusal(splits(tmp_path, stated=5)[0])


MIXTURE = {
    "general.architecture": "qwen3moe",
    "qwen3moe.block_count": 1,
    "qwen3moe.embedding_length": 256,
    "qwen3moe.context_length": 1024,
    "qwen3moe.attention.head_count": 4,
    "qwen3moe.attention.head_count_kv": [1],
    "qwen3moe.attention.key_length": 32,
    "qwen3moe.expert_count": 8,
    "qwen3moe.expert_used_count": 2,
}
EXPERTS = {
    "token_embd.weight": ((256, 10), build.F16),
    "blk.0.ffn_gate_exps.weight": ((256, 64, 8), build.Q4_0),
}


def test_of_the_routed_experts_only_the_used_ones_are_active(tmp_path: Path) -> None:
    facts = read_model(write(tmp_path, metadata=MIXTURE, tensors=EXPERTS), "m").facts
    assert facts.parameters.value == 2560 + 256 * 64 * 8
    assert facts.active_parameters.value == 2560 + 256 * 64 * 2
    assert (facts.experts_total, facts.experts_active) == (8, 2)
    assert (facts.attention, facts.kv_heads, facts.head_dim, facts.vocabulary) == ("MQA", 1, 32, 10)
    assert facts.dtype == "q4_0"


def test_experts_without_a_number_of_used_ones_leave_the_active_parameters_unknown(tmp_path: Path) -> None:
    metadata = {key: value for key, value in MIXTURE.items() if key != "qwen3moe.expert_used_count"}
    facts = read_model(write(tmp_path, metadata=metadata, tensors=EXPERTS), "m").facts
    assert facts.active_parameters.basis == "unknown"


def test_latent_attention_is_read_with_its_rank_and_rotary_width(tmp_path: Path) -> None:
    metadata = {key.replace("llama", "deepseek2"): value for key, value in build.LLAMA.items()} | {
        "general.architecture": "deepseek2",
        "deepseek2.attention.kv_lora_rank": 512,
        "deepseek2.rope.dimension_count": 64,
        "deepseek2.attention.key_length": 576,
        "deepseek2.attention.key_length_mla": 192,
    }
    facts = read_model(write(tmp_path, metadata=metadata), "m").facts
    assert (facts.attention, facts.kv_lora_rank, facts.qk_rope_head_dim, facts.head_dim) == ("MLA", 512, 64, 192)


@pytest.mark.parametrize(
    ("architecture", "more", "layers"),
    [
        ("gemma3", {}, 10),
        ("gemma2", {}, 6),
        ("gemma3", {"gemma3.attention.sliding_window_pattern": [True] * 4 + [False] * 8}, 4),
        ("llama", {}, 12),
        ("mystery", {}, None),
    ],
)
def test_a_sliding_window_is_read_with_the_layers_that_have_it(
    tmp_path: Path, architecture: str, more: dict[str, Any], layers: int | None
) -> None:
    metadata = {key.replace("llama", architecture): value for key, value in build.LLAMA.items()} | {
        "general.architecture": architecture,
        f"{architecture}.block_count": 12,
        f"{architecture}.attention.sliding_window": 512,
        **more,
    }
    model = read_model(write(tmp_path, metadata=metadata), "m")
    assert (model.facts.sliding_window_tokens, model.facts.sliding_window_layers) == (512, layers)
    assert ("sliding-window-layers-unknown" in [finding.code for finding in model.findings]) == (layers is None)


def test_sixteen_bit_weights_are_not_called_quantised(tmp_path: Path) -> None:
    facts = read_model(write(tmp_path, tensors={"token_embd.weight": ((256, 100), build.F16)}), "m").facts
    assert (facts.dtype, facts.quantization) == ("float16", None)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"version": 1}, "is of GGUF version 1; Ferry reads 2 and 3"),
        ({"metadata": {"a": 1}}, "names no general.architecture"),
        ({"tensors": {}}, "holds no tensors (a vocabulary?)"),
        ({"metadata": build.LLAMA | {"llama.block_count": 0}}, "llama.block_count is missing"),
        ({"metadata": build.LLAMA | {"llama.attention.head_count": 999}}, "999 attention and 2 key heads do not fit"),
        ({"metadata": build.LLAMA | {"llama.context_length": "long"}}, "context_length is 'long'; expected a whole"),
        ({"metadata": build.LLAMA | {"general.alignment": 7}}, "general.alignment is 7; expected a multiple of 8"),
        ({"tensors": {"t": ((256, 1, 1, 1, 1), build.F32)}}, "tensor 't' has 5 dimensions"),
        ({"tensors": {"t": ((100,), build.Q4_K)}}, "tensor 't' has a shape that Q4_K cannot have"),
    ],
)
def test_a_damaged_header_is_refused(tmp_path: Path, parts: dict[str, Any], says: str) -> None:
    assert says in refusal(write(tmp_path, **parts))


def test_tensors_that_share_bytes_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, tensors={"a": ((256,), build.F32), "b": ((256,), build.F32)})
    second = (1024).to_bytes(8, "little")
    path.write_bytes(path.read_bytes().replace(second, bytes(8), 1))
    assert refusal(path) == "m.gguf: its tensors overlap: it is damaged; copy it again"


def test_a_file_that_is_cut_off_in_its_data_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1000])
    assert (
        refusal(path) == f"m.gguf: has {len(whole) - 1000} bytes, its header says {len(whole)}: cut off? copy it again"
    )


def test_a_length_that_the_file_cannot_hold_is_refused_before_it_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gguf"
    # 43 bytes that keep gguf-py 0.19 busy without end: an array of 2^63 numbers.
    path.write_bytes(
        b"GGUF"
        + b"\x03\0\0\0"
        + bytes(8)
        + b"\x01"
        + bytes(7)
        + build.text("a")
        + b"\x09\0\0\0\x04\0\0\0"
        + b"\0" * 7
        + b"\x80"
    )
    assert "states 9223372036854775808 elements of 'a'" in refusal(path)


def test_a_pointer_to_a_gguf_file_is_refused_with_its_size(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 4711\n")
    assert refusal(tmp_path / "m.gguf") == (
        "m.gguf: 1 of 1 GGUF files are git-lfs pointers, to 4711 bytes; a pointer says nothing of the model: git lfs "
        "pull"
    )
