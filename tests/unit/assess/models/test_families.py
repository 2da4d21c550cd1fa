"""The configurations of the families, each with the parameters that its publisher counted."""

from __future__ import annotations

from typing import Any

import pytest

from ferry.artefacts import Finding, ModelFacts
from ferry.assess.models import Weights, model_facts
from ferry.errors import UnreadableInput


def read(document: dict[str, Any], **more: Any) -> tuple[ModelFacts, list[Finding]]:
    return model_facts(document, Weights(source="none"), "m", **more)


LLAMA = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14_336, "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 8, "vocab_size": 128_256, "max_position_embeddings": 131_072,
    "torch_dtype": "bfloat16", "tie_word_embeddings": False,
}  # fmt: skip
GPT_OSS = {
    "model_type": "gpt_oss", "hidden_size": 2880, "intermediate_size": 2880, "num_hidden_layers": 36, "head_dim": 64,
    "num_attention_heads": 64, "num_key_value_heads": 8, "num_local_experts": 128, "num_experts_per_tok": 4,
    "vocab_size": 201_088, "max_position_embeddings": 131_072, "sliding_window": 128, "attention_bias": True,
    "tie_word_embeddings": False, "quantization_config": {"quant_method": "mxfp4"},
}  # fmt: skip
GEMMA_3_4B = {
    "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "torch_dtype": "bfloat16",
    "text_config": {
        "hidden_size": 2560, "intermediate_size": 10_240, "model_type": "gemma3_text", "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024,
    },
    "vision_config": {"hidden_size": 1152},
}  # fmt: skip
FALCON_7B = {
    "model_type": "RefinedWebModel", "hidden_size": 4544, "n_layer": 32, "n_head": 71, "vocab_size": 65_024,
    "multi_query": True, "parallel_attn": True, "bias": False, "alibi": False, "num_kv_heads": 71,
}  # fmt: skip
CHATGLM3 = {
    "model_type": "chatglm", "hidden_size": 4096, "num_layers": 28, "num_attention_heads": 32, "kv_channels": 128,
    "ffn_hidden_size": 13_696, "padded_vocab_size": 65_024, "multi_query_attention": True, "multi_query_group_num": 2,
    "add_qkv_bias": True, "seq_length": 8192, "tie_word_embeddings": False, "torch_dtype": "float16",
}  # fmt: skip

# Sources: the model cards (safetensors' counts), but for GPT-2's, its paper's 124M spelt out, and Gemma-3's, the
# published 4,300,079,472 less the vision tower's 416,866,032 and the projector's 2,950,272.
PUBLISHED: list[tuple[dict[str, Any], int, str, int, int]] = [
    (LLAMA, 8_030_261_248, "GQA", 8, 128),
    (
        {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50_257, "n_positions": 1024},
        124_439_808, "MHA", 12, 64,
    ),
    (
        {"model_type": "bloom", "hidden_size": 14_336, "n_layer": 70, "n_head": 112, "vocab_size": 250_880},
        176_247_271_424, "MHA", 112, 128,
    ),
    (
        {
            "model_type": "gpt_neox", "hidden_size": 6144, "num_hidden_layers": 44, "num_attention_heads": 64,
            "vocab_size": 50_432, "intermediate_size": 24_576, "max_position_embeddings": 2048,
            "tie_word_embeddings": False,
        },
        20_554_567_680, "MHA", 64, 96,
    ),
    (FALCON_7B, 6_921_720_704, "MQA", 1, 64),
    (CHATGLM3, 6_243_584_000, "GQA", 2, 128),
    (
        {
            "model_type": "gemma2", "hidden_size": 3584, "num_hidden_layers": 42, "num_attention_heads": 16,
            "num_key_value_heads": 8, "head_dim": 256, "intermediate_size": 14_336, "vocab_size": 256_000,
            "max_position_embeddings": 8192, "sliding_window": 4096,
        },
        9_241_705_984, "GQA", 8, 256,
    ),
    (GEMMA_3_4B, 3_880_263_168, "GQA", 4, 256),
    (GPT_OSS, 116_829_156_672, "GQA", 8, 64),
    (
        {
            "model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2,
            "vocab_size": 32_000, "max_position_embeddings": 32_768, "tie_word_embeddings": False,
        },
        46_702_792_704, "GQA", 8, 128,
    ),
    (
        {
            "model_type": "phi3", "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 32_064, "max_position_embeddings": 4096,
            "sliding_window": 2047, "tie_word_embeddings": False,
        },
        3_821_079_552, "MHA", 32, 96,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "parameters", "attention", "kv_heads", "head_dim"),
    PUBLISHED,
    ids=[str(document["model_type"]) for document, *_ in PUBLISHED],
)
def test_a_family_is_counted_as_its_publisher_does(
    document: dict[str, Any], parameters: int, attention: str, kv_heads: int, head_dim: int
) -> None:
    facts, _ = read(document)
    assert facts.parameters.value == parameters
    assert (facts.attention, facts.kv_heads, facts.head_dim) == (attention, kv_heads, head_dim)


