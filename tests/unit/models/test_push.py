from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ferry.errors import Altered, Conflict, InputError, InvalidField, TransferError, Untrusted
from ferry.models.journal import Journal
from ferry.models.manifest import parse
from ferry.models.push import Pushed
from ferry.models.repository import Repository
from ferry.models.signature import FileSigner, TrustedKeys, key_id
from ferry.models.tree import scan
from tests.unit.models.bucket import Bucket
from tests.unit.models.conftest import AT, FILES

PREFIX = "models/r1/1/"
LARGE = "model-00002-of-00002.safetensors"
SIZE = sum(len(content) for content in FILES.values())

Push = Callable[..., Pushed]
Folder = Callable[..., Path]


class Killed(BaseException):
    """As if the process were gone: no handler runs."""


def test_a_version_holds_every_file_a_manifest_and_its_signature(
    pushed: Push, bucket: Bucket, signer: FileSigner
) -> None:
    done = pushed()
    files = {key.removeprefix(PREFIX): content for key, content in bucket.objects.items()}
    manifest, signature = files.pop("manifest.json"), files.pop("manifest.json.sig")
    assert files == FILES
    assert TrustedKeys([signer.public_key]).verify(manifest, signature, "") == key_id(signer.public_key)
    assert [file.path for file in parse(manifest, "").files] == sorted(FILES)
    assert replace(done, manifest_sha256="") == Pushed(
        name="r1",
        version="1",
        files=5,
        size_bytes=SIZE,
        sent_bytes=SIZE,
        copied_bytes=0,
        kept_bytes=0,
        published=True,
        manifest_sha256="",
        signed_with=key_id(signer.public_key),
        left_out=(),
        removed=(),
    )


def test_the_manifest_is_written_after_all_files_and_the_signature_last(pushed: Push, bucket: Bucket) -> None:
    pushed()
    writes = [key for operation, key in bucket.requests if operation in ("put", "complete_upload", "put_small")]
    assert writes[-2:] == [f"{PREFIX}manifest.json", f"{PREFIX}manifest.json.sig"]
    assert sorted(writes[:-2]) == [PREFIX + path for path in sorted(FILES)]


def test_a_second_push_of_the_same_files_sends_and_writes_nothing(pushed: Push, bucket: Bucket) -> None:
    pushed()
    objects = dict(bucket.objects)
    bucket.requests.clear()
    bucket.bytes_in = 0
    again = pushed()
    assert (again.sent_bytes, again.kept_bytes, again.published) == (0, SIZE, False)
    assert (bucket.objects, bucket.bytes_in) == (objects, 0)
    assert {operation for operation, _ in bucket.requests} == {"get", "list"}


def test_a_second_push_with_a_journal_does_not_read_the_files_again(
    pushed: Push, folder: Folder, tmp_path: Path
) -> None:
    root, path = folder(), tmp_path / "journal.jsonl"
    later = lambda: time.time_ns() + 10**10  # noqa: E731
    pushed(files=root, journal=Journal(path, later))
    tree = scan(root)
    for file in root.rglob("*"):
        if file.is_file():
            file.unlink()
    with pytest.raises(FileNotFoundError):  # only the last look at the times misses them; nothing was opened
        pushed(tree=tree, journal=Journal(path, later))


def test_a_version_with_other_content_is_not_overwritten(pushed: Push, bucket: Bucket) -> None:
    pushed()
    objects = dict(bucket.objects)
    with pytest.raises(
        Conflict,
        match=r"^r1@1 exists in s3://weights with other content \(first: config.json, 2 in all\); a version never",
    ):
        pushed(files={**FILES, "config.json": b"[]", "more": b""})
    assert bucket.objects == objects


def test_a_file_that_was_lost_since_is_sent_again_under_the_same_manifest(pushed: Push, bucket: Bucket) -> None:
    first = pushed()
    objects = dict(bucket.objects)
    bucket.remove(PREFIX + LARGE)
    bucket.write(PREFIX + "config.json", b"{} ")
    again = pushed()
    assert (again.sent_bytes, again.published, again.manifest_sha256) == (2502, False, first.manifest_sha256)
    assert bucket.objects == objects


