"""Whether a model fits an instance type: weights, KV cache and the engine's own needs, per accelerator.

All sizes in bytes unless the name says GiB. Only one node per replica is planned; how many nodes a larger model would
need is worked out so that the refusal can say it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ferry.artefacts import ModelFacts
from ferry.catalog.instance_types import InstanceType
from ferry.errors import PlanError
from ferry.planning.copies import quantised
from ferry.planning.engines import Engine, cannot_run, in_fp8

GIB = 1024**3

GPU_MEMORY_UTILIZATION = 0.9
"""Share of an accelerator's memory that the engine takes (`--gpu-memory-utilization`, vLLM's default)."""

# vLLM's own profile of Llama-3-8B (hidden 4096, 8192 tokens a step) on H100 (github.com/vllm-project/vllm/pull/10511):
# 1.26 GiB of activations, 1.79 GiB outside of PyTorch on one GPU and 3.58 GiB on two (CUDA context, NCCL's buffers).
ACTIVATION_FACTOR = 20.2
"""Peak activations over tokens a step x hidden size x 2 bytes: 1.26 GiB / (8192 x 4096 x 2 B)."""
OUTSIDE_TORCH_GIB = 1.8
OUTSIDE_TORCH_PARALLEL_GIB = 3.6

CACHE_BYTES = 2
"""Bytes of one cached number: the engine's `auto` keeps the cache in the model's 16-bit type, also for FP8 weights."""

NODES_WORTH_NAMING = 4

_BYTES_PER_PARAMETER = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "float8_e4m3fn": 1.0}
_BYTES_QUANTIZED = {"fp8": 1.0, "awq": 0.5, "gptq": 0.5}


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A model on one instance. `kv_tokens` is what the cache holds, over all sequences."""

    tensor_parallel: int
    weights_gib: float
    reserve_gib: float
    kv_cache_gib: float
    kv_tokens: int


@dataclass(frozen=True)
class Misfit:
    """Why a model is not placed on an instance type. `nodes` is set when several nodes together would hold it."""

    reason: str
    nodes: int | None = None


def weight_bytes(model: ModelFacts) -> float:
    """Bytes of all weights: from the index, else parameters x bytes of their type. Raises PlanError without either."""
    if model.weight_bytes.value is not None:
        return model.weight_bytes.value
    each = _BYTES_QUANTIZED.get(model.quantization or "", _BYTES_PER_PARAMETER.get(model.dtype))
    if model.parameters.value is None or each is None:
        raise PlanError(
            f"{model.path}: the size of the weights is unknown (no index, {model.dtype} {model.quantization or ''}); "
            "put model.safetensors.index.json beside config.json and assess again"
        )
    return model.parameters.value * each


def kv_bytes_per_token(model: ModelFacts) -> int:
    """Bytes of KV cache that one token takes in the whole model, without replication.

    MHA, GQA, MQA: 2 (key and value) x layers x KV heads x head size x 2 B (Pope et al., arXiv 2211.05102).
    MLA caches one latent for all heads: layers x (kv_lora_rank + qk_rope_head_dim) x 2 B (DeepSeek-V2, arXiv
    2405.04434).
    """
    return kv_bytes_per_token_per_accelerator(model, tensor_parallel=1)


def kv_bytes_per_token_per_accelerator(model: ModelFacts, tensor_parallel: int) -> int:
    """Bytes of KV cache that one token takes on each accelerator.

    KV heads are split; with more accelerators than KV heads they are copied. MLA's latent is on every accelerator.
    """
    if model.attention == "MLA":
        if model.kv_lora_rank is None or model.qk_rope_head_dim is None:
            raise PlanError(f"{model.path}: MLA needs kv_lora_rank and qk_rope_head_dim in config.json")
        return model.layers * (model.kv_lora_rank + model.qk_rope_head_dim) * CACHE_BYTES
    heads = math.ceil(model.kv_heads / tensor_parallel)
    return 2 * model.layers * heads * model.head_dim * CACHE_BYTES


def divides(model: ModelFacts, tensor_parallel: int) -> bool:
    """Whether the engine can split the model so: whole attention heads each, KV heads whole or copied evenly."""
    if model.attention_heads % tensor_parallel:
        return False
    if model.attention == "MLA":
        return True
    return model.kv_heads % tensor_parallel == 0 or tensor_parallel % model.kv_heads == 0


def widest_split(model: ModelFacts, accelerators: int) -> int:
    """The largest tensor parallelism, a power of two, that the instance's accelerators and the model's heads allow."""
    widths = [1 << step for step in range(accelerators.bit_length()) if 1 << step <= accelerators]
    return max(width for width in widths if divides(model, width))


