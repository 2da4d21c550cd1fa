"""Reads a model of Ollama's: a manifest, and the GGUF file among the blobs that it names.

A models folder has manifests/<registry>/<namespace>/<name>/<tag> and blobs/sha256-<digest> (`:` in older versions);
source: github.com/ollama/ollama, manifest/ and docs/import.mdx.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ferry.artefacts import Finding
from ferry.assess.files import json_object, read_text
from ferry.assess.models import gguf_facts
from ferry.assess.models.gguf_facts import GgufModel
from ferry.assess.models.pointers import regular_size
from ferry.errors import UnreadableInput

DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
MEDIA = "application/vnd.ollama.image."
LARGEST_MANIFEST_BYTES = 4 * 2**20
LARGEST_PARAMS_BYTES = 2**20
MOST_LAYERS = 10_000
MOST_MANIFESTS = 1000
DEEPEST = 6


@dataclass(frozen=True)
class Layer:
    """One blob: what it is (model, projector, adapter, template, params, …), its digest, its bytes."""

    kind: str
    digest: str
    size: int


def is_manifest(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is the manifest of a model that Ollama pulled."""
    layers = document.get("layers")
    return "schemaVersion" in document and isinstance(layers, list)


def parse(document: Mapping[str, Any], file: str) -> list[Layer]:
    """The layers of a manifest. Raises UnreadableInput: it is damaged, or of a container image."""
    layers = document.get("layers")
    if not isinstance(layers, list):
        raise UnreadableInput(f"{file}: is no manifest of Ollama's: it has no list of layers")
    if len(layers) > MOST_LAYERS:
        raise UnreadableInput(f"{file}: has {len(layers)} layers; expected at most {MOST_LAYERS}")
    found = []
    for layer in layers:
        media, digest, size = (
            (layer.get("mediaType"), layer.get("digest"), layer.get("size")) if isinstance(layer, dict) else (None,) * 3
        )
        match = DIGEST.fullmatch(digest) if isinstance(digest, str) else None
        if not isinstance(media, str) or match is None or type(size) is not int or not 0 <= size < 2**63:
            raise UnreadableInput(f"{file}: a layer has no mediaType, sha256 digest and size: it is damaged")
        if media.startswith(MEDIA):
            found.append(Layer(media.removeprefix(MEDIA), match[1], size))
    if not any(layer.kind in ("model", "tensor") for layer in found):
        raise UnreadableInput(f"{file}: is a manifest without a layer {MEDIA}model; is it of a container image?")
    return found


def read_manifest(path: Path, label: str) -> GgufModel:
    """The model of a manifest, from its GGUF blob. UnreadableInput: the blob is missing or cut off."""
    layers = parse(json_object(read_text(path, label, LARGEST_MANIFEST_BYTES), label), label)
    models = [layer for layer in layers if layer.kind == "model"]
    if not models:
        raise UnreadableInput(
            f"{label}: is of a model in single tensors (mediaType {MEDIA}tensor), which Ferry does not read; name the "
            "safetensors folder that it was made from"
        )
    blobs = _blobs(path)
    said = ", ".join(f"sha256-{layer.digest[:12]}… of {layer.size} bytes" for layer in models[:2])
    if blobs is None:
        raise UnreadableInput(
            f"{label}: is Ollama's manifest of a model of {sum(layer.size for layer in models)} bytes ({said}), and "
            "says nothing of its layers and heads; name it in its models folder, whose blobs hold them"
        )
    paths = [_blob(blobs, layer, label) for layer in models]
    model = gguf_facts.read(paths, label, [f"{label}: blob {path.name[:19]}…" for path in paths])
    return GgufModel(model.facts, [*model.findings, *_about(layers, blobs, label)])


def find_manifest(folder: Path, label: str) -> Path | None:
    """The one manifest of a models folder, or of a folder among its manifests; None where it is neither.

    Raises UnreadableInput: it has several, or none.
    """
    stores = [top / "manifests" for top in (folder, folder / "models") if (top / "blobs").is_dir()]
    top = next((store for store in stores if store.is_dir()), None) or (folder if _blobs(folder / "any") else None)
    if top is None:
        return None
    found = sorted(_manifests(top, DEEPEST))
    names = [path.relative_to(folder).as_posix() for path in found]
    if not found:
        raise UnreadableInput(f"{label}: is a models folder of Ollama with no manifest; ollama pull the model first")
    if len(found) > 1:
        raise UnreadableInput(
            f"{label}: is a models folder of Ollama with {len(found)} models; name one: {label}/"
            f"{f', {label}/'.join(names[:4])}{', …' if len(names) > 4 else ''}"
        )
    return found[0]


def _manifests(folder: Path, depth: int) -> list[Path]:
    """Files below a folder, to the depth that Ollama uses, links to folders not followed."""
    found: list[Path] = []
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return found
    for entry in entries[:MOST_MANIFESTS]:
        if entry.name.startswith(".") or not entry.name.isprintable():
            continue
        if regular_size(entry) is not None:
            found.append(entry)
        elif depth and entry.is_dir() and not entry.is_symlink():
            found += _manifests(entry, depth - 1)
    return found[:MOST_MANIFESTS]


def _blobs(path: Path) -> Path | None:
    """The blobs beside the manifests folder that a manifest lies in."""
    for parent in path.absolute().parents:
        if parent.name == "manifests" and (parent.parent / "blobs").is_dir():
            return parent.parent / "blobs"
    return None


def _blob(blobs: Path, layer: Layer, label: str) -> Path:
    for name in (f"sha256-{layer.digest}", f"sha256:{layer.digest}"):
        size = regular_size(blobs / name)
        if size is None:
            continue
        if size != layer.size:
            raise UnreadableInput(
                f"{label}: blob {name[:19]}… has {size} bytes, the manifest says {layer.size}: pull it again"
            )
        return blobs / name
    raise UnreadableInput(
        f"{label}: blob sha256-{layer.digest[:12]}… ({layer.kind}) is not in blobs/: pull the model again"
    )


def _about(layers: list[Layer], blobs: Path, label: str) -> list[Finding]:
    found = []
    beside = [layer for layer in layers if layer.kind in ("projector", "adapter")]
    if beside:
        found.append(
            Finding(
                severity="info",
                code="model-has-parts-beside",
                seen=", ".join(f"{layer.kind} of {layer.size} bytes" for layer in beside),
                where=label,
                means="the model's own parameters and bytes do not count them",
                remedy="name what the cloud's engine has to load beside the model when the plan is made",
            )
        )
    context = next((_context(blobs, layer, label) for layer in layers if layer.kind == "params"), None)
    if context is not None:
        found.append(
            Finding(
                severity="info",
                code="ollama-context",
                seen=f"num_ctx {context}",
                where=f"{label}: params",
                means=f"Ollama serves {context} tokens of context, whatever the model could",
                remedy="keep it as the limit of the cloud's engine, unless requests need more",
            )
        )
    return found


def _context(blobs: Path, layer: Layer, label: str) -> int | None:
    if layer.size > LARGEST_PARAMS_BYTES:
        return None
    params = json_object(read_text(_blob(blobs, layer, label), f"{label}: params", LARGEST_PARAMS_BYTES), label)
    value = params.get("num_ctx")
    return value if type(value) is int and 0 < value <= 10**9 else None
