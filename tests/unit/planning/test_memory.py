"""Weights, KV cache and reserve: what fits where, with exact figures."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ferry.artefacts import unknown
from ferry.catalog import instance_types
from ferry.errors import PlanError
from ferry.planning import memory
from ferry.planning.engines import ENGINES
from ferry.planning.memory import Fit, Misfit

VLLM = ENGINES["vllm"]


def test_llama_3_8b_caches_131072_bytes_a_token(make: SimpleNamespace) -> None:
    assert memory.kv_bytes_per_token(make.llama_3_8b()) == 131_072


def test_deepseek_v3_caches_one_latent_of_70272_bytes_a_token(make: SimpleNamespace) -> None:
    assert memory.kv_bytes_per_token(make.deepseek_v3()) == 61 * (512 + 64) * 2 == 70_272


@pytest.mark.parametrize(("attention", "kv_heads", "expected"), [("MHA", 32, 524_288), ("MQA", 1, 16_384)])
def test_the_cache_grows_with_the_kv_heads(make: SimpleNamespace, attention: str, kv_heads: int, expected: int) -> None:
    assert memory.kv_bytes_per_token(make.llama_3_8b(attention=attention, kv_heads=kv_heads)) == expected


@pytest.mark.parametrize(("width", "expected"), [(1, 131_072), (2, 65_536), (8, 16_384), (16, 16_384)])
def test_kv_heads_are_split_until_each_accelerator_has_one_then_copied(
    make: SimpleNamespace, width: int, expected: int
) -> None:
    assert memory.kv_bytes_per_token_per_accelerator(make.llama_3_8b(), width) == expected


@pytest.mark.parametrize("width", [1, 8, 16])
def test_the_latent_is_on_every_accelerator(make: SimpleNamespace, width: int) -> None:
    assert memory.kv_bytes_per_token_per_accelerator(make.deepseek_v3(), width) == 70_272


@pytest.mark.parametrize(
    ("heads", "kv_heads", "accelerators", "width"),
    [(32, 8, 8, 8), (28, 4, 8, 4), (28, 4, 4, 4), (40, 8, 8, 8), (14, 2, 8, 2), (64, 8, 1, 1)],
)
def test_parallelism_is_the_widest_that_divides_the_heads(
    make: SimpleNamespace, heads: int, kv_heads: int, accelerators: int, width: int
) -> None:
    assert memory.widest_split(make.llama_3_8b(attention_heads=heads, kv_heads=kv_heads), accelerators) == width


def test_the_size_comes_from_the_index(make: SimpleNamespace) -> None:
    assert memory.weight_bytes(make.deepseek_v3()) == 688_586_727_753


@pytest.mark.parametrize(
    ("dtype", "quantization", "expected"),
    [("bfloat16", None, 16.06e9), ("float32", None, 32.12e9), ("bfloat16", "fp8", 8.03e9), ("float16", "awq", 4.015e9)],
)
def test_without_an_index_the_size_is_parameters_times_bytes(
    make: SimpleNamespace, dtype: str, quantization: str | None, expected: float
) -> None:
    model = make.llama_3_8b(weight_bytes=unknown("B"), dtype=dtype, quantization=quantization)
    assert memory.weight_bytes(model) == pytest.approx(expected, rel=1e-12)


def test_weights_of_unknown_size_are_an_error_with_a_remedy(make: SimpleNamespace) -> None:
    model = make.llama_3_8b(weight_bytes=unknown("B"), parameters=unknown(""))
    with pytest.raises(PlanError, match=r"put model\.safetensors\.index\.json beside config\.json"):
        memory.weight_bytes(model)


def test_deepseek_v3_in_fp8_does_not_fit_eight_a100_of_80_gb(make: SimpleNamespace) -> None:
    refused = memory.fit(make.deepseek_v3(), VLLM, instance_types.find("p4de.24xlarge"), 8192)
    assert isinstance(refused, Misfit)
    assert refused.reason.startswith("needs 754 GiB (weights 641, engine 33, one sequence of 8192 tokens 4.3")
    assert "has 640 (8 x 80)" in refused.reason
    assert "in 4 bit (about 327 GiB) it would fit: --quantization awq plans such a copy" in refused.reason
    assert "A100-80GB runs FP8 weight-only" in refused.reason
    assert refused.reason.endswith("fits only over 2 nodes, refused until a component exists for that")
    assert refused.nodes == 2


def test_deepseek_v3_in_fp8_fits_eight_h200(make: SimpleNamespace) -> None:
    placed = memory.fit(make.deepseek_v3(), VLLM, instance_types.find("p5en.48xlarge"), 8192)
    assert isinstance(placed, Fit)
    assert placed.tensor_parallel == 8
    assert placed.weights_gib == pytest.approx(641.296, abs=0.001)
    # 8 x 141 x 0.9 - 641.30 - 8 x (3.6 + 20.2 x 8192 x 7168 x 2 B)
    assert placed.kv_cache_gib == pytest.approx(327.4, abs=0.1)


def test_no_number_of_small_instances_is_offered_for_a_large_model(make: SimpleNamespace) -> None:
    refused = memory.fit(make.deepseek_v3(), VLLM, instance_types.find("g5.48xlarge"), 8192)
    assert isinstance(refused, Misfit)
    assert refused.nodes is None


def test_llama_3_8b_fits_one_a10g_with_room_for_20_sequences(make: SimpleNamespace) -> None:
    placed = memory.fit(make.llama_3_8b(), VLLM, instance_types.find("g5.xlarge"), 8192)
    assert isinstance(placed, Fit)
    # 22.35 x 0.9 - 14.957 - 1.8 - 20.2 x 2048 x 4096 x 2 B = 3.042 GiB
    assert placed.kv_cache_gib == pytest.approx(3.042, abs=0.001)
    assert placed.kv_tokens == 24_918


@pytest.mark.parametrize(
    ("parameters", "bytes_each", "fits"), [(14e9, 0.55, True), (14e9, 1, True), (14e9, 2, False), (32e9, 0.55, False)]
)
def test_one_a10g_serves_up_to_14b_quantised(
    make: SimpleNamespace, parameters: float, bytes_each: float, fits: bool
) -> None:
    """Layers and heads of Qwen2.5-14B and -32B."""
    model = make.llama_3_8b(
        layers=48 if parameters < 20e9 else 64,
        hidden_size=5120,
        attention_heads=40,
        weight_bytes=make.figure(parameters * bytes_each),
    )
    assert isinstance(memory.fit(model, VLLM, instance_types.find("g5.xlarge"), 8192), Fit) == fits


def test_bfloat16_is_refused_on_turing_and_float16_is_not(make: SimpleNamespace) -> None:
    small = make.figure(6e9)
    refused = memory.fit(make.llama_3_8b(weight_bytes=small), VLLM, instance_types.find("g4dn.xlarge"), 8192)
    assert isinstance(refused, Misfit)
    assert refused.reason.startswith("T4 (compute capability 7.5) has no bfloat16")
    stored = memory.fit(
        make.llama_3_8b(weight_bytes=small, dtype="fp8", quantization="compressed-tensors"),
        VLLM,
        instance_types.find("g4dn.xlarge"),
        8192,
    )
    assert isinstance(stored, Misfit)
    assert stored.reason.startswith("T4 (compute capability 7.5) has no bfloat16, in which the model computes")
    placed = memory.fit(
        make.llama_3_8b(weight_bytes=small, dtype="float16"), VLLM, instance_types.find("g4dn.xlarge"), 8192
    )
    assert isinstance(placed, Fit)


def test_idle_accelerators_are_named(make: SimpleNamespace) -> None:
    model = make.deepseek_v3(attention="GQA", attention_heads=28, kv_heads=4)
    refused = memory.fit(model, VLLM, instance_types.find("p4de.24xlarge"), 8192)
    assert isinstance(refused, Misfit)
    assert "has 320 (4 x 80, 4 left idle: the heads divide by 4 only)" in refused.reason


def test_mla_without_its_ranks_is_an_error(make: SimpleNamespace) -> None:
    with pytest.raises(PlanError, match="MLA needs kv_lora_rank"):
        memory.kv_bytes_per_token(make.deepseek_v3(kv_lora_rank=None))
