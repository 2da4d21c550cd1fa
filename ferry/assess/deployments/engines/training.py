"""Trainers: torchrun, deepspeed, accelerate, Megatron's and the Hugging Face trainer's own flags."""

from ferry.assess.deployments.engines.table import Table

TABLE = Table(
    values={
        "--nproc-per-node": "gpus", "--num-gpus": "gpus", "--num-processes": "gpus",
        "--nnodes": "nodes", "--num-nodes": "nodes", "--num-machines": "nodes",
        "--tensor-model-parallel-size": "tensor_parallel",
        "--pipeline-model-parallel-size": "pipeline_parallel",
        "--expert-model-parallel-size": "expert_parallel",
        "--model-name-or-path": "model",
    },
)  # fmt: skip
