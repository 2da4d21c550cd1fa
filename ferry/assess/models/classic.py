"""Counts the parameters of the decoders before Llama: GPT-2, GPT-BigCode, GPT-NeoX, BLOOM, Falcon, ChatGLM, Qwen.

Source: transformers' modeling_<model_type>.py, and modeling_chatglm.py and modeling_qwen.py of the models' folders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TYPES = frozenset({"gpt2", "gpt_bigcode", "gpt_neox", "bloom", "falcon", "chatglm", "qwen"})
WITH_BIASES = frozenset({"gpt2", "gpt_bigcode", "gpt_neox", "bloom"})
WITH_POSITIONS = frozenset({"gpt2", "gpt_bigcode"})


def count(config: Mapping[str, Any], kind: str) -> tuple[int, int]:
    """All parameters, and those of embeddings and output head. Raises KeyError where a dimension is missing."""
    hidden: int = config["hidden_size"]
    embeddings: int = config["vocab_size"] * hidden * (1 if config.get("tie_word_embeddings") else 2)
    norm = hidden if kind in ("chatglm", "qwen") else 2 * hidden
    beside = norm
    if kind in WITH_POSITIONS:
        beside += config["max_position_embeddings"] * hidden
    if kind == "bloom":
        beside += norm
    norms = 1 if kind == "falcon" and _has_one_norm(config) else 2
    layer = _attention(config, kind) + _feed_forward(config, kind) + norms * norm
    return embeddings + beside + config["num_hidden_layers"] * layer, embeddings


def _attention(config: Mapping[str, Any], kind: str) -> int:
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    head = config.get("kv_channels") or hidden // heads
    keys = (config.get("num_key_value_heads") or heads) * head
    into, out = hidden * (heads * head + 2 * keys), heads * head * hidden
    biases = 0
    if kind in WITH_BIASES or config.get("bias"):
        biases = heads * head + 2 * keys + hidden
    elif kind == "qwen" or config.get("add_qkv_bias"):
        biases = heads * head + 2 * keys
    return int(into + out + biases)


def _feed_forward(config: Mapping[str, Any], kind: str) -> int:
    hidden = config["hidden_size"]
    if kind == "qwen":
        # w1 and w2 have half of intermediate_size each.
        return int(3 * hidden * (config["intermediate_size"] // 2))
    if kind == "chatglm":
        return int(3 * hidden * config["intermediate_size"])
    inner = config.get("intermediate_size") or 4 * hidden
    biases = inner + hidden if kind in WITH_BIASES or config.get("bias") else 0
    return int(2 * hidden * inner + biases)


def _has_one_norm(config: Mapping[str, Any]) -> bool:
    """FalconDecoderLayer: parallel attention shares the input's norm, but for the new architecture's two."""
    if config.get("new_decoder_architecture"):
        return config.get("num_ln_in_parallel_attn") == 1
    return bool(config.get("parallel_attn", True))
