from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ferry.errors import Altered, Conflict, InvalidField, UnknownSchema, UnreadableInput, Untrusted
from ferry.models import channels
from ferry.models.channels import KEPT, Channel, read, resolve
from ferry.models.memory import Memory
from ferry.models.names import Reference
from ferry.models.promotion import previous_version, promote
from ferry.models.push import Pushed
from ferry.models.repository import Repository
from ferry.models.signature import FileSigner, TrustedKeys
from tests.unit.models.bucket import Bucket
from tests.unit.models.conftest import AT

KEY = "channels/r1/stable.json"
STABLE = Reference("r1", channel="stable")

Push = Callable[..., Pushed]
Promote = Callable[..., Channel]


@pytest.fixture
def promoted(repository: Repository, signer: FileSigner, memory: Memory) -> Promote:
    def run(version: str, *, by: str = "ann@site", **more: Any) -> Channel:
        return promote(
            more.get("repository", repository),
            more.get("signer", signer),
            "r1",
            version,
            "stable",
            more.get("memory", memory),
            by=by,
            at=AT,
        )

    return run


@pytest.fixture(autouse=True)
def _three_versions(pushed: Push) -> None:
    for version in ("1", "2", "3"):
        pushed(version, {"config.json": version.encode()})


def meaning(repository: Repository, memory: Memory | None = None) -> str:
    return resolve(repository, STABLE, memory).manifest.version


def test_a_channel_means_what_was_promoted_last_and_keeps_its_history(
    promoted: Promote, repository: Repository
) -> None:
    for version in ("1", "2", "3"):
        promoted(version)
    held = read(repository, "r1", "stable")
    assert held is not None
    channel = held.channel
    assert [(past.sequence, past.version) for past in (channel.current, *channel.history)] == [
        (3, "3"),
        (2, "2"),
        (1, "1"),
    ]
    assert meaning(repository) == "3"


def test_a_rollback_is_a_promotion_with_the_next_sequence(
    promoted: Promote, repository: Repository, memory: Memory
) -> None:
    promoted("1")
    promoted("2")
    assert previous_version(repository, "r1", "stable", memory) == "1"
    back = promoted("1")
    assert (back.current.sequence, back.current.version) == (3, "1")
    assert back.previous is not None
    assert back.previous.version == "2"
    assert meaning(repository, memory) == "1"


def test_a_channel_that_never_meant_another_version_cannot_be_rolled_back(
    promoted: Promote, repository: Repository, memory: Memory
) -> None:
    promoted("1")
    with pytest.raises(InvalidField, match=r"^r1:stable never meant another version; name the one to promote"):
        previous_version(repository, "r1", "stable", memory)


def test_promoting_what_a_channel_means_already_changes_nothing(promoted: Promote, bucket: Bucket) -> None:
    promoted("1")
    before = bucket.objects[KEY]
    assert promoted("1").current.sequence == 1
    assert bucket.objects[KEY] == before


@pytest.mark.parametrize("moment", ["list", "put_small"])
@pytest.mark.parametrize("first", [None, "1"])
def test_of_two_promotions_at_once_one_wins_and_the_other_says_so(
    promoted: Promote, bucket: Bucket, repository: Repository, tmp_path: Path, first: str | None, moment: str
) -> None:
    if first is not None:
        promoted(first)
    racing = True

    def race(operation: str, key: str) -> None:
        nonlocal racing
        if racing and operation == moment:
            racing = False
            promoted("3", by="bob@site", memory=Memory(tmp_path / "bob"))

    bucket.before = race
    with pytest.raises(
        Conflict, match=r"^r1:stable was promoted by somebody else in this moment, so nothing was changed; look at"
    ):
        promoted("2")
    held = read(repository, "r1", "stable")
    assert held is not None
    assert (held.channel.current.version, held.channel.current.promoted_by) == ("3", "bob@site")
    assert [past.version for past in held.channel.history] == ([] if first is None else [first])


def test_a_replayed_channel_is_refused_by_whoever_has_seen_the_newer(
    promoted: Promote, bucket: Bucket, repository: Repository, tmp_path: Path
) -> None:
    node = Memory(tmp_path / "node")
    promoted("1")
    old = bucket.objects[KEY]
    promoted("2")
    assert meaning(repository, node) == "2"
    bucket.write(KEY, old)
    with pytest.raises(
        Untrusted,
        match=rf"^s3://weights/{KEY}: has sequence 1, this machine knows of 2: an old channel was put back; find out",
    ):
        meaning(repository, node)


def test_a_fresh_machine_believes_a_replayed_channel_unless_it_is_told_the_least_sequence(
    promoted: Promote, bucket: Bucket, repository: Repository, tmp_path: Path
) -> None:
    promoted("1")
    old = bucket.objects[KEY]
    promoted("2")
    bucket.write(KEY, old)
    assert meaning(repository, Memory(tmp_path / "fresh")) == "1"
    with pytest.raises(Untrusted, match=r"has sequence 1, this machine knows of 2: an old channel was put back"):
        meaning(repository, Memory(tmp_path / "told", least=2))


def test_two_files_of_one_sequence_are_told_apart(
    promoted: Promote, bucket: Bucket, repository: Repository, tmp_path: Path, memory: Memory
) -> None:
    promoted("1")
    bucket.remove(KEY)
    promoted("2", memory=Memory(tmp_path / "another operator"))
    with pytest.raises(Untrusted, match=r"this machine has seen another file with sequence 1: two were signed"):
        meaning(repository, memory)


