"""Random trees: each entry is listed once, as used or skipped, on one line; nothing raises but Ferry's own errors."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ferry.assess.discovery import discover
from ferry.assess.site import TO_FILL_IN, Site
from tests.unit.assess.discovery import inputs

CONTENTS = [
    inputs.gpu_csv(0, 2).encode(),
    inputs.gpu_csv(1, 1, "NVIDIA A100-SXM4-80GB").encode(),
    inputs.nccl_log(2, 2).encode(),
    inputs.vllm_page("a").encode(),
    inputs.sglang_page("a").encode(),
    inputs.dcgm_page("h", 2).encode(),
    inputs.config().encode(),
    inputs.COMPOSE.encode(),
    inputs.UNIT.encode(),
    inputs.SLURM.encode(),
    inputs.SITE.encode(),
    b"",
]
NAMES = st.one_of(
    st.sampled_from(
        ["config.json", "site.yaml", "a.gguf", "model.safetensors", "manifests", "blobs", "snapshots", ".git"]
    ),
    st.binary(min_size=1, max_size=12).filter(lambda name: not set(name) & {0, 47} and name not in (b".", b"..")),
    st.sampled_from(
        ["no", "1:30", "012", "~", "null", "- a", "# a", "'", '"', "a: b", " a ", "[", "FILL-IN", "%", "2024-01-01"]
    ),
    st.just(b"n" * 255),
    st.just(b"line\nend"),
)
DAMAGED = st.tuples(st.sampled_from(CONTENTS), st.integers(0, 400), st.binary(max_size=3)).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + len(parts[2]) :]
)
LEAF = st.one_of(st.sampled_from(CONTENTS), DAMAGED, st.binary(max_size=64), st.sampled_from(["pipe", "loop", "out"]))
TREES = st.recursive(LEAF, lambda inner: st.dictionaries(NAMES, inner, max_size=4), max_leaves=6)


def build(where: bytes, tree: object) -> None:
    if isinstance(tree, dict):
        os.mkdir(where)  # noqa: PTH102 - a name that is not UTF-8
        for name, inner in tree.items():
            build(os.path.join(where, os.fsencode(name)), inner)  # noqa: PTH118
    elif tree == "pipe":
        os.mkfifo(where)
    elif tree in ("loop", "out"):
        os.symlink(b"." if tree == "loop" else b"/etc/hostname", where)  # noqa: PTH211
    else:
        assert isinstance(tree, bytes)
        Path(os.fsdecode(where)).write_bytes(tree)


@settings(max_examples=40)
@given(st.dictionaries(NAMES, TREES, max_size=5))
@example({"config.json": {"config.json": b"{}"}, "a.gguf": b"GGUF\x03\0\0\0"})
@example({"models": {"manifests": {"x": b"{}"}, "blobs": {}}})
@example(
    {"snapshots": {"a": {"config.json": inputs.config().encode()}, "b": {"config.json": inputs.config().encode()}}}
)
def test_any_tree_is_listed_without_a_traceback(tree: dict[str | bytes, object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "tree"
        build(os.fsencode(root), tree)
        found = discover(root)
        paths = [one.path for one in (*found.used, *found.skipped)]
        assert len(paths) == len(set(paths))
        document = found.dump()
        assert all(one["path"].isprintable() for one in (*document["used"], *document["skipped"]))
        assert all(one["reason"] and one["reason"].isprintable() for one in document["skipped"])
        text = found.site_yaml
        for key, value in (("country", "US"), ("time_zone", "UTC"), ("currency", "USD"), ("engine", "vllm")):
            text = text.replace(f"{key}: {TO_FILL_IN}", f"{key}: {value}")
        text = text.replace(f"nodes: {TO_FILL_IN}", "nodes: 1").replace(f"node: {TO_FILL_IN}", "node: 1")
        Site.model_validate(yaml.safe_load(text))
