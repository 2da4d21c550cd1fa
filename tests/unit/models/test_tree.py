from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ferry.errors import InputError, UnreadableInput
from ferry.models.tree import scan
from tests.unit.models.conftest import FILES

Folder = Callable[..., Path]


def paths(root: Path) -> list[str]:
    return [file.path for file in scan(root).files]


def test_a_folder_is_its_plain_files_in_order(folder: Folder) -> None:
    tree = scan(folder())
    assert [(file.path, file.state.size) for file in tree.files] == [(path, len(FILES[path])) for path in sorted(FILES)]
    assert tree.left_out == ()


def test_a_folder_without_files_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(InputError, match=r"has no files, so there is no model in it; name the folder with config.json"):
        scan(tmp_path)


@pytest.mark.parametrize("name", ["nothing", "file"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UnreadableInput, match=rf"{name}: is no folder"):
        scan(tmp_path / name)


def test_what_is_left_out_is_named(folder: Folder) -> None:
    root = folder("source", {**FILES, ".git/HEAD": b"ref", ".cache/huggingface/x.metadata": b"y", "sub/.git/x": b"z"})
    (root / "void").mkdir()
    assert paths(root) == sorted([*FILES, "sub/.git/x"])
    assert scan(root).left_out == (
        ".git/: the repository's own",
        ".cache/huggingface/: the download's own notes",
        "void/: empty, and S3 keeps no folders",
    )


def test_a_link_within_the_folder_is_the_file_that_it_means(folder: Folder) -> None:
    root = folder("source", {"blobs/abc": b"weights"})
    (root / "model.bin").symlink_to("blobs/abc")
    found = {file.path: file for file in scan(root).files}
    assert found["model.bin"].source == str((root / "blobs/abc").resolve())
    assert found["model.bin"].state == found["blobs/abc"].state


@pytest.mark.parametrize("target", ["../outside", "/etc/hostname", "../missing"])
def test_a_link_out_of_the_folder_is_refused(folder: Folder, target: str) -> None:
    root = folder("source", {"config.json": b"{}"})
    (root.parent / "outside").write_text("secret")
    (root / "link").symlink_to(target)
    with pytest.raises(
        InputError, match=r"source/link: is a link to /.*, outside of the folder; push a copy .* \(`cp -rL`\)"
    ):
        scan(root)


def test_a_link_to_nothing_or_to_a_folder_is_refused(folder: Folder) -> None:
    root = folder("source", {"a/config.json": b"{}"})
    (root / "b").symlink_to("a")
    with pytest.raises(InputError, match=r"source/b: is no plain file"):
        scan(root)
    (root / "b").unlink()
    (root / "c").symlink_to("missing")
    with pytest.raises(UnreadableInput, match=r"source/c: cannot be read: No such file"):
        scan(root)


def test_a_loop_of_links_is_refused(folder: Folder) -> None:
    root = folder("source", {"config.json": b"{}"})
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises((InputError, UnreadableInput), match=r"source/a: "):
        scan(root)


def test_a_name_that_is_not_utf8_is_refused(folder: Folder) -> None:
    root = folder("source", {"config.json": b"{}"})
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.bin")).write_bytes(b"x")
    with pytest.raises(InputError, match=r"caf\\udce9.bin: its name is not UTF-8; rename it"):
        scan(root)


@pytest.mark.parametrize("name", ["a\\b", "a\nb", "manifest.json"])
def test_a_name_that_cannot_be_stored_is_refused(folder: Folder, name: str) -> None:
    with pytest.raises(InputError, match=r": its name (has a backslash or a control|is the name of the version's own)"):
        scan(folder("source", {name: b"x"}))


def test_a_folder_that_was_pulled_can_be_pushed(folder: Folder) -> None:
    root = folder("source", {"config.json": b"{}", "manifest.json": b"{}", "manifest.json.sig": b"x"})
    assert paths(root) == ["config.json"]
    assert scan(root).left_out == (
        "manifest.json: of the version that this folder was pulled as",
        "manifest.json.sig: of the version that this folder was pulled as",
    )


def test_a_pointer_that_git_lfs_left_is_not_taken_for_weights(folder: Folder) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"
    with pytest.raises(
        InputError, match=r"model.bin: is a pointer that git-lfs left, not the file itself; run `git lfs pull`"
    ):
        scan(folder("source", {"model.bin": pointer}))


def test_a_socket_is_refused(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder("source", {"config.json": b"{}"})
    monkeypatch.chdir(root)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("s")
        with pytest.raises(InputError, match=r"source/s: is no plain file"):
            scan(root)
