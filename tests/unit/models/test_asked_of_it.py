"""verify, prune, diff and list."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ferry.errors import InvalidField, TransferError, Untrusted
from ferry.models import download
from ferry.models.checksums import crc64nvme
from ferry.models.crew import Silent
from ferry.models.difference import FileDifference, difference
from ferry.models.memory import Memory
from ferry.models.promotion import promote
from ferry.models.pruning import prune
from ferry.models.push import Pushed
from ferry.models.repository import Repository
from ferry.models.signature import FileSigner
from ferry.models.verification import Verification, verify
from tests.unit.models.bucket import Bucket
from tests.unit.models.conftest import AT, FILES

PREFIX = "models/r1/1/"
LARGE = "model-00002-of-00002.safetensors"

Push = Callable[..., Pushed]


@pytest.fixture
def verified(repository: Repository) -> Callable[..., Verification]:
    return lambda deep=False: verify(repository, repository.manifest("r1", "1"), deep=deep, progress=Silent())


def texts(found: Verification) -> list[str]:
    return [f"{problem.kind}: {problem.text}" for problem in found.problems]


def flipped(content: bytes, at: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


# ---- verify ----


@pytest.mark.parametrize("deep", [False, True])
def test_a_version_as_it_was_signed_is_whole(pushed: Push, verified: Any, bucket: Bucket, deep: bool) -> None:
    pushed()
    found = verified(deep)
    assert (found.whole, found.files, found.size_bytes) == (True, 5, 5008)
    assert found.depth == ("every byte" if deep else "stored checksums")
    assert bucket.bytes_out == (5008 if deep else 0)


@pytest.mark.parametrize("deep", [False, True])
def test_missing_added_and_cut_files_are_named(pushed: Push, verified: Any, bucket: Bucket, deep: bool) -> None:
    pushed()
    bucket.remove(PREFIX + "empty.txt")
    bucket.write(PREFIX + "added.py", b"x")
    bucket.write(PREFIX + LARGE, FILES[LARGE][:-1])
    assert texts(verified(deep)) == [
        "added: added.py is not in the manifest",
        "missing: empty.txt is missing",
        f"size: {LARGE} has 2499 bytes, 2500 were signed",
    ]


def test_a_flipped_byte_is_found_by_the_stores_own_checksum(pushed: Push, verified: Any, bucket: Bucket) -> None:
    pushed()
    changed = flipped(FILES[LARGE], 1500)
    bucket.write(PREFIX + LARGE, changed)
    assert texts(verified()) == [
        f"checksum: {LARGE} has CRC64NVME {crc64nvme(changed)}, {crc64nvme(FILES[LARGE])} was signed"
    ]
    assert texts(verified(deep=True)) == [f"altered: {LARGE} was altered between bytes 1000 and 2000"]


def test_only_a_deep_verify_finds_bytes_that_were_made_to_fit_the_crc(
    pushed: Push, verified: Any, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed()
    changed = flipped(FILES["config.json"], 0)
    bucket.write(PREFIX + "config.json", changed)
    signed = crc64nvme(FILES["config.json"])
    forged = lambda content: signed if content == changed else crc64nvme(content)  # noqa: E731
    monkeypatch.setattr(download, "crc64nvme", forged)
    monkeypatch.setattr("tests.unit.models.bucket.crc64nvme", forged)
    assert verified().whole
    (problem,) = verified(deep=True).problems
    assert problem.text.startswith("config.json was altered: sha256 is ")


def test_an_object_without_a_stored_checksum_is_not_called_whole(
    pushed: Push, verified: Any, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed()
    monkeypatch.setattr("tests.unit.models.bucket.crc64nvme", lambda content: None)
    assert texts(verified())[0] == "unknown: config.json has no CRC64NVME in the store: only --deep can tell"


# ---- prune ----


@pytest.fixture
def five(pushed: Push, repository: Repository, signer: FileSigner, memory: Memory) -> None:
    """Versions 1 to 5, a day apart; `stable` means 2 and meant 1 before."""
    for number in range(1, 6):
        pushed(str(number), {"config.json": str(number).encode()}, at=AT + timedelta(days=number))
    for version in ("1", "2"):
        promote(repository, signer, "r1", version, "stable", memory, by="ann", at=AT)


@pytest.mark.usefixtures("five")
def test_prune_keeps_the_newest_and_what_channels_mean_and_meant(repository: Repository, bucket: Bucket) -> None:
    done = prune(repository, "r1", 2, dry_run=False)
    assert [(one.version, one.keep, one.reason) for one in done.decisions] == [
        ("5", True, "among the newest 2"),
        ("4", True, "among the newest 2"),
        ("3", False, "older than the newest 2"),
        ("2", True, "r1:stable means it"),
        ("1", True, "what r1:stable would roll back to"),
    ]
    assert (done.marked, done.marked_objects) == (True, 3)
    assert bucket.marked == ["models/r1/3/config.json", "models/r1/3/manifest.json.sig", "models/r1/3/manifest.json"]


@pytest.mark.usefixtures("five")
def test_a_dry_run_decides_the_same_and_marks_nothing(repository: Repository, bucket: Bucket) -> None:
    dry = prune(repository, "r1", 2, dry_run=True)
    assert (dry.marked, bucket.marked) == (False, [])
    assert dry.decisions == prune(repository, "r1", 2, dry_run=False).decisions


@pytest.mark.usefixtures("five")
def test_prune_asks_the_channels_again_before_it_marks(
    repository: Repository, bucket: Bucket, signer: FileSigner, memory: Memory
) -> None:
    racing = True

    def race(operation: str, key: str) -> None:
        nonlocal racing
        if racing and operation == "versioned":
            racing = False
            promote(repository, signer, "r1", "3", "canary", memory, by="bob", at=AT)

    bucket.before = race
    assert prune(repository, "r1", 1, dry_run=False).marked_objects == 3
    assert bucket.marked[0] == "models/r1/4/config.json"


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize("kill_at", [1, 2])
def test_a_prune_that_broke_off_is_finished_by_the_next(repository: Repository, bucket: Bucket, kill_at: int) -> None:
    count = 0

    class Killed(BaseException):
        pass

    def kill(operation: str, key: str) -> None:
        nonlocal count
        count += operation == "mark_deleted"
        if count == kill_at:
            raise Killed

    bucket.before = kill
    with pytest.raises(Killed):
        prune(repository, "r1", 2, dry_run=False)
    bucket.before = lambda operation, key: None
    prune(repository, "r1", 2, dry_run=False)
    assert [key for key in bucket.objects if key.startswith("models/r1/3/")] == []


@pytest.mark.usefixtures("five")
def test_prune_does_nothing_in_a_bucket_that_keeps_no_versions(repository: Repository, bucket: Bucket) -> None:
    bucket.keeps_versions = False
    with pytest.raises(TransferError, match=r"^s3://weights: keeps no versions, so marking would delete for good"):
        prune(repository, "r1", 1, dry_run=False)
    assert bucket.marked == []


@pytest.mark.usefixtures("five")
def test_prune_stops_at_a_channel_that_cannot_be_believed(repository: Repository, bucket: Bucket) -> None:
    bucket.write("channels/r1/stable.json", bucket.objects["channels/r1/stable.json"].replace(b'"1"', b'"4"'))
    with pytest.raises(Untrusted):
        prune(repository, "r1", 1, dry_run=False)
    assert bucket.marked == []


@pytest.mark.usefixtures("five")
def test_a_version_that_is_not_ours_to_judge_is_left_alone(
    repository: Repository, bucket: Bucket, stranger: FileSigner
) -> None:
    bucket.write("models/r1/3/manifest.json.sig", stranger.sign(bucket.objects["models/r1/3/manifest.json"]))
    bucket.write("models/r1/half/config.json", b"x")
    done = prune(repository, "r1", 1, dry_run=False)
    assert [one.version for one in done.decisions] == ["5", "4", "2", "1"]
    assert bucket.marked == ["models/r1/4/config.json", "models/r1/4/manifest.json.sig", "models/r1/4/manifest.json"]


def test_at_least_one_version_is_kept(repository: Repository) -> None:
    with pytest.raises(InvalidField, match=r"^--keep 0: at least 1 version stays"):
        prune(repository, "r1", 0, dry_run=True)


# ---- diff and list ----


def test_a_difference_counts_the_bytes_of_chunks_that_changed(pushed: Push, repository: Repository) -> None:
    pushed("1")
    new = {**FILES, LARGE: flipped(FILES[LARGE], 2100), "config.json": b'{"a":1}', "new.txt": b"12345"}
    del new["empty.txt"]
    pushed("2", new)
    found = difference(repository.manifest("r1", "1").manifest, repository.manifest("r1", "2").manifest)
    assert found.files == (
        FileDifference("config.json", "changed", 2, 7, 7),
        FileDifference("empty.txt", "removed", 0, 0, 0),
        FileDifference(LARGE, "changed", 2500, 2500, 500),
        FileDifference("new.txt", "added", 0, 5, 5),
    )
    assert (found.same_files, found.same_bytes, found.new_bytes) == (2, 2506, 512)


def test_a_version_that_cannot_be_believed_is_listed_with_the_reason(
    pushed: Push, repository: Repository, bucket: Bucket, stranger: FileSigner
) -> None:
    pushed("1")
    pushed("2")
    bucket.write("models/r1/2/manifest.json.sig", stranger.sign(b""))
    bucket.write("models/r1/3/config.json", b"{}")
    found = list(repository.versions("r1"))
    assert [(one.version, one.manifest is not None) for one in found] == [("1", True), ("2", False), ("3", False)]
    assert found[1].problem is not None
    assert "its signature fits none of the trusted keys" in found[1].problem
    assert found[2].problem == "no manifest.json: a push is under way, or broke off"
    assert repository.models() == ["r1"]
