"""Every kind is told by its content, whatever the file is called; the rest is skipped with the reason."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from ferry.assess.discovery import discover
from tests.unit.assess.discovery import inputs
from tests.unit.assess.discovery.conftest import Tree

KINDS = [
    (inputs.gpu_csv(0), "GPUs' state", "cluster.nvidia_smi", "nvidia-smi --query-gpu: 8 × NVIDIA H100 80GB HBM3"),
    (inputs.nccl_log(), "collectives' log", "cluster.nccl_tests", "all_reduce, 16 ranks on 2 nodes"),
    (inputs.vllm_page(), "metrics", "serving[chat].metrics", "vllm: chat"),
    (inputs.dcgm_page(), "metrics", "cluster.metrics", "8 GPUs, 0 servers"),
    ("node_load1 0.5\n", "metrics", "cluster.metrics", "0 GPUs, 1 server"),
    (inputs.config(), "model", "serving[a-file].model", "LlamaForCausalLM"),
    (inputs.TRACE, "requests", "serving[service].requests", "azure-llm-2023"),
    (inputs.MOONCAKE, "requests", "serving[service].requests", "mooncake"),
    (inputs.ACCESS_LOG, "requests", "serving[service].requests", "nginx"),
    (inputs.OLLAMA_LOG, "requests", "serving[ollama].requests", "ollama"),
    (inputs.COMPOSE, "deployment", "deployments", "llm (vllm)"),
    (inputs.UNIT, "deployment", "deployments", "a file (vllm)"),
    (inputs.MANIFEST, "deployment", "deployments", "llm (vllm)"),
    (inputs.SLURM, "deployment", "deployments", "finetune (torchrun)"),
]


@pytest.mark.parametrize(
    ("content", "kind", "key", "says"), KINDS, ids=[f"{kind[1]}-{n}" for n, kind in enumerate(KINDS)]
)
def test_a_kind_is_told_by_its_content(tree: Tree, content: str, kind: str, key: str, says: str) -> None:
    found = discover(tree({"a file": content}))
    assert found.skipped == []
    assert [(one.path, one.kind, one.key, one.says) for one in found.used] == [("a file", kind, key, says)]


ANSWER = {
    "status": "success",
    "data": {"resultType": "vector", "result": [{"metric": {"__name__": "node_load1"}, "value": [1, "2"]}]},
}
SKIPPED = [
    (b"", "is empty"),
    (b" \n\t\n", "is empty"),
    (b"\0\1\2\3 text", "is binary"),
    (b"\x7fELF\2\1\1\0", "is a program"),
    (gzip.compress(b"TIMESTAMP,ContextTokens", mtime=0), "is a gzip archive: unpack it"),
    (b"PK\3\4abc", "is a zip archive: unpack it"),
    (b"just a note\n", "is of no kind that Ferry reads"),
    (b"<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
    (b"schema: ferry/plan/v1\nverdict: go\n", "is Ferry's own (ferry/plan/v1)"),
    (b'{"at": "2026-01-01T00:00:00", "previous": "' + b"0" * 64 + b'", "verb": "assess"}\n', "is Ferry's own ledger"),
    (
        inputs.nccl_log().encode()[:-60],
        "looks like collectives' log: line 21: truncated nccl-tests log: the table has no 'Avg bus bandwidth' line, "
        "the file ends; measure again: all_reduce_perf -b 8 -e 8G -f 2 -g 8",
    ),
    (
        json.dumps(ANSWER | {"status": "error", "errorType": "bad_data", "error": "parse error"}).encode(),
        "looks like metrics: is an error of Prometheus (bad_data): parse error; correct the query",
    ),
    (b"schema: ferry/site/v1\nname: x\n", "looks like site.yaml (ferry/site/v1): location: is missing (and 3 more)"),
    (b"schema: ferry/site/v9\nname: x\n", "looks like site.yaml (ferry/site/v1): schema is 'ferry/site/v9', this Ferry "
     "reads 'ferry/site/v1'"),
    (
        b"schema: ferry/site/v1\nname: " + b"[" * 1500,
        "looks like site.yaml (ferry/site/v1): is not YAML: nested too deeply, or a value out of range",
    ),
    (
        b"schema: ferry/site/v1\nname: 2024-13-45\n",
        "looks like site.yaml (ferry/site/v1): is not YAML: nested too deeply, or a value out of range",
    ),
    (
        b"#!/bin/sh\nexec echo vllm\n",
        "looks like deployment: starts no engine that Ferry knows and no training",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("content", "reason"), SKIPPED, ids=[reason[:30] for _, reason in SKIPPED])
def test_what_no_reader_reads_is_skipped_with_the_reason(tree: Tree, content: bytes, reason: str) -> None:
    found = discover(tree({"a file": content}))
    assert found.used == []
    assert [(one.path, one.reason) for one in found.skipped] == [("a file", reason)]


def test_a_name_that_no_site_yaml_can_hold_is_skipped_before_it_is_opened(tree: Tree) -> None:
    root = tree({"ok.csv": inputs.gpu_csv(0)})
    (root / "a\nb.csv").write_text(inputs.gpu_csv(1))
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.csv")).write_text(inputs.gpu_csv(2))
    found = discover(root)
    assert [one.path for one in found.used] == ["ok.csv"]
    assert {one.reason.partition(" (")[0] for one in found.skipped} == {"has a name that cannot stand in a site.yaml"}
    assert sorted(one["path"] for one in found.dump()["skipped"]) == ["\\xff.csv", "a\\nb.csv"]


def test_a_file_that_cannot_be_opened_is_skipped_with_the_reason(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree({"closed.csv": inputs.gpu_csv(0), "open.csv": inputs.gpu_csv(1)})
    opened = os.open

    def refusing(path: Path, flags: int) -> int:
        if Path(path).name == "closed.csv":
            raise PermissionError(13, "Permission denied")
        return opened(path, flags)

    monkeypatch.setattr("ferry.assess.discovery.sample.os.open", refusing)
    found = discover(root)
    assert [(one.path, one.reason) for one in found.skipped] == [("closed.csv", "cannot be read: Permission denied")]


def test_a_sparse_file_of_a_gibibyte_costs_its_beginning_only(tree: Tree) -> None:
    root = tree({"sparse": b"", "large.txt": inputs.gpu_csv(0)})
    with (root / "sparse").open("r+b") as file:
        file.truncate(2**30)
    with (root / "large.txt").open("r+b") as file:
        file.truncate(2**30)
    reasons = {one.path: one.reason for one in discover(root).skipped}
    assert reasons == {"sparse": "is binary", "large.txt": "is binary"}


def test_a_text_that_is_larger_than_its_reader_takes_is_not_read(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferry.assess.gpus.LARGEST_BYTES", 100)
    (skipped,) = discover(tree({"a.csv": inputs.gpu_csv(0)})).skipped
    assert skipped.reason.startswith("looks like GPUs' state: is larger than ")


def test_a_table_below_pages_of_other_output_is_found_by_the_files_end(tree: Tree) -> None:
    setup = "Collecting package\n" * 40_000
    (used,) = discover(tree({"job.out": setup + inputs.nccl_log()})).used
    assert (used.kind, used.says) == ("collectives' log", "all_reduce, 16 ranks on 2 nodes")


def test_a_long_text_without_a_mark_at_its_ends_is_not_called_of_no_kind(tree: Tree) -> None:
    noise = "INFO nothing\n" * 40_000
    (skipped,) = discover(tree({"job.out": noise + inputs.nccl_log() + noise})).skipped
    assert skipped.reason == (
        "has nothing that Ferry reads in its first 256 and its last 64 KiB; name it in site.yaml if that lies between "
        "them"
    )


def test_a_windows_text_in_utf_16_is_read(tree: Tree) -> None:
    (used,) = discover(tree({"a.csv": inputs.gpu_csv(0).encode("utf-16")})).used
    assert used.kind == "GPUs' state"


def test_of_two_readers_that_read_a_file_the_first_has_it(tree: Tree) -> None:
    (used,) = discover(tree({"job.out": inputs.gpu_csv(0) + "\n" + inputs.nccl_log()})).used
    assert used.kind == "collectives' log"
