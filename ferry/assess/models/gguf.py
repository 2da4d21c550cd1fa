"""Reads the header of a GGUF file: its metadata and the shapes of its tensors, never their data.

The format: github.com/ggml-org/ggml, docs/gguf.md. The PyPI package `gguf` is not used: its reader trusts the lengths
that the file states (a file of 43 bytes keeps 0.19 busy without end, its memory growing, github.com/ggml-org/llama.cpp
pull 27188), and it holds every token in memory. Here each length is held against the file and a limit first, and the
arrays of tokens are counted and skipped.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ferry.assess.models.pointers import regular_size
from ferry.errors import UnreadableInput

MAGIC = b"GGUF"
LARGEST_HEADER_BYTES = 64 * 2**20
"""A vocabulary of 262,144 tokens and its merges have about 15 MB."""
LONGEST_STRING = 16 * 2**20
LONGEST_KEPT_STRING = 4096
LONGEST_KEY = 65_535
MOST_KEYS = 65_536
MOST_TENSORS = 1_000_000
MOST_ELEMENTS = 8_000_000
LONGEST_KEPT_ARRAY = 4096
MOST_DIMENSIONS = 4
"""GGML_MAX_DIMS."""
LARGEST_ALIGNMENT = 2**20
READ_BYTES = 2**20

STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

# (elements, bytes) of a block and the name, by number: GGML_QUANT_SIZES of gguf-py/gguf/constants.py.
TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip

# `general.file_type`: LlamaFileType of gguf-py/gguf/constants.py.
FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE", 39: "NVFP4",
    40: "Q1_0",
}  # fmt: skip

Value = int | float | bool | str
Array = list[Value]


@dataclass(frozen=True)
class Tensor:
    """A tensor's shape and type. `bytes` as stored, without padding."""

    shape: tuple[int, ...]
    type: str
    bytes: int

    @property
    def elements(self) -> int:
        """The number of its elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Gguf:
    """One file. `metadata` has single values and short arrays; `lengths` the number of elements of every array."""

    version: int
    metadata: dict[str, Value | Array]
    lengths: dict[str, int]
    tensors: dict[str, Tensor]


def read(path: Path, file: str) -> Gguf:
    """Read the header and hold the file's length against it. Raises UnreadableInput."""
    size = regular_size(path)
    if size is None:
        raise UnreadableInput(f"{file}: is not a regular file")
    try:
        with path.open("rb") as stream:
            return _Reader(stream, size, file).gguf()
    except OSError as error:
        raise UnreadableInput(f"{file}: cannot be read: {error.strerror or error}") from error


