"""Writes small GGUF files and Ollama stores as llama.cpp and Ollama lay them out."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

F32, F16, Q4_0, Q4_K = 0, 1, 2, 12
# (elements, bytes) of a block.
BLOCKS = {F32: (1, 4), F16: (1, 2), Q4_0: (32, 18), Q4_K: (256, 144)}

TOKENS = ["a", "b", "", "é"] * 25
LLAMA: dict[str, Any] = {
    "general.architecture": "llama",
    "general.file_type": 15,
    "llama.block_count": 2,
    "llama.embedding_length": 256,
    "llama.context_length": 4096,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "tokenizer.ggml.tokens": TOKENS,
}
TENSORS: dict[str, tuple[tuple[int, ...], int]] = {
    "token_embd.weight": ((256, 100), Q4_K),
    "blk.0.attn_q.weight": ((256, 256), Q4_K),
    "blk.1.attn_q.weight": ((256, 256), Q4_K),
    "output_norm.weight": ((256,), F32),
}
PARAMETERS = 256 * 100 + 2 * 256 * 256 + 256
BYTES = (256 * 100 + 2 * 256 * 256) // 256 * 144 + 256 * 4


def text(value: str, order: str = "<") -> bytes:
    raw = value.encode()
    return struct.pack(order + "Q", len(raw)) + raw


def entry(key: str, value: Any, order: str = "<") -> bytes:
    head = text(key, order)
    if isinstance(value, bool):
        return head + struct.pack(order + "I?", 7, value)
    if isinstance(value, int):
        return head + struct.pack(order + "II", 4, value)
    if isinstance(value, float):
        return head + struct.pack(order + "If", 6, value)
    if isinstance(value, str):
        return head + struct.pack(order + "I", 8) + text(value, order)
    if value and isinstance(value[0], str):
        return head + struct.pack(order + "IIQ", 9, 8, len(value)) + b"".join(text(each, order) for each in value)
    kind, code = (7, "?") if value and isinstance(value[0], bool) else (4, "I")
    return head + struct.pack(order + f"IIQ{len(value)}{code}", 9, kind, len(value), *value)


def gguf(
    metadata: Mapping[str, Any] = LLAMA,
    tensors: Mapping[str, tuple[Sequence[int], int]] = TENSORS,
    *,
    version: int = 3,
    order: str = "<",
) -> bytes:
    infos, offset = b"", 0
    for name, (shape, kind) in tensors.items():
        elements = 1
        for size in shape:
            elements *= size
        infos += text(name, order) + struct.pack(order + f"I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        block, size = BLOCKS[kind]
        offset += -(-(elements // block * size) // 32) * 32
    head = b"GGUF" + struct.pack(order + "IQQ", version, len(tensors), len(metadata))
    head += b"".join(entry(key, value, order) for key, value in metadata.items()) + infos
    return head + bytes(-len(head) % 32) + bytes(offset)


def ollama(top: Path, blob: bytes, *, name: str = "phi3/mini", params: Mapping[str, Any] | None = None) -> Path:
    """Write a store of one more model, and give its manifest's path."""
    (top / "blobs").mkdir(parents=True, exist_ok=True)
    layers = [("model", blob), ("license", b"MIT")]
    if params is not None:
        layers.append(("params", json.dumps(params).encode()))
    described = []
    for kind, content in layers:
        digest = hashlib.sha256(content).hexdigest()
        (top / "blobs" / f"sha256-{digest}").write_bytes(content)
        described.append(
            {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}
        )
    manifest = top / "manifests" / "registry.ollama.ai" / "library" / name
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(
        json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "config": {"digest": f"sha256:{'0' * 64}", "size": 2},
                "layers": described,
            }
        )
    )
    return manifest
