from __future__ import annotations

import os
from pathlib import Path

import pytest

from ferry.assess.files import read_text
from ferry.errors import UnreadableInput


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_is_the_same_in_every_encoding_that_says_what_it_is(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "smi.txt"
    path.write_bytes("Zeit: Grüße\n".encode(encoding))
    assert read_text(path, "smi.txt") == "Zeit: Grüße\n"


def test_a_directory_a_device_and_a_pipe_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(UnreadableInput, match="x: is not a regular file"):
            read_text(path, "x")


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    path.write_bytes(b"x" * 2**20)
    assert len(read_text(path, "large.txt", 2**20)) == 2**20
    path.write_bytes(b"x" * (2**20 + 1))
    with pytest.raises(UnreadableInput, match="larger than 1 MiB; give a part of it"):
        read_text(path, "large.txt", 2**20)


@pytest.mark.parametrize(
    ("magic", "kind"),
    [
        (b"\x1f\x8b\x08", "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"BZh9", "bzip2"),
        (b"\xfd7zXZ\x00", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
    ],
)
def test_an_archive_is_named_for_what_it_is(tmp_path: Path, magic: bytes, kind: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(magic + bytes(100))
    with pytest.raises(UnreadableInput, match=f"a: is a {kind} archive; unpack it"):
        read_text(path, "a")


def test_a_name_with_a_null_byte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match="x: cannot be read"):
        read_text(tmp_path / "a\0b", "x")