def test_what_is_lost_while_a_published_version_is_hashed_is_sent_again(pushed: Push, bucket: Bucket) -> None:
    pushed()
    listings = []

    def before(operation: str, key: str) -> None:
        if operation == "list" and key == PREFIX:
            listings.append(key)
            if len(listings) == 2:  # the first is asked for at once, hashing may take an hour
                bucket.remove(PREFIX + LARGE)

    bucket.before = before
    assert (pushed().sent_bytes, listings) == (2500, [PREFIX] * 3)


def test_files_that_another_version_has_are_copied_by_the_store(pushed: Push, bucket: Bucket) -> None:
    pushed("1")
    bucket.bytes_in = 0
    second = pushed("2", {**FILES, "config.json": b'{"new": 1}', "renamed.txt": FILES["tokenizer/vocab.txt"]})
    assert (bucket.bytes_in, second.sent_bytes) == (10, 10)
    assert second.copied_bytes == SIZE - 2 + 6
    assert bucket.asked("copy") == ["models/r1/2/renamed.txt", "models/r1/2/tokenizer/vocab.txt"]
    assert bucket.objects["models/r1/2/" + LARGE] == FILES[LARGE]


def test_known_files_are_copied_whole_without_being_read(pushed: Push, folder: Folder, tmp_path: Path) -> None:
    root = folder()
    later = lambda: time.time_ns() + 10**10  # noqa: E731
    pushed("1", root, journal=Journal(tmp_path / "j", later))
    second = pushed("2", root, journal=Journal(tmp_path / "j", later))
    assert (second.sent_bytes, second.copied_bytes) == (0, SIZE)


def test_only_the_changed_chunk_of_a_file_is_sent(pushed: Push, bucket: Bucket) -> None:
    pushed("1")
    changed = bytearray(FILES[LARGE])
    changed[1500] ^= 1
    bucket.bytes_in = 0
    bucket.requests.clear()
    second = pushed("2", {**FILES, LARGE: bytes(changed)})
    assert (second.sent_bytes, bucket.bytes_in) == (1000, 1000)
    assert bucket.objects["models/r1/2/" + LARGE] == bytes(changed)
    assert bucket.asked("upload_part") == [f"models/r1/2/{LARGE}#2"]


def test_a_store_that_misreports_a_copied_part_gets_the_part_sent(pushed: Push, bucket: Bucket) -> None:
    pushed("1")
    bucket.part_copies_tell = False
    changed = bytearray(FILES[LARGE])
    changed[1500] ^= 1
    second = pushed("2", {**FILES, LARGE: bytes(changed)})
    assert second.sent_bytes == 5000
    assert bucket.objects["models/r1/2/" + LARGE] == bytes(changed)


@pytest.mark.parametrize("known", [False, True])
def test_a_copy_that_the_store_got_wrong_is_replaced_by_the_bytes(
    pushed: Push, bucket: Bucket, folder: Folder, tmp_path: Path, known: bool
) -> None:
    root = folder()
    later = lambda: time.time_ns() + (10**10 if known else 0)  # noqa: E731
    pushed("1", root, journal=Journal(tmp_path / "j", later))
    bucket.in_copies = lambda content: b"\xff" + content[1:]
    second = pushed("2", root, journal=Journal(tmp_path / "j", later))
    assert bucket.objects["models/r1/2/tokenizer/vocab.txt"] == b"hello\n"
    assert bucket.objects["models/r1/2/" + LARGE] == FILES[LARGE]
    assert second.sent_bytes == (SIZE if known else 8)


def test_a_version_whose_bytes_were_swapped_is_not_copied_from(pushed: Push, bucket: Bucket) -> None:
    pushed("1")
    bucket.write("models/r1/1/tokenizer/vocab.txt", b"HELLO\n")
    second = pushed("2")
    assert second.sent_bytes == 2 + 6 - 2
    assert bucket.objects["models/r1/2/tokenizer/vocab.txt"] == b"hello\n"


