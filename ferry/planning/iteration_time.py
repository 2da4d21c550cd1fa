"""What an iteration of an engine takes, from hardware figures alone: where a calibration starts, or all there is.

The roofline's times are those of whole prompts and steps, host and all; here they are split into the parts of which
the simulation composes any batch. What is fixed and what of the bandwidth is reached was measured in 2023 by gpt-fast
(github.com/pytorch-labs/gpt-fast, README), whose compiled steps leave the host out as engines' CUDA graphs do.
"""

from __future__ import annotations

from ferry.planning.memory import kv_bytes_per_token_per_accelerator
from ferry.planning.roofline import (
    PCIE_LATENCY_S,
    PREFILL_EFFICIENCY,
    Roofline,
    active_parameters,
    weight_bytes_read,
)
from ferry.simulation.iteration_time import IterationTime

MEMORY_EFFICIENCY = 0.83
"""gpt-fast states 1700 GB/s as the most that it can read of an A100-80GB's 2039."""
FIXED_S_PER_LAYER = 53e-6
"""Llama-2-7B in bfloat16 on one of these: 104.9 tokens/s, so 9.53 ms, of which 13.3 GB at 1700 GB/s are 7.83 ms."""
NVLINK_ALL_REDUCE_S = 8e-6
"""Llama-2-70B on 2, 4 and 8 of these: 21.3, 38.0 and 62.5 tokens/s; what that leaves is 66-75 us a layer, and two
all-reduces are the 13-22 us more. vLLM, too, has a kernel of its own for small all-reduces over NVLink."""
MATRIX_EFFICIENCY = 0.58
"""Share of dense FLOPs that a further token of a prompt reaches, from 512 to 2048 tokens, Llama2-70B over two
accelerators: 0.69 on A100 and 0.48 on H100 (splitwise-sim's measurements); the middle."""
SAMPLING_PASSES = 4
"""How often a token's logits in 32 bit are read or written while it is sampled: assumed."""


def iteration_time(roofline: Roofline, batch: float) -> IterationTime:
    """Coefficients for one replica. `batch` is the usual number of sequences: with experts, it decides how many of
    their weights a step reads.
    """
    model, width = roofline.model, roofline.tensor_parallel
    bandwidth = roofline.instance.accelerator.memory_bandwidth_gb_s * 1e9 * MEMORY_EFFICIENCY
    flops = roofline.flops() * MATRIX_EFFICIENCY / PREFILL_EFFICIENCY * width
    all_reduce = NVLINK_ALL_REDUCE_S if roofline.has_nvlink() else PCIE_LATENCY_S
    fixed = model.layers * (FIXED_S_PER_LAYER + (2 * all_reduce if width > 1 else 0.0))
    return IterationTime(
        fixed=fixed,
        weights=weight_bytes_read(model, batch) / width / bandwidth,
        per_token=2 * active_parameters(model) / flops + roofline.all_reduce_transfer_seconds(1),
        per_sequence=model.vocabulary * 4 * SAMPLING_PASSES / bandwidth,
        per_cached_token=kv_bytes_per_token_per_accelerator(model, width) / bandwidth,
        per_attention_pair=4 * model.layers * model.attention_heads * model.head_dim / flops,
    )
