"""What lies in a folder is listed once, within bounds, and nothing of it is followed or waited for."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ferry.assess.discovery import walk as module
from ferry.assess.discovery.walk import Found, Skipped, shown, walk
from ferry.errors import UnreadableInput
from tests.unit.assess.discovery.conftest import Tree


def test_files_come_by_their_depth_and_name(tree: Tree) -> None:
    root = tree({"b.txt": "12", "a/z.txt": "", "a.txt": "1", "a/b/c.txt": "123"})
    found = walk(root)
    assert found.files == [Found("a.txt", 1), Found("b.txt", 2), Found("a/z.txt", 0), Found("a/b/c.txt", 3)]
    assert found.folders == ["", "a", "a/b"]
    assert found.skipped == []


def test_links_are_never_followed(tree: Tree, tmp_path: Path) -> None:
    root = tree({"a/file.txt": "1"})
    (tmp_path / "outside.txt").write_text("1")
    (root / "in").symlink_to("a/file.txt")
    (root / "out").symlink_to(tmp_path / "outside.txt")
    (root / "up").symlink_to("..")
    (root / "itself").symlink_to("itself")
    (root / "nowhere").symlink_to("missing")
    (root / "a" / "loop").symlink_to("../a")
    found = walk(root)
    assert found.links == {"in": "a/file.txt"}
    assert {one.path: one.reason for one in found.skipped} == {
        "out": "is a link out of the folder, and is not followed; name its target",
        "up": "is a link out of the folder, and is not followed; name its target",
        "itself": "is a link that leads nowhere",
        "nowhere": "is a link that leads nowhere",
        "a/loop": "is a link to what is listed by itself",
    }


def test_a_folder_that_is_itself_a_link_is_searched(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tree({"a.txt": "1"}))
    assert walk(tmp_path / "link").files == [Found("a.txt", 1)]


def test_pipes_sockets_and_devices_are_named_and_not_opened(tree: Tree, tmp_path: Path, monkeypatch: Any) -> None:
    root = tree({})
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        found = walk(root)
    assert found.skipped == [Skipped("pipe", "is a pipe"), Skipped("socket", "is a socket")]


def test_a_folder_that_cannot_be_opened_is_named(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree({"closed/a.txt": "1", "open/b.txt": "1"})
    scandir = os.scandir

    def refusing(path: Path) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)  # type: ignore[return-value]

    monkeypatch.setattr(module.os, "scandir", refusing)
    found = walk(root)
    assert found.skipped == [Skipped("closed", "the folder cannot be opened: Permission denied")]
    assert found.files == [Found("open/b.txt", 1)]


def test_depth_and_entries_are_bounded_and_say_so(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEEPEST", 2)
    deep = walk(tree({"a/b/c/d.txt": "1", "a/b/e.txt": "1"}))
    assert deep.skipped == [Skipped("a/b/c", "lies deeper than 2 folders; name a nearer one")]
    assert deep.files == [Found("a/b/e.txt", 1)]
    monkeypatch.setattr(module, "MOST_ENTRIES", 3)
    cut = walk(tree({f"{name}.txt": "1" for name in "stuvw"}))
    assert [file.path for file in cut.files] == ["s.txt", "t.txt"]
    reason = "the rest of it, and of folders below, lies beyond 3 entries: name a smaller folder"
    assert cut.skipped == [Skipped(".", reason)]


def test_gits_own_folder_is_one_line(tree: Tree) -> None:
    assert walk(tree({".git/objects/aa/bb": "1"})).skipped == [Skipped(".git", "git's own folder")]


@pytest.mark.parametrize(("name", "says"), [("missing", "No such file or directory"), ("file", "is not a folder")])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "file").write_text("1")
    with pytest.raises(UnreadableInput, match=says):
        walk(tmp_path / name)


def test_a_path_is_shown_on_one_line_whatever_is_in_it() -> None:
    assert shown("a\nb\x1b[31m\udcff ü\u202e") == "a\\nb\\x1b[31m\\xff ü\\u202e"
