from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferry.errors import InputError, InvalidField, UnknownSchema, UnreadableInput
from ferry.models import checksums
from ferry.models.checksums import Running, chunk_bytes_of, chunk_lengths, combined, crc64nvme
from ferry.models.manifest import File, Manifest, canonical, in_order, parse
from tests.unit.models.conftest import AT, FILES

KEY = "ab" * 32


def file_of(path: str, content: bytes) -> File:
    running = Running()
    start = 0
    for length in chunk_lengths(len(content), chunk_bytes_of(len(content))):
        running.add(content[start : start + length])
        start += length
    return File.of(path, running.done())


def manifest_of(files: dict[str, bytes] = FILES, **more: Any) -> Manifest:
    fields: dict[str, Any] = {"model": "r1", "version": "1", "pushed_by": "ann@site", "created_at": AT}
    listed = in_order(file_of(path, content) for path, content in files.items())
    return Manifest(**{**fields, "files": listed, "signed_with": KEY, **more})


def changed(change: Callable[[dict[str, Any]], None]) -> bytes:
    document = json.loads(manifest_of().canonical())
    change(document)
    return canonical(document)


def test_a_manifest_is_read_as_it_was_written() -> None:
    manifest = manifest_of(facts={"architecture": "Qwen2", "kv_lora_rank": None})
    assert parse(manifest.canonical(), "") == manifest
    assert parse(manifest.canonical(), "").canonical() == manifest.canonical()
    assert (manifest.size, manifest.prefix) == (5008, "models/r1/1/")


def test_the_canonical_form_is_fixed() -> None:
    assert manifest_of({"a": b"x"}).canonical() == (
        b'{"created_at":"2026-11-01T00:00:00Z","facts":null,"files":[{"chunk_bytes":1000,"chunks":[],'
        b'"crc64nvme":"Lb1nAmRU5LE=","path":"a","sha256":"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",'
        b'"size":1}],"model":"r1","pushed_by":"ann@site","schema":"ferry/model-manifest/v1","signed_with":"'
        + KEY.encode()
        + b'","version":"1"}\n'
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(files=[]), r"^M: files: "),
        (lambda d: d.update(extra=1), r"^M: extra: "),
        (lambda d: d["files"][0].update(path="../x"), r"path '\.\./x' has an empty step"),
        (lambda d: d["files"][0].update(path="/x"), r"path '/x' is absolute"),
        (lambda d: d["files"][0].update(path="z"), r"files are not in the order of their paths"),
        (lambda d: d["files"].insert(0, d["files"][0]), r"'config.json' and 'config.json' cannot both exist"),
        (lambda d: d["files"][0].update(size=-1), r"files.0.size: "),
        (lambda d: d["files"][0].update(size=2.0), r"files.0.size: "),
        (lambda d: d["files"][0].update(sha256="AB" * 32), r"files.0.sha256: "),
        (lambda d: d["files"][0].update(crc64nvme="x"), r"files.0.crc64nvme: "),
        (lambda d: d["files"][2]["chunks"].pop(), r"2500 bytes in chunks of 1000, not 2"),
        (lambda d: d["files"][2]["chunks"].reverse(), r"the checksums of its chunks do not make"),
        (lambda d: d.update(created_at="yesterday"), r"created_at: "),
        (lambda d: d.pop("signed_with"), r"signed_with: Field required"),
    ],
)
def test_a_signed_manifest_that_is_not_sound_is_still_refused(change: Any, said: str) -> None:
    with pytest.raises(UnreadableInput, match=said):
        parse(changed(change), "M")


@pytest.mark.parametrize("field", ["model", "version"])
def test_a_model_or_version_that_is_no_folders_name_is_refused(field: str) -> None:
    with pytest.raises(InvalidField, match=r"'\.\.'"):
        parse(changed(lambda d: d.update({field: ".."})), "M")


def test_a_path_that_makes_too_long_a_key_is_refused() -> None:
    with pytest.raises(UnreadableInput, match=r"makes a key of 1\d\d\d bytes, S3 takes 1024"):
        parse(changed(lambda d: d["files"][0].update(path="/".join(["a" * 250] * 5))), "M")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"null", b"\xff", b'{"schema": "ferry/model-manifest/v2"}'])
def test_what_is_no_manifest_says_what_it_is(content: bytes) -> None:
    with pytest.raises((UnreadableInput, UnknownSchema), match=r"^M: (is not JSON|schema is )"):
        parse(content, "M")


@settings(max_examples=30)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_a_manifest_is_read_or_refused_and_nothing_else(value: Any) -> None:
    base = json.loads(manifest_of().canonical())
    for key in base:
        try:
            parse(canonical({**base, key: value}), "M")
        except (InputError, UnknownSchema):
            pass
        except UnicodeEncodeError:
            pass  # a lone surrogate cannot be in a file's bytes: the test itself could not write it


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1))
def test_the_checksum_of_the_whole_follows_from_those_of_its_chunks(parts: list[bytes]) -> None:
    running = Running()
    assert [running.add(part) for part in parts] == [crc64nvme(part) for part in parts]
    digests = running.done()
    assert digests.crc64nvme == crc64nvme(b"".join(parts)) == combined(running.chunks, map(len, parts))
    assert digests.size == len(b"".join(parts))


def test_the_checksum_is_the_one_of_the_nvme_specification() -> None:
    # The check of CRC-64/NVME in reveng.sourceforge.io/crc-catalogue/17plus.htm
    assert f"{checksums.from_base64(crc64nvme(b'123456789')):016x}" == "ae8b14860a799888"


def test_chunks_grow_so_that_a_file_never_has_more_than_an_upload_has_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "SMALLEST_CHUNK_BYTES", 16 * 2**20)
    assert chunk_bytes_of(0) == chunk_bytes_of(156 * 2**30) == 16 * 2**20
    assert chunk_bytes_of(160_000 * 2**20 + 1) == 32 * 2**20
    assert len(chunk_lengths(5 * 2**40, chunk_bytes_of(5 * 2**40))) <= 10_000
    assert chunk_lengths(0, 10) == []
    assert chunk_lengths(20, 10) == [10, 10]
    assert chunk_lengths(21, 10) == [10, 10, 1]