def test_a_channel_that_is_gone_is_refused_by_whoever_has_seen_it(
    promoted: Promote, bucket: Bucket, repository: Repository, memory: Memory
) -> None:
    promoted("1")
    bucket.remove(KEY)
    for attempt in (lambda: meaning(repository, memory), lambda: promoted("2")):
        with pytest.raises(Untrusted, match=rf"{KEY}: is gone, this machine knows of sequence 1; restore the object"):
            attempt()


def test_an_old_manifest_put_back_under_a_promoted_version_is_refused(
    promoted: Promote, pushed: Push, bucket: Bucket, repository: Repository
) -> None:
    saved = {key: bucket.objects[key] for key in bucket.objects if key.startswith("models/r1/3/")}
    for key in saved:
        bucket.remove(key)
    pushed("3", {"config.json": b"better"}, at=AT.replace(year=2027))
    promoted("3")
    for key, content in saved.items():
        bucket.write(key, content)
    with pytest.raises(
        Untrusted, match=r"models/r1/3/manifest.json: is signed, but is not the one that was promoted to r1:stable"
    ):
        meaning(repository)


def test_a_channel_signed_by_a_stranger_is_refused(
    promoted: Promote, bucket: Bucket, repository: Repository, stranger: FileSigner, tmp_path: Path
) -> None:
    everybody = Repository(bucket, TrustedKeys([*repository.trusted.by_id.values(), stranger.public_key]))
    promoted("1", repository=everybody, signer=stranger, memory=Memory(tmp_path / "stranger"))
    with pytest.raises(Untrusted, match=rf"^s3://weights/{KEY}: says that key [0-9a-f]{{16}} signed it, trusted is"):
        meaning(repository)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda d: d["signed"]["current"].update(version="3"), Untrusted),
        (lambda d: d["signed"]["current"].update(sequence=9), Untrusted),
        (lambda d: d["signed"].update(history=[d["signed"]["current"]]), Untrusted),
        (lambda d: d.update(signature="AAAA"), Untrusted),
        (lambda d: d.update(signature="?"), UnreadableInput),
        (lambda d: d.pop("signed"), UnreadableInput),
        (lambda d: d.update(signed=[]), UnreadableInput),
    ],
)
def test_an_edited_channel_is_refused(
    promoted: Promote, bucket: Bucket, repository: Repository, change: Any, error: type[Exception]
) -> None:
    promoted("1")
    document = json.loads(bucket.objects[KEY])
    change(document)
    bucket.write(KEY, json.dumps(document).encode())
    with pytest.raises(error, match=rf"^s3://weights/{KEY}: "):
        meaning(repository)


def test_a_channel_put_in_the_place_of_another_is_refused(
    promoted: Promote, bucket: Bucket, repository: Repository
) -> None:
    promoted("1")
    bucket.write("channels/r1/canary.json", bucket.objects[KEY])
    with pytest.raises(Untrusted, match=r"canary.json: is signed for r1:stable, it was put here from elsewhere"):
        resolve(repository, Reference("r1", channel="canary"))


def test_a_version_that_is_not_whole_is_not_promoted(promoted: Promote, bucket: Bucket) -> None:
    bucket.remove("models/r1/1/config.json")
    with pytest.raises(
        Altered, match=r"^r1@1 is not whole: config.json is missing, 1 in all; `ferry models verify r1@1`"
    ):
        promoted("1")
    assert KEY not in bucket.objects


def test_a_version_that_does_not_exist_is_not_promoted(promoted: Promote) -> None:
    with pytest.raises(InvalidField, match=r"r1@9 has no manifest.json: it was never pushed whole; there are: 1, 2, 3"):
        promoted("9")


def test_a_channel_that_was_never_promoted_says_how_it_is_made(repository: Repository) -> None:
    with pytest.raises(
        InvalidField, match=r"r1:stable was never promoted; `ferry models promote r1@VERSION --channel stable`"
    ):
        meaning(repository)


def test_history_is_kept_for_the_last_promotions_only(promoted: Promote) -> None:
    for number in range(KEPT + 5):
        last = promoted(str(1 + number % 2))
    assert last.current.sequence == KEPT + 5
    assert [past.sequence for past in last.history] == list(range(KEPT + 4, 4, -1))


def test_an_unknown_schema_is_named(
    promoted: Promote, bucket: Bucket, repository: Repository, signer: FileSigner
) -> None:
    import base64

    promoted("1")
    document = json.loads(bucket.objects[KEY])
    document["signed"]["schema"] = "ferry/model-channel/v2"
    document["signature"] = base64.b64encode(signer.sign(channels.canonical(document["signed"]))).decode()
    bucket.write(KEY, json.dumps(document).encode())
    with pytest.raises(
        UnknownSchema, match=r"schema is 'ferry/model-channel/v2', this Ferry reads 'ferry/model-channel/v1'"
    ):
        meaning(repository)


def test_a_memory_that_cannot_be_read_is_not_taken_for_an_empty_one(
    promoted: Promote, repository: Repository, memory: Memory
) -> None:
    promoted("1")
    (memory.folder / "weights" / "r1" / "stable.json").write_text("{")
    with pytest.raises(UnreadableInput, match=r"so a replayed channel could not be told"):
        meaning(repository, memory)
