"""Triton: src/command_line_parser.cc, and its TensorRT-LLM backend's scripts/launch_triton_server.py.

How the model is split and batched stands in the repository's config.pbtxt, which a start does not show.
"""

from ferry.assess.deployments.engines.table import Table

TABLE = Table(
    values={
        "--model-repository": "model",
        "--model-store": "model",
        "--model-repo": "model",
        "--http-address": "host",
        "--http-port": "port",
        "--world-size": "gpus",
    },
    other_switches=frozenset({"--force", "--log", "--multi-model", "--oversubscribe"}),
    images=("tritonserver",),
    everywhere=True,
    batch_flag="max_batch_size in config.pbtxt",
)
