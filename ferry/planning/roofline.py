"""How fast one instance serves, from what its accelerators can do at best times what engines reach of it.

A roofline (Williams et al., CACM 2009): prefill is bound by arithmetic, decoding by memory traffic, and splitting over
accelerators adds two all-reduces a layer (Shoeybi et al., arXiv 1909.08053). Times are in seconds. It gives means at a
steady load; queues, bursts and the tail are left to a simulation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ferry.artefacts import ModelFacts
from ferry.catalog.instance_types import InstanceType
from ferry.planning.engines import in_fp8
from ferry.planning.memory import CACHE_BYTES, kv_bytes_per_token_per_accelerator, weight_bytes

# Shares of the datasheet that engines reach. Llama2-70B on two A100 and two H100 (splitwise-sim's measurements, ISCA
# 2024): prefill 0.54-0.66 and 0.43-0.48, decoding 0.49-0.63 and 0.41-0.56 over batch 1-32. The lower halves are taken.
PREFILL_EFFICIENCY = 0.45
DECODE_EFFICIENCY = 0.5
# FP8 doubles the peak but not the time outside of matrix products; vLLM states up to 1.6 x for FP8 over 16 bit
# (docs.vllm.ai, FP8 W8A8), which is 0.8 of the doubled peak.
FP8_EFFICIENCY = 0.8 * PREFILL_EFFICIENCY

# A small all-reduce takes 35 us in nccl-tests on eight A100 (SuperBench's published run); over PCIe twice is assumed.
NVLINK_LATENCY_S = 35e-6
PCIE_LATENCY_S = 70e-6
# nccl-tests' bus bandwidth on eight A100 is 230 of 300 GB/s a direction; over PCIe without peer access half is assumed.
NVLINK_EFFICIENCY = 0.75
PCIE_EFFICIENCY = 0.5
NVLINK_FROM_GB_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Lengths of the requests: mean and 99th percentile of input, mean and 99th percentile of output."""

    input_mean: float
    input_p99: float
    output_mean: float
    output_p99: float


