"""SGLang: python/sglang/srt/server_args.py (ServerArgs). Its argparse accepts unique beginnings: `--tp`, `--dp`."""

from ferry.assess.deployments.engines.table import Table, switches

TABLE = Table(
    values={
        "--model-path": "model", "--model": "model",
        "--served-model-name": "served_names",
        "--tp-size": "tensor_parallel", "--tensor-parallel-size": "tensor_parallel", "--tp": "tensor_parallel",
        "--pp-size": "pipeline_parallel", "--pipeline-parallel-size": "pipeline_parallel", "--pp": "pipeline_parallel",
        "--dp-size": "data_parallel", "--data-parallel-size": "data_parallel", "--dp": "data_parallel",
        "--ep-size": "expert_parallel", "--expert-parallel-size": "expert_parallel", "--ep": "expert_parallel",
        "--nnodes": "nodes",
        "--max-running-requests": "max_sequences",
        "--max-prefill-tokens": "max_batch_tokens",
        "--max-total-tokens": "max_cached_tokens",
        "--chunked-prefill-size": "chunked_prefill",
        "--context-length": "context_tokens", "--context-len": "context_tokens",
        "--mem-fraction-static": "gpu_memory_share", "--mem-fraction": "gpu_memory_share",
        "--dtype": "dtype",
        "--quantization": "quantization",
        "--kv-cache-dtype": "kv_cache_dtype",
        "--speculative-algorithm": "speculative", "--speculative-algo": "speculative",
        "--host": "host",
        "--port": "port",
    },
    lists={"--lora-paths": "lora_adapters"},
    switches={
        "--disable-radix-cache": ("prefix_caching", False),
        "--disable-cuda-graph": ("eager", True),
        "--trust-remote-code": ("trust_remote_code", True),
    },
    other_switches=switches(
        "enable-dp-attention", "enable-ep-moe", "enable-deepep-moe", "enable-torch-compile", "enable-metrics",
        "enable-mixed-chunk", "enable-p2p-check", "enable-nan-detection", "disable-overlap-schedule", "log-requests",
        "disable-custom-all-reduce", "skip-tokenizer-init", "is-embedding", "enable-lora", "enable-multimodal",
        "enable-flashinfer-mla", "disable-mla", "enable-hierarchical-cache", "enable-cache-report", "enable-dp-lm-head",
        "enable-eplb", "enable-two-batch-overlap", "enable-memory-saver", "skip-server-warmup",
    ),
    secrets=frozenset({"--api-key", "--admin-api-key"}),
    files=frozenset({"--config"}),
    positional=False,
    images=("sglang",),
    everywhere=False,
    batch_flag="--max-running-requests",
)  # fmt: skip
