"""Each change of an archive is found, and the first line that does not fit is named."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ferry.errors import UnreadableInput
from ferry.models.signature import FileSigner, TrustedKeys
from ferry.traffic.audit.diagnosis import Fault
from ferry.traffic.audit.place import Bucket, Folder
from ferry.traffic.audit.verification import verify
from tests.unit.traffic.audit.world import START, TRUSTED, World

PREFIX = "requests/home/20261101T000000Z/"
FIRST, SECOND, THIRD, LAST = (PREFIX + f"{first:012d}.jsonl" for first in (0, 8, 14, 20))
"""Of the objects below: 8 lines (two events, five requests, a head), then three times five requests and a head."""


@dataclass
class Memory:
    """A place whose objects a test changes."""

    objects: dict[str, bytes]

    def names(self) -> Sequence[str]:
        return sorted(self.objects)

    def contents(self, names: Sequence[str]) -> Iterator[bytes]:
        return (self.objects[name] for name in names)

    def end(self, name: str) -> bytes:
        return self.objects[name][-(2**14) :]


@pytest.fixture
def archived(world: World) -> World:
    with world.shipper() as running:
        for _ in range(4):
            world.write(5)
            running.step()
            world.pass_time(10)
            running.step()
    assert sorted(world.archive.objects) == [FIRST, SECOND, THIRD, LAST]
    return world


UNTIL = START + timedelta(seconds=40)


def fault_of(objects: dict[str, bytes], **times: datetime) -> Fault | None:
    (chain,) = verify(Memory(objects), TRUSTED, **times)
    return chain.fault


def lines_of(objects: dict[str, bytes], key: str) -> list[bytes]:
    return objects[key].splitlines(keepends=True)


Change = Callable[[list[bytes]], list[bytes]]
CHANGES: dict[str, tuple[Change, int, int, str]] = {
    "a byte of a request": (lambda x: [*x[:3], x[3].replace(b"200", b"500"), *x[4:]], 4, 11, "was altered"),
    "the hash in a line": (
        lambda x: [*x[:3], x[3][:20] + (b"1" if x[3][20:21] == b"0" else b"0") + x[3][21:], *x[4:]],
        4,
        11,
        "was altered",
    ),
    "the sequence in a line": (
        lambda x: [*x[:3], x[3].replace(b'sequence":11', b'sequence":19'), *x[4:]],
        4,
        11,
        "was altered",
    ),
    "a line is removed": (lambda x: [*x[:3], *x[4:]], 4, 11, "is missing"),
    "two lines are removed": (lambda x: [*x[:2], *x[4:]], 3, 10, "is missing, up to 11"),
    "two lines are swapped": (lambda x: [*x[:2], x[3], x[2], *x[4:]], 3, 10, "was moved: line 4 has it"),
    "a line is moved to the end": (lambda x: [*x[:1], *x[2:5], x[1], x[5]], 2, 9, "was moved: line 5 has it"),
    "a line is doubled": (
        lambda x: [*x[:3], x[2], *x[3:]],
        4,
        11,
        "was moved: line 5 has it",
    ),
    "the first line": (lambda x: [x[0].replace(b"200", b"201"), *x[1:]], 1, 8, "was altered"),
    "the last request": (lambda x: [*x[:4], x[4].replace(b"200", b"201"), x[5]], 5, 12, "was altered"),
    "the head's time": (
        lambda x: [*x[:5], x[5].replace(b"00:00:20", b"00:00:21")],
        6,
        13,
        "its signature fits none of the trusted keys",
    ),
    "the head is cut off": (lambda x: x[:5], 6, 13, "is missing: the object is cut off before its head"),
    "a line is cut": (lambda x: [*x[:3], x[3][:40]], 4, 11, "is cut off: the object has no whole line there"),
    "all is cut off": (lambda x: [], 1, 8, "is cut off: the object has no whole line there"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_first_line_that_was_altered_removed_or_moved_is_named(archived: World, change: str) -> None:
    objects = dict(archived.archive.objects)
    made, line, sequence, what = CHANGES[change]
    objects[SECOND] = b"".join(made(lines_of(objects, SECOND)))
    fault = fault_of(objects)
    assert fault is not None
    assert (fault.place, fault.line, fault.sequence) == (SECOND, line, sequence)
    assert what in fault.what


def test_what_is_proven_ends_before_the_object_with_a_fault(archived: World) -> None:
    objects = dict(archived.archive.objects)
    objects[THIRD] = objects[THIRD].replace(b"200", b"500", 1)
    (chain,) = verify(Memory(objects), TRUSTED)
    assert (chain.proven, chain.objects, chain.requests) == (13, 2, 10)


def test_objects_that_are_gone_swapped_or_renamed_are_named(archived: World) -> None:
    whole = archived.archive.objects
    gone = {key: content for key, content in whole.items() if key != THIRD}
    assert str(fault_of(gone)) == (
        f"{LAST}:1: sequence 14: is missing, up to 19: objects are gone, or the one before this was replaced"
    )
    first_gone = {key: content for key, content in whole.items() if key != FIRST}
    assert str(fault_of(first_gone)).startswith(f"{SECOND}:1: sequence 0: is missing, up to 7")
    swapped = {**whole, SECOND: whole[THIRD], THIRD: whole[SECOND]}
    assert str(fault_of(swapped)) == f"{SECOND}:1: sequence 8: is missing, up to 13"
    renamed = {**gone, PREFIX + "copy.jsonl": whole[THIRD]}
    assert fault_of(renamed) is not None
    doubled = {**whole, PREFIX + "000000000009.jsonl": whole[SECOND]}
    assert "stands in another object" in str(fault_of(doubled))


def test_a_tail_that_was_cut_off_is_found_up_to_the_last_head(archived: World) -> None:
    whole = archived.archive.objects
    cut = {key: content for key, content in whole.items() if key != LAST}
    assert fault_of(cut) is None  # nobody can tell without knowing until when
    fault = fault_of(cut, until=UNTIL)
    assert fault is not None
    assert (fault.place, fault.sequence) == (THIRD, 20)
    assert "before 2026-11-01T00:00:40+00:00; what followed was cut off, or has not been shipped" in fault.what
    assert fault_of(whole, until=UNTIL) is None


def test_a_chain_that_says_it_has_ended_needs_no_more_heads(world: World) -> None:
    world.write(1)
    world.ship()
    assert fault_of(world.archive.objects, until=UNTIL) is None
    assert verify(Memory(world.archive.objects), TRUSTED, since=START + timedelta(days=1)) == []


def test_a_range_is_proven_by_the_heads_around_it(archived: World) -> None:
    since, until = START + timedelta(seconds=15), START + timedelta(seconds=25)
    (chain,) = verify(Memory(archived.archive.objects), TRUSTED, since=since, until=until)
    assert (chain.first, chain.proven, chain.objects, chain.fault) == (8, 19, 2, None)
    later = {**archived.archive.objects, LAST: archived.archive.objects[LAST][:-9]}
    assert fault_of(later, until=until) is None  # what comes after is not asked for
    objects = {key: content for key, content in archived.archive.objects.items() if key != SECOND}
    assert str(fault_of(objects, since=since, until=until)).startswith(f"{THIRD}:1: sequence 8: is missing, up to 13")


def test_a_chain_of_another_gateway_cannot_be_put_in_the_place_of_one(archived: World, tmp_path: Path) -> None:
    other = World(tmp_path / "other", instance="cloud")
    other.write(5)
    other.ship()
    (content,) = other.archive.objects.values()
    fault = fault_of({**archived.archive.objects, FIRST: content})
    assert fault is not None
    assert "is the head of requests/cloud/" in fault.what


def test_a_chain_cannot_be_given_to_a_gateway_whose_name_ends_alike(archived: World) -> None:
    moved = {key.replace("/home/", "/athome/"): content for key, content in archived.archive.objects.items()}
    fault = fault_of(moved)
    assert fault is not None
    assert f"is the head of {FIRST}" in fault.what


def test_a_chain_that_somebody_else_signed_is_refused(world: World) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    world.write(1)
    world.ship()
    stranger = TrustedKeys([FileSigner(Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\1")).public_key])
    (chain,) = verify(Memory(world.archive.objects), stranger)
    assert chain.fault is not None
    assert "sign it with a trusted key" in chain.fault.what


def test_a_folder_and_the_bucket_say_the_same(archived: World) -> None:
    folder = archived.download()
    inner = folder / PREFIX
    found = [verify(place, TRUSTED) for place in (Folder(folder), Folder(inner), Bucket(archived.archive))]
    seen = [(chain.instance, chain.objects, chain.requests, chain.fault) for (chain,) in found]
    assert seen == [("home", 4, 20, None)] * 3
    with pytest.raises(UnreadableInput, match="is no folder"):
        Folder(folder / "missing").names()


def test_each_change_of_a_thousand_is_found(archived: World) -> None:
    chance = random.Random(20261101)
    whole = archived.archive.objects
    for _ in range(int(os.environ.get("FERRY_SOAK", "1000"))):
        objects = dict(whole)
        key = chance.choice(sorted(objects))
        content, lines = objects[key], lines_of(objects, key)
        kind = chance.choice(["byte", "removal", "swap", "truncation", "object"])
        if kind == "byte":
            at = chance.randrange(len(content))
            changed = bytes([content[at] ^ chance.randrange(1, 256)])
            objects[key] = content[:at] + changed + content[at + 1 :]
        elif kind == "removal":
            del lines[chance.randrange(len(lines))]
            objects[key] = b"".join(lines)
        elif kind == "swap":
            one, other = chance.sample(range(len(lines)), 2)
            lines[one], lines[other] = lines[other], lines[one]
            objects[key] = b"".join(lines)
        elif kind == "truncation":
            objects[key] = content[: chance.randrange(len(content))]
        else:
            del objects[key]
        (chain,) = verify(Memory(objects), TRUSTED, until=UNTIL)
        assert chain.fault is not None, (kind, key)


def test_every_single_bit_of_an_object_counts(world: World) -> None:
    world.write(1)
    world.ship()
    ((key, content),) = world.archive.objects.items()
    for at in range(len(content)):
        for bit in range(8) if at % 7 == 0 else [5 * at % 8]:
            changed = content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :]
            assert fault_of({key: changed}) is not None, (at, bit)
