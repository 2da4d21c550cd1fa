from __future__ import annotations

import json
from pathlib import Path

import pytest

from ferry.assess.models import read_model
from ferry.errors import UnreadableInput
from tests.unit.assess.models import build


def refusal(path: Path) -> str:
    with pytest.raises(UnreadableInput) as refused:
        read_model(path, "m")
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_manifest_leads_to_the_header_of_its_blob(tmp_path: Path) -> None:
    manifest = build.ollama(tmp_path, build.gguf(), params={"num_ctx": 2048})
    model = read_model(manifest, "mini")
    assert (model.facts.parameters.value, model.facts.weight_bytes.value) == (build.PARAMETERS, build.BYTES)
    assert model.facts.dtype == "q4_k_m"
    assert [(finding.code, finding.seen) for finding in model.findings][1:] == [("ollama-context", "num_ctx 2048")]
    assert model.read == [manifest]


@pytest.mark.parametrize("top", ["", "models"])
def test_a_store_with_one_model_needs_no_name(tmp_path: Path, top: str) -> None:
    build.ollama(tmp_path / top, build.gguf())
    assert read_model(tmp_path, "m").facts.parameters.value == build.PARAMETERS


def test_a_store_with_several_models_lists_them(tmp_path: Path) -> None:
    build.ollama(tmp_path, build.gguf())
    build.ollama(tmp_path, build.gguf(), name="qwen3/8b")
    assert refusal(tmp_path) == (
        "m: is a models folder of Ollama with 2 models; name one: m/manifests/registry.ollama.ai/library/phi3/mini, "
        "m/manifests/registry.ollama.ai/library/qwen3/8b"
    )
    one = tmp_path / "manifests" / "registry.ollama.ai" / "library" / "qwen3"
    assert read_model(one, "m").facts.path == "m/8b"


def test_a_manifest_alone_is_refused_with_the_bytes_that_it_says(tmp_path: Path) -> None:
    manifest = build.ollama(tmp_path, build.gguf())
    (tmp_path / "mini").write_bytes(manifest.read_bytes())
    size = len(build.gguf())
    assert refusal(tmp_path / "mini").startswith(f"m: is Ollama's manifest of a model of {size} bytes (sha256-")


def test_a_blob_that_is_missing_or_cut_off_is_refused(tmp_path: Path) -> None:
    manifest = build.ollama(tmp_path, build.gguf())
    (blob,) = [path for path in (tmp_path / "blobs").iterdir() if path.stat().st_size > 100]
    blob.write_bytes(build.gguf()[:-32])
    assert "the manifest says" in refusal(manifest)
    blob.unlink()
    assert refusal(manifest).endswith("(model) is not in blobs/: pull the model again")


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        (
            [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}],
            "a layer has no mediaType, sha256 digest and size",
        ),
        (
            [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": f"sha256:{'a' * 64}", "size": 1}],
            "is it of a container image?",
        ),
        ([{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../x", "size": 1}], "it is damaged"),
        (
            [{"mediaType": "application/vnd.ollama.image.tensor", "digest": f"sha256:{'a' * 64}", "size": 1}],
            "single tensors",
        ),
        ([7], "it is damaged"),
    ],
)
def test_a_manifest_of_something_else_is_refused(tmp_path: Path, layers: list[object], says: str) -> None:
    (tmp_path / "tag").write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    assert says in refusal(tmp_path / "tag")


def test_a_projector_beside_the_model_is_found(tmp_path: Path) -> None:
    manifest = build.ollama(tmp_path, build.gguf())
    document = json.loads(manifest.read_text())
    document["layers"].append(
        {"mediaType": "application/vnd.ollama.image.projector", "digest": f"sha256:{'b' * 64}", "size": 623}
    )
    manifest.write_text(json.dumps(document))
    codes = {finding.code: finding.seen for finding in read_model(manifest, "m").findings}
    assert codes["model-has-parts-beside"] == "projector of 623 bytes"