def test_a_version_signed_by_a_stranger_is_not_copied_from(pushed: Push, bucket: Bucket, stranger: FileSigner) -> None:
    pushed("1")
    bucket.write("models/r1/1/manifest.json.sig", stranger.sign(bucket.objects["models/r1/1/manifest.json"]))
    assert pushed("2").sent_bytes == SIZE


@pytest.mark.parametrize("kill_at", range(1, 23))
def test_a_push_killed_at_any_request_is_finished_by_the_next(pushed: Push, bucket: Bucket, kill_at: int) -> None:
    count = 0

    def kill(operation: str, key: str) -> None:
        nonlocal count
        count += 1
        if count >= kill_at:
            raise Killed

    bucket.before = kill
    try:
        pushed()
    except Killed:
        pass
    else:
        pytest.fail("the push has fewer requests than that")
    held = sum(part.size for parts in bucket.under_way.values() for _, part in parts.values())
    whole = sum(len(content) for key, content in bucket.objects.items() if "manifest" not in key)
    if PREFIX + "manifest.json" in bucket.objects:
        assert {key.removeprefix(PREFIX) for key in bucket.objects} >= FILES.keys()

    bucket.before = lambda operation, key: None
    bucket.bytes_in = 0
    done = pushed()
    assert {
        key.removeprefix(PREFIX): content for key, content in bucket.objects.items() if "manifest" not in key
    } == FILES
    assert bucket.bytes_in == done.sent_bytes == SIZE - held - whole
    assert f"{PREFIX}manifest.json.sig" in bucket.objects
    assert bucket.under_way == {}


def test_parts_that_do_not_fit_the_file_any_more_are_sent_again(pushed: Push, bucket: Bucket) -> None:
    upload = bucket.begin_upload(PREFIX + LARGE)
    for number, content in enumerate((FILES[LARGE][:1000], b"x" * 1000, b"y"), start=1):
        bucket._place(upload, number, content)
    done = pushed()
    assert (done.kept_bytes, done.sent_bytes) == (1000, SIZE - 1000)
    assert bucket.objects[PREFIX + LARGE] == FILES[LARGE]


@pytest.mark.parametrize("when", ["put", "upload_part", "complete_upload"])
def test_a_file_that_changes_while_it_is_pushed_stops_the_push(
    pushed: Push, bucket: Bucket, folder: Folder, when: str
) -> None:
    root = folder()

    def change(operation: str, key: str) -> None:
        if operation == when:
            os.utime(root / LARGE, ns=(1, 1))

    bucket.before = change
    with pytest.raises(Altered, match=rf"{LARGE}: changed while it was pushed; nothing was published"):
        pushed(files=root)
    assert [key for key in bucket.objects if "manifest" in key] == []


def test_a_file_that_was_cut_before_it_was_read_stops_the_push(pushed: Push, bucket: Bucket, folder: Folder) -> None:
    root = folder()
    tree = scan(root)
    (root / LARGE).write_bytes(b"short")
    with pytest.raises(Altered, match=r"changed while it was pushed"):
        pushed(tree=tree)
    assert [key for key in bucket.objects if "manifest" in key] == []


def test_what_an_earlier_push_of_another_folder_left_gets_a_delete_marker(pushed: Push, bucket: Bucket) -> None:
    bucket.write(PREFIX + "old.bin", b"old")
    assert pushed().removed == ("old.bin",)
    assert bucket.marked == [PREFIX + "old.bin"]


def test_nothing_is_removed_from_a_bucket_that_keeps_no_versions(pushed: Push, bucket: Bucket) -> None:
    bucket.keeps_versions = False
    bucket.write(PREFIX + "old.bin", b"old")
    with pytest.raises(
        TransferError, match=r"old.bin: lies there and is no file of the folder; the bucket keeps no versions"
    ):
        pushed()
    assert bucket.objects[PREFIX + "old.bin"] == b"old"