def test_gpt_oss_has_its_experts_alone_in_mxfp4() -> None:
    facts, _ = read(GPT_OSS)
    experts = 36 * 128 * (3 * 2880 * 2880 + 2 * 2880 + 2880)
    assert facts.weight_bytes.value == round(experts * 17 / 32 + (116_829_156_672 - experts) * 2)
    assert (facts.experts_active, facts.dtype, facts.quantization) == (4, "mxfp4", "mxfp4")
    assert facts.active_parameters.value == 116_829_156_672 - experts * 124 // 128


def test_a_nested_configuration_has_the_defaults_of_its_class_and_says_so() -> None:
    facts, findings = read(GEMMA_3_4B)
    assert (facts.context_tokens, facts.vocabulary, facts.attention_heads) == (131_072, 262_208, 8)
    seen = {finding.code: finding.seen for finding in findings}
    assert "num_attention_heads 8, num_key_value_heads 4, head_dim 256" in seen["config-leaves-defaults-out"]
    assert seen["model-has-parts-beside"] == "vision_config"


def test_a_whole_configuration_gets_no_defaults() -> None:
    with pytest.raises(UnreadableInput, match="num_attention_heads is missing"):
        read({key: value for key, value in LLAMA.items() if key != "num_attention_heads"})


@pytest.mark.parametrize("name", ["text_config", "llm_config", "language_config"])
def test_a_decoder_is_found_inside_a_multimodal_configuration(name: str) -> None:
    facts, _ = read({"architectures": ["Outer"], "model_type": "outer", name: LLAMA})
    assert (facts.architecture, facts.parameters.value) == ("Outer", 8_030_261_248)


def test_a_decoder_is_found_two_levels_deep() -> None:
    facts, _ = read({"model_type": "qwen2_5_omni", "thinker_config": {"model_type": "t", "text_config": LLAMA}})
    assert facts.parameters.value == 8_030_261_248


def test_mistrals_own_file_is_read() -> None:
    params = {
        "dim": 4096, "n_layers": 32, "head_dim": 128, "hidden_dim": 14_336, "n_heads": 32, "n_kv_heads": 8,
        "vocab_size": 32_000, "max_seq_len": 32_768, "moe": {"num_experts_per_tok": 2, "num_experts": 8},
    }  # fmt: skip
    facts, _ = read(params)
    assert (facts.parameters.value, facts.experts_total, facts.context_tokens) == (46_702_792_704, 8, 32_768)


def test_an_encoder_decoder_is_refused() -> None:
    with pytest.raises(UnreadableInput, match="is of an encoder-decoder \\('t5'\\)"):
        read({"model_type": "t5", "is_encoder_decoder": True, "d_model": 512, "num_layers": 6, "num_heads": 8})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_key_value_heads": 3}, "num_key_value_heads is 3, which does not divide the 32 attention heads"),
        ({"num_experts": 8, "num_experts_per_tok": 9}, "num_experts_per_tok is 9, more than num_experts, 8"),
    ],
)
def test_dimensions_that_contradict_each_other_are_refused(changes: dict[str, int], says: str) -> None:
    with pytest.raises(UnreadableInput) as refused:
        read(LLAMA | changes)
    assert says in str(refused.value)


QWEN3_NEXT = LLAMA | {"model_type": "qwen3_next", "full_attention_interval": 4}


