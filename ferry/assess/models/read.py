"""Recognises what a site names as its model, and reads it: a folder, or one file, by content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ferry.artefacts import Finding, ModelFacts
from ferry.assess.files import json_object, read_text
from ferry.assess.models import gguf, gguf_facts, listing, ollama, pointers, safetensors
from ferry.assess.models.facts import model_facts
from ferry.assess.models.weights import INDEX, LARGEST_LISTING_BYTES, Weights, names_in, of_listing, read_weights
from ferry.errors import UnreadableInput

CONFIG = "config.json"
NATIVE = "params.json"
QUANTIZATION = "hf_quant_config.json"
LARGEST_TEXT_BYTES = 32 * 2**20
"""A safetensors index of the largest models has 10 MB."""
SIDECARS = ("mmproj", "mtp-")
"""GGUF files that are loaded beside a model (docs/gguf.md, naming convention)."""


@dataclass(frozen=True)
class ModelFolder:
    """The facts, the findings, and the files that were read whole."""

    facts: ModelFacts
    findings: list[Finding]
    read: list[Path]


def read_model(path: Path, label: str) -> ModelFolder:
    """Read a model: a folder or a file as `ferry.assess.models` lists them.

    Raises UnreadableInput: it is none of them, describes no decoder, says too little, or is a broken copy.
    """
    try:
        is_folder = path.is_dir()
    except (OSError, ValueError) as error:
        raise UnreadableInput(f"{label}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return _read_folder(path, label) if is_folder else _read_file(path, label)


def _read_folder(folder: Path, label: str) -> ModelFolder:
    names = names_in(folder, label)
    models = [name for name in names if name.endswith(".gguf") and not name.startswith(SIDECARS)]
    # A folder of GGUF files may have the config.json of the model that they were made from.
    if models and not any(name.endswith((".safetensors", ".bin", ".index.json")) for name in names):
        return _read_gguf_folder(folder, models, label)
    if CONFIG in names or NATIVE in names:
        name = CONFIG if CONFIG in names else NATIVE
        return _with_weights(folder / name, f"{label}/{name}", folder, label, names)
    if (manifest := ollama.find_manifest(folder, label)) is not None:
        model = ollama.read_manifest(manifest, f"{label}/{manifest.relative_to(folder).as_posix()}")
        return ModelFolder(model.facts, model.findings, [manifest])
    if (snapshot := _snapshot(folder, label)) is not None:
        return _read_folder(snapshot, f"{label}/snapshots/{snapshot.name}")
    raise UnreadableInput(f"{label}: has no {CONFIG}; name the folder that the engine loads the model from")


def _with_weights(config: Path, file: str, folder: Path, label: str, names: list[str]) -> ModelFolder:
    """A configuration with the weights, the quantisation and the git history that lie beside it."""
    text = read_text(config, file, LARGEST_TEXT_BYTES)
    document = json_object(text, file)
    weights = read_weights(folder, label)
    beside, read = None, [config]
    if QUANTIZATION in names:
        quantization = f"{label}/{QUANTIZATION}"
        beside = json_object(read_text(folder / QUANTIZATION, quantization, LARGEST_TEXT_BYTES), quantization)
        read.append(folder / QUANTIZATION)
    facts, findings = model_facts(document, weights, label, file=file, text=text, beside=beside)
    findings += pointers.about_history(pointers.history(folder), label)
    return ModelFolder(facts, [*weights.findings, *findings], [*read, *weights.read])


def _read_gguf_folder(folder: Path, models: list[str], label: str) -> ModelFolder:
    stems = {match["stem"] if (match := gguf_facts.SPLIT.fullmatch(name)) else name for name in models}
    if len(stems) > 1:
        raise UnreadableInput(
            f"{label}: holds {len(stems)} GGUF models: {', '.join(sorted(stems)[:4])}{', …' if len(stems) > 4 else ''}"
            "; name the file that is served"
        )
    return _read_gguf(folder / models[0], f"{label}/{models[0]}", label)


def _read_gguf(path: Path, file: str, label: str) -> ModelFolder:
    names = [path.name] if gguf_facts.SPLIT.fullmatch(path.name) is None else names_in(path.parent, label)
    paths = gguf_facts.files_of(path, names, file)
    pointed = [each for each in paths if pointers.pointer_size(each) is not None]
    if pointed:
        size = sum(pointers.pointer_size(each) or 0 for each in pointed)
        raise UnreadableInput(
            f"{file}: {len(pointed)} of {len(paths)} GGUF files are git-lfs pointers, to {size} bytes; a pointer says "
            "nothing of the model: git lfs pull"
        )
    parent = file.rsplit("/", 1)[0] + "/" if "/" in file else ""
    named = [file] if len(paths) == 1 else [f"{parent}{each.name}" for each in paths]
    model = gguf_facts.read(paths, label, named)
    return ModelFolder(model.facts, model.findings, [])


def _read_file(path: Path, label: str) -> ModelFolder:
    if path.name in (CONFIG, NATIVE) or path.name.endswith((".safetensors", ".safetensors.index.json")):
        if pointers.regular_size(path) is None:
            raise UnreadableInput(f"{label}: is not there, or is not a regular file")
        folder, of_folder = path.parent, label.rsplit("/", 1)[0] if "/" in label else "."
        names = names_in(folder, of_folder)
        if path.name in names and (CONFIG in names or path.name == NATIVE):
            name = path.name if path.name in (CONFIG, NATIVE) else CONFIG
            return _with_weights(folder / name, f"{of_folder}/{name}", folder, of_folder, names)
    if path.name.endswith(".gguf") or _starts_with(path, gguf.MAGIC, label):
        return _read_gguf(path, label, label)
    if path.name.endswith(".safetensors"):
        return _refuse_tensors(path, label)
    if (size := pointers.pointer_size(path)) is not None:
        raise UnreadableInput(f"{label}: is a git-lfs pointer to {size} bytes, and says nothing of them; git lfs pull")
    return _read_text_file(path, label)


def _read_text_file(path: Path, label: str) -> ModelFolder:
    text = read_text(path, label, LARGEST_TEXT_BYTES)
    if text.lstrip().startswith("{"):
        document = json_object(text, label)
        if "weight_map" in document:
            raise UnreadableInput(_of_index(safetensors.parse_index(text, label), label))
        if ollama.is_manifest(document):
            model = ollama.read_manifest(path, label)
            return ModelFolder(model.facts, model.findings, [path])
        weights = Weights(source=f"{label}: a configuration alone")
        weights.findings.append(_alone(label))
        facts, findings = model_facts(document, weights, label, file=label, text=text)
        return ModelFolder(facts, [*weights.findings, *findings], [path])
    if len(text) <= LARGEST_LISTING_BYTES and (found := listing.parse(text, label)) is not None:
        return _read_listing(found, path, label)
    if "filter=lfs" in text[:10_000]:
        raise UnreadableInput(
            f"{label}: is a .gitattributes: it says which files git-lfs keeps, and nothing of the model; name the "
            f"folder or its {CONFIG}"
        )
    raise UnreadableInput(
        f"{label}: is none of {CONFIG}, {INDEX}, a GGUF file, a manifest of Ollama's, and a listing by ls -l or du; "
        "a page of text has no figures that Ferry would trust"
    )


def _read_listing(found: listing.Listing, path: Path, label: str) -> ModelFolder:
    """A listing with the config.json beside it; alone it has bytes, and no dimensions."""
    config = path.parent / CONFIG
    file = f"{label.rsplit('/', 1)[0]}/{CONFIG}" if "/" in label else CONFIG
    if pointers.regular_size(config) is None:
        raise UnreadableInput(
            f"{label}: lists {len(found.entries)} weight files of {found.total_bytes / 1e9:.1f} GB ({found.source}), "
            f"and says nothing of layers and heads; put the model's {CONFIG} beside it"
        )
    text = read_text(config, file, LARGEST_TEXT_BYTES)
    weights = of_listing(found, path)
    facts, findings = model_facts(json_object(text, file), weights, label, file=file, text=text)
    return ModelFolder(facts, [*weights.findings, *findings], [config, path])


def _of_index(index: safetensors.Index, label: str) -> str:
    size = f"{index.total_size} bytes" if index.total_size is not None else "bytes that it does not say"
    return (
        f"{label}: is an index of {len(index.shard_of)} tensors in {len(index.shards)} shards, {size}, "
        f"{safetensors.layers(index.shard_of)} layers, and says nothing of heads and context; put the model's {CONFIG} "
        f"beside it, and name it {INDEX}"
    )


def _refuse_tensors(path: Path, label: str) -> ModelFolder:
    size = pointers.pointer_size(path)
    if size is not None:
        raise UnreadableInput(f"{label}: is a git-lfs pointer to {size} bytes, and there is no {CONFIG} beside it")
    header = safetensors.read_header(path, label)
    raise UnreadableInput(
        f"{label}: holds {len(header.tensors)} tensors of {header.total_bytes} bytes, and no {CONFIG} is beside it"
    )


def _snapshot(folder: Path, label: str) -> Path | None:
    """The snapshot that a model's folder in the Hugging Face cache stands for; None where it is no such folder."""
    try:
        found = sorted(entry for entry in (folder / "snapshots").iterdir() if entry.is_dir())
    except OSError:
        return None
    reference = folder / "refs" / "main"
    if pointers.regular_size(reference) is not None:
        named = read_text(reference, f"{label}/refs/main", 1024).strip()
        found = [entry for entry in found if entry.name == named] or found
    if len(found) > 1:
        raise UnreadableInput(f"{label}: has {len(found)} snapshots; name one: {label}/snapshots/{found[0].name}")
    return found[0] if found else None


def _starts_with(path: Path, magic: bytes, label: str) -> bool:
    if pointers.regular_size(path) is None:
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(len(magic)) == magic
    except OSError as error:
        raise UnreadableInput(f"{label}: cannot be read: {error.strerror or error}") from error


def _alone(label: str) -> Finding:
    return Finding(
        severity="warning",
        code="weights-not-here",
        seen="a configuration alone",
        where=label,
        means="the sizes come from its dimensions; there is nothing to copy to the cloud yet",
        remedy="before the model is copied: name the folder that the engine loads from",
    )
