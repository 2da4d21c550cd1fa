from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ferry.errors import Altered, Conflict, InvalidField, TransferError, Untrusted, UnwritableOutput
from ferry.models import download
from ferry.models.checksums import combined, crc64nvme
from ferry.models.crew import Silent
from ferry.models.manifest import Manifest
from ferry.models.pull import Pulled, pull
from ferry.models.push import Pushed
from ferry.models.repository import Repository
from ferry.models.signature import FileSigner, TrustedKeys, key_id
from tests.unit.models.bucket import Bucket
from tests.unit.models.conftest import FILES

PREFIX = "models/r1/1/"
LARGE = "model-00002-of-00002.safetensors"
SIZE = sum(len(content) for content in FILES.values())

Push = Callable[..., Pushed]
Pull = Callable[..., Pulled]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "models" / "r1"


@pytest.fixture
def pulled(repository: Repository, target: Path) -> Pull:
    def run(version: str = "1", **more: Any) -> Pulled:
        return pull(repository, repository.manifest("r1", version), target, progress=Silent(), **more)

    return run


def content_of(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {path: content for path, content in found.items() if not path.startswith("manifest.json")}


def flipped(content: bytes, at: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


def test_a_version_is_pulled_whole_with_its_manifest_and_signature(
    pushed: Push, pulled: Pull, target: Path, bucket: Bucket, signer: FileSigner
) -> None:
    done = pushed()
    assert pulled() == Pulled(
        name="r1",
        version="1",
        folder=str(target),
        files=5,
        size_bytes=SIZE,
        fetched_bytes=SIZE,
        kept_bytes=0,
        signed_with=key_id(signer.public_key),
        manifest_sha256=done.manifest_sha256,
        in_place=False,
    )
    assert content_of(target) == FILES
    assert (target / "manifest.json").read_bytes() == bucket.objects[PREFIX + "manifest.json"]
    assert (target / "manifest.json.sig").read_bytes() == bucket.objects[PREFIX + "manifest.json.sig"]
    assert sorted(path.name for path in target.parent.iterdir()) == ["r1"]


def test_a_version_in_place_is_not_fetched_again(pushed: Push, pulled: Pull, bucket: Bucket) -> None:
    pushed()
    pulled()
    bucket.bytes_out = 0
    again = pulled()
    assert (again.in_place, again.fetched_bytes, bucket.bytes_out) == (True, 0, 0)


def test_one_flipped_byte_in_the_bucket_is_refused_by_its_chunk(
    pushed: Push, pulled: Pull, target: Path, bucket: Bucket
) -> None:
    pushed()
    bucket.write(PREFIX + LARGE, flipped(FILES[LARGE], 1500))
    with pytest.raises(
        Altered,
        match=rf"^{PREFIX}{LARGE} was altered between bytes 1000 and 2000: CRC64NVME is \S+, \S+ was signed; push",
    ):
        pulled()
    assert not target.exists()


def test_bytes_that_were_made_to_fit_the_crc_are_refused_by_the_sha256(
    pushed: Push,
    pulled: Pull,
    target: Path,
    bucket: Bucket,
    repository: Repository,
    signer: FileSigner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pushed()
    bucket.write(PREFIX + LARGE, flipped(FILES[LARGE], 1500))
    signed = repository.manifest("r1", "1")
    chunks = signed.manifest.by_path[LARGE].chunks
    monkeypatch.setattr(
        download,
        "crc64nvme",
        lambda content: chunks[1] if content == flipped(FILES[LARGE], 1500)[1000:2000] else crc64nvme(content),
    )
    with pytest.raises(Altered, match=rf"{LARGE} was altered: sha256 is [0-9a-f]{{64}}, [0-9a-f]{{64}} was signed"):
        pull(repository, signed, target, progress=Silent())
    assert not target.exists()
    assert not (target.parent / ".r1.partial" / LARGE).exists()


def test_one_flipped_byte_on_the_wire_is_asked_for_again(
    pushed: Push, pulled: Pull, target: Path, bucket: Bucket
) -> None:
    pushed()
    hits: list[str] = []

    def flip(key: str, content: bytes) -> bytes:
        if key.endswith(LARGE) and len(hits) < 2:
            hits.append(key)
            return flipped(content, 3)
        return content

    bucket.on_the_wire = flip
    pulled()
    assert len(hits) == 2
    assert content_of(target) == FILES


def test_a_missing_file_is_refused_by_name(pushed: Push, pulled: Pull, target: Path, bucket: Bucket) -> None:
    pushed()
    bucket.remove(PREFIX + "config.json")
    with pytest.raises(Altered, match=rf"^s3://weights/{PREFIX}: config.json is missing; push the version again"):
        pulled()
    assert not target.exists()


def test_an_added_file_is_refused_by_name(pushed: Push, pulled: Pull, target: Path, bucket: Bucket) -> None:
    pushed()
    bucket.write(PREFIX + "modeling_evil.py", b"import os")
    with pytest.raises(Altered, match=rf"^s3://weights/{PREFIX}: modeling_evil.py is not in the manifest; push"):
        pulled()
    assert not target.exists()


def test_a_file_of_another_size_is_refused_by_name(pushed: Push, pulled: Pull, target: Path, bucket: Bucket) -> None:
    pushed()
    bucket.write(PREFIX + "config.json", b"{ }")
    with pytest.raises(Altered, match=r"config.json has 3 bytes, 2 were signed; push"):
        pulled()
    assert not target.exists()


def test_a_manifest_signed_by_another_key_is_refused_naming_both(
    pushed: Push, bucket: Bucket, target: Path, stranger: FileSigner, signer: FileSigner
) -> None:
    pushed()
    seen_by_stranger = Repository(bucket, TrustedKeys([stranger.public_key]))
    with pytest.raises(
        Untrusted,
        match=rf"manifest.json: says that key {key_id(signer.public_key)[:16]} signed it, "
        rf"trusted is {key_id(stranger.public_key)[:16]}; sign it with a trusted key",
    ):
        seen_by_stranger.manifest("r1", "1")


@pytest.mark.parametrize("what", ["manifest.json", "manifest.json.sig"])
def test_a_flipped_byte_of_manifest_or_signature_is_refused(
    pushed: Push, pulled: Pull, bucket: Bucket, target: Path, what: str
) -> None:
    pushed()
    bucket.write(PREFIX + what, flipped(bucket.objects[PREFIX + what], 20))
    with pytest.raises(Untrusted, match=rf"^s3://weights/{PREFIX}manifest.json: "):
        pulled()
    assert not target.exists()


def test_a_signed_manifest_of_another_version_is_refused(pushed: Push, pulled: Pull, bucket: Bucket) -> None:
    pushed("1")
    pushed("2")
    for name in ("manifest.json", "manifest.json.sig"):
        bucket.write(f"models/r1/2/{name}", bucket.objects[PREFIX + name])
    with pytest.raises(Untrusted, match=r"models/r1/2/manifest.json: is signed for r1@1, not for r1@2"):
        pulled("2")


@pytest.mark.parametrize("kill_at", range(1, 10))
def test_a_pull_killed_at_any_read_goes_on_where_it_was(
    pushed: Push, pulled: Pull, bucket: Bucket, target: Path, kill_at: int
) -> None:
    pushed()
    reads = 0

    class Killed(BaseException):
        pass

    def kill(operation: str, key: str) -> None:
        nonlocal reads
        reads += operation == "read"
        if operation == "read" and reads >= kill_at:
            raise Killed

    bucket.before = kill
    try:
        pulled()
    except Killed:
        assert not target.exists()
    partial = target.parent / ".r1.partial"
    held = sum(len(content) for content in content_of(partial).values()) if partial.exists() else SIZE

    bucket.before = lambda operation, key: None
    again = pulled()
    assert content_of(target) == FILES
    assert again.kept_bytes == held


def test_what_an_earlier_pull_left_damaged_or_of_another_version_is_not_believed(
    pushed: Push, pulled: Pull, target: Path
) -> None:
    pushed()
    partial = target.parent / ".r1.partial"
    (partial / "old").mkdir(parents=True)
    (partial / "old" / "file").write_bytes(b"x")
    (partial / "config.json").mkdir()
    (partial / LARGE).write_bytes(FILES[LARGE][:1000] + b"x" * 900)
    (partial / "model-00001-of-00002.safetensors").symlink_to("/etc/passwd")
    done = pulled()
    assert content_of(target) == FILES
    assert done.kept_bytes == 1000
    assert not (target / "model-00001-of-00002.safetensors").is_symlink()


def test_files_that_the_replaced_version_has_too_are_not_fetched(
    pushed: Push, pulled: Pull, target: Path, bucket: Bucket
) -> None:
    pushed()
    pulled()
    new = {**FILES, "config.json": b"[]", "renamed.safetensors": FILES[LARGE]}
    pushed("2", new)
    bucket.bytes_out = 0
    done = pulled("2")
    assert (done.fetched_bytes, done.kept_bytes, bucket.bytes_out) == (2, SIZE + len(FILES[LARGE]) - 2, 2)
    assert content_of(target) == new
    assert not target.with_name(".r1.outgoing").exists()


def test_a_file_that_was_altered_in_the_replaced_version_is_fetched(
    pushed: Push, pulled: Pull, target: Path, bucket: Bucket
) -> None:
    pushed()
    pulled()
    (target / LARGE).write_bytes(flipped(FILES[LARGE], 1500))
    pushed("2", {**FILES, "config.json": b"[]"})
    bucket.bytes_out = 0
    assert pulled("2").fetched_bytes == bucket.bytes_out == len(FILES[LARGE]) + 2
    assert content_of(target) == {**FILES, "config.json": b"[]"}


def test_a_file_that_still_belongs_to_the_replaced_version_is_never_written_to(
    pushed: Push, pulled: Pull, target: Path, bucket: Bucket
) -> None:
    pushed()
    pulled()
    new = {**FILES, LARGE: flipped(FILES[LARGE], 0)}
    pushed("2", new)
    incoming = target.with_name(".r1.partial")
    incoming.mkdir()
    (incoming / LARGE).hardlink_to(target / LARGE)  # as a pull that was killed leaves it
    bucket.before = lambda operation, key: (_ for _ in ()).throw(TransferError("gone")) if operation == "read" else None
    with pytest.raises(TransferError):
        pulled("2")
    assert content_of(target) == FILES
    bucket.before = lambda operation, key: None
    pulled("2")
    assert content_of(target) == new


@pytest.mark.parametrize("reason", [errno.EXDEV, errno.EPERM])
def test_where_the_disk_has_no_links_a_file_is_copied(
    pushed: Push, pulled: Pull, target: Path, bucket: Bucket, reason: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(reason, "no links")

    pushed()
    pulled()
    pushed("2", {**FILES, "config.json": b"[]"})
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert pulled("2").fetched_bytes == 2
    assert content_of(target) == {**FILES, "config.json": b"[]"}


def test_another_version_of_ferrys_is_replaced(pushed: Push, pulled: Pull, target: Path) -> None:
    pushed("1")
    pushed("2", {"config.json": b"[]"})
    pulled("1")
    pulled("2")
    assert content_of(target) == {"config.json": b"[]"}
    assert sorted(path.name for path in target.parent.iterdir()) == ["r1"]


def test_a_version_that_cannot_be_had_leaves_the_one_in_place(
    pushed: Push, pulled: Pull, target: Path, bucket: Bucket
) -> None:
    pushed("1")
    pushed("2", {"config.json": b"[]"})
    pulled("1")
    bucket.write("models/r1/2/config.json", b"{}")
    with pytest.raises(Altered, match=r"models/r1/2/config.json was altered"):
        pulled("2")
    assert content_of(target) == FILES


def test_a_folder_that_ferry_did_not_pull_is_not_touched(pushed: Push, pulled: Pull, target: Path) -> None:
    pushed()
    target.mkdir(parents=True)
    (target / "thesis.txt").write_text("years of work")
    with pytest.raises(Conflict, match=r"is there and was not pulled from this repository; name another folder"):
        pulled()
    assert content_of(target) == {"thesis.txt": b"years of work"}


def test_include_pulls_only_what_matches(pushed: Push, pulled: Pull, target: Path) -> None:
    pushed()
    done = pulled(include=["*.json", "tokenizer/*"])
    assert content_of(target) == {path: FILES[path] for path in ("config.json", "tokenizer/vocab.txt")}
    assert (done.files, done.fetched_bytes) == (2, 8)


def test_an_include_that_matches_nothing_is_an_error(pushed: Push, pulled: Pull) -> None:
    pushed()
    with pytest.raises(InvalidField, match=r"^--include '\*.bin' matches none of the 5 files of models/r1/1/"):
        pulled(include=["*.json", "*.bin"])


def test_too_little_room_is_seen_before_anything_is_fetched(
    pushed: Push, pulled: Pull, target: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6, 100))  # type: ignore[attr-defined]
    with pytest.raises(UnwritableOutput, match=rf"has room for 100 bytes, {SIZE} are to be fetched; make room"):
        pulled()
    assert bucket.bytes_out == 0


def test_a_disk_that_fills_up_meanwhile_stops_the_pull_and_keeps_what_is_there(
    pushed: Push, pulled: Pull, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed()
    fsync = os.fsync

    def full(handle: int) -> None:
        if Path(f"/proc/self/fd/{handle}").readlink().name == LARGE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnwritableOutput, match=r"r1: the disk is full; make room and pull again, it goes on from here"):
        pulled()
    assert not target.exists()
    monkeypatch.setattr(os, "fsync", fsync)
    assert pulled().kept_bytes >= len(FILES[LARGE])


def test_a_place_that_cannot_be_written_is_named(pushed: Push, pulled: Pull, target: Path) -> None:
    pushed()
    target.parent.write_text("a file where a folder has to be")
    with pytest.raises(
        UnwritableOutput, match=r"models(/\.r1\.partial|/r1)?: cannot be written: .+; name another folder"
    ):
        pulled()


def test_a_store_that_gives_up_leaves_nothing_under_the_final_name(
    pushed: Push, pulled: Pull, target: Path, bucket: Bucket
) -> None:
    pushed()

    def fail(operation: str, key: str) -> None:
        if operation == "read" and key.endswith("vocab.txt"):
            raise TransferError("s3://weights/…: no more")

    bucket.before = fail
    with pytest.raises(TransferError, match="no more"):
        pulled()
    assert not target.exists()


def test_names_that_this_disk_folds_are_refused(
    pushed: Push, pulled: Pull, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(files={"README.md": b"1", "readme.md": b"2"})
    pulled()
    assert content_of(target) == {"README.md": b"1", "readme.md": b"2"}
    shutil.rmtree(target)
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: ".ferry-cASE" in path.name or exists(path))
    with pytest.raises(UnwritableOutput, match=r"takes 'README.md' and 'readme.md' for one name"):
        pulled()


def test_more_chunks_than_memory_may_hold_are_still_pulled(
    pushed: Push, pulled: Pull, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ferry.models.crew.BUDGET_BYTES", 3000)
    files = {f"model-{number}.safetensors": bytes([number]) * 9500 for number in range(6)}
    pushed(files=files)
    pulled()
    assert content_of(target) == files


def test_the_manifest_of_the_tests_has_chunks_that_make_the_whole(repository: Repository, pushed: Push) -> None:
    pushed()
    manifest: Manifest = repository.manifest("r1", "1").manifest
    file = manifest.by_path[LARGE]
    assert combined(file.chunks, [1000, 1000, 500]) == file.crc64nvme == crc64nvme(FILES[LARGE])
