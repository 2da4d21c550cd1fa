from __future__ import annotations

import ast
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry.node_bundle import SOURCES
from ferry.signing_key import verification_key
from templates.hybrid.cloud.bundle import pull_model
from templates.hybrid.cloud.bundle.pull_model import Refused, Source, pull

FILES = {"config.json": b"{}", "weights/a.safetensors": b"a" * 1000, "weights/b.safetensors": b"b" * 2000}
PREFIX = "models/chat/1.0/"

pytestmark = pytest.mark.usefixtures("openssl")


class Bucket:
    """The AWS CLI as the puller calls it, over a dictionary of objects."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self.key = key
        self.objects = {PREFIX + path: content for path, content in FILES.items()}
        self.fetched: list[str] = []
        self.sign(manifest())

    def sign(self, manifest: dict[str, Any]) -> None:
        content = json.dumps(manifest).encode()
        self.objects[f"{PREFIX}manifest.json"] = content
        self.objects[f"{PREFIX}manifest.json.sig"] = self.key.sign(content)

    def aws(self, *arguments: str) -> str:
        if arguments[0] == "s3api":
            return json.dumps([[key, len(content)] for key, content in self.objects.items()])
        *_, source, target = arguments
        key = source.removeprefix("s3://models/")
        if key not in self.objects:
            raise Refused(f"aws: no {key}")
        self.fetched.append(key.removeprefix(PREFIX))
        Path(target).write_bytes(self.objects[key])
        return ""


def manifest(**changes: Any) -> dict[str, Any]:
    files = [
        {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in FILES.items()
    ]
    return {"schema": "ferry/model-manifest/v1", "model": "chat", "version": "1.0", "files": files, **changes}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    bucket = Bucket(Ed25519PrivateKey.generate())
    monkeypatch.setattr(pull_model, "aws", bucket.aws)
    return bucket


@pytest.fixture
def source(bucket: Bucket, tmp_path: Path) -> Source:
    key = tmp_path / "key.pem"
    key.write_text(verification_key(bucket.key))
    return Source("models", "chat", "1.0", (key,))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def test_a_model_is_put_in_place_whole(bucket: Bucket, source: Source, root: Path) -> None:
    folder = pull(source, root)
    assert folder == root / "chat" / "1.0"
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES
    assert list((root / ".partial" / "chat").iterdir()) == []


def test_a_model_in_place_is_not_fetched_again(bucket: Bucket, source: Source, root: Path) -> None:
    pull(source, root)
    bucket.fetched.clear()
    pull(source, root)
    assert bucket.fetched == []


def test_a_model_that_lost_a_file_is_fetched_again(bucket: Bucket, source: Source, root: Path) -> None:
    (pull(source, root) / "config.json").unlink()
    assert (pull(source, root) / "config.json").read_bytes() == b"{}"


def test_a_second_run_keeps_what_the_first_fetched_intact(bucket: Bucket, source: Source, root: Path) -> None:
    good = bucket.objects[f"{PREFIX}config.json"]
    bucket.objects[f"{PREFIX}config.json"] = b"[]"
    with pytest.raises(Refused, match=r"^config\.json was altered: sha256 is [0-9a-f]{64}, [0-9a-f]{64} was signed$"):
        pull(source, root)
    assert not (root / "chat" / "1.0").exists()
    partial = root / ".partial" / "chat" / "1.0"
    assert not (partial / "config.json").exists()
    (partial / "weights" / "left-over").write_bytes(b"x")
    (partial / "weights" / "b.safetensors").write_bytes(b"c" * 2000)

    bucket.objects[f"{PREFIX}config.json"] = good
    bucket.fetched.clear()
    folder = pull(source, root)
    assert sorted(bucket.fetched) == ["config.json", "manifest.json", "manifest.json.sig", "weights/b.safetensors"]
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES
    assert not (folder / "weights" / "left-over").exists()


def test_a_manifest_signed_by_another_key_is_refused(bucket: Bucket, source: Source, root: Path) -> None:
    bucket.key = Ed25519PrivateKey.generate()
    bucket.sign(manifest())
    with pytest.raises(Refused, match=r"the signature of manifest\.json fits none of the node's verification keys"):
        pull(source, root)


def entry(path: Any = "a", size: Any = 1, sha256: Any = "0" * 64) -> dict[str, Any]:
    return {"path": path, "size": size, "sha256": sha256}


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"model": "other"}, "is for ferry/model-manifest/v1 other 1.0"),
        ({"version": "0.9"}, "is for ferry/model-manifest/v1 chat 0.9"),
        ({"schema": "ferry/model-manifest/v2"}, "is for ferry/model-manifest/v2 chat 1.0"),
        ({"files": []}, "names no files"),
        ({"files": [entry("../x")]}, "'../x', which leaves"),
        ({"files": [entry("/etc/passwd")]}, "'/etc/passwd', which leaves"),
        ({"files": [entry("a//b")]}, "'a//b', which leaves"),
        ({"files": [entry("a/./b")]}, "'a/./b', which leaves"),
        ({"files": [entry("a\\..\\b")]}, "which leaves"),
        ({"files": [entry("a\nb")]}, "which leaves"),
        ({"files": [entry("")]}, "'', which leaves"),
        ({"files": [entry(7)]}, "7, which leaves"),
        ({"files": [entry(), entry()]}, "names a twice"),
        ({"files": [entry("manifest.json")]}, "or names itself"),
        ({"files": [entry(size=-1)]}, "no usable size and sha256 for a"),
        ({"files": [entry(size=True)]}, "no usable size and sha256 for a"),
        ({"files": [entry(sha256="A" * 64)]}, "no usable size and sha256 for a"),
        ({"files": [{"path": "a"}]}, "is not of the form"),
        ({"files": None}, "is not of the form"),
    ],
)
def test_a_signed_manifest_still_has_to_make_sense(
    bucket: Bucket, source: Source, root: Path, changes: dict[str, Any], cause: str
) -> None:
    bucket.sign(manifest(**changes))
    with pytest.raises(Refused) as refusal:
        pull(source, root)
    assert cause in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not (root / "chat" / "1.0").exists()


def test_the_bucket_has_to_hold_exactly_what_was_signed(bucket: Bucket, source: Source, root: Path) -> None:
    bucket.objects[f"{PREFIX}extra.py"] = b""
    with pytest.raises(Refused, match=r"but not in manifest\.json: extra\.py$"):
        pull(source, root)
    del bucket.objects[f"{PREFIX}extra.py"]
    del bucket.objects[f"{PREFIX}config.json"]
    with pytest.raises(Refused, match=r"^missing in s3://models/models/chat/1\.0/: config\.json$"):
        pull(source, root)
    bucket.objects[f"{PREFIX}config.json"] = b"{ }"
    with pytest.raises(Refused, match=r"^config\.json has 3 bytes in the bucket, 2 in manifest\.json$"):
        pull(source, root)


def test_a_full_disk_is_told_before_anything_is_fetched(
    bucket: Bucket, source: Source, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 3001

    monkeypatch.setattr(pull_model.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(Refused, match=r"^3002 bytes are still to be fetched, .* has room for 3001$"):
        pull(source, root)
    assert bucket.fetched == ["manifest.json", "manifest.json.sig"]


@pytest.mark.parametrize(("model", "version"), [("..", "1.0"), ("chat", ".."), ("chat", "a/b"), ("", "1.0")])
def test_names_that_leave_the_root_are_refused(source: Source, root: Path, model: str, version: str) -> None:
    with pytest.raises(Refused, match="cannot be a folder's name"):
        pull(Source("models", model, version, source.keys), root)


def test_the_command_line_gives_one_line_and_a_status(
    bucket: Bucket, source: Source, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [
        "--bucket",
        "models",
        "--model",
        "chat",
        "--version",
        "1.0",
        "--key",
        str(source.keys[0]),
        "--root",
        str(root),
    ]
    del bucket.objects[f"{PREFIX}manifest.json"]
    assert pull_model.main(given) == 1
    assert capsys.readouterr().err == f"model chat 1.0: aws: no {PREFIX}manifest.json\n"
    bucket.sign(manifest())
    assert pull_model.main(given) == 0
    assert capsys.readouterr().out.endswith(f"{root}/chat/1.0\n")


@pytest.mark.parametrize("program", sorted(SOURCES.glob("*.py")), ids=lambda path: path.name)
def test_the_nodes_programs_are_python_3_10_and_need_only_its_library(program: Path) -> None:
    tree = ast.parse(program.read_text(), feature_version=(3, 10))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names
