"""Counts the parameters of a decoder from the dimensions in its config.json.

It is used where the weights themselves are not at hand, or are quantised so that their bytes do not tell the count.
The layers are those of transformers' modeling_<model_type>.py; norms and the routers' biases are counted too. What is
beside the decoder (a vision tower) is not; multi-token-prediction layers are counted apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ferry.assess.models import classic, spellings

LLAMA_LIKE = frozenset(
    {"llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "phi3", "gemma", "gemma2",
     "gemma3_text", "gpt_oss", "glm4_moe"}
)  # fmt: skip
DEEPSEEK_LIKE = frozenset({"deepseek", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe"})
LLAMA4 = frozenset({"llama4_text"})
QKV_BIAS = frozenset({"qwen2", "qwen2_moe"})
QK_NORM = frozenset({"qwen3", "qwen3_moe", "gemma3_text"})
FOUR_NORMS = frozenset({"gemma2", "gemma3_text"})


@dataclass(frozen=True)
class Experts:
    """A mixture of experts: of `total` experts per layer, `active` work on a token."""

    total: int
    active: int


@dataclass(frozen=True)
class Count:
    """All parameters, and those that work on one token; of all, those of embeddings and output head, and of experts.

    `prediction` are those of the multi-token-prediction layers, which a checkpoint holds beside all these.
    """

    total: int
    active: int
    embeddings: int
    experts: int = 0
    prediction: int = 0


def experts(config: Mapping[str, Any]) -> Experts | None:
    """The routed experts, by the names that the model families use; None for a dense model."""
    total = next(
        (config[key] for key in ("n_routed_experts", "num_experts", "num_local_experts") if config.get(key)), None
    )
    active = config.get("num_experts_per_tok")
    return Experts(total, active) if total and active else None


def count(config: Mapping[str, Any]) -> Count | None:
    """Parameters by arithmetic; None where this module does not know the model type.

    `config` holds whole, positive numbers under the keys of transformers' configuration classes. Raises KeyError.
    """
    kind = spellings.family(config)
    if kind in classic.TYPES:
        total, embeddings = classic.count(config, kind)
        return Count(total, total, embeddings)
    if kind not in LLAMA_LIKE | DEEPSEEK_LIKE | LLAMA4:
        return None
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    embeddings = config["vocab_size"] * hidden * (1 if config.get("tie_word_embeddings") else 2)
    each_layer = _attention(config, kind) + (4 if kind in FOUR_NORMS else 2) * hidden
    total = embeddings + layers * each_layer + hidden
    mixture = experts(config)
    sparse = _sparse_layers(config, kind) if mixture else 0
    if layers > sparse:
        dense_size = config["intermediate_size_mlp" if kind in LLAMA4 else "intermediate_size"]
        total += (layers - sparse) * 3 * hidden * dense_size
    if mixture is None:
        return Count(total, total, embeddings)
    expert = 3 * hidden * (config.get("moe_intermediate_size") or config["intermediate_size"])
    if kind == "gpt_oss":
        expert += 2 * config["intermediate_size"] + hidden
    beside = _beside_experts(config, kind, mixture)
    total += sparse * (mixture.total * expert + beside)
    return Count(
        total,
        total - sparse * (mixture.total - mixture.active) * expert,
        embeddings,
        sparse * mixture.total * expert,
        _prediction(config, each_layer + mixture.total * expert + beside),
    )


def _attention(config: Mapping[str, Any], kind: str) -> int:
    """Projections of one layer, with their biases and norms."""
    hidden: int = config["hidden_size"]
    heads: int = config["num_attention_heads"]
    if config.get("kv_lora_rank"):
        return _latent_attention(config) + _indexer(config)
    head: int = config.get("head_dim") or hidden // heads
    keys: int = (config.get("num_key_value_heads") or heads) * head
    queries = heads * head
    biases = queries + 2 * keys if kind in QKV_BIAS else 0
    if config.get("attention_bias") or kind == "gpt_oss":
        # GLM-4.5's output projection has none.
        biases = queries + 2 * keys + (0 if kind == "glm4_moe" else hidden)
    norms = 2 * head if kind in QK_NORM or (kind == "glm4_moe" and config.get("use_qk_norm")) else 0
    sinks = heads if kind == "gpt_oss" else 0
    return 2 * hidden * queries + 2 * hidden * keys + biases + norms + sinks


def _latent_attention(config: Mapping[str, Any]) -> int:
    """Multi-head latent attention (DeepSeek-V2, section 2.1): queries and keys through low-rank projections."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    rank, rope = config["kv_lora_rank"], config["qk_rope_head_dim"]
    nope, value = config["qk_nope_head_dim"], config["v_head_dim"]
    query_rank = config.get("q_lora_rank")
    queries = heads * (nope + rope)
    into_queries = hidden * query_rank + query_rank + query_rank * queries if query_rank else hidden * queries
    into_keys = hidden * (rank + rope) + rank + rank * heads * (nope + value)
    return int(into_queries + into_keys + heads * value * hidden)


def _indexer(config: Mapping[str, Any]) -> int:
    """DeepSeek-V3.2's lightning indexer: wq_b, wk, a LayerNorm, weights_proj (inference/model.py, class Indexer)."""
    heads, head = config.get("index_n_heads"), config.get("index_head_dim")
    if not heads or not head:
        return 0
    hidden = config["hidden_size"]
    return int(config["q_lora_rank"] * heads * head + hidden * head + 2 * head + hidden * heads)


def _sparse_layers(config: Mapping[str, Any], kind: str) -> int:
    """How many layers have experts."""
    numbers = range(config["num_hidden_layers"])
    if kind in DEEPSEEK_LIKE:
        first, every = config.get("first_k_dense_replace") or 0, config.get("moe_layer_freq") or 1
        if isinstance(every, list):
            return sum(flag == 1 for flag in every[: config["num_hidden_layers"]])
        return sum(number >= first and number % every == 0 for number in numbers)
    if isinstance(named := config.get("moe_layers"), list):
        return len({number for number in named if number in numbers})
    every = config.get("decoder_sparse_step") or config.get("interleave_moe_layer_step") or 1
    dense = frozenset(config.get("mlp_only_layers") or ())
    return sum((number + 1) % every == 0 and number not in dense for number in numbers)


def _beside_experts(config: Mapping[str, Any], kind: str, mixture: Experts) -> int:
    """What a sparse layer has beside its routed experts: the router, and experts that always work."""
    hidden: int = config["hidden_size"]
    router = hidden * mixture.total
    always, gate = 0, 0
    if kind in DEEPSEEK_LIKE:
        always = (config.get("n_shared_experts") or 0) * config["moe_intermediate_size"]
        gate = mixture.total if config.get("topk_method") == "noaux_tc" or kind == "glm4_moe" else 0
    elif kind == "gpt_oss":
        gate = mixture.total
    elif kind == "qwen2_moe":
        always, gate = config["shared_expert_intermediate_size"], hidden
    elif kind in LLAMA4:
        always = config["intermediate_size"]
    return router + gate + 3 * hidden * always


def _prediction(config: Mapping[str, Any], sparse_layer: int) -> int:
    """Multi-token prediction (DeepSeek-V3, README_WEIGHTS.md): a layer, eh_proj, three norms, and copies of the
    embedding and the output head.
    """
    hidden: int = config["hidden_size"]
    modules: int = config.get("num_nextn_predict_layers") or 0
    vocabulary: int = config["vocab_size"]
    return modules * (sparse_layer + 2 * hidden * hidden + 3 * hidden + 2 * vocabulary * hidden)