def test_a_push_that_lost_the_race_for_a_name_says_so(pushed: Push, bucket: Bucket, folder: Folder) -> None:
    other = folder("other", {"config.json": b"{}", "more.txt": b"1"})
    racing = True

    def race(operation: str, key: str) -> None:
        nonlocal racing
        if racing and (operation, key) == ("put_small", PREFIX + "manifest.json"):
            racing = False
            pushed("1", other)

    bucket.before = race
    with pytest.raises(Conflict, match=r"exists in s3://weights with other content \(first: more.txt, 1 in all\)"):
        pushed("1", {"config.json": b"{}"})


def test_a_slower_push_does_not_overwrite_what_a_faster_one_has_published(
    pushed: Push, bucket: Bucket, folder: Folder
) -> None:
    other = folder("other", {"config.json": b"[]"})
    racing = True

    def race(operation: str, key: str) -> None:
        nonlocal racing
        if racing and (operation, key) == ("put", PREFIX + "config.json"):
            racing = False
            pushed("1", other)

    bucket.before = race
    with pytest.raises(Conflict, match=r"config.json: somebody else wrote it meanwhile"):
        pushed("1", {"config.json": b"{}"})
    assert bucket.objects[PREFIX + "config.json"] == b"[]"


def test_two_pushes_of_the_same_files_at_once_both_succeed(pushed: Push, bucket: Bucket, folder: Folder) -> None:
    racing = True

    def race(operation: str, key: str) -> None:
        nonlocal racing
        if racing and operation == "put_small":
            racing = False
            pushed("1", folder("other"), at=AT.replace(year=2027))

    bucket.before = race
    assert pushed("1").published is False


def test_a_manifest_that_waits_for_another_key_is_not_signed(
    pushed: Push, bucket: Bucket, stranger: FileSigner, repository: Repository, signer: FileSigner
) -> None:
    pushed()
    bucket.remove(f"{PREFIX}manifest.json.sig")
    manifest = json.loads(bucket.objects[f"{PREFIX}manifest.json"])
    manifest["signed_with"] = key_id(stranger.public_key)
    bucket.write(f"{PREFIX}manifest.json", json.dumps(manifest).encode())
    with pytest.raises(Conflict, match=rf"was written to be signed with key {key_id(stranger.public_key)[:16]}"):
        pushed()
    with pytest.raises(Untrusted, match=r"has no manifest.json.sig; whoever pushed it has to run the push again"):
        repository.manifest("r1", "1")


def test_a_key_that_nobody_here_trusts_does_not_sign(pushed: Push, bucket: Bucket, stranger: FileSigner) -> None:
    with pytest.raises(InvalidField, match=r"nobody here would believe the version"):
        pushed(signer=stranger)
    assert bucket.objects == {}


def test_the_first_failure_is_the_one_that_is_reported(pushed: Push, bucket: Bucket) -> None:
    def fail(operation: str, key: str) -> None:
        if key == PREFIX + "tokenizer/vocab.txt":
            raise TransferError("s3://weights/…: no more")

    bucket.before = fail
    with pytest.raises(TransferError, match=r"no more"):
        pushed()
    assert [key for key in bucket.objects if "manifest" in key] == []


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["a" * 256], "has a step of more than 255 bytes"),
        (["/".join(["d" * 200] * 5) + "/ab"], None),
        (["/".join(["d" * 200] * 5) + "/abcdefghijk"], "makes a key of 1028 bytes, S3 takes 1024"),
    ],
)
def test_a_path_that_s3_does_not_take_is_refused_before_anything_is_sent(
    pushed: Push, bucket: Bucket, folder: Folder, paths: list[str], said: str | None
) -> None:
    tree = scan(folder())
    file = replace(tree.files[0], path=paths[0])
    if said is None:
        pushed(tree=replace(tree, files=(file,)))
        return
    with pytest.raises(InputError, match=said):
        pushed(tree=replace(tree, files=(file,)))
    assert bucket.objects == {}


def test_names_that_some_file_systems_fold_are_refused(pushed: Push, folder: Folder) -> None:
    files: dict[str, Any] = {"caf\u00e9": b"1", "cafe\u0301": b"2"}
    with pytest.raises(InputError, match=r"are the same name on some file systems"):
        pushed(files=folder("source", files))