class _Reader:
    """A cursor over the start of a file: reads it piece by piece, and never past a length that was checked."""

    def __init__(self, stream: BinaryIO, size: int, file: str) -> None:
        self.stream, self.size, self.file = stream, size, file
        self.buffer, self.at, self.consumed, self.order = b"", 0, 0, "<"

    def gguf(self) -> Gguf:
        if self._take(4) != MAGIC:
            raise UnreadableInput(f"{self.file}: is not a GGUF file: it does not start with {MAGIC.decode()}")
        version = self._integer("I")
        if version & 0xFFFF == 0:
            # Version 3 brought files of big-endian machines; their small numbers stand in the high bytes.
            self.order, version = ">", int.from_bytes(version.to_bytes(4, "little"), "big")
        if version not in (2, 3):
            raise UnreadableInput(f"{self.file}: is of GGUF version {version}; Ferry reads 2 and 3; convert it again")
        tensor_count = self._length(MOST_TENSORS, "tensors", least=12)
        key_count = self._length(MOST_KEYS, "keys", least=12)
        metadata: dict[str, Value | Array] = {}
        lengths: dict[str, int] = {}
        for _ in range(key_count):
            key, kind = self._text(LONGEST_KEY), self._integer("I")
            if key in metadata or key in lengths:
                raise UnreadableInput(f"{self.file}: has the key {key[:80]!r} twice: it is damaged")
            if kind == ARRAY:
                lengths[key], kept = self._array(key)
                if kept is not None:
                    metadata[key] = kept
            else:
                metadata[key] = self._value(kind, key)
        tensors = self._tensors(tensor_count)
        self._hold_against_size(metadata, tensors)
        return Gguf(version, metadata, lengths, {name: tensor for name, (tensor, _) in tensors.items()})

    def _tensors(self, number: int) -> dict[str, tuple[Tensor, int]]:
        tensors: dict[str, tuple[Tensor, int]] = {}
        for _ in range(number):
            name = self._text(LONGEST_KEY)
            dimensions = self._integer("I")
            if not 1 <= dimensions <= MOST_DIMENSIONS:
                raise UnreadableInput(f"{self.file}: tensor {name[:80]!r} has {dimensions} dimensions: it is damaged")
            shape = tuple(self._integer("Q") for _ in range(dimensions))
            kind, offset = self._integer("I"), self._integer("Q")
            if kind not in TYPES:
                raise UnreadableInput(
                    f"{self.file}: tensor {name[:80]!r} is of type {kind}, which Ferry does not know; known are 0 to "
                    f"{max(TYPES)}"
                )
            named, block, size = TYPES[kind]
            elements = math.prod(shape)
            if not 0 < elements < 2**63 or shape[0] % block:
                raise UnreadableInput(f"{self.file}: tensor {name[:80]!r} has a shape that {named} cannot have")
            if name in tensors:
                raise UnreadableInput(f"{self.file}: has the tensor {name[:80]!r} twice: it is damaged")
            tensors[name] = Tensor(shape, named, elements // block * size), offset
        return tensors

    def _hold_against_size(self, metadata: dict[str, Value | Array], tensors: dict[str, tuple[Tensor, int]]) -> None:
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 0 < alignment <= LARGEST_ALIGNMENT or alignment % 8:
            raise UnreadableInput(f"{self.file}: general.alignment is {alignment!r}; expected a multiple of 8")
        start = -(-self.consumed // alignment) * alignment
        end, stored = 0, 0
        for tensor, offset in tensors.values():
            if offset % alignment:
                raise UnreadableInput(f"{self.file}: a tensor starts at {offset}, not on a multiple of {alignment}")
            end, stored = max(end, offset + tensor.bytes), stored + tensor.bytes
        if start + end > self.size and tensors:
            raise UnreadableInput(
                f"{self.file}: has {self.size} bytes, its header says {start + end}: cut off? copy it again"
            )
        if stored > end:
            raise UnreadableInput(f"{self.file}: its tensors overlap: it is damaged; copy it again")

    def _array(self, key: str) -> tuple[int, Array | None]:
        """The length of an array, and its elements where they are few, and no text."""
        kind = self._integer("I")
        if kind == STRING:
            length = self._length(MOST_ELEMENTS, f"elements of {key[:80]!r}", least=8)
            self._skip_texts(length)
            return length, None
        if kind not in SCALARS:
            raise UnreadableInput(f"{self.file}: {key[:80]!r} is an array of type {kind}, which Ferry does not read")
        width = struct.calcsize(SCALARS[kind])
        length = self._length(MOST_ELEMENTS, f"elements of {key[:80]!r}", least=width)
        if length > LONGEST_KEPT_ARRAY:
            self._take(length * width)
            return length, None
        return length, [self._value(kind, key) for _ in range(length)]

    def _skip_texts(self, number: int) -> None:
        """Step over strings, within what was read already without a call for each: a tokenizer has a million."""
        length_of = struct.Struct(self.order + "Q").unpack_from
        for _ in range(number):
            start = self.at + 8
            end = start + length_of(self.buffer, self.at)[0] if start <= len(self.buffer) else LARGEST_HEADER_BYTES
            if end > len(self.buffer):
                self._take(self._length(LONGEST_STRING, "bytes of text"))
            else:
                self.consumed += end - self.at
                self.at = end

    def _value(self, kind: int, key: str) -> Value:
        if kind == STRING:
            return self._text(LONGEST_STRING)[:LONGEST_KEPT_STRING]
        if kind not in SCALARS:
            raise UnreadableInput(
                f"{self.file}: {key[:80]!r} is of type {kind}, which GGUF does not have: it is damaged"
            )
        code = SCALARS[kind]
        value: Value = struct.unpack(self.order + code, self._take(struct.calcsize(code)))[0]
        return value

    def _text(self, longest: int) -> str:
        return self._take(self._length(longest, "bytes of text")).decode("utf-8", "replace")

    def _length(self, most: int, what: str, least: int = 1) -> int:
        """A stated number of things that take `least` bytes each: within its limit, and within the file."""
        number = self._integer("Q")
        if number > most or number * least > self.size - self.consumed:
            raise UnreadableInput(
                f"{self.file}: states {number} {what} at byte {self.consumed} of {self.size}: it is damaged or cut "
                "off; copy it again"
            )
        return number

    def _integer(self, code: str) -> int:
        value: int = struct.unpack(self.order + code, self._take(struct.calcsize(code)))[0]
        return value

    def _take(self, number: int) -> bytes:
        if self.consumed + number > min(self.size, LARGEST_HEADER_BYTES):
            raise UnreadableInput(f"{self.file}: is cut off within its header, or not a GGUF file; copy it again")
        while len(self.buffer) - self.at < number:
            more = self.stream.read(max(READ_BYTES, number))
            if not more:
                raise UnreadableInput(f"{self.file}: is cut off within its header; copy it again")
            self.buffer, self.at = self.buffer[self.at :] + more, 0
        taken = self.buffer[self.at : self.at + number]
        self.at += number
        self.consumed += number
        return taken
