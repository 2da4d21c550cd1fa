"""The names that model families give to the same dimension, and the values that they leave out of their files.

Every family of transformers had its own names before Llama's became usual, and DeepSeek, Mistral and Meta ship files of
their own format beside them. A nested configuration leaves out what equals its class's default
(`PretrainedConfig.to_diff_dict`), so that Gemma-3's says nothing of its heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.assess.models import layers

NESTED = ("thinker_config", "text_config", "llm_config", "language_config")
"""Where a multimodal configuration keeps its decoder: transformers, Qwen-Omni, InternVL, DeepSeek-VL."""

# Sources: `attribute_map` and the constructors of transformers' configuration_<model_type>.py; DeepSeek-V3's
# inference/model.py (ModelArgs); Mistral's and Meta's params.json.
ALIASES: dict[str, tuple[str, ...]] = {
    "hidden_size": ("n_embd", "n_embed", "d_model", "dim"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads", "num_heads"),
    "num_key_value_heads": ("n_head_kv", "num_kv_heads", "n_kv_heads", "kv_n_heads"),
    "intermediate_size": ("n_inner", "ffn_hidden_size", "inter_dim", "hidden_dim"),
    "moe_intermediate_size": ("moe_inter_dim",),
    "max_position_embeddings": ("n_positions", "n_ctx", "seq_length", "max_seq_len", "model_max_length"),
    "vocab_size": ("padded_vocab_size",),
    "num_experts_per_tok": ("n_activated_experts", "moe_top_k", "moe_topk", "num_experts_per_token", "top_k_experts"),
    "num_local_experts": ("moe_num_experts",),
    "first_k_dense_replace": ("n_dense_layers",),
}

_GEMMA3 = {
    "vocab_size": 262_208, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
    "max_position_embeddings": 131_072, "sliding_window": 4096, "hidden_size": 2304, "intermediate_size": 9216,
    "num_hidden_layers": 26,
}  # fmt: skip
_LLAMA = {
    "vocab_size": 32_000, "hidden_size": 4096, "intermediate_size": 11_008, "num_hidden_layers": 32,
    "num_attention_heads": 32, "max_position_embeddings": 2048,
}  # fmt: skip

# The defaults of transformers' configuration classes, for the families that stand inside others.
DEFAULTS: dict[str, dict[str, int]] = {
    "llama": _LLAMA,
    "mistral": _LLAMA | {
        "intermediate_size": 14_336, "num_key_value_heads": 8, "max_position_embeddings": 131_072,
    },
    "gemma": {
        "vocab_size": 256_000, "hidden_size": 3072, "intermediate_size": 24_576, "num_hidden_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 256, "max_position_embeddings": 8192,
    },
    "gemma2": {
        "vocab_size": 256_000, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 8192,
        "sliding_window": 4096,
    },
    "gemma3_text": _GEMMA3,
    "qwen2": {
        "vocab_size": 151_936, "hidden_size": 4096, "intermediate_size": 22_016, "num_hidden_layers": 32,
        "num_attention_heads": 32, "max_position_embeddings": 32_768,
    },
    "llama4_text": {
        "vocab_size": 202_048, "hidden_size": 5120, "intermediate_size": 8192, "intermediate_size_mlp": 16_384,
        "num_hidden_layers": 48, "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128,
        "num_experts_per_tok": 1, "num_local_experts": 16, "attention_chunk_size": 8192,
    },
    "gpt_oss": {
        "vocab_size": 201_088, "hidden_size": 2880, "intermediate_size": 2880, "num_hidden_layers": 36,
        "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64, "num_local_experts": 128,
        "num_experts_per_tok": 4, "max_position_embeddings": 131_072, "sliding_window": 128,
    },
}  # fmt: skip

# Context lengths that no file of these formats states. A length that ALiBi or rotation bears is the trained one.
CONTEXTS = {"falcon": 2048, "bloom": 2048, "deepseek": 16_384}

# model_type of a file -> the family whose layers it has.
FAMILIES = {
    "RefinedWeb": "falcon", "RefinedWebModel": "falcon", "kimi_k2": "deepseek_v3", "yi": "llama", "internlm2": "llama",
    "baichuan": "llama", "granite": "llama", "smollm3": "llama", "ministral": "mistral", "ministral3": "mistral",
    "phi3_v": "phi3", "qwen2_vl": "qwen2", "qwen2_vl_text": "qwen2", "qwen2_5_vl": "qwen2", "qwen2_5_vl_text": "qwen2",
    "qwen2_5_omni_text": "qwen2", "qwen3_vl_text": "qwen3", "qwen3_vl_moe_text": "qwen3_moe",
    "qwen3_omni_moe_text": "qwen3_moe",
}  # fmt: skip

# `tie_word_embeddings` is true where a file says nothing: the class's default, which transformers leaves out.
TIED = frozenset({"gemma", "gemma2", "gemma3_text", "gpt2", "gpt_bigcode", "falcon", "bloom"})


def family(config: Mapping[str, Any]) -> str:
    """The family of a configuration's `model_type`."""
    kind = str(config.get("model_type"))
    return FAMILIES.get(kind, kind)


