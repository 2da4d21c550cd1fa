"""Reads a model folder: what sizing needs to know of the model, from config.json and the safetensors index.

What was counted from the weights is measured; what was computed from the dimensions is assumed. A quantised model says
`torch_dtype: bfloat16` all the same: `quantization_config` wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ferry.artefacts import Figure, Finding, ModelFacts, assumed, measured, unknown
from ferry.assess import parameters
from ferry.assess.files import json_object, read_text
from ferry.assess.weights import Weights, read_weights
from ferry.errors import UnreadableInput

CONFIG = "config.json"

# Bytes of a parameter as stored. MXFP4: 4 bits and an 8-bit scale per 32 (OCP MX 1.0); NVFP4: one per 16.
STORED_BYTES = {
    "float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5, "mxfp4": 17 / 32,
    "nvfp4": 9 / 16,
}  # fmt: skip
HEADER_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
LARGEST_DIMENSION = 10**9
DIMENSIONS = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "kv_channels",
    "intermediate_size", "intermediate_size_mlp", "moe_intermediate_size", "shared_expert_intermediate_size",
    "vocab_size", "max_position_embeddings", "kv_lora_rank", "q_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim",
    "v_head_dim", "n_routed_experts", "num_experts", "num_local_experts", "num_experts_per_tok", "n_shared_experts",
    "first_k_dense_replace", "moe_layer_freq", "decoder_sparse_step", "interleave_moe_layer_step",
)  # fmt: skip
MAY_BE_ZERO = frozenset({"first_k_dense_replace", "n_shared_experts", "n_routed_experts", "num_experts"})


@dataclass(frozen=True)
class ModelFolder:
    """The facts, the findings, and the files that were read whole."""

    facts: ModelFacts
    findings: list[Finding]
    read: list[Path]


def read_model(folder: Path, label: str) -> ModelFolder:
    """Read a model folder. Raises UnreadableInput: no config.json, not a decoder's, or a broken copy of the weights."""
    path = folder / CONFIG
    if not path.is_file():
        raise UnreadableInput(f"{label}: has no {CONFIG}; name the folder that the engine loads the model from")
    config = json_object(read_text(path, f"{label}/{CONFIG}"), f"{label}/{CONFIG}")
    weights = read_weights(folder, label)
    facts, findings = model_facts(config, weights, label)
    return ModelFolder(facts, [*weights.findings, *findings], [path, *weights.read])


def model_facts(document: Mapping[str, Any], weights: Weights, label: str) -> tuple[ModelFacts, list[Finding]]:
    """Derive the facts from a parsed config.json and what is known of the weights. Raises UnreadableInput."""
    file = f"{label}/{CONFIG}"
    config = _decoder(document, file)
    found: list[Finding] = []
    stored, quantization = _dtype(document, config, weights)
    dtype = stored or "bfloat16"
    if stored is None:
        found.append(
            Finding(
                severity="warning",
                code="model-dtype-unknown",
                seen="config.json names no torch_dtype",
                where=file,
                means="bfloat16 is assumed for the KV cache; the bytes of the weights do not tell their number",
                remedy="add torch_dtype to config.json, as the engine is started with --dtype",
            )
        )
    try:
        counted = parameters.count(config)
    except KeyError as error:
        raise UnreadableInput(
            f"{file}: {error.args[0]} is missing, model_type {config['model_type']!r} needs it"
        ) from error
    total = _total_parameters(counted, weights, None if quantization else stored, file)
    mixture = parameters.experts(config)
    heads = config["num_attention_heads"]
    facts = ModelFacts(
        path=label,
        architecture=_architecture(document, config),
        parameters=total,
        active_parameters=_active_parameters(counted, total, mixture, file),
        weight_bytes=_weight_bytes(weights, total, dtype),
        dtype=dtype,
        quantization=quantization,
        attention=_attention(config),
        layers=config["num_hidden_layers"],
        hidden_size=config["hidden_size"],
        attention_heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=_head_dim(config),
        kv_lora_rank=config.get("kv_lora_rank"),
        qk_rope_head_dim=config.get("qk_rope_head_dim"),
        experts_total=mixture.total if mixture else None,
        experts_active=mixture.active if mixture else None,
        context_tokens=config["max_position_embeddings"],
        vocabulary=config["vocab_size"],
    )
    found.extend(_weights_against_config(counted, facts, weights, file))
    return facts, found


def _decoder(document: Mapping[str, Any], file: str) -> dict[str, Any]:
    """The language model's part of a configuration, its dimensions checked to be whole, positive numbers."""
    text = document.get("text_config")
    merged = {**document, **(text if isinstance(text, dict) else {})}
    config = {key: value for key, value in merged.items() if value is not None}
    if not isinstance(config.get("model_type"), str):
        raise UnreadableInput(f"{file}: is not the config.json of a transformers model: model_type is missing")
    for key in (key for key in DIMENSIONS if key in config):
        value, least = config[key], 0 if key in MAY_BE_ZERO else 1
        if not (type(value) is int and least <= value <= LARGEST_DIMENSION):
            raise UnreadableInput(f"{file}: {key} is {repr(value)[:40]}; expected a whole number from {least}")
    for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "max_position_embeddings"):
        if key not in config:
            raise UnreadableInput(f"{file}: is not the config.json of a decoder language model: {key} is missing")
    if config["num_attention_heads"] > config["hidden_size"]:
        raise UnreadableInput(f"{file}: num_attention_heads is {config['num_attention_heads']}, more than hidden_size")
    if config["num_hidden_layers"] > 10_000:
        raise UnreadableInput(f"{file}: num_hidden_layers is {config['num_hidden_layers']}; expected at most 10000")
    dense = config.get("mlp_only_layers")
    if dense is not None and not (isinstance(dense, list) and all(type(number) is int for number in dense)):
        raise UnreadableInput(f"{file}: mlp_only_layers is {repr(dense)[:40]}; expected a list of layer numbers")
    return config


