"""Each engine's own flags, long and short, become the same fields; what no table knows stays as it is written."""

from __future__ import annotations

from typing import Any

import pytest

from ferry.assess.deployments import parse
from ferry.assess.deployments.engines import of_image, version_of
from ferry.assess.deployments.flags import adapters, count, share


def job(command: str) -> dict[str, Any]:
    """What one command of a shell script states."""
    (made,) = parse(f"#!/bin/sh\n{command}\n", "run.sh").jobs
    left_out = {"name", "file", "line", "kind", "role", "lines"}
    return made.model_dump(exclude_defaults=True, exclude=left_out)


@pytest.mark.parametrize(
    ("command", "states"),
    [
        (
            "vllm serve deepseek-ai/DeepSeek-R1 -tp 8 -pp 2 --max-num-seqs 256 --max-num-batched-tokens=8k "
            "--max_model_len 16K --gpu-memory-utilization .92 --kv-cache-dtype fp8 -q fp8 --no-enable-prefix-caching "
            "--enable-chunked-prefill=False --served-model-name r1 deepseek --swap-space 16 --port 8001",
            {
                "engine": "vllm",
                "model": "deepseek-ai/DeepSeek-R1",
                "served_names": ["r1", "deepseek"],
                "tensor_parallel": 8,
                "pipeline_parallel": 2,
                "max_sequences": 256,
                "max_batch_tokens": 8000,
                "context_tokens": 16384,
                "gpu_memory_share": 0.92,
                "kv_cache_dtype": "fp8",
                "quantization": "fp8",
                "prefix_caching": False,
                "chunked_prefill": False,
                "extra_flags": ["--swap-space 16"],
                "port": 8001,
            },
        ),
        (
            "VLLM_API_KEY=$KEY python3 -u -m vllm.entrypoints.openai.api_server --enforce-eager --model m -dp 4 -tp 2 "
            '-ep --trust-remote-code --lora-modules sql=/l/sql \'{"name": "law", "path": "/l"}\' '
            '--speculative-config \'{"method": "ngram", "num_speculative_tokens": 4}\' --max-model-len auto',
            {
                "engine": "vllm",
                "model": "m",
                "tensor_parallel": 2,
                "data_parallel": 4,
                "expert_parallel": 8,
                "eager": True,
                "trust_remote_code": True,
                "lora_adapters": ["sql", "law"],
                "speculative": "ngram, 4 tokens",
                "api_key": True,
            },
        ),
        (
            "python -m sglang.launch_server --model-path m --tp 16 --dp-size 2 --ep 16 --nnodes 2 --node-rank 0 "
            "--max-running-requests 128 --max-total-tokens 200000 --context-length 65536 --mem-fraction-static 0.85 "
            "--disable-radix-cache --chunked-prefill-size 4096 --speculative-algorithm EAGLE --host 0.0.0.0",
            {
                "engine": "sglang",
                "model": "m",
                "tensor_parallel": 16,
                "data_parallel": 2,
                "expert_parallel": 16,
                "nodes": 2,
                "max_sequences": 128,
                "max_batch_tokens": 4096,
                "max_cached_tokens": 200000,
                "context_tokens": 65536,
                "gpu_memory_share": 0.85,
                "prefix_caching": False,
                "chunked_prefill": True,
                "speculative": "EAGLE",
                "host": "0.0.0.0",
                "extra_flags": ["--node-rank 0"],
            },
        ),
        (
            "text-generation-launcher --model-id x/y --num-shard 4 --max-total-tokens 4096 --quantize awq -p 80 "
            "--max-batch-total-tokens 100000 --max-batch-prefill-tokens 8192 --cuda-memory-fraction 0.9 --json-output",
            {
                "engine": "tgi",
                "model": "x/y",
                "tensor_parallel": 4,
                "context_tokens": 4096,
                "max_cached_tokens": 100000,
                "max_batch_tokens": 8192,
                "gpu_memory_share": 0.9,
                "quantization": "awq",
                "port": 80,
                "extra_flags": ["--json-output"],
            },
        ),
        (
            "mpirun -n 4 --allow-run-as-root trtllm-llmapi-launch trtllm-serve nvidia/x --tp_size 4 --ep_size 4 "
            "--max_batch_size 64 --max_num_tokens 8192 --max_seq_len 32768 --kv_cache_free_gpu_memory_fraction 0.8",
            {
                "engine": "tensorrt-llm",
                "model": "nvidia/x",
                "tensor_parallel": 4,
                "expert_parallel": 4,
                "max_sequences": 64,
                "max_batch_tokens": 8192,
                "context_tokens": 32768,
                "gpu_memory_share": 0.8,
            },
        ),
        (
            "python3 /app/scripts/launch_triton_server.py --world_size 8 --model_repo=/models/repo",
            {"engine": "triton", "model": "/models/repo", "gpus": 8},
        ),
        (
            "OLLAMA_NUM_PARALLEL=4 OLLAMA_CONTEXT_LENGTH=8192 OLLAMA_KV_CACHE_TYPE=q8_0 "
            "OLLAMA_HOST=http://0.0.0.0:8080/ /usr/bin/ollama serve",
            {
                "engine": "ollama",
                "max_sequences": 4,
                "context_tokens": 8192,
                "kv_cache_dtype": "q8_0",
                "host": "0.0.0.0",
                "port": 8080,
            },
        ),
    ],
)
def test_the_flags_of_each_engine_become_fields(command: str, states: dict[str, Any]) -> None:
    assert job(command) == states


def test_the_same_flag_means_another_thing_to_another_engine() -> None:
    assert job("text-generation-launcher --max-total-tokens 4096")["context_tokens"] == 4096
    assert job("sglang serve --model-path m --max-total-tokens 4096")["max_cached_tokens"] == 4096


