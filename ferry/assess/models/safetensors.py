"""Reads the safetensors formats: the index of a sharded model, and the header of one file. Never its data."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ferry.assess.files import json_object
from ferry.assess.models.pointers import regular_size
from ferry.errors import UnreadableInput

# Five digits by transformers (`split_torch_state_dict_into_shards`), six by DeepSeek.
NUMBERED = re.compile(r"-(\d{5,6})-of-(\d{5,6})\.(?:safetensors|bin|gguf)$")
LARGEST_HEADER_BYTES = 32 * 2**20
"""The library's own limit is 100 MB (safetensors/src/tensor.rs, MAX_HEADER_SIZE); real ones have some MB at most."""

# Bits of an element: https://github.com/huggingface/safetensors, `Dtype::bitsize`.
ELEMENT_BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F6_E2M3": 6, "F6_E3M2": 6,
    "F4": 4, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8, "C64": 64,
}  # fmt: skip

LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|layer)\.(\d{1,5})\.")
# What stands beside a quantised weight: scales, zero points, code books; not parameters of the model.
BESIDE_WEIGHT = re.compile(
    r"(?:scale|scales|scale_inv|scale_2|_scale|zero_point|zeros|qzeros|g_idx|absmax|quant_map|weight_shape"
    r"|quant_state\.\w+|SCB|weight_format|amax|_scaling_factor|inv_freq|rotary_emb\.\w+)$"
)
PACKED = re.compile(r"(?:qweight|weight_packed|_packed)$")


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
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or not 0 < size < 2**63):
        raise UnreadableInput(f"{file}: metadata.total_size is {repr(size)[:40]}; expected a number of bytes")
    index = Index(size, shard_of)
    for shard in index.shards:
        if Path(shard).name != shard or not shard.isprintable():
            raise UnreadableInput(f"{file}: names {shard[:80]!r}, which is not a plain file name")
    if (missing := first_missing(index.shards)) is not None:
        raise UnreadableInput(
            f"{file}: its shards are numbered up to {missing[1]}, and it does not name number {missing[0]}: the index "
            "is incomplete; copy it again"
        )
    return index


def first_missing(names: Iterable[str]) -> tuple[int, int] | None:
    """The first number that a set of numbered shards lacks, and the last that it should have."""
    numbers = [match.groups() for name in names if (match := NUMBERED.search(name))]
    if not numbers:
        return None
    last = max(int(total) for _, total in numbers)
    have = {int(number) for number, _ in numbers}
    return next(((number, last) for number in range(1, last + 1) if number not in have), None)


def layers(names: Iterable[str]) -> int:
    """How many layers the names of tensors number; 0 where they number none."""
    return max((int(match[1]) + 1 for name in names if (match := LAYER.search(name))), default=0)


def parse_header(text: bytes, file: str) -> Header:
    """Parse the JSON header of a safetensors file (without its 8 bytes of length). Raises UnreadableInput."""
    document = json_object(text.decode("utf-8", "replace"), file)
    tensors: dict[str, tuple[str, int]] = {}
    end = filled = 0
    for name, tensor in document.items():
        if name == "__metadata__":
            continue
        try:
            dtype, shape, (start, stop) = str(tensor["dtype"]), list(tensor["shape"]), tensor["data_offsets"]
            if not all(type(number) is int and 0 <= number < 2**63 for number in (*shape, start, stop)) or stop < start:
                raise ValueError("shape and data_offsets are not whole numbers in order")
            if len(shape) > 8:
                raise ValueError(f"{len(shape)} dimensions")
            elements = math.prod(shape)
            if dtype in ELEMENT_BITS and elements * ELEMENT_BITS[dtype] != 8 * (stop - start):
                raise ValueError(f"{elements} elements of {dtype} do not fill {stop - start} bytes")
        except (KeyError, TypeError, ValueError) as error:
            raise UnreadableInput(f"{file}: tensor {name[:80]!r} has a damaged header: {str(error)[:80]}") from error
        tensors[name] = (dtype, elements)
        end = max(end, stop)
        filled += stop - start
    if filled != end:
        raise UnreadableInput(f"{file}: its tensors fill {filled} bytes of {end}: overlaps or holes; copy it again")
    return Header(tensors, end)


def read_header(path: Path, file: str) -> Header:
    """Read the header of a real file and hold the file's length against it. Raises UnreadableInput."""
    size = regular_size(path)
    if size is None:
        raise UnreadableInput(f"{file}: is not a regular file")
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(LARGEST_HEADER_BYTES, size - 8):
                raise UnreadableInput(
                    f"{file}: is not a safetensors file, or is cut off within its header; copy it again"
                )
            header = parse_header(stream.read(length), file)
    except OSError as error:
        raise UnreadableInput(f"{file}: cannot be read: {error.strerror or error}") from error
    if size != 8 + length + header.total_bytes:
        raise UnreadableInput(
            f"{file}: has {size} bytes, its header says {8 + length + header.total_bytes}: cut off? copy it again"
        )
    return header


def count(tensors: Mapping[str, tuple[str, int]], decoder_layers: int | None, packed_bits: int | None) -> int:
    """Parameters behind the tensors: scales are none, a packed number holds several, extra layers predict tokens.

    `decoder_layers` where layers after them predict tokens (DeepSeek-V3, README_WEIGHTS.md), else None; `packed_bits`
    are those of a weight in a packed format (GPTQ, AWQ, bitsandbytes, MXFP4), else None.
    """
    total = 0
    for name, (dtype, elements) in tensors.items():
        layer = LAYER.search(name) if decoder_layers is not None else None
        predicts = layer is not None and decoder_layers is not None and int(layer[1]) >= decoder_layers
        if predicts or name.startswith("mtp.") or BESIDE_WEIGHT.search(name):
            continue
        packed = packed_bits is not None and (
            (dtype in ("I32", "U32") and PACKED.search(name)) or (dtype == "U8" and packed_bits == 4)
        )
        total += elements * ELEMENT_BITS[dtype] // packed_bits if packed and packed_bits else elements
    return total
