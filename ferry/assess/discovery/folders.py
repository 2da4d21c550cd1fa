"""Finds the folders that are one thing: a model as engines load it, a store of Ollama's, a folder of GGUF files."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field

from ferry.assess import models
from ferry.assess.discovery.evidence import ModelFound
from ferry.assess.discovery.walk import LINK_OUT, Skipped, Walk, join
from ferry.errors import FerryError

WEIGHTS = (".safetensors", ".gguf")
LARGEST_CONFIG_BYTES = 2**24
FIRST_SPLIT = "-00001-of-"
OLLAMA = frozenset({"manifests", "blobs"})
CONFIGS = ("config.json", "params.json")


@dataclass
class ModelFolders:
    """The models found, the folders that are refused, and what belongs to either. `""` is the root."""

    found: list[ModelFound] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    owned: set[str] = field(default_factory=set)
    """Folders; what lies in them or below belongs to a model, unless a reader of another kind reads it."""
    targets: set[str] = field(default_factory=set)
    """Files elsewhere that links in these folders lead to, as in the cache of the Hugging Face Hub."""

    def owns(self, path: str) -> bool:
        """Whether a file or folder is part of a model."""
        return path in self.targets or any(folder in self.owned for folder in above(path))


def above(path: str) -> list[str]:
    """The folders that a path lies in, the nearest first, the root last."""
    found = []
    while path:
        path = path.rpartition("/")[0]
        found.append(path)
    return found


def model_folders(walk: Walk) -> ModelFolders:
    """Try each folder that has what a model folder has; its reader decides."""
    inside: dict[str, list[str]] = defaultdict(list)
    for path in (*(file.path for file in walk.files), *walk.links):
        inside[path.rpartition("/")[0]].append(path)
    out_of_it = [skipped.path for skipped in walk.skipped if skipped.reason == LINK_OUT]
    folders = set(walk.folders)
    models_found = ModelFolders()
    for folder in walk.folders:
        files = inside.get(folder, [])
        outward = [path for path in out_of_it if path.rpartition("/")[0] == folder]
        names = {path.rpartition("/")[2] for path in (*files, *outward)}
        parts = {name for name in ("snapshots", *OLLAMA) if join(folder, name) in folders}
        configured = any(name in names for name in CONFIGS)
        weighty = any(name.endswith(WEIGHTS) for name in names)
        is_store = parts >= OLLAMA or "snapshots" in parts
        if not (configured or weighty or is_store):
            continue
        if not folder.isprintable():
            continue  # each of its files is named with that reason
        # What a model's reader opens lies beside its configuration; in a store, anywhere below.
        if outward or (is_store and any(path.startswith(join(folder, "")) for path in out_of_it)):
            models_found.owned.add(folder)
            reason = "is a model folder with links out of the folder that is searched: name it yourself"
            models_found.skipped.append(Skipped(folder or ".", reason))
            continue
        _try(folder, files, weighty, parts, walk, models_found)
    models_found.targets.update(
        target for link, target in walk.links.items() if models_found.owns(link) and not models_found.owns(target)
    )
    return models_found


def _try(folder: str, files: list[str], weighty: bool, parts: set[str], walk: Walk, models_found: ModelFolders) -> None:
    label = folder or "."
    try:
        facts = models.read_model(walk.root / folder, label).facts
    except FerryError as error:
        if models_found.owns(f"{folder}/"):
            return  # a part of the model around it
        several = _several(folder, files, parts, walk)
        engine = "ollama" if parts >= OLLAMA else None
        read = [one for path in several if (one := _single(path, engine, walk, models_found)) is not None]
        if several:
            models_found.found += read
            models_found.owned.add(folder)
        elif weighty or _says_model(walk, folder, files):
            models_found.owned.add(folder)
            models_found.skipped.append(Skipped(label, f"looks like a model folder: {without(str(error), label)}"))
        return
    if models_found.owns(f"{folder}/") and not weighty:
        return
    models_found.found.append(ModelFound(label, facts.architecture, "ollama" if parts >= OLLAMA else None))
    models_found.owned.add(folder)


def _several(folder: str, files: list[str], parts: set[str], walk: Walk) -> list[str]:
    """The models of a folder that holds several: Ollama's manifests, or GGUF files."""
    if parts >= OLLAMA:
        within = join(folder, "manifests") + "/"
        return [file.path for file in walk.files if file.path.startswith(within)]
    if any(path.rpartition("/")[2] in CONFIGS for path in files):
        return []
    single = [path for path in files if path.endswith(".gguf") and ("-of-" not in path or FIRST_SPLIT in path)]
    return single if len(single) > 1 else []


def _single(path: str, engine: str | None, walk: Walk, models_found: ModelFolders) -> ModelFound | None:
    try:
        return ModelFound(path, models.read_model(walk.root / path, path).facts.architecture, engine)
    except FerryError as error:
        models_found.skipped.append(Skipped(path, f"looks like a model: {without(str(error), path)}"))
        return None


def _says_model(walk: Walk, folder: str, files: list[str]) -> bool:
    """Whether the config.json of a folder is one of a model at all; other programs have such files, too."""
    for path in (path for name in CONFIGS if (path := join(folder, name)) in files):
        try:
            with (walk.root / path).open("rb") as file:
                content = file.read(LARGEST_CONFIG_BYTES)
        except OSError:
            continue
        if b'"model_type"' in content or b'"architectures"' in content:
            return True
    return False


def without(message: str, label: str) -> str:
    """A reader's message without the name of the file, which stands beside it; of its place the line remains."""
    rest = message.removeprefix(label)
    return re.sub(r"^:([0-9]+): ", r"line \1: ", rest).removeprefix(": ")
