"""Reads what a model folder says of its weights: the safetensors index, the shards' headers, git-lfs pointers.

A folder is one of two things. Either it holds weights: then it has to hold all that its index names, whole. Or it
holds none (the index alone, or pointers as `git clone` leaves them without git-lfs): then it describes the model, the
sizes come from the index, and a finding says that the weights are elsewhere. Some shards and not others is a broken
copy, and refused.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ferry.artefacts import Finding
from ferry.assess.files import json_object, read_text
from ferry.errors import UnreadableInput

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?size (\d+)\n")
NUMBERED = re.compile(r"-(\d{5})-of-(\d{5})\.safetensors$")
LARGEST_POINTER_BYTES = 1024
LARGEST_HEADER_BYTES = 100_000_000
"""The limit of the safetensors library itself (safetensors/src/tensor.rs, MAX_HEADER_SIZE)."""

# Bytes of an element: https://github.com/huggingface/safetensors, `Dtype::bitsize`.
ELEMENT_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip


@dataclass
class Weights:
    """What was found. `parameters` are counted only from headers; `read` are the files that were read whole."""

    source: str
    total_bytes: int | None = None
    parameters: int | None = None
    dtypes: set[str] = field(default_factory=set)
    read: list[Path] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class Index:
    """The safetensors index: where each tensor lies, and the bytes of all of them."""

    total_size: int | None
    shard_of: dict[str, str]

    @property
    def shards(self) -> list[str]:
        """The files that it names, in order."""
        return sorted(set(self.shard_of.values()))


@dataclass(frozen=True)
class Header:
    """The tensors of one safetensors file: dtype and number of elements by name, and the bytes of all of them."""

    tensors: dict[str, tuple[str, int]]
    total_bytes: int


def read_weights(folder: Path, label: str) -> Weights:
    """Read the index, or the one file, of a model folder. Raises UnreadableInput when it is a broken copy."""
    index_path = folder / INDEX
    if index_path.is_file():
        return _read_sharded(folder, index_path, label)
    if (folder / SINGLE).is_file():
        return _read_single(folder / SINGLE, f"{label}/{SINGLE}")
    if stray := sorted(path.name for path in folder.glob("*.safetensors")):
        raise UnreadableInput(
            f"{label}: has {stray[0]} and {len(stray) - 1} more, but no {INDEX} that says what belongs to them; "
            "copy the whole model folder"
        )
    weights = Weights(source=f"{label}: no weights and no {INDEX}")
    weights.findings.append(_not_here(label, "no safetensors file and no index", "config.json's dimensions"))
    return weights


def parse_index(text: str, file: str) -> Index:
    """Parse model.safetensors.index.json. Raises UnreadableInput when it is cut off or names no complete set."""
    document = json_object(text, file)
    shard_of = document.get("weight_map")
    if not isinstance(shard_of, dict) or not shard_of or not all(isinstance(name, str) for name in shard_of.values()):
        raise UnreadableInput(f"{file}: has no weight_map of tensor names to files; copy it again")
    metadata = document.get("metadata")
    size = metadata.get("total_size") if isinstance(metadata, dict) else None
    if isinstance(size, float) and size.is_integer():
        size = int(size)
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size <= 0):
        raise UnreadableInput(f"{file}: metadata.total_size is {size!r}; expected a number of bytes")
    index = Index(size, shard_of)
    for shard in index.shards:
        if Path(shard).name != shard:
            raise UnreadableInput(f"{file}: names {shard!r}, which is not a plain file name")
    numbers = [match.groups() for shard in index.shards if (match := NUMBERED.search(shard))]
    if numbers:
        last = max(int(total) for _, total in numbers)
        if missing := sorted(set(range(1, last + 1)) - {int(number) for number, _ in numbers}):
            raise UnreadableInput(
                f"{file}: its shards are numbered up to {last}, and it does not name number {missing[0]}: the index is "
                "incomplete; copy it again"
            )
    return index


def parse_header(text: bytes, file: str) -> Header:
    """Parse the JSON header of a safetensors file (without its 8 bytes of length). Raises UnreadableInput."""
    document = json_object(text.decode("utf-8", "replace"), file)
    tensors: dict[str, tuple[str, int]] = {}
    end = 0
    for name, tensor in document.items():
        if name == "__metadata__":
            continue
        try:
            dtype, shape, (start, stop) = str(tensor["dtype"]), list(tensor["shape"]), tensor["data_offsets"]
            elements = math.prod(shape)
            if not all(type(number) is int and number >= 0 for number in (*shape, start, stop)) or stop < start:
                raise ValueError("shape and data_offsets are not whole numbers in order")
            if dtype in ELEMENT_BYTES and elements * ELEMENT_BYTES[dtype] != stop - start:
                raise ValueError(f"{elements} elements of {dtype} do not fill {stop - start} bytes")
        except (KeyError, TypeError, ValueError) as error:
            raise UnreadableInput(f"{file}: tensor {name!r} has a damaged header: {error}") from error
        tensors[name] = (dtype, elements)
        end = max(end, stop)
    return Header(tensors, end)


def _read_sharded(folder: Path, index_path: Path, label: str) -> Weights:
    file = f"{label}/{INDEX}"
    index = parse_index(read_text(index_path, file), file)
    weights = Weights(source=f"{file}: total_size", total_bytes=index.total_size, read=[index_path])
    pointers = {name: _pointer_size(folder / name) for name in index.shards if (folder / name).is_file()}
    real = [name for name, size in pointers.items() if size is None]
    absent = [name for name in index.shards if name not in real]
    if real and absent:
        raise UnreadableInput(
            f"{file}: names {len(index.shards)} shards, {len(absent)} of them are missing or git-lfs pointers: "
            f"{', '.join(absent[:3])}{', …' if len(absent) > 3 else ''}; finish the copy: git lfs pull"
        )
    if real:
        headers = {name: _read_header(folder / name, f"{label}/{name}") for name in real}
        for tensor, shard in index.shard_of.items():
            if tensor not in headers[shard].tensors:
                raise UnreadableInput(f"{label}/{shard}: does not hold {tensor!r}, which {INDEX} says it does")
        _add_headers(weights, headers.values(), f"{label}: headers of {len(real)} shards")
        return weights
    weights.read += [folder / name for name in pointers]
    sizes = [size for size in pointers.values() if size is not None]
    if weights.total_bytes is None and len(sizes) == len(index.shards):
        weights.source, weights.total_bytes = f"{label}: sizes in the git-lfs pointers", sum(sizes)
    seen = f"{len(sizes)} of {len(index.shards)} shards are here, as git-lfs pointers" if sizes else "no shard is here"
    weights.findings.append(_not_here(label, seen, f"{INDEX}"))
    return weights


def _read_single(path: Path, file: str) -> Weights:
    weights = Weights(source=file)
    size = _pointer_size(path)
    if size is None:
        _add_headers(weights, [_read_header(path, file)], f"{file}: header")
    else:
        weights.source, weights.total_bytes, weights.read = f"{file}: size in the git-lfs pointer", size, [path]
        weights.findings.append(_not_here(file, "it is a git-lfs pointer", "the pointer"))
    return weights


def _add_headers(weights: Weights, headers: Iterable[Header], source: str) -> None:
    weights.source, weights.total_bytes, weights.parameters = source, 0, 0
    for header in headers:
        weights.total_bytes += header.total_bytes
        weights.parameters += sum(elements for _, elements in header.tensors.values())
        weights.dtypes |= {dtype for dtype, _ in header.tensors.values()}


def _read_header(path: Path, file: str) -> Header:
    """Read the header of a real file and hold the file's length against it."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(LARGEST_HEADER_BYTES, size - 8):
            raise UnreadableInput(f"{file}: is not a safetensors file, or is cut off within its header; copy it again")
        header = parse_header(stream.read(length), file)
    if size != 8 + length + header.total_bytes:
        raise UnreadableInput(
            f"{file}: has {size} bytes, its header says {8 + length + header.total_bytes}: cut off? copy it again"
        )
    return header


def _pointer_size(path: Path) -> int | None:
    """The size in a git-lfs pointer; None for a real file."""
    if path.stat().st_size > LARGEST_POINTER_BYTES:
        return None
    match = POINTER.match(path.read_bytes())
    return int(match[1]) if match else None


def _not_here(where: str, seen: str, source: str) -> Finding:
    return Finding(
        severity="warning",
        code="weights-not-here",
        seen=seen,
        where=where,
        means=f"the sizes come from {source}; there is nothing to copy to the cloud from this folder yet",
        remedy="before the model is copied: git lfs pull, or name the folder that the engine loads from",
    )
