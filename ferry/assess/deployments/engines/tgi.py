"""Text Generation Inference: launcher/src/main.rs (Args). Each flag has a variable of its own name (clap's `env`)."""

from ferry.assess.deployments.engines.table import Table, switches

_VALUES = {
    "--model-id": "model",
    "--num-shard": "tensor_parallel",
    "--max-batch-size": "max_sequences",
    "--max-batch-prefill-tokens": "max_batch_tokens",
    "--max-batch-total-tokens": "max_cached_tokens",
    "--max-total-tokens": "context_tokens",
    "--cuda-memory-fraction": "gpu_memory_share",
    "--dtype": "dtype",
    "--quantize": "quantization",
    "--kv-cache-dtype": "kv_cache_dtype",
    "--speculate": "speculative",
    "--lora-adapters": "lora_adapters",
    "--hostname": "host",
    "--port": "port",
}
_NAMES = {flag.lstrip("-").replace("-", "_").upper(): field for flag, field in _VALUES.items()}

TABLE = Table(
    values={**_VALUES, "-p": "port"},
    switches={"--trust-remote-code": ("trust_remote_code", True)},
    other_switches=switches(
        "json-output", "disable-custom-kernels", "ngrok", "disable-grammar-support", "enable-prefill-logprobs", "env"
    ),
    secrets=frozenset({"--api-key"}),
    environment={**_NAMES, "TRUST_REMOTE_CODE": "trust_remote_code", "API_KEY": "api_key"},
    images=("text-generation-inference",),
    image_is_server=True,
    everywhere=True,
    batch_flag="--max-batch-total-tokens",
)
