"""Reads a configuration of a decoder: config.json of transformers, or a file of DeepSeek's or Mistral's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ferry.assess.models import spellings
from ferry.errors import UnreadableInput

LARGEST_DIMENSION = 10**9
DIMENSIONS = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "kv_channels",
    "intermediate_size", "intermediate_size_mlp", "moe_intermediate_size", "shared_expert_intermediate_size",
    "vocab_size", "max_position_embeddings", "kv_lora_rank", "q_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim",
    "v_head_dim", "n_routed_experts", "num_experts", "num_local_experts", "num_experts_per_tok", "n_shared_experts",
    "first_k_dense_replace", "moe_layer_freq", "decoder_sparse_step", "interleave_moe_layer_step",
    "num_nextn_predict_layers", "index_n_heads", "index_head_dim",
)  # fmt: skip
MAY_BE_ZERO = frozenset(
    {"first_k_dense_replace", "n_shared_experts", "n_routed_experts", "num_experts", "num_local_experts",
     "num_experts_per_tok", "num_nextn_predict_layers", "shared_expert_intermediate_size", "moe_intermediate_size"}
)  # fmt: skip
NEEDED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "max_position_embeddings")
LARGEST_LAYERS = 10_000


@dataclass(frozen=True)
class Decoder:
    """The language model's part under Llama's names, and which of them were left out and have the class's default."""

    config: Mapping[str, Any]
    left_out: tuple[str, ...]


def decoder(document: Mapping[str, Any], file: str) -> Decoder:
    """The decoder's part of a configuration, its dimensions checked to be whole, positive numbers. UnreadableInput."""
    config, left_out = spellings.canonical(document)
    if not isinstance(config.get("model_type"), str):
        raise UnreadableInput(f"{file}: is not the config.json of a transformers model: model_type is missing")
    if config.get("is_encoder_decoder") is True:
        raise UnreadableInput(
            f"{file}: is of an encoder-decoder ({config['model_type'][:40]!r}); Ferry sizes decoder language models"
        )
    for key in (key for key in DIMENSIONS if key in config):
        value, least = config[key], 0 if key in MAY_BE_ZERO else 1
        if key == "moe_layer_freq" and isinstance(value, list):
            continue
        if not (type(value) is int and least <= value <= LARGEST_DIMENSION):
            raise UnreadableInput(f"{file}: {key} is {repr(value)[:40]}; expected a whole number from {least}")
    for key in NEEDED:
        if key not in config:
            raise UnreadableInput(f"{file}: is not the config.json of a decoder language model: {key} is missing")
    _check(config, file)
    return Decoder(config, left_out)


def line_of(text: str, key: str) -> str:
    """`:line` of the first line that has the key, for a finding; empty where no line has it."""
    for number, line in enumerate(text.splitlines(), start=1):
        if f'"{key}"' in line:
            return f":{number}"
    return ""


def _check(config: Mapping[str, Any], file: str) -> None:
    heads, layers = config["num_attention_heads"], config["num_hidden_layers"]
    if heads > config["hidden_size"]:
        raise UnreadableInput(f"{file}: num_attention_heads is {heads}, more than hidden_size")
    if layers > LARGEST_LAYERS:
        raise UnreadableInput(f"{file}: num_hidden_layers is {layers}; expected at most {LARGEST_LAYERS}")
    key_heads = config.get("num_key_value_heads")
    if key_heads is not None and (key_heads > heads or heads % key_heads):
        raise UnreadableInput(
            f"{file}: num_key_value_heads is {key_heads}, which does not divide the {heads} attention heads"
        )
    for name in ("n_routed_experts", "num_experts", "num_local_experts"):
        active = config.get("num_experts_per_tok") or 0
        if config.get(name) and active > config[name]:
            raise UnreadableInput(f"{file}: num_experts_per_tok is {active}, more than {name}, {config[name]}")
    sparse = config.get("moe_layer_freq")
    if isinstance(sparse, list) and not (len(sparse) >= layers and all(type(flag) is int for flag in sparse)):
        raise UnreadableInput(
            f"{file}: moe_layer_freq is {repr(sparse)[:40]}; expected 0 or 1 for each of {layers} layers"
        )
    dense = config.get("mlp_only_layers")
    if dense is not None and not (isinstance(dense, list) and all(type(number) is int for number in dense)):
        raise UnreadableInput(f"{file}: mlp_only_layers is {repr(dense)[:40]}; expected a list of layer numbers")