def canonical(document: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The decoder's part under Llama's names, and the names whose values are its class's defaults.

    A key with a null value counts as left out.
    """
    config = _innermost(document)
    for part in ("attn_config", "ffn_config"):
        if isinstance(config.get(part), dict):
            config = {**_without_null(config[part]), **config}
    for name, others in ALIASES.items():
        if name not in config and (found := next((other for other in others if other in config), None)):
            config[name] = config[found]
    if "model_type" not in config and "dim" in config and "num_hidden_layers" in config:
        _read_native(config)
    if "num_hidden_layers" not in config and (counted := layers.number(config)) is not None:
        config["num_hidden_layers"] = counted
    _read_key_heads(config)
    nested = any(isinstance(document.get(name), dict) for name in NESTED)
    defaults = DEFAULTS.get(family(config), {}) if nested else {}
    if (usual := CONTEXTS.get("deepseek" if config.get("format") == "deepseek" else family(config))) is not None:
        defaults = defaults | {"max_position_embeddings": usual}
    left_out = tuple(name for name in defaults if name not in config)
    config |= {name: defaults[name] for name in left_out}
    config.setdefault("tie_word_embeddings", family(config) in TIED)
    return config, left_out


def _without_null(part: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if value is not None}


def _innermost(document: Mapping[str, Any]) -> dict[str, Any]:
    """The outer keys with those of the nested decoder over them, down to the innermost."""
    config = _without_null(document)
    inner: Mapping[str, Any] = config
    for _ in range(len(NESTED)):
        nested = next((inner[name] for name in NESTED if isinstance(inner.get(name), dict)), None)
        if nested is None:
            break
        inner = nested
        config |= _without_null(inner)
    return config


def _read_native(config: dict[str, Any]) -> None:
    """A file of DeepSeek's inference code, or a params.json of Mistral's or Meta's: it has no model_type."""
    if config.get("kv_lora_rank") and config.get("n_routed_experts"):
        config |= {"model_type": "deepseek_v32" if config.get("index_n_heads") else "deepseek_v3", "format": "deepseek"}
        # ModelArgs: "bf16" where dtype is left out; the gate has a bias with sigmoid scores (class Gate, V3's alone).
        config.setdefault("dtype", "bf16")
        if config.get("score_func") == "sigmoid":
            config["topk_method"] = "noaux_tc"
        if not config.get("q_lora_rank"):
            config.pop("q_lora_rank", None)
        return
    moe = config.get("moe")
    if isinstance(moe, dict):
        config |= {"num_local_experts": moe.get("num_experts"), "num_experts_per_tok": moe.get("num_experts_per_tok")}
    config["model_type"] = "mixtral" if isinstance(moe, dict) else "llama"


def _read_key_heads(config: dict[str, Any]) -> None:
    """Multi-query attention by a switch: GPT-BigCode, Falcon (not its new architecture), ChatGLM."""
    if config.get("multi_query") is True and not config.get("new_decoder_architecture"):
        config["num_key_value_heads"] = 1
    elif config.get("multi_query_attention") is True and "multi_query_group_num" in config:
        config["num_key_value_heads"] = config["multi_query_group_num"]
    elif family(config) == "falcon" and not config.get("new_decoder_architecture"):
        # FalconAttention: without multi_query, each head has keys of its own, whatever num_kv_heads says.
        config.pop("num_key_value_heads", None)
    elif "num_key_value_heads" not in config and (heads := layers.key_heads(config)) is not None:
        config["num_key_value_heads"] = heads
