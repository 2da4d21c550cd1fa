"""How a job runs today: what a compose file, a unit, a manifest or a script starts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ferry.artefacts.figures import Frozen

FileKind = Literal["docker-compose", "systemd", "kubernetes", "slurm", "shell"]
Engine = Literal["vllm", "sglang", "tgi", "triton", "tensorrt-llm", "ollama"]


class Deployment(Frozen):
    """One job as its file starts it. None: the file does not state it, and the engine's default holds.

    Each value stands as the file has it (measured); `lines` says on which line. Secrets are never in it.
    """

    name: str
    file: str
    line: int
    kind: FileKind
    resource: str = Field(default="", description="of Kubernetes: Deployment, StatefulSet, …")
    role: Literal["serving", "training"]
    engine: Engine | None = Field(default=None, description="of serving")
    launcher: str | None = Field(default=None, description="of training: torchrun, deepspeed, …")
    version: str | None = Field(default=None, description="of the engine: from the image's tag or a pip pin")
    image: str | None = None
    model: str | None = Field(default=None, description="folder, id or repository, as the engine is given it")
    served_names: list[str] = []
    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    data_parallel: int | None = None
    expert_parallel: int | None = None
    max_sequences: int | None = Field(default=None, description="requests in one batch")
    max_batch_tokens: int | None = Field(default=None, description="tokens that one step processes")
    max_cached_tokens: int | None = Field(default=None, description="tokens that the KV cache holds, all requests")
    context_tokens: int | None = Field(default=None, description="prompt and answer of one request")
    gpu_memory_share: float | None = Field(
        default=None,
        description="0 to 1, of what the engine means: vLLM all that it takes, SGLang weights and KV cache, TGI what "
        "PyTorch may take, TensorRT-LLM the KV cache's part of what the weights leave",
    )
    dtype: str | None = None
    quantization: str | None = None
    kv_cache_dtype: str | None = None
    prefix_caching: bool | None = None
    chunked_prefill: bool | None = None
    eager: bool | None = Field(default=None, description="without CUDA graphs")
    trust_remote_code: bool | None = None
    speculative: str | None = Field(default=None, description="method or draft model")
    lora_adapters: list[str] = []
    extra_flags: list[str] = Field(default=[], description="other flags, as written; secrets as ***")
    api_key: bool = Field(default=False, description="whether the server asks for a key; never the key")
    host: str | None = None
    port: int | None = None
    published: bool = Field(default=False, description="a port is published on the host, or the job has its network")
    replicas: int | None = None
    nodes: int | None = None
    gpus: int | None = Field(default=None, description="of one replica, on one node")
    lines: dict[str, int] = Field(default={}, description="the line that states each of the above")

    @property
    def where(self) -> str:
        """The file and the line where the job starts."""
        return f"{self.file}:{self.line}"

    def at(self, field: str) -> str:
        """The file and the line that state a field."""
        return f"{self.file}:{self.lines.get(field, self.line)}"