def fit(model: ModelFacts, engine: Engine, instance: InstanceType, max_model_tokens: int) -> Fit | Misfit:
    """Place the model over the instance's accelerators, with cache for at least one sequence of `max_model_tokens`."""
    if unsupported := cannot_run(engine, model, instance.accelerator):
        return Misfit(unsupported)
    width = widest_split(model, instance.accelerators)
    weights = weight_bytes(model) / GIB
    usable = instance.accelerator_memory_gib * GPU_MEMORY_UTILIZATION
    reserve = _reserve_gib(model, instance, width)
    per_token = kv_bytes_per_token_per_accelerator(model, width)
    cache = usable - reserve - weights / width
    tokens = int(cache * GIB // per_token)
    if tokens < max_model_tokens:
        return _too_large(model, instance, width, weights, reserve, max_model_tokens)
    return Fit(
        tensor_parallel=width,
        weights_gib=weights,
        reserve_gib=reserve * width,
        kv_cache_gib=cache * width,
        kv_tokens=tokens,
    )


def _reserve_gib(model: ModelFacts, instance: InstanceType, width: int) -> float:
    """What the engine needs beside weights and cache on one accelerator: activations, CUDA context, NCCL's buffers."""
    activations = ACTIVATION_FACTOR * tokens_per_step(instance) * model.hidden_size * 2 / GIB
    return activations + (OUTSIDE_TORCH_GIB if width == 1 else OUTSIDE_TORCH_PARALLEL_GIB)


def tokens_per_step(instance: InstanceType) -> int:
    """Tokens in an iteration: vLLM's default `max_num_batched_tokens` (engine/arg_utils.py, get_batch_defaults)."""
    large = instance.accelerator_memory_gib >= 70 and not instance.accelerator.name.startswith("A100")
    return 8192 if large else 2048


def _too_large(
    model: ModelFacts, instance: InstanceType, width: int, weights: float, reserve: float, max_model_tokens: int
) -> Misfit:
    per_token = kv_bytes_per_token_per_accelerator(model, width)
    cache = per_token * max_model_tokens / GIB * width
    needed = (weights + reserve * width + cache) / GPU_MEMORY_UTILIZATION
    used = width * instance.accelerator_memory_gib
    idle = (
        f", {instance.accelerators - width} left idle: the heads divide by {width} only"
        if used < (instance.total_accelerator_memory_gib)
        else ""
    )
    reason = (
        f"needs {needed:.0f} GiB (weights {weights:.0f}, engine {reserve * width:.0f}, one sequence of "
        f"{max_model_tokens} tokens {cache:.1f}, at {GPU_MEMORY_UTILIZATION:.0%} use), "
        f"has {used:.0f} ({width} x {instance.accelerator_memory_gib:g}{idle})"
    )
    said = [reason, *_in_four_bits(model, usable=used * GPU_MEMORY_UTILIZATION - reserve * width - cache)]
    if weight_only_fp8(model, instance):
        said.append(f"{instance.accelerator.name} runs FP8 weight-only, where the engine has kernels for the model")
    nodes = _nodes(model, instance, width, weights, reserve, max_model_tokens)
    if nodes is not None:
        said.append(f"fits only over {nodes} nodes, refused until a component exists for that")
    return Misfit("; ".join(said), nodes)


def weight_only_fp8(model: ModelFacts, instance: InstanceType) -> bool:
    """FP8 weights on an accelerator without FP8 arithmetic: it computes in 16 bit (docs.vllm.ai, FP8 W8A8)."""
    return in_fp8(model) and not instance.accelerator.computes_fp8


def _in_four_bits(model: ModelFacts, usable: float) -> list[str]:
    """Says so when a copy in 4 bit would fit."""
    try:
        size = weight_bytes(quantised(model, "awq")) / GIB
    except PlanError:
        return []
    said = f"in 4 bit (about {size:.0f} GiB) it would fit: --quantization awq plans such a copy"
    return [said] if size <= usable else []


def _nodes(
    model: ModelFacts, instance: InstanceType, width: int, weights: float, reserve: float, max_model_tokens: int
) -> int | None:
    """The fewest nodes, in a pipeline of layers over EFA, that hold the model; None when that is no sensible answer."""
    if not instance.efa_interfaces:
        return None
    usable = instance.accelerator_memory_gib * GPU_MEMORY_UTILIZATION - reserve
    cache = kv_bytes_per_token_per_accelerator(model, width) * max_model_tokens / GIB
    for nodes in range(2, NODES_WORTH_NAMING + 1):
        if (weights / width + cache) / nodes <= usable:
            return nodes
    return None