@pytest.mark.parametrize(
    ("document", "window"),
    [
        (LLAMA, (None, None)),
        (LLAMA | {"model_type": "mistral", "sliding_window": 4096}, (4096, 32)),
        (LLAMA | {"model_type": "mistral", "sliding_window": 131_072}, (None, None)),
        (LLAMA | {"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}, (None, None)),
        (
            LLAMA
            | {"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 28},
            (4096, 4),
        ),
        (GPT_OSS, (128, 18)),
        (GPT_OSS | {"num_hidden_layers": 5}, (128, 3)),
        (GEMMA_3_4B, (1024, 29)),
        (LLAMA | {"sliding_window": 512, "layer_types": ["sliding_attention"] * 5 + ["full_attention"] * 27}, (512, 5)),
        (LLAMA | {"model_type": "exaone4", "sliding_window": 4096, "sliding_window_pattern": "LLLG"}, (4096, 24)),
        (LLAMA | {"model_type": "cohere2", "sliding_window": 4096}, (4096, 24)),
        (
            LLAMA | {"model_type": "mimo_v2_flash", "sliding_window": 128, "hybrid_layer_pattern": [0, 1] * 16},
            (128, 16),
        ),
        (LLAMA | {"model_type": "mystery", "sliding_window": 4096}, (4096, None)),
        (
            LLAMA | {"model_type": "llama4_text", "attention_chunk_size": 8192, "intermediate_size_mlp": 16_384},
            (8192, 24),
        ),
    ],
)
def test_a_sliding_window_has_the_layers_that_the_class_gives_it(
    document: dict[str, Any], window: tuple[int | None, int | None]
) -> None:
    facts, findings = read(document)
    assert (facts.sliding_window_tokens, facts.sliding_window_layers) == window
    unknown = window[0] is not None and window[1] is None
    assert ("sliding-window-layers-unknown" in [finding.code for finding in findings]) == unknown


def block(group: int | None) -> dict[str, Any]:
    return {"attention": {"n_heads_in_group": group, "no_op": group is None}, "ffn": {"ffn_mult": 2.6}}


NEMOTRON_H = {key: value for key, value in LLAMA.items() if key != "num_hidden_layers"} | {"model_type": "nemotron_h"}
NEMOTRON_NAS = LLAMA | {"model_type": "nemotron-nas", "num_key_value_heads": None}


@pytest.mark.parametrize(
    "document",
    [
        QWEN3_NEXT,
        LLAMA | {"layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 8},
        NEMOTRON_H | {"layers_block_type": ["mamba", "moe", "mlp", "attention"] * 8},
        NEMOTRON_H | {"hybrid_override_pattern": "M-E*" * 8},
        LLAMA | {"model_type": "recurrent_gemma", "block_types": ["recurrent"] * 3 + ["attention"]},
        LLAMA | {"model_type": "jamba", "attn_layer_period": 4, "attn_layer_offset": 2},
        LLAMA | {"model_type": "bamba", "attn_layer_indices": [1, 5, 9, 13, 17, 21, 25, 29]},
        LLAMA
        | {"model_type": "kimi_linear", "linear_attn_config": {"kda_layers": [at for at in range(1, 33) if at % 4]}},
        LLAMA | {"model_type": "minimax_text_01", "attn_type_list": [0, 0, 0, 1] * 8},
        NEMOTRON_NAS | {"block_configs": [block(None), block(None), block(None), block(8)] * 8},
    ],
)
def test_layers_without_a_cache_are_found(document: dict[str, Any]) -> None:
    facts, findings = read(document)
    found = [finding for finding in findings if finding.code == "layers-without-kv-cache"]
    assert [finding.seen for finding in found] == [
        "24 of 32 layers keep no KV cache, but a state of fixed size or none"
    ]
    assert facts.layers == 32


def test_a_searched_architecture_has_the_key_heads_of_its_widest_layer() -> None:
    facts, _ = read(NEMOTRON_NAS | {"block_configs": [block(8), block(4), block(None), block(8)] * 8})
    assert (facts.attention, facts.kv_heads) == ("GQA", 8)


@pytest.mark.parametrize(
    "damaged",
    [
        {"layers_block_type": [1, 2]},
        {"hybrid_override_pattern": "XYZ" * 11},
        {"attn_layer_period": 0},
        {"attn_layer_period": 4, "attn_layer_offset": "two"},
        {"attn_layer_indices": ["1"]},
        {"linear_attn_config": {"kda_layers": "1"}},
        {"attn_type_list": [2] * 32},
        {"block_configs": [None] * 32},
        {"block_configs": [{"attention": None}] * 32},
        {"layer_types": ["mamba"] * 3},
    ],
)
def test_a_list_of_layers_that_is_none_says_nothing(damaged: dict[str, Any]) -> None:
    facts, findings = read(LLAMA | {"model_type": "mystery"} | damaged)
    assert facts.kv_heads == 8
    assert "layers-without-kv-cache" not in [finding.code for finding in findings]


def test_sparse_layers_may_be_listed_one_by_one() -> None:
    mixture = {
        "n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 256, "n_shared_experts": 0,
    }  # fmt: skip
    listed = LLAMA | mixture | {"model_type": "deepseek", "moe_layer_freq": [0] + [1] * 31}
    said = LLAMA | mixture | {"model_type": "deepseek", "moe_layer_freq": 1, "first_k_dense_replace": 1}
    assert read(listed)[0].parameters == read(said)[0].parameters
    assert read(LLAMA | mixture | {"model_type": "minimax_m3", "moe_layer_freq": [0] + [1] * 31})[0].experts_active == 2
    with pytest.raises(UnreadableInput, match=r"moe_layer_freq is \[0, 1\]; expected 0 or 1 for each of 32 layers"):
        read(listed | {"moe_layer_freq": [0, 1]})


@pytest.mark.parametrize("name", ["num_experts_per_token", "top_k_experts"])
def test_the_experts_of_a_token_have_other_names(name: str) -> None:
    facts, _ = read(LLAMA | {"model_type": "mystery", "num_experts": 128, name: 8})
    assert (facts.experts_total, facts.experts_active) == (128, 8)


@pytest.mark.parametrize(
    ("scaling", "context"),
    [
        (None, 131_072),
        ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}, 131_072),
        ({"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096}, 163_840),
        ({"type": "yarn", "factor": 4.0}, 524_288),
        ({"type": "linear", "factor": 2.0}, 262_144),
        ({"type": "longrope", "factor": 32.0}, 131_072),
        ({"type": "yarn", "factor": True}, 131_072),
        ({"type": "linear", "factor": float("inf")}, 131_072),
        ({"type": "linear", "factor": float("nan")}, 131_072),
    ],
)
def test_the_context_is_stretched_as_the_engine_does(scaling: dict[str, Any] | None, context: int) -> None:
    assert read(LLAMA | {"rope_scaling": scaling})[0].context_tokens == context


def groups(kind: str, bits: int, size: int) -> dict[str, Any]:
    weights = {"type": kind, "num_bits": bits, "group_size": size}
    return {
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "config_groups": {"group_0": {"weights": weights}},
        }
    }


@pytest.mark.parametrize(
    ("more", "dtype", "method"),
    [
        ({"torch_dtype": None, "dtype": "float16"}, "float16", None),
        ({"torch_dtype": "torch.float32"}, "float32", None),
        ({"torch_dtype": "float8_e4m3fn"}, "fp8", "fp8"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "_load_in_8bit": True}}, "int8", "bitsandbytes"),
        ({"quantization_config": {"quant_algo": "NVFP4"}}, "nvfp4", "modelopt"),
        ({"compression_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors", "compressed-tensors"),
        (groups("float", 4, 16), "nvfp4", "compressed-tensors"),
        (groups("float", 4, 32), "mxfp4", "compressed-tensors"),
        (groups("float", 4, 64), "compressed-tensors", "compressed-tensors"),
        (groups("int", 4, 32), "int4", "compressed-tensors"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 3}}, "int3", "gptq"),
        (
            {
                "quantization_config": {
                    "quant_method": "quark",
                    "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}},
                }
            },
            "fp8",
            "quark",
        ),
    ],
)
def test_the_stored_type_is_found_where_each_tool_puts_it(more: dict[str, Any], dtype: str, method: str | None) -> None:
    facts, _ = read(LLAMA | more)
    assert (facts.dtype, facts.quantization) == (dtype, method)


