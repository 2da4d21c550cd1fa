"""One small input of each kind, in the format that its tool prints."""

from __future__ import annotations

import json

HEADING = "index, uuid, name, driver_version, utilization.gpu [%], memory.used [MiB], memory.total [MiB]"


def gpu_csv(node: int, gpus: int = 8, name: str = "NVIDIA H100 80GB HBM3") -> str:
    """`nvidia-smi --query-gpu=… --format=csv` of one server."""
    rows = [
        f"{index}, GPU-{node:08x}-0000-0000-0000-{index:012x}, {name}, 550.90.07, 40 %, 100 MiB, 81559 MiB"
        for index in range(gpus)
    ]
    return "\n".join([HEADING, *rows, ""])


def nccl_log(nodes: int = 2, gpus: int = 8, name: str = "NVIDIA H100 80GB HBM3") -> str:
    """all_reduce_perf on some nodes, with one size."""
    ranks = nodes * gpus
    devices = [
        f"#  Rank {rank:2} Group  0 Pid   {100 + rank} on   node-{rank // gpus} device  {rank % gpus} [0x10] {name}"
        for rank in range(ranks)
    ]
    busbw = 10.00 * 2 * (ranks - 1) / ranks
    row = f"  1000000000     250000000     float     sum      -1   100000   10.00   {busbw:.2f}      0"
    return "\n".join(
        [
            "# nThread 1 nGpus 1 minBytes 1000000000 maxBytes 1000000000 step: 2(factor) warmup iters: 5 iters: 20",
            "# Using devices",
            *devices,
            f"#       size         count      type   redop    root {'    time   algbw   busbw #wrong ' * 2}",
            f"#        (B)    (elements)                           {'    (us)  (GB/s)  (GB/s)        ' * 2}",
            f"{row}   100000   10.00   {busbw:.2f}      0",
            "# Out of bounds values : 0 OK",
            f"# Avg bus bandwidth    : {busbw:.4f}",
            "",
        ]
    )


def vllm_page(model: str = "chat") -> str:
    """A /metrics page of vLLM."""
    labels = f'model_name="{model}"'
    return (
        "# TYPE vllm:num_requests_running gauge\n"
        f"vllm:num_requests_running{{{labels}}} 3.0\n"
        "# TYPE vllm:time_to_first_token_seconds histogram\n"
        f'vllm:time_to_first_token_seconds_bucket{{le="0.1",{labels}}} 50.0\n'
        f'vllm:time_to_first_token_seconds_bucket{{le="+Inf",{labels}}} 100.0\n'
        f"vllm:time_to_first_token_seconds_count{{{labels}}} 100.0\n"
        f"vllm:time_to_first_token_seconds_sum{{{labels}}} 9.0\n"
    )


def sglang_page(model: str = "chat") -> str:
    """A /metrics page of SGLang."""
    return f'# TYPE sglang:num_running_reqs gauge\nsglang:num_running_reqs{{model_name="{model}"}} 3.0\n'


def dcgm_page(host: str = "node-0", gpus: int = 8) -> str:
    """A page of dcgm-exporter."""
    return "# TYPE DCGM_FI_DEV_GPU_UTIL gauge\n" + "".join(
        f'DCGM_FI_DEV_GPU_UTIL{{gpu="{gpu}",UUID="GPU-{host}-{gpu}1",Hostname="{host}",modelName="NVIDIA H100"}} 41\n'
        for gpu in range(gpus)
    )


def config(**changes: object) -> str:
    """The config.json of a small decoder."""
    document: dict[str, object] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 1000,
        "max_position_embeddings": 4096,
        "torch_dtype": "bfloat16",
    }
    return json.dumps(document | changes)


TRACE = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2023-11-16 18:{minute:02}:00.0000000,{100 + minute},{10 + minute}\n" for minute in range(40)
)
MOONCAKE = "".join(
    f'{{"timestamp": {1000 * second}, "input_length": 100, "output_length": 10, "hash_ids": [{second}]}}\n'
    for second in range(20)
)
ACCESS_LOG = "".join(
    f'10.0.0.1 - - [16/Nov/2023:18:00:{second:02} +0000] "POST /v1/chat/completions HTTP/1.1" 200 512 "-" "curl"\n'
    for second in range(20)
)
OLLAMA_LOG = "".join(
    f'[GIN] 2024/11/16 - 18:00:{second:02} | 200 |  1.5s |       127.0.0.1 | POST     "/api/chat"\n'
    for second in range(20)
)
COMPOSE = """\
services:
  llm:
    image: vllm/vllm-openai:v0.8.5
    command: --model /models/Llama-Small --served-model-name chat --tensor-parallel-size 8
    ports: ["8000:8000"]
"""
UNIT = """\
[Unit]
Description=engine
[Service]
ExecStart=/opt/venv/bin/vllm serve /models/Llama-Small --served-model-name chat --port 8000
"""
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: llm}
spec:
  replicas: 2
  template:
    spec:
      containers:
        - name: engine
          image: vllm/vllm-openai:v0.8.5
          args: ["--model", "/models/Llama-Small", "--served-model-name", "chat"]
"""
SLURM = """\
#!/bin/bash
#SBATCH --job-name=finetune
#SBATCH --nodes=2
srun torchrun --nnodes 2 --nproc-per-node 8 train.py
"""
SITE = """\
# ours
schema: ferry/site/v1
name: ours
location: {country: DE, time_zone: Europe/Berlin}
cluster:
  nodes: 2
  gpus_per_node: 8
  accelerator: H100-SXM5-80GB   # bought in May
  nvidia_smi: [node-0.csv]
serving:
  - name: chat
    model: Llama-Small
    engine: vllm
costs:
  currency: EUR
"""
