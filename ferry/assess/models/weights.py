"""Reads what a model folder says of its weights: the safetensors index, the shards' headers, git-lfs pointers.

A folder is one of two things. Either it holds weights: then it has to hold all that its index names, whole. Or it
holds none (the index alone, or pointers as `git clone` leaves them without git-lfs, or a listing of the folder that has
them): then it describes the model, and a finding says that the weights are elsewhere. Some shards and not others is a
broken copy, and refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ferry.artefacts import Finding
from ferry.assess.files import read_text
from ferry.assess.models import listing, safetensors
from ferry.assess.models.pointers import pointer_size, regular_size
from ferry.assess.models.safetensors import Header
from ferry.errors import UnreadableInput

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
PICKLED_INDEX = "pytorch_model.bin.index.json"
PICKLED = re.compile(r"(?:pytorch_model|consolidated)(?:[.-]\d+(?:-of-\d+)?)?\.(?:bin|pth|pt)")
# DeepSeek-V3's inference/convert.py: one file a tensor-parallel rank, and what is not split in each of them.
BY_RANK = re.compile(r"model(\d{1,4})-mp(\d{1,4})\.safetensors")
LARGEST_LISTING_BYTES = 4 * 2**20
LARGEST_INDEX_BYTES = 32 * 2**20
"""DeepSeek-V3's index of 91,991 tensors has 8.5 MB."""
MOST_ENTRIES = 20_000


@dataclass
class Weights:
    """What was found. `tensors` (dtype and elements by name) come only from headers; `read` were read whole.

    `total_bytes` is exact unless `rounded`.
    """

    source: str
    total_bytes: int | None = None
    tensors: dict[str, tuple[str, int]] | None = None
    rounded: bool = False
    read: list[Path] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def read_weights(folder: Path, label: str) -> Weights:
    """Read the index, or the one file, of a model folder. Raises UnreadableInput when it is a broken copy."""
    names = names_in(folder, label)
    indexes = [name for name in names if name.endswith(".safetensors.index.json")]
    if INDEX in names or len(indexes) == 1:
        return _read_sharded(folder, INDEX if INDEX in names else indexes[0], label)
    if PICKLED_INDEX in names and not any(name.endswith(".safetensors") for name in names):
        return _read_sharded(folder, PICKLED_INDEX, label)
    tensors = [name for name in names if name.endswith(".safetensors")]
    if SINGLE in tensors or len(tensors) == 1:
        name = SINGLE if SINGLE in tensors else tensors[0]
        if safetensors.first_missing([name]) is None:
            return _read_single(folder / name, f"{label}/{name}")
    if tensors and all(BY_RANK.fullmatch(name) for name in tensors):
        return _read_ranks(folder, tensors, label)
    if tensors:
        raise UnreadableInput(
            f"{label}: has {tensors[0]} and {len(tensors) - 1} more, but no {INDEX} that says what belongs to them; "
            "copy the whole model folder"
        )
    if pickled := [name for name in names if PICKLED.fullmatch(name)]:
        return _read_pickled(folder, pickled, label)
    weights = Weights(source=f"{label}: no weights and no {INDEX}")
    listings = _listings(folder, names, label)
    if len(listings) == 1:
        return of_listing(*listings[0])
    weights.findings.append(_not_here(label, "no safetensors file and no index", "config.json's dimensions"))
    return weights