def test_modelopts_own_file_says_what_config_json_does_not() -> None:
    facts, _ = read(LLAMA, beside={"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8"}})
    assert (facts.dtype, facts.quantization) == ("fp8", "modelopt")


def test_four_bit_weights_keep_embeddings_in_sixteen_and_a_scale_for_each_group() -> None:
    facts, _ = read(LLAMA | {"quantization_config": {"quant_method": "awq", "bits": 4}})
    kept = 2 * 128_256 * 4096
    assert facts.weight_bytes.value == round((8_030_261_248 - kept) * (0.5 + 2.5 / 128) + kept * 2)


def test_bytes_over_parameters_tell_the_width_where_the_file_names_no_type() -> None:
    document = LLAMA | {"torch_dtype": None}
    facts, findings = model_facts(document, Weights(source="index", total_bytes=2 * 8_030_261_248), "m")
    assert (facts.dtype, facts.parameters.value, facts.parameters.basis) == ("bfloat16", 8_030_261_248, "measured")
    assert [(finding.severity, finding.code) for finding in findings] == [("info", "model-dtype-unknown")]


def test_a_finding_names_the_line_of_its_key() -> None:
    text = '{\n "model_type": "mystery",\n "sliding_window": 4096\n}'
    _, findings = read(LLAMA | {"model_type": "mystery", "sliding_window": 4096}, file="m/config.json", text=text)
    assert "m/config.json:3" in [finding.where for finding in findings]
