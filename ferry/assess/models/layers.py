"""What kind of layer stands where, by the names that the families of hybrid models give to it.

transformers' `layer_types` is the latest of these names; the others are those of configuration_<model_type>.py of
Nemotron-H, Jamba, Bamba, RecurrentGemma, Kimi-Linear, MiniMax-Text-01, MiMo-V2 and NVIDIA's Nemotron-NAS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

WITHOUT_CACHE = frozenset(
    {"linear_attention", "mamba", "mamba2", "recurrent", "conv", "mlp", "moe", "none", "-", "M", "E"}
)
"""Layers that keep a state of fixed size, or none at all, and no KV cache."""
FULL, LOCAL, LINEAR = "full_attention", "sliding_attention", "linear_attention"


@dataclass(frozen=True)
class Layers:
    """The kind of each layer, and the key that states it."""

    kinds: tuple[str, ...]
    key: str

    @property
    def without_cache(self) -> int:
        """How many keep no KV cache."""
        return sum(kind in WITHOUT_CACHE for kind in self.kinds)


def stated(config: Mapping[str, Any]) -> Layers | None:
    """The layers as the configuration states them one by one; None where it does not."""
    count: int = config["num_hidden_layers"]
    for key, read in _READERS.items():
        kinds = read(config[key], config) if key in config else None
        if kinds is not None and len(kinds) >= count:
            return Layers(tuple(kinds[:count]), key)
    return None


def number(config: Mapping[str, Any]) -> int | None:
    """How many layers there are where only their list says it (Nemotron-3-Ultra)."""
    for key in ("layers_block_type", "hybrid_override_pattern"):
        if (kinds := _names(config.get(key), config)) is not None:
            return len(kinds)
    return None


def key_heads(config: Mapping[str, Any]) -> int | None:
    """Nemotron-NAS searches the layers one by one: the heads of keys of the layer that has most of them."""
    groups = [group for group in _groups(config.get("block_configs")) or [] if group is not None]
    heads = config.get("num_attention_heads")
    return heads // min(groups) if groups and type(heads) is int and heads >= min(groups) else None


def _names(value: Any, _: Mapping[str, Any]) -> list[str] | None:
    """A list of names, or a string with a letter for each layer: `M-M*` of Nemotron-H."""
    if isinstance(value, str) and value and set(value) <= set("M-*E"):
        return list(value)
    return value if isinstance(value, list) and value and all(type(name) is str for name in value) else None


def _repeated(value: Any, config: Mapping[str, Any]) -> list[str] | None:
    names = _names(value, config)
    count = config["num_hidden_layers"]
    return [names[at % len(names)] for at in range(count)] if names else None


def _period(value: Any, config: Mapping[str, Any]) -> list[str] | None:
    """Jamba: one layer of each period has attention."""
    offset = config.get("attn_layer_offset", 0)
    if type(value) is not int or type(offset) is not int or value < 1:
        return None
    return [FULL if at % value == offset else "mamba" for at in range(config["num_hidden_layers"])]


def _indices(value: Any, config: Mapping[str, Any]) -> list[str] | None:
    """Bamba: the layers with attention, by number."""
    if not isinstance(value, list) or not all(type(at) is int for at in value):
        return None
    return [FULL if at in set(value) else "mamba" for at in range(config["num_hidden_layers"])]


def _kimi(value: Any, config: Mapping[str, Any]) -> list[str] | None:
    """Kimi-Linear: the layers with delta attention, counted from 1."""
    named = value.get("kda_layers") if isinstance(value, dict) else None
    if not isinstance(named, list) or not all(type(at) is int for at in named):
        return None
    return [LINEAR if at + 1 in set(named) else FULL for at in range(config["num_hidden_layers"])]


def _flags(of_one: str, of_zero: str) -> Callable[[Any, Mapping[str, Any]], list[str] | None]:
    def read(value: Any, _: Mapping[str, Any]) -> list[str] | None:
        if not isinstance(value, list) or not all(type(flag) is int and flag in (0, 1) for flag in value):
            return None
        return [of_one if flag else of_zero for flag in value]

    return read


def _groups(value: Any) -> list[int | None] | None:
    """Queries that share a head of keys, per layer of Nemotron-NAS; None where the layer has no attention."""
    if not isinstance(value, list):
        return None
    found: list[int | None] = []
    for block in value:
        part = block.get("attention") if isinstance(block, dict) else None
        if not isinstance(part, dict):
            return None
        group = part.get("n_heads_in_group")
        found.append(group if type(group) is int and group > 0 and not part.get("no_op") else None)
    return found


def _searched(value: Any, _: Mapping[str, Any]) -> list[str] | None:
    groups = _groups(value)
    return None if groups is None else [FULL if group else "none" for group in groups]


_READERS: dict[str, Callable[[Any, Mapping[str, Any]], list[str] | None]] = {
    "layer_types": _names,
    "layers_block_type": _names,
    "hybrid_override_pattern": _names,
    "block_types": _repeated,
    "attn_layer_period": _period,
    "attn_layer_indices": _indices,
    "linear_attn_config": _kimi,
    "attn_type_list": _flags(FULL, LINEAR),
    "hybrid_layer_pattern": _flags(LOCAL, FULL),
    "block_configs": _searched,
}
