"""How the weights are stored: `quantization_config` and its kin win over torch_dtype, which names the computation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Bytes of a parameter as stored. MXFP4: 4 bits and an 8-bit scale per 32 (OCP MX 1.0); NVFP4: one per 16.
STORED_BYTES = {
    "float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "fp8": 1.0, "int8": 1.0, "mxfp4": 17 / 32, "nvfp4": 9 / 16,
    **{f"int{bits}": bits / 8 for bits in (2, 3, 4, 5, 6)},
}  # fmt: skip
GROUP_OVERHEAD_BYTES = 2.5 / 128
"""GPTQ and AWQ keep a 16-bit scale and a 4-bit zero point for each group of 128 weights."""

SHORT = {"bf16": "bfloat16", "fp16": "float16", "half": "float16", "float": "float32", "fp32": "float32"}
EIGHT_BIT_FLOATS = frozenset({"fp8", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz"})
MODELOPT = {
    "FP8": "fp8", "FP8_PB_WO": "fp8", "FP8_PER_CHANNEL_PER_TOKEN": "fp8", "NVFP4": "nvfp4", "NVFP4_AWQ": "nvfp4",
    "W4A16_AWQ": "int4", "W4A8_AWQ": "int4", "W4A16_GPTQ": "int4", "INT4_AWQ": "int4", "INT8_SQ": "int8",
    "W8A8_SQ_PER_CHANNEL": "int8", "W8A16": "int8", "MXFP4": "mxfp4", "W4A16_MXFP4": "mxfp4",
}  # fmt: skip


@dataclass(frozen=True)
class Storage:
    """The type of most weights (None where nothing says it) and the method that made it (None: not quantised)."""

    dtype: str | None
    method: str | None


def storage(document: Mapping[str, Any], config: Mapping[str, Any], beside: Mapping[str, Any] | None) -> Storage:
    """`document` is config.json, `config` its decoder's part, `beside` the hf_quant_config.json, if there is one."""
    for place in (config, document):
        for key in ("quantization_config", "compression_config", "quantization"):
            part = place.get(key)
            if isinstance(part, dict) and part:
                return _of(part)
    if beside is not None and isinstance(part := beside.get("quantization"), dict) and part.get("quant_algo"):
        return _of({**part, "quant_method": "modelopt"})
    named = config.get("torch_dtype", config.get("dtype"))
    if not isinstance(named, str):
        return Storage(None, None)
    name = named.removeprefix("torch.")
    if name in EIGHT_BIT_FLOATS:
        return Storage("fp8", "fp8")
    name = SHORT.get(name, name)
    return Storage(name if name in STORED_BYTES else None, None)


def bits(dtype: str | None) -> int | None:
    """Bits of a weight that is packed into wider numbers."""
    if dtype in ("mxfp4", "nvfp4"):
        return 4
    return int(dtype[3:]) if dtype is not None and dtype.startswith("int") else None


def _of(part: Mapping[str, Any]) -> Storage:
    """The stored type by method, as transformers and vLLM name the methods; the method itself where it is not known."""
    method = part.get("quant_method")
    if not isinstance(method, str):
        method = "modelopt" if "quant_algo" in part else "unknown"
    return Storage(_stored(method, part), method)


def _stored(method: str, part: Mapping[str, Any]) -> str:
    if method in ("fp8", "fbgemm_fp8", "ptpc_fp8", "finegrained_fp8", "mxfp4"):
        return "mxfp4" if method == "mxfp4" else "fp8"
    if method in ("awq", "gptq", "gptq_marlin", "awq_marlin", "auto-round", "intel/auto-round", "moe_wna16", "hqq"):
        given = part.get("bits", part.get("w_bit", 4))
        return f"int{given}" if str(given) in ("2", "3", "4", "5", "6", "8") else method
    if method == "bitsandbytes":
        four = part.get("load_in_4bit") or part.get("_load_in_4bit")
        eight = part.get("load_in_8bit") or part.get("_load_in_8bit")
        return "int4" if four else "int8" if eight else method
    if method in ("eetq", "experts_int8"):
        return "int8"
    if method == "modelopt" or method.startswith("modelopt_"):
        return MODELOPT.get(str(part.get("quant_algo")).upper(), method)
    if method == "compressed-tensors":
        return _of_groups(part.get("config_groups")) or method
    if method == "quark":
        return _of_quark(part) or method
    return method


def _of_groups(groups: object) -> str | None:
    """compressed-tensors: the type of the weights' schemes, where all groups have the same.

    Of 4-bit floats MXFP4 has a scale per 32 weights, NVFP4 one per 16 (quant_scheme.py of compressed_tensors).
    """
    schemes = groups.values() if isinstance(groups, dict) else ()
    kinds = {
        f"{part.get('type')} {part.get('num_bits')}"
        + (f" {part.get('group_size')}" if (part.get("type"), part.get("num_bits")) == ("float", 4) else "")
        for scheme in schemes
        if isinstance(scheme, dict) and isinstance(part := scheme.get("weights"), dict)
    }
    named = {"float 8": "fp8", "int 8": "int8", "int 4": "int4", "float 4 16": "nvfp4", "float 4 32": "mxfp4"}
    return named.get(kinds.pop()) if len(kinds) == 1 else None


def _of_quark(part: Mapping[str, Any]) -> str | None:
    """AMD Quark: global_quant_config.weight.dtype."""
    whole = part.get("global_quant_config")
    weight = whole.get("weight") if isinstance(whole, dict) else None
    dtype = str(weight.get("dtype")) if isinstance(weight, dict) else ""
    return {"fp8_e4m3": "fp8", "int8": "int8", "int4": "int4", "uint4": "int4", "fp4": "mxfp4"}.get(dtype)
