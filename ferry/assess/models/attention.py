"""What a configuration says of attention: its kind, its window, and how long a context it bears."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ferry.artefacts import Finding
from ferry.assess.models import layers as layer_kinds
from ferry.assess.models.spellings import family

Kind = Literal["MHA", "GQA", "MQA", "MLA"]

LARGEST_WINDOW = 10**9
LOCAL = ("sliding_attention", "chunked_attention")

_EVERY_LAYER = frozenset({"mistral", "mixtral", "phi3", "starcoder2"})
_BY_SWITCH = frozenset({"qwen2", "qwen2_moe", "qwen3", "qwen3_moe"})
_EVERY_OTHER = frozenset({"gemma2", "gpt_oss"})
_PATTERN = {"gemma3_text": 6, "cohere2": 4}


@dataclass(frozen=True)
class Window:
    """Sliding-window (or chunked) attention: `layers` of them look back `tokens`, None where nobody can say which."""

    tokens: int
    layers: int | None


def kind(config: Mapping[str, Any]) -> Kind:
    """By the number of key heads; latent attention by its rank."""
    if config.get("kv_lora_rank"):
        return "MLA"
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    return "MHA" if kv_heads == heads else "MQA" if kv_heads == 1 else "GQA"


def head_dim(config: Mapping[str, Any]) -> int:
    """The width of a key. Qwen-1 and ChatGLM say kv_channels; with latent attention it is nope and rope together."""
    if config.get("kv_lora_rank") and config.get("qk_nope_head_dim"):
        return int(config["qk_nope_head_dim"] + (config.get("qk_rope_head_dim") or 0))
    named = config.get("head_dim") or config.get("kv_channels")
    return int(named or config["hidden_size"] // config["num_attention_heads"])


def window(config: Mapping[str, Any]) -> Window | None:
    """The window, and how many layers use it, as transformers' configuration classes derive `layer_types`.

    None: every layer looks back over the whole context, or the window is no shorter than it.
    """
    layers = config["num_hidden_layers"]
    stated = layer_kinds.stated(config)
    types = stated.kinds if stated else None
    chunked = config.get("attention_chunk_size")
    tokens = config.get("sliding_window")
    if (types is not None and any(name == "chunked_attention" for name in types)) or family(config) == "llama4_text":
        tokens = chunked
    if type(tokens) is not int or not 0 < tokens <= LARGEST_WINDOW or tokens >= config["max_position_embeddings"]:
        return None
    used = sum(name in LOCAL for name in types) if types is not None else _layers_by_family(config, layers)
    return None if used == 0 else Window(tokens, used)


def window_unknown(tokens: int, where: str) -> Finding:
    """A window of which nobody can say where it applies."""
    return Finding(
        severity="info",
        code="sliding-window-layers-unknown",
        seen=f"a sliding window of {tokens} tokens, and not which layers have it",
        where=where,
        means="the KV cache is sized as if every layer kept the whole context: too large rather than too small",
        remedy="the engine's log at its start says the blocks of KV cache that it really has",
    )


def layers_without_cache(config: Mapping[str, Any]) -> tuple[int, str]:
    """How many layers keep no KV cache, and the key that says it."""
    if (stated := layer_kinds.stated(config)) is not None:
        return stated.without_cache, stated.key
    every = config.get("full_attention_interval")
    if type(every) is int and every > 1 and family(config).startswith(("qwen3_next", "qwen3_5")):
        return int(config["num_hidden_layers"] - config["num_hidden_layers"] // every), "full_attention_interval"
    return 0, ""


def context(config: Mapping[str, Any]) -> int:
    """Tokens that the rotary embedding bears, as vLLM derives `max_model_len` (vllm/config/model.py,
    `_get_and_verify_max_len`): YaRN stretches the original length, linear and dynamic scaling the stated one.

    Llama-3's, LongRoPE's and Gemma-3's `max_position_embeddings` are stretched already.
    """
    stated: int = config["max_position_embeddings"]
    scaling = config.get("rope_scaling") or config.get("rope_parameters")
    if not isinstance(scaling, dict) or family(config).startswith("gemma3"):
        return stated
    factor, method = scaling.get("factor"), scaling.get("rope_type", scaling.get("type"))
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 1 <= factor <= 10_000:
        return stated
    original = scaling.get("original_max_position_embeddings")
    if method == "yarn" and type(original) is int and 0 < original <= LARGEST_WINDOW:
        return round(original * factor)
    return round(stated * factor) if method in ("linear", "dynamic", "yarn") else stated


def _layers_by_family(config: Mapping[str, Any], layers: int) -> int | None:
    kin = family(config)
    if kin in _EVERY_LAYER:
        return layers
    if kin in _BY_SWITCH or "use_sliding_window" in config:
        if config.get("use_sliding_window") is not True:
            return 0
        first = config.get("max_window_layers")
        return max(layers - first, 0) if type(first) is int and first >= 0 else layers
    if kin in _EVERY_OTHER:
        return math.ceil(layers / 2)
    if kin == "llama4_text":
        return _with_rope(config, layers)
    pattern = config.get("sliding_window_pattern", config.get("_sliding_window_pattern", _PATTERN.get(kin)))
    if isinstance(pattern, str) and 0 < len(pattern) <= layers and set(pattern) <= {"L", "G"}:
        # Exaone-4: "LLLG" repeats, and the last layer is global.
        return sum(pattern[i % len(pattern)] == "L" for i in range(layers - 1)) if layers > 1 else 0
    if type(pattern) is int and pattern > 0:
        return layers - layers // pattern
    return None


def _with_rope(config: Mapping[str, Any], layers: int) -> int:
    """Llama-4: the layers with a rotary embedding are chunked, every fourth has none and sees the whole context."""
    flags = config.get("no_rope_layers")
    if isinstance(flags, list) and len(flags) >= layers:
        return sum(flag == 1 for flag in flags[:layers])
    every = config.get("no_rope_layer_interval", 4)
    return layers - layers // every if type(every) is int and every > 0 else layers
