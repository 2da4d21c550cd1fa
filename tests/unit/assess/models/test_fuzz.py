"""No damage of any input ends in a traceback, in a hang, or in a number out of its range."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ferry.artefacts import ModelFacts
from ferry.assess.models import Weights, listing, model_facts, read_model
from ferry.assess.models.config import DIMENSIONS
from ferry.assess.models.spellings import ALIASES, NESTED
from ferry.errors import FerryError
from tests.unit.assess.models import build
from tests.unit.assess.models.test_families import CHATGLM3, FALCON_7B, GEMMA_3_4B, GPT_OSS, LLAMA
from tests.unit.assess.models.test_folders import tensors
from tests.unit.assess.models.test_listing import ls

DEEPSEEK = {
    "vocab_size": 129_280, "dim": 7168, "inter_dim": 18_432, "moe_inter_dim": 2048, "n_layers": 61, "n_heads": 128,
    "n_dense_layers": 3, "n_routed_experts": 256, "n_shared_experts": 1, "n_activated_experts": 8, "q_lora_rank": 1536,
    "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "dtype": "fp8",
    "index_n_heads": 64, "index_head_dim": 128,
}  # fmt: skip
CONFIGURATIONS = (LLAMA, GPT_OSS, GEMMA_3_4B, FALCON_7B, CHATGLM3, DEEPSEEK)
KEYS = sorted(
    {*DIMENSIONS, *NESTED, *(name for names in ALIASES.values() for name in names)}
    | {"quantization_config", "rope_scaling", "layer_types", "no_rope_layers", "sliding_window", "moe", "moe_layers",
       "sliding_window_pattern", "max_window_layers", "full_attention_interval", "architectures", "torch_dtype",
       "dtype", "model_type",
       "attention_chunk_size", "mlp_only_layers", "vision_config", "attn_config", "compression_config"}
)  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers(-2, 70) | st.integers() | st.floats() | st.text(max_size=6)
    | st.sampled_from(["gptq", "awq", "quark", "yarn", "qwen3_next", "gemma2", "chatglm", "glm4_moe", "LLLG", "fp8"])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*KEYS, "quant_method", "bits", "factor", "type", "config_groups"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


def hold(facts: ModelFacts) -> None:
    """What no sizing may ever get."""
    for number in (facts.layers, facts.hidden_size, facts.attention_heads, facts.kv_heads, facts.head_dim):
        assert 0 < number <= 10**10
    assert 0 < facts.context_tokens < 10**14
    assert facts.attention_heads >= facts.kv_heads
    for figure in (facts.parameters, facts.active_parameters, facts.weight_bytes):
        assert figure.value is None or (math.isfinite(figure.value) and figure.value >= 0)
    if facts.sliding_window_layers is not None:
        assert 0 < facts.sliding_window_layers <= facts.layers
    assert (facts.experts_active or 0) <= (facts.experts_total or 0)


@settings(max_examples=250)
@given(start=st.sampled_from(CONFIGURATIONS), changes=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_no_configuration_ends_in_a_traceback(start: dict[str, Any], changes: dict[str, Any]) -> None:
    message = ""
    try:
        hold(model_facts(start | changes, Weights(source="none"), "model")[0])
    except FerryError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 1000


def whole() -> dict[str, bytes]:
    """One small whole input of every kind."""
    index = {"metadata": {"total_size": 10}, "weight_map": {"model.layers.0.w": "model-00001-of-00001.safetensors"}}
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{'a' * 64}", "size": 7}
    return {
        "m.gguf": build.gguf(
            build.LLAMA | {"tokenizer.ggml.tokens": ["a", "b"]}, {"token_embd.weight": ((256, 2), build.F16)}
        ),
        "model.safetensors": tensors({"model.layers.0.w": ("BF16", 5), "b": ("F32", 2)}),
        "config.json": json.dumps(GPT_OSS).encode(),
        "model.safetensors.index.json": json.dumps(index).encode(),
        "tag": json.dumps({"schemaVersion": 2, "layers": [layer]}).encode(),
        "ls.txt": ls(["4.9G", "4.1G", "12G"]).encode(),
        ".gitattributes": b"*.bin filter=lfs diff=lfs merge=lfs -text\n",
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
    }


DAMAGE = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, 2000), st.just(b"")),
    st.tuples(st.just("flip"), st.integers(0, 20_000), st.just(b"")),
    st.tuples(
        st.just("insert"), st.integers(0, 2000), st.binary(max_size=12) | st.sampled_from([b"[" * 3000, b"9" * 5000])
    ),
    st.tuples(st.just("recode"), st.integers(0, 3), st.just(b"")),
)


def damaged(content: bytes, damage: tuple[str, int, bytes]) -> bytes:
    kind, at, more = damage
    if kind == "cut":
        return content[: at % (len(content) + 1)]
    if kind == "flip":
        at %= 8 * len(content)
        return content[: at // 8] + bytes([content[at // 8] ^ 1 << at % 8]) + content[at // 8 + 1 :]
    if kind == "insert":
        at %= len(content) + 1
        return content[:at] + more + content[at:]
    return content.decode("latin-1").encode(["utf-16", "utf-8-sig", "utf-32", "utf-16-be"][at])


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(whole())), damages=st.lists(DAMAGE, min_size=1, max_size=3), beside=st.booleans())
def test_no_damaged_file_ends_in_a_traceback(
    tmp_path: Path, name: str, damages: list[tuple[str, int, bytes]], beside: bool
) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    content = whole()[name]
    for damage in damages:
        content = damaged(content, damage) or b" "
    if beside:
        (tmp_path / "config.json").write_bytes(whole()["config.json"])
    (tmp_path / name).write_bytes(content)
    for path in (tmp_path / name, tmp_path):
        message = ""
        try:
            hold(read_model(path, "given").facts)
        except FerryError as error:
            message = str(error)
        assert "\n" not in message
        assert len(message) < 1500


@pytest.mark.parametrize("cut", range(0, 700, 7))
def test_a_gguf_file_cut_anywhere_is_refused(tmp_path: Path, cut: int) -> None:
    content = whole()["m.gguf"]
    (tmp_path / "m.gguf").write_bytes(content[: cut % len(content)])
    with pytest.raises(FerryError):
        read_model(tmp_path / "m.gguf", "m")


@settings(max_examples=200)
@given(
    text=st.text(max_size=300) | st.lists(st.sampled_from(ls(["4.9G", "1", "12G"]).split()), max_size=40).map(" ".join)
)
def test_no_text_ends_a_listing_in_a_traceback(text: str) -> None:
    found = None
    try:
        found = listing.parse(text, "ls.txt")
    except FerryError as error:
        assert "\n" not in str(error)  # noqa: PT017 - a refusal is as good as a result
    if found is not None:
        assert 0 <= found.bounds[0] <= found.total_bytes <= found.bounds[1]


def test_a_line_of_many_megabytes_costs_no_time(tmp_path: Path) -> None:
    (tmp_path / "ls.txt").write_text("-rw-r--r-- 1 a b " + "9 " * 2_000_000)
    with pytest.raises(FerryError, match="a page of text"):
        read_model(tmp_path / "ls.txt", "ls.txt")


def test_an_archive_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(b"\x1f\x8b\x08" + bytes(100))
    with pytest.raises(FerryError, match="is a gzip archive; unpack it"):
        read_model(tmp_path / "model.tar.gz", "m")