def test_the_variables_of_tgi_and_its_flags_are_the_same_and_flags_win() -> None:
    made = job("NUM_SHARD=2 MODEL_ID=a MAX_TOTAL_TOKENS=2048 text-generation-launcher --num-shard 4")
    assert (made["tensor_parallel"], made["model"], made["context_tokens"]) == (4, "a", 2048)


@pytest.mark.parametrize(
    ("command", "launcher", "gpus", "nodes"),
    [
        ("torchrun --nnodes 2 --nproc-per-node=8 train.py --lr 1e-5", "torchrun", 8, 2),
        ("python -m torch.distributed.launch --nproc_per_node 4 run_sft.py", "torchrun", 4, None),
        ("deepspeed --num_gpus 8 finetune.py --deepspeed ds.json", "deepspeed", 8, None),
        ("accelerate launch --num_machines 2 -m axolotl.cli.train a.yml", "accelerate", None, 2),
        ("FORCE_TORCHRUN=1 llamafactory-cli train lora.yaml", "llamafactory-cli", None, None),
        ("axolotl train a.yml", "axolotl", None, None),
        ("python3 pretrain_gpt.py --tensor-model-parallel-size 8", "megatron", None, None),
        ("nohup python -u finetune_lora.py &", "python", None, None),
    ],
)
def test_a_trainer_is_training(command: str, launcher: str, gpus: int | None, nodes: int | None) -> None:
    (made,) = parse(f"#!/bin/sh\n{command}\n", "run.sh").jobs
    assert (made.role, made.engine, made.launcher, made.gpus, made.nodes) == ("training", None, launcher, gpus, nodes)


@pytest.mark.parametrize(
    "command",
    [
        "echo vllm serve m",
        "pip install vllm",
        "pkill -f 'vllm serve'",
        "docker pull vllm/vllm-openai:v0.8.5",
        "vllm bench serve --model m",
        "ollama pull llama3",
        "torchrun --nproc-per-node 8 generate.py --ckpt m",
        "llamafactory-cli api m.yaml",
        "python evaluate_train.py",
        "python -m http.server",
        "# vllm serve m",
        "cat <<'E'\nvllm serve m\nE",
        "A='vllm serve m'",
    ],
)
def test_what_only_names_an_engine_starts_none(command: str) -> None:
    assert parse(f"#!/bin/sh\n{command}\n", "run.sh").jobs == []


@pytest.mark.parametrize(
    ("image", "engine", "version"),
    [
        ("vllm/vllm-openai:v0.8.5.post1", "vllm", "0.8.5.post1"),
        ("registry.local:5000/ai/vllm-openai:v0.10.1", "vllm", "0.10.1"),
        ("rocm/vllm:rocm6.3.1_vllm_0.8.5_20250521", "vllm", "0.8.5"),
        ("lmsysorg/sglang:v0.4.6.post5-cu124", "sglang", "0.4.6.post5"),
        ("ghcr.io/huggingface/text-generation-inference:3.3.4-rocm", "tgi", "3.3.4"),
        ("nvcr.io/nvidia/tritonserver:24.08-trtllm-python-py3", "triton", "24.08"),
        ("nvcr.io/nvidia/tensorrt-llm/release:1.0.0rc6", "tensorrt-llm", "1.0.0rc6"),
        ("ollama/ollama:0.9.0", "ollama", "0.9.0"),
        ("vllm/vllm-openai:latest", "vllm", None),
        ("vllm/vllm-openai", "vllm", None),
        ("vllm/vllm-openai@sha256:0123456789abcdef", "vllm", None),
        ("localhost:5000/vllm", "vllm", None),
        ("lmcache/lmstack-router:0.1", None, "0.1"),
        ("redis:7", None, None),
    ],
)
def test_an_image_tells_the_engine_and_its_tag_the_version(image: str, engine: Any, version: str | None) -> None:
    assert (of_image(image), version_of(image, engine)) == (engine, version)


@pytest.mark.parametrize("image", ["nvidia/cuda:12.4.1-devel-ubuntu22.04", "ghcr.io/llm-d/llm-d-cuda:v0.9.0"])
def test_the_tag_of_an_image_that_is_not_the_engines_own_is_no_version_of_it(image: str) -> None:
    (made,) = parse(f"services: {{a: {{image: '{image}', entrypoint: vllm serve m}}}}", "compose.yaml").jobs
    assert (made.engine, made.image, made.version) == ("vllm", image, None)


def test_a_pip_pin_before_the_start_is_the_version() -> None:
    text = "#!/bin/sh\npip install -U 'vllm[audio]==0.9.2' sglang==0.4.7\nvllm serve m\n"
    (made,) = parse(text, "run.sh").jobs
    assert made.version == "0.9.2"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8),
        ("16k", 16000),
        ("16K", 16384),
        ("1.5K", 1536),
        ("0", None),
        ("-1", None),
        ("9" * 30, None),
        ("８", None),
    ],
)
def test_numbers_are_read_as_the_engines_read_them(text: str, value: int | None) -> None:
    assert count(text) == value


def test_a_share_is_above_0_and_at_most_1() -> None:
    assert [share(text) for text in ("0.9", ".5", "1", "1.0", "0", "1.5", "90", "", ".", "nan")] == [
        0.9, 0.5, 1.0, 1.0, None, None, None, None, None, None,
    ]  # fmt: skip


def test_adapters_are_known_by_name() -> None:
    assert adapters(["a=/x", "org/b,c=/y"]) == ["a", "org/b", "c"]
