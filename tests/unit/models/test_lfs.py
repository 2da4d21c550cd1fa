from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ferry.errors import Altered, InputError, UnreadableInput
from ferry.models.lfs import read_repository
from ferry.models.push import Pushed
from tests.unit.models.bucket import Bucket

WEIGHTS = b"w" * 2500
OID = hashlib.sha256(WEIGHTS).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 2500\n".encode()
LARGE_TEXT = b"vocabulary\n" * 200

pytestmark = pytest.mark.tool("git")


def git(clone: Path, *arguments: str) -> None:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@site", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, "-C", str(clone), *arguments], check=True, capture_output=True, env=environment)


def store(objects: Path, content: bytes = WEIGHTS, oid: str = OID) -> None:
    (objects / oid[:2] / oid[2:4]).mkdir(parents=True, exist_ok=True)
    (objects / oid[:2] / oid[2:4] / oid).write_bytes(content)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone as git-lfs leaves it: pointers in git, one object in its own store."""
    root = tmp_path / "clone"
    (root / "sub").mkdir(parents=True)
    git(root, "init")
    (root / ".gitattributes").write_text("*.safetensors filter=lfs -text\n")
    (root / "sub" / "model.safetensors").write_bytes(POINTER)
    (root / "config.json").write_text("{}")
    (root / "vocab.txt").write_bytes(LARGE_TEXT)
    git(root, "add", ".")
    git(root, "commit", "-m", "model")
    store(root / ".git" / "lfs" / "objects")
    return root


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def contents(clone: Path, scratch: Path, revision: str = "HEAD") -> dict[str, bytes]:
    return {file.path: Path(file.source).read_bytes() for file in read_repository(clone, revision, scratch).files}


def test_a_working_tree_is_read_from_the_commit_and_the_lfs_store(clone: Path, scratch: Path) -> None:
    (clone / "untracked.bin").write_bytes(b"x")
    (clone / "config.json").write_text("edited and not committed")
    tree = read_repository(clone, "HEAD", scratch)
    assert {file.path: Path(file.source).read_bytes() for file in tree.files} == {
        "config.json": b"{}",
        "sub/model.safetensors": WEIGHTS,
        "vocab.txt": LARGE_TEXT,
    }
    assert [file.sha256 for file in tree.files] == [None, OID, None]
    assert tree.left_out == (".gitattributes: git's own",)


def test_a_bare_store_is_read_the_same(clone: Path, scratch: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--bare", str(clone), "bare.git")
    store(tmp_path / "bare.git" / "lfs" / "objects")
    assert contents(tmp_path / "bare.git", scratch) == contents(clone, scratch)


def test_lfs_storage_is_honoured(clone: Path, scratch: Path, tmp_path: Path) -> None:
    (clone / ".git" / "lfs").rename(tmp_path / "elsewhere")
    git(clone, "config", "lfs.storage", str(tmp_path / "elsewhere"))
    assert contents(clone, scratch)["sub/model.safetensors"] == WEIGHTS


def test_an_older_commit_can_be_named(clone: Path, scratch: Path) -> None:
    git(clone, "tag", "v1")
    git(clone, "rm", "vocab.txt")
    git(clone, "commit", "-m", "less")
    assert "vocab.txt" not in contents(clone, scratch)
    assert contents(clone, scratch, "v1")["vocab.txt"] == LARGE_TEXT


def test_it_is_pushed_as_a_version_like_any_other(
    clone: Path, scratch: Path, pushed: Callable[..., Pushed], bucket: Bucket
) -> None:
    pushed(tree=read_repository(clone, "HEAD", scratch))
    assert bucket.objects["models/r1/1/sub/model.safetensors"] == WEIGHTS


def test_an_object_that_is_damaged_is_refused_as_it_is_read(
    clone: Path, scratch: Path, pushed: Callable[..., Pushed], bucket: Bucket
) -> None:
    store(clone / ".git" / "lfs" / "objects", b"W" + WEIGHTS[1:])
    with pytest.raises(
        Altered, match=rf"the pointer of sub/model.safetensors says {OID[:16]}; fetch it again with `git lfs"
    ):
        pushed(tree=read_repository(clone, "HEAD", scratch))
    assert not [key for key in bucket.objects if "manifest" in key]


def test_an_object_of_another_size_is_refused(clone: Path, scratch: Path) -> None:
    store(clone / ".git" / "lfs" / "objects", WEIGHTS[:-1])
    with pytest.raises(
        InputError, match=r"has 2499 bytes, the pointer sub/model.safetensors says 2500; run `git lfs fetch`"
    ):
        read_repository(clone, "HEAD", scratch)


def test_an_object_that_was_not_fetched_is_named(clone: Path, scratch: Path) -> None:
    (clone / ".git" / "lfs" / "objects" / OID[:2] / OID[2:4] / OID).unlink()
    with pytest.raises(InputError, match=r"git-lfs has not fetched sub/model.safetensors; run `git lfs fetch` there"):
        read_repository(clone, "HEAD", scratch)


def test_a_link_in_the_commit_is_refused(clone: Path, scratch: Path) -> None:
    (clone / "link").symlink_to("/etc/passwd")
    git(clone, "add", "link")
    git(clone, "commit", "-m", "link")
    with pytest.raises(InputError, match=r"link is a link or a submodule; a model has only plain files"):
        read_repository(clone, "HEAD", scratch)


@pytest.mark.parametrize("revision", ["nowhere", "--help", ""])
def test_a_commit_that_is_not_there_is_refused(clone: Path, scratch: Path, revision: str) -> None:
    with pytest.raises(UnreadableInput, match=r"git rev-parse: .*; name a git repository and a commit"):
        read_repository(clone, revision, scratch)


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path, scratch: Path) -> None:
    with pytest.raises(UnreadableInput, match=r"not a git repository"):
        read_repository(tmp_path, "HEAD", scratch)
    with pytest.raises(UnreadableInput, match=r"is no folder"):
        read_repository(tmp_path / "missing", "HEAD", scratch)
