"""Ollama: envconfig/config.go. It has variables and no flags; which model runs is asked by each request."""

from ferry.assess.deployments.engines.table import Table

TABLE = Table(
    values={},
    environment={
        "OLLAMA_NUM_PARALLEL": "max_sequences",
        "OLLAMA_CONTEXT_LENGTH": "context_tokens",
        "OLLAMA_KV_CACHE_TYPE": "kv_cache_dtype",
        "OLLAMA_HOST": "host",
    },
    images=("ollama/ollama",),
    image_is_server=True,
    everywhere=False,
    batch_flag="OLLAMA_NUM_PARALLEL",
)
