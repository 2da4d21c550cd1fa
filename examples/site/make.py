"""Writes the measurements of the example site. All of them are synthetic; the statistics stand in the constants below.

    python examples/site/make.py

The same seed gives the same bytes, so a test can hold the committed files against this script.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).parent
SEED = 20261014

# The hour of requests: a base rate, and one burst of 20 minutes around minute 35 (the shift change at the help desk).
TRACE_START = datetime(2026, 10, 14, 9, 0, 0, tzinfo=UTC)
TRACE_SECONDS = 3600
BASE_RPS = 0.9
BURST_RPS = 1.6
BURST_AT_S, BURST_SIGMA_S = 2100, 480
PROMPT_TOKENS = (420, 0.9, 8, 6000)  # log-normal: median, sigma, then the limits it is cut to
ANSWER_TOKENS = (150, 0.7, 1, 1024)

# The engine's histograms over a week, log-normal in seconds: median, sigma.
REQUESTS_OF_WEEK = 412_000
TTFT_S = (0.085, 0.75)
TPOT_S = (0.0125, 0.22)
LATENCY_S = (2.0, 0.75)
MEAN_PROMPT_TOKENS, MEAN_ANSWER_TOKENS = 623, 191

NODES, GPUS = ("gpu-node-1", "gpu-node-2"), 8
GPU_NAME = "NVIDIA A100-SXM4-80GB"

# The shape of a 7.6-billion-parameter Qwen2: the size that fits one 24 GB card in bfloat16.
HIDDEN, INNER, VOCABULARY, LAYERS, HEADS, KV_HEADS = 3584, 18944, 152064, 28, 28, 4
CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "hidden_act": "silu",
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "max_position_embeddings": 32768,
    "model_type": "qwen2",
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "num_key_value_heads": KV_HEADS,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": VOCABULARY,
}
SHARD_BYTES = 4_000_000_000


def files() -> dict[str, str]:
    """Every generated file by its path under this folder."""
    return {
        "trace.csv": trace(),
        "metrics.txt": metrics(),
        "nccl_all_reduce_2x8.log": nccl_log(),
        **{f"{node}_nvidia_smi.csv": nvidia_smi(node) for node in NODES},
        **{f"model/{name}": text for name, text in model().items()},
    }


def trace() -> str:
    """Arrivals of a Poisson process whose rate changes (thinning), and token counts by log-normal draws."""
    draw = random.Random(SEED)
    highest = BASE_RPS + BURST_RPS
    lines = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    second = 0.0
    while True:
        second += draw.expovariate(highest)
        if second >= TRACE_SECONDS:
            return "\n".join(lines) + "\n"
        rate = BASE_RPS + BURST_RPS * math.exp(-0.5 * ((second - BURST_AT_S) / BURST_SIGMA_S) ** 2)
        if draw.random() * highest < rate:
            moment = (TRACE_START + timedelta(seconds=second)).strftime("%Y-%m-%d %H:%M:%S.%f")
            lines.append(f"{moment}0,{_tokens(draw, PROMPT_TOKENS)},{_tokens(draw, ANSWER_TOKENS)}")


def _tokens(draw: random.Random, spread: tuple[float, float, int, int]) -> int:
    median, sigma, least, most = spread
    return min(max(round(draw.lognormvariate(math.log(median), sigma)), least), most)


def metrics() -> str:
    """A vLLM /metrics page with the names and buckets of its V1 engine."""
    label = 'engine="0",model_name="assistant"'
    lines: list[str] = []

    def single(name: str, kind: str, help_: str, value: float) -> None:
        lines.extend((f"# HELP {name} {help_}", f"# TYPE {name} {kind}", f"{name}{{{label}}} {float(value)!r}"))

    def histogram(name: str, help_: str, bounds: list[float], count: int, spread: tuple[float, float]) -> None:
        median, sigma = spread
        lines.extend((f"# HELP {name} {help_}", f"# TYPE {name} histogram"))
        for bound in bounds:
            below = round(count * 0.5 * math.erfc(-math.log(bound / median) / (sigma * math.sqrt(2))))
            lines.append(f'{name}_bucket{{{label},le="{bound!r}"}} {float(below)!r}')
        lines.append(f'{name}_bucket{{{label},le="+Inf"}} {float(count)!r}')
        lines.append(f"{name}_count{{{label}}} {float(count)!r}")
        lines.append(f"{name}_sum{{{label}}} {round(count * median * math.exp(sigma**2 / 2), 3)!r}")

    single("vllm:num_requests_running", "gauge", "Number of requests in model execution batches.", 4)
    single("vllm:num_requests_waiting", "gauge", "Number of requests waiting to be processed.", 0)
    single("vllm:kv_cache_usage_perc", "gauge", "KV-cache usage. 1 means 100 percent usage.", 0.0041)
    n = REQUESTS_OF_WEEK
    single("vllm:prompt_tokens_total", "counter", "Number of prefill tokens processed.", n * MEAN_PROMPT_TOKENS)
    single("vllm:generation_tokens_total", "counter", "Number of generation tokens.", n * MEAN_ANSWER_TOKENS)
    ttft = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0]
    tpot = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0]
    whole = [0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0]
    histogram(
        "vllm:time_to_first_token_seconds", "Histogram of time to first token in seconds.",
        [*ttft, 80.0, 160.0, 640.0, 2560.0], n, TTFT_S,
    )  # fmt: skip
    histogram(
        "vllm:request_time_per_output_token_seconds", "Histogram of time_per_output_token_seconds per request.",
        tpot, n, TPOT_S,
    )  # fmt: skip
    histogram(
        "vllm:e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.",
        [*whole, 960.0, 1920.0, 7680.0], n, LATENCY_S,
    )  # fmt: skip
    return "\n".join(lines) + "\n"


def nccl_log() -> str:
    """all_reduce_perf on 2 × 8 GPUs: a start-up time and a bandwidth that grows with the message."""
    lines = [
        "# nThread 1 nGpus 1 minBytes 8 maxBytes 8589934592 step: 2(factor) warmup iters: 5 iters: 20 agg iters: 1 "
        "validation: 1 graph: 0",
        "#",
        "# Using devices",
    ]
    for rank in range(GPUS * len(NODES)):
        node, device = divmod(rank, GPUS)
        lines.append(
            f"#  Rank {rank:2d} Group  0 Pid {41000 + rank:6d} on {NODES[node]} device {device:2d} "
            f"[0x{(0x07, 0x0A, 0x47, 0x4D, 0x87, 0x8D, 0xC7, 0xCA)[device]:02x}] {GPU_NAME}"
        )
    lines += [
        "#",
        "#                                                              out-of-place                       in-place",
        "#       size         count      type   redop    root     time   algbw   busbw #wrong     time   algbw   busbw "
        "#wrong",
        "#        (B)    (elements)                               (us)  (GB/s)  (GB/s)            (us)  (GB/s)  (GB/s)",
    ]
    draw = random.Random(SEED)
    ranks = GPUS * len(NODES)
    bandwidths: list[float] = []
    for power in range(3, 34):
        size = 2**power
        columns = []
        for _ in ("out of place", "in place"):
            busbw = 186e9 * size / (size + 24e6)
            seconds = (38e-6 + size * 2 * (ranks - 1) / ranks / busbw) * draw.uniform(0.99, 1.01)
            algbw = size / seconds / 1e9
            bandwidths.append(round(algbw * 2 * (ranks - 1) / ranks, 2))
            columns.append(f"{_microseconds(seconds)}  {algbw:6.2f}  {bandwidths[-1]:6.2f}      0")
        lines.append(f"{size:12d}  {size // 4:12d}     float     sum      -1  {'  '.join(columns)}")
    mean = sum(bandwidths) / len(bandwidths)
    return "\n".join([*lines, "# Out of bounds values : 0 OK", f"# Avg bus bandwidth    : {mean:.6g} ", "#"]) + "\n"


def _microseconds(seconds: float) -> str:
    value = seconds * 1e6
    return f"{value:7.0f}" if value >= 10000 else f"{value:7.1f}" if value >= 100 else f"{value:7.2f}"


def nvidia_smi(node: str) -> str:
    """Seven samples of an hour. One GPU of the first node serves; the second node trains in two of the seven."""
    draw = random.Random(f"{SEED} {node}")
    lines = [
        "timestamp, index, name, uuid, driver_version, utilization.gpu [%], memory.used [MiB], memory.total [MiB]",
    ]
    for sample in range(7):
        moment = (TRACE_START + timedelta(minutes=10 * sample)).strftime("%Y/%m/%d %H:%M:%S.%f")[:-3]
        for index in range(GPUS):
            use, used = 0, 4
            if node == NODES[0] and index == 0:
                use, used = draw.randint(24, 43), 73412
            elif node == NODES[1] and sample in (2, 3):
                use, used = draw.randint(94, 100), 68850
            name = f"{GPU_NAME}, GPU-{uuid.uuid5(uuid.NAMESPACE_DNS, f'{node}-{index}')}"
            lines.append(f"{moment}, {index}, {name}, 550.127.05, {use} %, {used} MiB, 81920 MiB")
    return "\n".join(lines) + "\n"


def model() -> dict[str, str]:
    """The model folder as git knows it: configuration, index, and a pointer for each shard."""
    shards: list[dict[str, list[int]]] = [{}]
    total = room = 0
    for name, shape in _tensors():
        size = 2 * math.prod(shape)
        if room + size > SHARD_BYTES and shards[-1]:
            shards.append({})
            room = 0
        shards[-1][name] = shape
        room, total = room + size, total + size
    names = [f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)]
    weight_map = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
    pointers = {name: _pointer(name, shard) for name, shard in zip(names, shards, strict=True)}
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    return {
        "config.json": json.dumps(CONFIG, indent=2) + "\n",
        "model.safetensors.index.json": json.dumps(index, indent=2) + "\n",
        **pointers,
    }


def _tensors() -> Iterator[tuple[str, list[int]]]:
    keys = HIDDEN // HEADS * KV_HEADS
    yield "model.embed_tokens.weight", [VOCABULARY, HIDDEN]
    for number in range(LAYERS):
        layer = f"model.layers.{number}"
        for part, rows in (("q", HIDDEN), ("k", keys), ("v", keys)):
            yield f"{layer}.self_attn.{part}_proj.weight", [rows, HIDDEN]
            yield f"{layer}.self_attn.{part}_proj.bias", [rows]
        yield f"{layer}.self_attn.o_proj.weight", [HIDDEN, HIDDEN]
        yield f"{layer}.mlp.gate_proj.weight", [INNER, HIDDEN]
        yield f"{layer}.mlp.up_proj.weight", [INNER, HIDDEN]
        yield f"{layer}.mlp.down_proj.weight", [HIDDEN, INNER]
        yield f"{layer}.input_layernorm.weight", [HIDDEN]
        yield f"{layer}.post_attention_layernorm.weight", [HIDDEN]
    yield "model.norm.weight", [HIDDEN]
    yield "lm_head.weight", [VOCABULARY, HIDDEN]


def _pointer(name: str, shard: dict[str, list[int]]) -> str:
    """A git-lfs pointer with the size that the shard would have: 8 bytes, the header, the tensors."""
    header, offset = {}, 0
    for tensor, shape in shard.items():
        end = offset + 2 * math.prod(shape)
        header[tensor] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    size = 8 + len(json.dumps(header, separators=(",", ":"))) + offset
    oid = hashlib.sha256(f"synthetic {name}".encode()).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n"


if __name__ == "__main__":
    for path, text in files().items():
        (HERE / path).parent.mkdir(exist_ok=True)
        (HERE / path).write_text(text, encoding="utf-8")
