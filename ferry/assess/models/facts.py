"""Puts a model's configuration and what is known of its weights together: what sizing needs, each with its basis.

What was counted from the weights is measured; what was computed from the dimensions is assumed. A quantised model says
`torch_dtype: bfloat16` all the same: `quantization_config` wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.artefacts import Figure, Finding, ModelFacts, assumed, measured, unknown
from ferry.assess.models import attention, parameters, safetensors
from ferry.assess.models.config import decoder, line_of
from ferry.assess.models.quantization import GROUP_OVERHEAD_BYTES, STORED_BYTES, Storage, bits, storage
from ferry.assess.models.weights import INDEX, Weights
from ferry.errors import UnreadableInput

HEADER_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
UNQUANTISED_BYTES = 2
"""Embeddings and the output head stay in 16 bit in every method that Ferry knows (`modules_to_not_convert`)."""


def model_facts(
    document: Mapping[str, Any],
    weights: Weights,
    label: str,
    *,
    file: str | None = None,
    text: str = "",
    beside: Mapping[str, Any] | None = None,
) -> tuple[ModelFacts, list[Finding]]:
    """Derive the facts from a parsed config.json and what is known of the weights.

    `file` is the configuration's name and `text` what it holds, for findings with lines; `beside` is
    hf_quant_config.json. Raises UnreadableInput.
    """
    file = file or f"{label}/config.json"
    read = decoder(document, file)
    config = read.config
    try:
        counted = parameters.count(config)
    except KeyError as error:
        raise UnreadableInput(
            f"{file}: {error.args[0]} is missing, model_type {config['model_type'][:40]!r} needs it"
        ) from error
    stored = storage(document, config, beside)
    named = stored.dtype
    if named is None:
        stored = Storage(_seen_dtype(weights, counted), None)
    dtype = stored.dtype or "bfloat16"
    total = _total_parameters(counted, weights, stored, config, file)
    mixture = parameters.experts(config)
    window = attention.window(config)
    heads = config["num_attention_heads"]
    facts = ModelFacts(
        path=label,
        architecture=_architecture(document, config),
        parameters=total,
        active_parameters=_active_parameters(counted, total, mixture, file),
        weight_bytes=_weight_bytes(weights, counted, total, stored, dtype, file),
        dtype=dtype,
        quantization=stored.method,
        attention=attention.kind(config),
        layers=config["num_hidden_layers"],
        hidden_size=config["hidden_size"],
        attention_heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=attention.head_dim(config),
        kv_lora_rank=config.get("kv_lora_rank"),
        qk_rope_head_dim=config.get("qk_rope_head_dim"),
        experts_total=mixture.total if mixture else None,
        experts_active=mixture.active if mixture else None,
        context_tokens=attention.context(config),
        vocabulary=config["vocab_size"],
        sliding_window_tokens=window.tokens if window else None,
        sliding_window_layers=window.layers if window else None,
    )
    found = _about_dtype(named, stored, file)
    if window is not None and window.layers is None:
        found.append(attention.window_unknown(window.tokens, f"{file}{line_of(text, 'sliding_window')}"))
    found += _about_layers(config, counted, file, text)
    found += _about_left_out(read.left_out, config, file)
    found += _about_towers(document, weights, file, text)
    if not (_towers(document) and counted is not None and (total.value or 0) > counted.total):
        found += _weights_against_config(counted, facts, weights, file)
    return facts, found


def _architecture(document: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    named = document.get("architectures") or config.get("architectures")
    name = str(named[0]) if isinstance(named, list) and named else str(config["model_type"])
    return name[:80] if name.isprintable() else repr(name)[:80]


def _seen_dtype(weights: Weights, counted: parameters.Count | None) -> str | None:
    """Where nothing names a type: that of the headers, or the 16 or 32 bit that bytes over parameters tell."""
    if weights.tensors is not None:
        kinds = {HEADER_DTYPES.get(dtype) for dtype, _ in weights.tensors.values()}
        return kinds.pop() if len(kinds) == 1 else None
    if weights.total_bytes is None or weights.rounded or counted is None:
        return None
    each = weights.total_bytes / counted.total
    return "bfloat16" if abs(each - 2) < 0.02 else "float32" if abs(each - 4) < 0.04 else None


def _total_parameters(
    counted: parameters.Count | None, weights: Weights, stored: Storage, config: Mapping[str, Any], file: str
) -> Figure:
    """Counted in the headers, or bytes over the size of the one type `stored`, or computed from the dimensions."""
    packed = bits(stored.dtype) if stored.method is not None else None
    if weights.tensors is not None and stored.dtype in STORED_BYTES:
        layers = config["num_hidden_layers"] if config.get("num_nextn_predict_layers") else None
        return measured(safetensors.count(weights.tensors, layers, packed), "parameters", weights.source)
    exact = weights.total_bytes is not None and not weights.rounded
    if weights.total_bytes is not None and exact and stored.method is None and stored.dtype is not None:
        size = STORED_BYTES[stored.dtype]
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


def _weight_bytes(
    weights: Weights, counted: parameters.Count | None, total: Figure, stored: Storage, dtype: str, file: str
) -> Figure:
    if weights.total_bytes is not None:
        return measured(weights.total_bytes, "bytes", weights.source)
    if total.value is None or dtype not in STORED_BYTES:
        return unknown("bytes", weights.source)
    size = STORED_BYTES[dtype]
    if stored.method is None or counted is None:
        return assumed(round(total.value * size), "bytes", f"{total.source}, at {size:g} bytes ({dtype})")
    # MXFP4 of gpt-oss is of the experts alone; the other methods leave the embeddings and the output head out.
    kept = counted.total - counted.experts if dtype == "mxfp4" and counted.experts else counted.embeddings
    if dtype.startswith("int") and dtype != "int8":
        size += GROUP_OVERHEAD_BYTES
    value = round((counted.total - kept) * size + kept * UNQUANTISED_BYTES)
    return assumed(
        value,
        "bytes",
        f"computed from the dimensions in {file}: {dtype} at {size:g} bytes, {kept / 1e9:.3g}e9 parameters in 16 bit",
    )


def _about_dtype(named: str | None, stored: Storage, file: str) -> list[Finding]:
    if named is not None:
        return []
    if stored.dtype is not None:
        means = f"the weights' bytes say {8 * STORED_BYTES[stored.dtype]:g} bits a parameter; {stored.dtype} is assumed"
    else:
        means = "bfloat16 is assumed for the KV cache; the bytes of the weights do not tell their number"
    return [
        Finding(
            severity="warning" if stored.dtype is None else "info",
            code="model-dtype-unknown",
            seen="config.json names no torch_dtype",
            where=file,
            means=means,
            remedy="add torch_dtype to config.json, as the engine is started with --dtype",
        )
    ]


def _about_layers(config: Mapping[str, Any], counted: parameters.Count | None, file: str, text: str) -> list[Finding]:
    found = []
    without, key = attention.layers_without_cache(config)
    if without:
        found.append(
            Finding(
                severity="warning",
                code="layers-without-kv-cache",
                seen=f"{without} of {config['num_hidden_layers']} layers keep no KV cache, "
                "but a state of fixed size or none",
                where=f"{file}{line_of(text, key)}",
                means="the KV cache is sized as if every layer had one: too large rather than too small",
                remedy="the engine's log at its start says the blocks of KV cache that it really has",
            )
        )
    if counted is not None and counted.prediction:
        found.append(
            Finding(
                severity="info",
                code="model-predicts-tokens",
                seen=f"num_nextn_predict_layers {config['num_nextn_predict_layers']}: "
                f"{counted.prediction / 1e9:.3g}e9 parameters beside the decoder's",
                where=f"{file}{line_of(text, 'num_nextn_predict_layers')}",
                means="a copy of the folder has them, an engine loads them for speculative decoding only; they are not "
                "in the parameters, nor in the bytes where these were computed",
                remedy="count them when the disk and, with multi-token prediction, the memory are planned",
            )
        )
    return found


def _towers(document: Mapping[str, Any]) -> list[str]:
    return [key for key in ("vision_config", "audio_config", "visual") if isinstance(document.get(key), dict)]


def _about_towers(document: Mapping[str, Any], weights: Weights, file: str, text: str) -> list[Finding]:
    """Where the sizes are computed, what is beside the decoder is missing in them."""
    towers = _towers(document)
    of_more = str(document.get("architectures")).count("ForConditionalGeneration")
    if weights.total_bytes is not None or not (towers or of_more):
        return []
    return [
        Finding(
            severity="info",
            code="model-has-parts-beside",
            seen=", ".join(towers) or "an architecture ForConditionalGeneration",
            where=f"{file}{line_of(text, towers[0] if towers else 'architectures')}",
            means="parameters and bytes are those of the language model; a vision or audio tower adds to both",
            remedy=f"put {INDEX} beside it: it says the bytes of all",
        )
    ]


def _about_left_out(left_out: tuple[str, ...], config: Mapping[str, Any], file: str) -> list[Finding]:
    if not left_out:
        return []
    return [
        Finding(
            severity="info",
            code="config-leaves-defaults-out",
            seen=", ".join(f"{name} {config[name]}" for name in left_out),
            where=file,
            means=f"the file does not state them: they are the defaults of {config['model_type'][:40]}'s class",
            remedy="to be sure: transformers.AutoConfig.from_pretrained(folder).to_dict()",
        )
    ]


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
