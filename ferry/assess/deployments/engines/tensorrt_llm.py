"""TensorRT-LLM: tensorrt_llm/commands/serve.py (trtllm-serve)."""

from ferry.assess.deployments.engines.table import Table, switches

TABLE = Table(
    values={
        "--tensor-parallel-size": "tensor_parallel", "--tp-size": "tensor_parallel",
        "--pipeline-parallel-size": "pipeline_parallel", "--pp-size": "pipeline_parallel",
        "--moe-expert-parallel-size": "expert_parallel", "--ep-size": "expert_parallel",
        "--max-batch-size": "max_sequences",
        "--max-num-tokens": "max_batch_tokens",
        "--max-seq-len": "context_tokens",
        "--free-gpu-memory-fraction": "gpu_memory_share", "--kv-cache-free-gpu-memory-fraction": "gpu_memory_share",
        "--kv-cache-dtype": "kv_cache_dtype",
        "--gpus-per-node": "gpus",
        "--served-model-name": "served_names",
        "--host": "host",
        "--port": "port",
    },
    switches={
        "--trust-remote-code": ("trust_remote_code", True),
        "--enable-chunked-prefill": ("chunked_prefill", True),
    },
    other_switches=switches("fail-fast-on-attention-window-too-large"),
    files=frozenset({"--config", "--extra-llm-api-options", "--config-file", "-c"}),
    positional=True,
    images=("tensorrt-llm", "tensorrt_llm"),
    everywhere=False,
    batch_flag="--max_batch_size",
)  # fmt: skip
