"""vLLM: vllm/engine/arg_utils.py (EngineArgs.add_cli_args), vllm/entrypoints/openai/cli_args.py, vllm/envs.py."""

from ferry.assess.deployments.engines.table import Table, switches

TABLE = Table(
    values={
        "--model": "model",
        "--model-id": "model",  # KServe's huggingfaceserver, which passes the rest to vLLM
        "--model-dir": "model",
        "--model-name": "served_names",
        "--tensor-parallel-size": "tensor_parallel", "-tp": "tensor_parallel",
        "--pipeline-parallel-size": "pipeline_parallel", "-pp": "pipeline_parallel",
        "--data-parallel-size": "data_parallel", "-dp": "data_parallel",
        "--nnodes": "nodes", "-n": "nodes",
        "--max-num-seqs": "max_sequences",
        "--max-num-batched-tokens": "max_batch_tokens",
        "--max-model-len": "context_tokens",
        "--gpu-memory-utilization": "gpu_memory_share",
        "--dtype": "dtype",
        "--quantization": "quantization", "-q": "quantization",
        "--kv-cache-dtype": "kv_cache_dtype",
        "--speculative-config": "speculative", "-sc": "speculative", "--speculative-model": "speculative",
        "--host": "host",
        "--port": "port",
    },
    lists={"--served-model-name": "served_names", "--lora-modules": "lora_adapters"},
    switches={
        "--enable-expert-parallel": ("expert_parallel", True), "-ep": ("expert_parallel", True),
        "--enable-prefix-caching": ("prefix_caching", True),
        "--enable-chunked-prefill": ("chunked_prefill", True),
        "--enforce-eager": ("eager", True),
        "--trust-remote-code": ("trust_remote_code", True),
    },
    other_switches=switches(
        "enable-lora", "enable-auto-tool-choice", "enable-reasoning", "disable-log-requests", "disable-log-stats",
        "enable-log-requests", "disable-custom-all-reduce", "enable-sleep-mode", "headless", "enable-eplb",
        "enable-dbo", "async-scheduling",
        "disable-sliding-window", "skip-tokenizer-init", "fully-sharded-loras", "allow-credentials",
        "enable-prompt-tokens-details", "disable-fastapi-docs", "enable-request-id-headers", "calculate-kv-scales",
        "ray-workers-use-nsight", "disable-uvicorn-access-log", "enable-server-load-tracking", "language-model-only",
        "return-tokens-as-token-ids", "enable-ssl-refresh", "enable-force-include-usage", "data-parallel-hybrid-lb",
        "disable-frontend-multiprocessing", "use-v2-block-manager", "enable-log-outputs", "tokens-only",
    ) | {"-dph", "-dpe"},
    secrets=frozenset({"--api-key"}),
    environment={"VLLM_API_KEY": "api_key"},
    files=frozenset({"--config"}),
    positional=True,
    images=("vllm", "rhaiis"),
    image_is_server=True,
    everywhere=True,
    batch_flag="--max-num-seqs",
)  # fmt: skip