def names_in(folder: Path, label: str) -> list[str]:
    """The names of the regular files in a folder, in order. Raises UnreadableInput."""
    try:
        names = [path.name for _, path in zip(range(MOST_ENTRIES + 1), folder.iterdir(), strict=False)]
    except (OSError, ValueError) as error:
        raise UnreadableInput(f"{label}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(names) > MOST_ENTRIES:
        raise UnreadableInput(f"{label}: has more than {MOST_ENTRIES} entries; name the folder of one model")
    return sorted(name for name in names if name.isprintable() and regular_size(folder / name) is not None)


def of_listing(found: listing.Listing, path: Path) -> Weights:
    """The weights that a listing of another folder names."""
    weights = Weights(source=found.source, total_bytes=found.total_bytes, rounded=True, read=[path])
    weights.findings = [*listing.about(found), _not_here(found.file, "a listing of a folder", "the listing")]
    if any(finding.code == "weights-are-pointers" for finding in weights.findings):
        weights.total_bytes, weights.source = None, f"{found.file}: lists git-lfs pointers"
    return weights


def _listings(folder: Path, names: list[str], label: str) -> list[tuple[listing.Listing, Path]]:
    found = []
    for name in names:
        size = regular_size(folder / name) or 0
        if name.endswith((".txt", ".log", ".lst")) and size <= LARGEST_LISTING_BYTES:
            text = read_text(folder / name, f"{label}/{name}")
            if (parsed := listing.parse(text, f"{label}/{name}")) is not None:
                found.append((parsed, folder / name))
    return found


def _read_sharded(folder: Path, index_name: str, label: str) -> Weights:
    file = f"{label}/{index_name}"
    index = safetensors.parse_index(read_text(folder / index_name, file, LARGEST_INDEX_BYTES), file)
    weights = Weights(source=f"{file}: total_size", total_bytes=index.total_size, read=[folder / index_name])
    here = [name for name in index.shards if regular_size(folder / name) is not None]
    pointers = {name: size for name in here if (size := pointer_size(folder / name)) is not None}
    real = [name for name in here if name not in pointers]
    absent = [name for name in index.shards if name not in real]
    if real and absent:
        raise UnreadableInput(
            f"{file}: names {len(index.shards)} shards, {len(absent)} of them are missing or git-lfs pointers: "
            f"{', '.join(absent[:3])}{', …' if len(absent) > 3 else ''}; finish the copy: git lfs pull"
        )
    if real and index_name == PICKLED_INDEX:
        return _with_pickle_sizes(weights, folder, real, label)
    if real:
        headers = {name: safetensors.read_header(folder / name, f"{label}/{name}") for name in real}
        for tensor, shard in index.shard_of.items():
            if tensor not in headers[shard].tensors:
                raise UnreadableInput(f"{label}/{shard}: does not hold {tensor!r}, which {INDEX} says it does")
        _add_headers(weights, headers.values(), f"{label}: headers of {len(real)} shards")
        return weights
    weights.read += [folder / name for name in pointers]
    if weights.total_bytes is None and len(pointers) == len(index.shards):
        weights.source, weights.total_bytes = f"{label}: sizes in the git-lfs pointers", sum(pointers.values())
    seen = (
        f"{len(pointers)} of {len(index.shards)} shards are here, as git-lfs pointers"
        if pointers
        else "no shard is here"
    )
    weights.findings.append(_not_here(label, seen, index_name))
    return weights


def _read_single(path: Path, file: str) -> Weights:
    weights = Weights(source=file)
    size = pointer_size(path)
    if size is None:
        _add_headers(weights, [safetensors.read_header(path, file)], f"{file}: header")
    else:
        weights.source, weights.total_bytes, weights.read = f"{file}: size in the git-lfs pointer", size, [path]
        weights.findings.append(_not_here(file, "it is a git-lfs pointer", "the pointer"))
    return weights


def _read_ranks(folder: Path, names: list[str], label: str) -> Weights:
    """Files by tensor-parallel rank: their bytes count, their shapes are parts, and some are in each file."""
    matches = [match for name in names if (match := BY_RANK.fullmatch(name))]
    ranks = int(matches[0][2])
    if {(int(match[1]), int(match[2])) for match in matches} != {(rank, ranks) for rank in range(ranks)}:
        raise UnreadableInput(f"{label}: has {len(names)} of the {ranks} files by rank; copy the whole model folder")
    headers = [safetensors.read_header(folder / name, f"{label}/{name}") for name in names]
    return Weights(f"{label}: headers of {ranks} files by rank", sum(header.total_bytes for header in headers))


def _read_pickled(folder: Path, names: list[str], label: str) -> Weights:
    weights = Weights(source=f"{label}: no index")
    pointers = {name: size for name in names if (size := pointer_size(folder / name)) is not None}
    if pointers and len(pointers) < len(names):
        raise UnreadableInput(
            f"{label}: {len(pointers)} of {len(names)} weight files are git-lfs pointers; finish the copy: git lfs pull"
        )
    if (missing := safetensors.first_missing(names)) is not None:
        raise UnreadableInput(f"{label}: has no shard number {missing[0]} of {missing[1]}; finish the copy")
    if not pointers:
        return _with_pickle_sizes(weights, folder, names, label)
    weights.source, weights.total_bytes = f"{label}: sizes in the git-lfs pointers", sum(pointers.values())
    weights.read = [folder / name for name in pointers]
    weights.findings.append(_not_here(label, f"{len(pointers)} git-lfs pointers", "the pointers"))
    return weights


def _with_pickle_sizes(weights: Weights, folder: Path, names: list[str], label: str) -> Weights:
    """Pickled weights are code, and are not opened: the sizes of the files have to do."""
    size = sum(regular_size(folder / name) or 0 for name in names)
    if weights.total_bytes is not None and size < weights.total_bytes:
        raise UnreadableInput(
            f"{label}: its weight files have {size} bytes, the index says {weights.total_bytes}: cut off? copy again"
        )
    if weights.total_bytes is None:
        weights.source, weights.total_bytes = f"{label}: sizes of {len(names)} files", size
    weights.findings.append(
        Finding(
            severity="warning",
            code="weights-are-pickles",
            seen=f"{len(names)} pickled weight files, {names[0]}",
            where=label,
            means="loading a pickle runs code of whoever made it, and Ferry cannot check what it holds",
            remedy="convert to safetensors before the model is copied: model.save_pretrained(safe_serialization=True)",
        )
    )
    return weights


def _add_headers(weights: Weights, headers: Iterable[Header], source: str) -> None:
    weights.source, weights.total_bytes, weights.tensors = source, 0, {}
    for header in headers:
        weights.total_bytes += header.total_bytes
        weights.tensors |= header.tensors


def _not_here(where: str, seen: str, source: str) -> Finding:
    return Finding(
        severity="warning",
        code="weights-not-here",
        seen=seen,
        where=where,
        means=f"the sizes come from {source}; there is nothing to copy to the cloud from this folder yet",
        remedy="before the model is copied: git lfs pull, or name the folder that the engine loads from",
    )