@dataclass(frozen=True)
class Roofline:
    """One replica of a model over `tensor_parallel` accelerators of an instance."""

    model: ModelFacts
    instance: InstanceType
    tensor_parallel: int
    tokens: Tokens

    def prefill_seconds(self, tokens: float) -> float:
        """Time to process a prompt: 2 FLOPs a parameter and token, plus causal attention over the prompt."""
        model = self.model
        attention = 2 * model.layers * model.attention_heads * model.head_dim * tokens**2
        operations = 2 * active_parameters(model) * tokens + attention
        return operations / (self.flops() * self.tensor_parallel) + self._all_reduce_seconds(tokens)

    def decode_seconds(self, batch: float) -> float:
        """Time of one step that gives each of `batch` sequences a token: weights and caches are read once."""
        context = self.tokens.input_mean + self.tokens.output_mean / 2
        cache = batch * context * kv_bytes_per_token_per_accelerator(self.model, self.tensor_parallel)
        weights = weight_bytes_read(self.model, batch) / self.tensor_parallel
        bandwidth = self.instance.accelerator.memory_bandwidth_gb_s * 1e9 * DECODE_EFFICIENCY
        return (weights + cache) / bandwidth + self._all_reduce_seconds(batch)

    def tpot_seconds(self, batch: float) -> float:
        """Mean time between two tokens of a sequence while `batch` run and their successors' prompts are processed."""
        share = batch / self.tokens.output_mean
        return self.decode_seconds(batch) + share * self.prefill_seconds(self.tokens.input_mean)

    def requests_per_second(self, batch: float) -> float:
        """Rate at which `batch` sequences run on average: Little's law over the time of a request."""
        return batch / (self.tokens.output_mean * self.tpot_seconds(batch))

    def ttft_p99_seconds(self, rate: float = 0.0) -> float:
        """First token of a prompt of the 99th percentile, at `rate` requests/s; idle, it is the least to be promised.

        Prompts wait for each other as in an M/M/1 queue of prefills, where P(wait > t) = r exp(-(1 - r) t / S) with
        S the mean prefill and r = rate x S; that is on the high side, since prompts vary less than exponentially.
        """
        service = self.prefill_seconds(self.tokens.input_mean)
        busy = rate * service
        wait = service * max(0.0, math.log(100 * busy)) / (1 - busy) if 0 < busy < 1 else 0.0
        return self.prefill_seconds(self.tokens.input_p99) + self.decode_seconds(1) + wait

    def flops(self) -> float:
        """Operations a second that prompts reach on one accelerator."""
        accelerator = self.instance.accelerator
        if in_fp8(self.model) and accelerator.computes_fp8 and accelerator.fp8_dense_tflops:
            return accelerator.fp8_dense_tflops * 1e12 * FP8_EFFICIENCY
        return accelerator.fp16_dense_tflops * 1e12 * PREFILL_EFFICIENCY

    def has_nvlink(self) -> bool:
        """Whether the accelerators are joined by more than PCIe."""
        return self.instance.accelerator.interconnect_gb_s >= NVLINK_FROM_GB_S

    def all_reduce_transfer_seconds(self, tokens: float) -> float:
        """Two all-reduces a layer of tokens x hidden size x 2 B; each moves 2 (n-1)/n of that in one direction."""
        width = self.tensor_parallel
        efficiency = NVLINK_EFFICIENCY if self.has_nvlink() else PCIE_EFFICIENCY
        bandwidth = self.instance.accelerator.interconnect_gb_s / 2 * 1e9 * efficiency
        moved = tokens * self.model.hidden_size * CACHE_BYTES * 2 * (width - 1) / width
        return 2 * self.model.layers * moved / bandwidth

    def _all_reduce_seconds(self, tokens: float) -> float:
        if self.tensor_parallel == 1:
            return 0.0
        latency = NVLINK_LATENCY_S if self.has_nvlink() else PCIE_LATENCY_S
        return 2 * self.model.layers * latency + self.all_reduce_transfer_seconds(tokens)


def batch_limit(
    roofline: Roofline,
    *,
    kv_tokens: int,
    max_sequences: int,
    ttft_slo_s: float | None = None,
    tpot_slo_s: float | None = None,
) -> int:
    """The most sequences at once, at least 1: what the cache holds, the engine's limit, and what was promised."""
    mean = roofline.tokens.input_mean + roofline.tokens.output_mean
    limit = max(1, min(max_sequences, int(kv_tokens // mean)))
    while limit > 1 and not _keeps(roofline, limit, ttft_slo_s, tpot_slo_s):
        limit -= 1
    return limit


def _keeps(roofline: Roofline, batch: int, ttft_slo_s: float | None, tpot_slo_s: float | None) -> bool:
    if tpot_slo_s is not None and roofline.tpot_seconds(batch) > tpot_slo_s:
        return False
    return ttft_slo_s is None or roofline.ttft_p99_seconds(roofline.requests_per_second(batch)) <= ttft_slo_s


def active_parameters(model: ModelFacts) -> float:
    """Parameters that a token passes through; of a dense model all of them."""
    for figure in (model.active_parameters, model.parameters):
        if figure.value is not None:
            return figure.value
    return weight_bytes(model) / 2


def weight_bytes_read(model: ModelFacts, batch: float) -> float:
    """Bytes of weights that a decoding step reads: with experts, those that at least one of the tokens is sent to.

    A token is sent to k of E experts; after b tokens, a share 1 - (1 - k/E)^b of the experts is touched.
    """
    everything = weight_bytes(model)
    total, active = model.parameters.value, model.active_parameters.value
    if not model.experts_total or not model.experts_active or total is None or active is None:
        return everything
    chosen = model.experts_active / model.experts_total
    if chosen >= 1 or active >= total:
        return everything
    routed = (total - active) / (1 - chosen) / total
    touched = 1 - math.pow(1 - chosen, batch)
    return everything * (1 - routed + routed * touched)