def _architecture(document: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    named = document.get("architectures")
    return str(named[0]) if isinstance(named, list) and named else str(config["model_type"])


def _attention(config: Mapping[str, Any]) -> Literal["MHA", "GQA", "MQA", "MLA"]:
    if config.get("kv_lora_rank"):
        return "MLA"
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    return "MHA" if kv_heads == heads else "MQA" if kv_heads == 1 else "GQA"


def _head_dim(config: Mapping[str, Any]) -> int:
    """The width of a key. Qwen-1 calls it kv_channels; with latent attention it is nope and rope together."""
    if config.get("kv_lora_rank") and config.get("qk_nope_head_dim"):
        return int(config["qk_nope_head_dim"] + (config.get("qk_rope_head_dim") or 0))
    named = config.get("head_dim") or config.get("kv_channels")
    return int(named or config["hidden_size"] // config["num_attention_heads"])


def _dtype(document: Mapping[str, Any], config: Mapping[str, Any], weights: Weights) -> tuple[str | None, str | None]:
    """How the weights are stored, None where nothing says it; and the quantisation method."""
    quantization = config.get("quantization_config") or document.get("quantization_config")
    if isinstance(quantization, dict) and quantization:
        method = str(quantization.get("quant_method", "unknown"))
        return _quantized_dtype(method, quantization), method
    named = config.get("torch_dtype") or config.get("dtype")
    if isinstance(named, str) and named.removeprefix("torch.") in STORED_BYTES:
        return named.removeprefix("torch."), None
    stored = {HEADER_DTYPES[dtype] for dtype in weights.dtypes if dtype in HEADER_DTYPES}
    return (stored.pop() if len(stored) == 1 else None), None


def _quantized_dtype(method: str, quantization: Mapping[str, Any]) -> str:
    """The stored type by method, as transformers and vLLM name the methods; the method itself where it is not known."""
    if method in ("fp8", "fbgemm_fp8", "mxfp4"):
        return "mxfp4" if method == "mxfp4" else "fp8"
    if method in ("awq", "gptq", "gptq_marlin", "awq_marlin"):
        return {"4": "int4", "8": "int8"}.get(str(quantization.get("bits", 4)), method)
    if method == "bitsandbytes":
        return "int4" if quantization.get("load_in_4bit") else "int8"
    if method == "modelopt":
        return {"FP8": "fp8", "NVFP4": "nvfp4"}.get(str(quantization.get("quant_algo")), method)
    if method == "compressed-tensors":
        groups = quantization.get("config_groups")
        schemes = groups.values() if isinstance(groups, dict) else ()
        kinds = {
            f"{part.get('type')} {part.get('num_bits')}"
            for scheme in schemes
            if isinstance(scheme, dict) and isinstance(part := scheme.get("weights"), dict)
        }
        named = {"float 8": "fp8", "int 8": "int8", "int 4": "int4", "float 4": "nvfp4"}
        return named.get(kinds.pop(), method) if len(kinds) == 1 else method
    return method


def _total_parameters(counted: parameters.Count | None, weights: Weights, stored: str | None, file: str) -> Figure:
    """Counted in the headers, or bytes over the size of the one type `stored`, or computed from the dimensions."""
    if weights.parameters is not None and stored is not None:
        return measured(weights.parameters, "parameters", weights.source)
    if weights.total_bytes is not None and stored is not None:
        size = STORED_BYTES[stored]
        return measured(round(weights.total_bytes / size), "parameters", f"{weights.source} / {size:g} bytes")
    if counted is not None:
        return assumed(counted.total, "parameters", f"computed from the dimensions in {file}")
    return unknown("parameters", f"{file}: the layers of this model type are not known")


def _active_parameters(
    counted: parameters.Count | None, total: Figure, mixture: parameters.Experts | None, file: str
) -> Figure:
    if mixture is None:
        return total
    if counted is not None:
        return assumed(
            counted.active, "parameters", f"computed from {file}: {mixture.active} of {mixture.total} experts per token"
        )
    return unknown("parameters", f"{file}: the layers of this model type are not known")


def _weight_bytes(weights: Weights, total: Figure, dtype: str) -> Figure:
    if weights.total_bytes is not None:
        return measured(weights.total_bytes, "bytes", weights.source)
    if total.value is not None and dtype in STORED_BYTES:
        size = STORED_BYTES[dtype]
        return assumed(round(total.value * size), "bytes", f"{total.source}, at {size:g} bytes ({dtype})")
    return unknown("bytes", weights.source)


def _weights_against_config(
    counted: parameters.Count | None, facts: ModelFacts, weights: Weights, file: str
) -> list[Finding]:
    total = facts.parameters
    if counted is None or total.basis != "measured" or total.value is None:
        return []
    if abs(total.value - counted.total) <= 0.05 * counted.total:
        return []
    return [
        Finding(
            severity="warning",
            code="weights-do-not-match-config",
            seen=f"{total.value:.4g} parameters by {weights.source}, {counted.total:.4g} by the dimensions",
            where=file,
            means="config.json is of another model, or the weights are of another type or hold more than a decoder",
            remedy="compare the folder with where the model came from",
        )
    ]
