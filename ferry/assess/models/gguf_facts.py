"""What a GGUF model says of itself: the facts of sizing, from the metadata and the tensors' shapes of all its files."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ferry.artefacts import Finding, ModelFacts, measured, unknown
from ferry.assess.models import gguf
from ferry.assess.models.attention import Window, window_unknown
from ferry.assess.models.attention import kind as attention_kind
from ferry.errors import UnreadableInput

SPLIT = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<total>\d{5})\.gguf", re.DOTALL)
MOST_SPLITS = 10_000
SIXTEEN_AND_MORE = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
LARGEST = 10**9
# Routed experts: in one tensor a layer, or (Mixtral's first files) in one each.
ROUTED = re.compile(r"^blk\.\d+\.ffn_\w+_exps\.|^blk\.\d+\.ffn_(?:gate|up|down)\.\d+\.")
EVERY_OTHER = frozenset({"gemma2", "gpt-oss"})
PATTERNS = {"gemma3": 6, "cohere2": 4}


@dataclass(frozen=True)
class GgufModel:
    """The facts and findings of one model."""

    facts: ModelFacts
    findings: list[Finding]


def files_of(path: Path, names: list[str], label: str) -> list[Path]:
    """The files of the model that `path` is (a part of): itself, or all its splits. UnreadableInput: one is missing."""
    match = SPLIT.fullmatch(path.name)
    if match is None:
        return [path]
    total = int(match["total"])
    if not 1 <= total <= MOST_SPLITS:
        raise UnreadableInput(f"{label}: names {total} splits; expected 1 to {MOST_SPLITS}")
    wanted = [f"{match['stem']}-{number:05d}-of-{total:05d}.gguf" for number in range(1, total + 1)]
    if missing := [name for name in wanted if name not in names]:
        raise UnreadableInput(
            f"{label}: {len(missing)} of the {total} splits are missing: {', '.join(missing[:3])}"
            f"{', …' if len(missing) > 3 else ''}; finish the copy"
        )
    return [path.with_name(name) for name in wanted]


def read(paths: list[Path], label: str, named: list[str]) -> GgufModel:
    """Read one model from its files, in the order of the splits, called as `named`. Raises UnreadableInput."""
    parts = [gguf.read(path, file) for path, file in zip(paths, named, strict=True)]
    first, file = parts[0], named[0]
    tensors: dict[str, gguf.Tensor] = {}
    for part in parts:
        tensors |= part.tensors
    stated = first.metadata.get("split.tensors.count")
    if len(parts) > 1 and stated is not None and stated != len(tensors):
        raise UnreadableInput(f"{file}: names {stated!r} tensors over all splits, they hold {len(tensors)}")
    if not tensors:
        raise UnreadableInput(f"{file}: holds no tensors (a vocabulary?); name the file with the weights")
    return _facts(_Metadata(first, file), tensors, label, f"{file}: shapes of {len(tensors)} tensors")


class _Metadata:
    """Typed access to the keys of one architecture."""

    def __init__(self, header: gguf.Gguf, file: str) -> None:
        self.header, self.file = header, file
        kind = header.metadata.get("general.architecture")
        if not isinstance(kind, str) or not kind or len(kind) > 64 or not kind.isprintable():
            raise UnreadableInput(f"{file}: names no general.architecture; it is no model that llama.cpp loads")
        self.architecture = kind

    def number(self, key: str) -> int | None:
        """A positive whole number; of one a layer, the largest. None where it is not there. UnreadableInput."""
        value = self.header.metadata.get(f"{self.architecture}.{key}")
        values = value if isinstance(value, list) else [] if value is None else [value]
        for each in values:
            if type(each) is not int or not 0 <= each <= LARGEST:
                raise UnreadableInput(f"{self.file}: {key} is {repr(each)[:40]}; expected a whole number")
        return max((int(each) for each in values), default=0) or None

    def needed(self, key: str) -> int:
        """A number without which there is no sizing. Raises UnreadableInput."""
        value = self.number(key)
        if value is None:
            raise UnreadableInput(f"{self.file}: {self.architecture}.{key} is missing; it is no decoder language model")
        return value


def _facts(of: _Metadata, tensors: dict[str, gguf.Tensor], label: str, source: str) -> GgufModel:
    layers, hidden, context = of.needed("block_count"), of.needed("embedding_length"), of.needed("context_length")
    heads = of.needed("attention.head_count")
    kv_heads = of.number("attention.head_count_kv") or heads
    if heads > hidden or kv_heads > heads:
        raise UnreadableInput(f"{of.file}: {heads} attention and {kv_heads} key heads do not fit {hidden} dimensions")
    rank = of.number("attention.kv_lora_rank")
    rope = of.number("rope.dimension_count") if rank else None
    head = of.number("attention.key_length_mla") or of.number("attention.key_length") or hidden // heads
    total = sum(tensor.elements for tensor in tensors.values())
    experts, used = of.number("expert_count"), of.number("expert_used_count")
    active = measured(total, "parameters", source)
    if experts:
        routed = sum(tensor.elements for name, tensor in tensors.items() if ROUTED.match(name))
        if used is None or used > experts:
            active = unknown("parameters", f"{of.file}: of {experts} experts, it does not say how many are used")
        else:
            active = measured(
                total - routed * (experts - used) / experts, "parameters", f"{source}, {used} of {experts} experts"
            )
    dtype, quantization = _type(of, tensors)
    window, findings = _window(of, layers, context)
    facts = ModelFacts(
        path=label,
        architecture=of.architecture,
        parameters=measured(total, "parameters", source),
        active_parameters=active,
        weight_bytes=measured(sum(tensor.bytes for tensor in tensors.values()), "bytes", source),
        dtype=dtype,
        quantization=quantization,
        attention=attention_kind({"kv_lora_rank": rank, "num_attention_heads": heads, "num_key_value_heads": kv_heads}),
        layers=layers,
        hidden_size=hidden,
        attention_heads=heads,
        kv_heads=kv_heads,
        head_dim=head,
        kv_lora_rank=rank,
        qk_rope_head_dim=rope,
        experts_total=experts,
        experts_active=used if experts else None,
        context_tokens=context,
        vocabulary=_vocabulary(of, tensors),
        sliding_window_tokens=window.tokens if window else None,
        sliding_window_layers=window.layers if window else None,
    )
    return GgufModel(facts, [*findings, _served_by_others(facts, of.file)])


def _type(of: _Metadata, tensors: dict[str, gguf.Tensor]) -> tuple[str, str | None]:
    """The file type where it is stated, else the type that most parameters have."""
    weight: Counter[str] = Counter()
    for tensor in tensors.values():
        weight[tensor.type] += tensor.elements
    most = weight.most_common(1)[0][0]
    stated = of.header.metadata.get("general.file_type")
    named = gguf.FILE_TYPES.get(stated, most) if type(stated) is int else most
    if most in SIXTEEN_AND_MORE:
        return SIXTEEN_AND_MORE[most], None
    return named.lower(), "gguf"


def _vocabulary(of: _Metadata, tensors: dict[str, gguf.Tensor]) -> int:
    """The tokens of the tokenizer, or the rows of the embedding."""
    stated = of.number("vocab_size") or of.header.lengths.get("tokenizer.ggml.tokens")
    embedding = tensors.get("token_embd.weight")
    rows = embedding.shape[-1] if embedding is not None else None
    found = stated or rows
    if not found:
        raise UnreadableInput(f"{of.file}: has no tokens and no token_embd.weight; it is no language model")
    return found


def _window(of: _Metadata, layers: int, context: int) -> tuple[Window | None, list[Finding]]:
    """The sliding window, and the layers that have it: by the pattern, else by llama.cpp's own for the architecture."""
    tokens = of.number("attention.sliding_window")
    if tokens is None or tokens >= context:
        return None, []
    pattern = of.header.metadata.get(f"{of.architecture}.attention.sliding_window_pattern")
    if isinstance(pattern, list) and len(pattern) >= layers:
        return Window(tokens, sum(bool(flag) for flag in pattern[:layers])), []
    every = pattern if type(pattern) is int and pattern > 0 else PATTERNS.get(of.architecture)
    if of.architecture in EVERY_OTHER:
        return Window(tokens, -(-layers // 2)), []
    if every:
        return Window(tokens, layers - layers // every), []
    if of.architecture in ("llama", "phi3"):
        return Window(tokens, layers), []
    return Window(tokens, None), [window_unknown(tokens, of.file)]


def _served_by_others(facts: ModelFacts, file: str) -> Finding:
    return Finding(
        severity="warning",
        code="weights-are-gguf",
        seen=f"GGUF, {facts.dtype}",
        where=file,
        means="llama.cpp and Ollama serve it; vLLM calls its reading of GGUF experimental and slow: on a cloud's GPU "
        "the same model in FP8, AWQ or GPTQ serves more requests",
        remedy="take the model's safetensors, in the original or a quantised form, and measure its answers again",
    )
