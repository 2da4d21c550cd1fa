"""Nothing is lost and nothing is doubled, whatever dies, fills up, moves or cannot be reached."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from ferry import ledger
from ferry.errors import AuditError, InvalidField, Untrusted
from ferry.traffic.audit.access_log import AccessLog
from ferry.traffic.audit.place import Folder
from ferry.traffic.audit.shipper import SEAL_AFTER_S, run
from ferry.traffic.audit.verification import Chain, verify
from tests.unit.traffic.audit.world import TRUSTED, World, unreachable

FIRST = "requests/home/20261101T000000Z/000000000000.jsonl"


class Killed(BaseException):
    """The process is gone."""


def checked(world: World, name: str = "download") -> Chain:
    """The archive's one chain, which holds and has the log's lines, each once and in their order."""
    (chain,) = verify(Folder(world.download(name)), TRUSTED)
    assert chain.fault is None
    assert world.requests() == world.logged
    return chain


def test_a_line_is_the_logs_own_bytes_behind_the_hash_of_the_line_before(world: World) -> None:
    world.write(1)
    world.ship()
    lines = world.archive.objects[FIRST].splitlines()
    assert [next(key for key in json.loads(line) if key not in ("previous", "sequence")) for line in lines] == [
        "event", "event", "request", "event", "head",
    ]  # fmt: skip
    assert lines[2].endswith(b',"sequence":2,"request":{"request_id": "r0", "status": 200}}')
    assert [event["event"] for event in world.events()] == ["chain begins", "log rotated", "chainer stops"]


def test_an_object_goes_out_eight_seconds_after_its_first_line_and_not_before(world: World) -> None:
    with world.shipper() as running:
        world.write(3)
        running.step()
        world.pass_time(SEAL_AFTER_S - 0.1)
        running.step()
        assert world.archive.puts == []
        world.pass_time(0.1)
        running.step()
    assert world.archive.puts == [FIRST]
    assert checked(world).requests == 3


def test_an_object_goes_out_at_once_when_it_is_full(world: World) -> None:
    world.write(50)
    with world.shipper(most_lines=20) as running:
        running.log = AccessLog(world.log, chunk_bytes=100)
        while running.step():
            pass
    assert len(world.archive.puts) == 2


def test_where_nothing_is_logged_a_head_a_minute_says_so(world: World) -> None:
    with world.shipper() as running:
        for _ in range(180):
            running.step()
            world.pass_time(1)
    assert [len(content.splitlines()) for content in world.archive.objects.values()] == [2, 1, 1]


def test_bytes_that_are_no_json_are_kept_and_counted(world: World) -> None:
    world.write(1)
    world.log.write_bytes(world.log.read_bytes() + b'{"half": \xff\n[1]\n')
    world.ship()
    (chain,) = verify(Folder(world.download()), TRUSTED)
    assert (chain.fault, chain.requests, chain.unreadable) == (None, 1, 2)


@pytest.mark.parametrize("moment", ["before the put", "after the put"])
def test_a_chainer_killed_while_it_ships_sends_the_same_object_again(world: World, moment: str) -> None:
    def die(key: str) -> None:
        raise Killed

    world.write(5)
    setattr(world.archive, "before_put" if moment == "before the put" else "after_put", die)
    with pytest.raises(Killed):
        world.ship()
    sent = (world.spool / "pending.jsonl").read_bytes()
    setattr(world.archive, "before_put" if moment == "before the put" else "after_put", lambda key: None)
    world.write(2)
    world.ship()
    assert world.archive.objects[FIRST] == sent
    assert checked(world).events["chainer starts"] == 1


def test_a_chainer_killed_at_any_call_of_the_disk_loses_and_doubles_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(7)
    calls = {"left": 0}

    def dying(original: object) -> object:
        def call(*arguments: object, **more: object) -> object:
            calls["left"] -= 1
            if calls["left"] == 0:
                raise Killed
            result = original(*arguments, **more)  # type: ignore[operator]
            calls["left"] -= 1
            if calls["left"] == 0:
                raise Killed
            return result

        return call

    monkeypatch.setattr(os, "fsync", dying(os.fsync))
    monkeypatch.setattr(Path, "replace", dying(Path.replace))
    killed = 0
    for _ in range(int(os.environ.get("FERRY_SOAK", "60"))):
        world.write(chance.randrange(30))
        if chance.random() < 0.2 and world.log.exists():
            world.rotate()
        calls["left"] = chance.randrange(1, 16)
        try:
            with world.shipper(most_lines=7) as running:
                for _ in range(3):
                    running.step()
                    world.pass_time(5)
        except Killed:
            killed += 1
    assert killed > 10
    calls["left"] = -1
    world.write(1)
    world.ship()
    checked(world)


def test_while_the_archive_cannot_be_reached_the_log_waits_and_then_goes_on_from_there(world: World) -> None:
    world.archive.before_put = unreachable
    told: list[str] = []

    def stopped(seconds: float) -> bool:
        world.pass_time(max(seconds, 1))
        world.write(10)
        if world.seconds > 300:
            world.archive.before_put = lambda key: None
        return world.seconds > 400

    with world.shipper() as running:
        run(running, stopped, told.append)
    assert told[0].startswith("waiting 1 s: s3://archive/requests/home/20261101T000000Z/000000000000.jsonl: HTTP 503")
    assert told[-1].startswith("waiting 20 s")
    assert checked(world).stopped


def test_told_to_stop_while_the_archive_cannot_be_reached_it_says_what_is_left(world: World) -> None:
    world.write(1)
    world.archive.before_put = unreachable
    with world.shipper() as running, pytest.raises(AuditError, match="the next start ships it"):
        run(running, lambda seconds: True, lambda text: None, once=True)
    world.archive.before_put = lambda key: None
    world.ship()
    checked(world)


@pytest.mark.parametrize("failing", [1, 2, 3], ids=["of the object", "of its folder", "once it has arrived"])
def test_a_full_disk_holds_the_chain_up_and_breaks_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    calls = []

    def fill(handle: int) -> None:
        calls.append(handle)
        if len(calls) == failing:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill)
    world.write(5)
    with world.shipper() as running:
        running.step()
        world.pass_time(10)
        with pytest.raises(OSError, match="No space"):
            running.step()
        world.write(2)
        running.finish()
    # Before the object was kept, the chain has not begun; once it has arrived, nothing is read again.
    assert checked(world).events.get("chainer goes on after a disk error", 0) == (failing == 2)


def test_a_clock_that_jumps_changes_no_order_and_is_reported(world: World) -> None:
    with world.shipper() as running:
        for jump in (0, -7200, 3600):
            world.wall += timedelta(seconds=jump)
            world.write(4)
            running.step()
            world.seconds += 10
            running.step()
    chain = checked(world)
    assert len(chain.clock_jumps) == 1


def test_a_log_rotated_twice_while_the_chainer_was_down_is_read_in_its_order(world: World) -> None:
    world.write(5)
    world.ship()
    world.write(3)
    world.rotate()
    world.write(4)
    world.rotate()
    world.write(2)
    world.ship()
    chain = checked(world)
    assert (chain.events["log rotated"], chain.events["chainer starts"], chain.gaps) == (3, 1, [])
    again = [event for event in world.events() if event["event"] == "chainer starts"]
    assert again[0]["lines_read_again"] == 9


def test_a_log_longer_than_a_read_is_read_to_its_end_before_the_next(world: World) -> None:
    world.write(20)
    world.rotate()
    world.write(20)
    with world.shipper() as running:
        running.log = AccessLog(world.log, chunk_bytes=100)
        running.finish()
    assert checked(world).events["log rotated"] == 2


def test_while_a_log_is_being_copied_the_log_itself_is_read(world: World) -> None:
    world.write(5)
    world.ship()
    (world.log.parent / "access.jsonl.1").write_bytes(world.log.read_bytes()[:100])
    world.write(2)
    world.ship()
    assert checked(world).gaps == []


def test_a_log_that_is_copied_and_truncated_is_read_on(world: World) -> None:
    world.write(5)
    world.ship()
    world.write(2)
    shutil.copy(world.log, world.log.parent / "access.jsonl.1")
    world.ship()
    world.log.write_bytes(b"")
    world.write(3)
    world.ship()
    assert checked(world).gaps == []


def test_rotated_logs_that_are_in_the_chain_already_are_not_read_again(world: World) -> None:
    for _ in range(3):
        world.write(4)
        world.ship()
        world.rotate()
    world.write(1)
    world.ship()
    (world.log.parent / "access.jsonl.1").unlink()
    world.log.unlink()
    world.write(2)
    world.ship()
    assert checked(world).events["log lost"] == 1


def test_a_log_that_was_deleted_before_it_was_read_is_a_gap(world: World) -> None:
    world.write(5)
    world.ship()
    world.log.unlink()
    world.write(2)
    world.ship()
    chain = checked(world)
    (gap,) = chain.gaps
    assert "the log that was being read is gone, after byte 180" in gap


def test_a_crash_of_the_gateway_is_told_from_a_rotation_and_counted(world: World) -> None:
    world.note("started")
    world.write(6)
    world.write_torn('{"request_id": "r6", "sta')
    world.note("ended", "signal 9", requests=9)
    world.note("started")
    world.write(2)
    world.note("ended", "stopped", requests=2)
    world.ship()
    (chain,) = verify(Folder(world.download()), TRUSTED)
    assert (chain.fault, chain.requests, chain.unreadable) == (None, 8, 1)
    assert world.requests() == world.logged
    assert chain.events["gateway ends"] == chain.events["gateway starts"] == 2
    (gap,) = chain.gaps
    assert "ended by signal 9; it counted 9 requests" in gap
    assert "its log has 7: at least 2 are missing" in gap


def test_notes_stand_where_they_belong_when_the_chainer_comes_later_and_the_log_was_rotated(world: World) -> None:
    world.note("started")
    world.write(3)
    world.note("ended", "signal 9", requests=3)
    world.note("started")
    world.write(2)
    world.rotate()
    world.write(4)
    world.note("ended", "stopped", requests=6)
    world.ship()
    assert checked(world).gaps == []
    ends = [(event["logged"], event["lost"]) for event in world.events() if event["event"] == "gateway ends"]
    assert ends == [(3, 0), (6, 0)]


def test_an_end_that_nobody_noted_is_a_gap(world: World) -> None:
    world.note("started")
    world.write(1)
    world.note("started")
    world.ship()
    assert "nobody noted how" in checked(world).gaps[0]


def test_a_folder_that_cannot_be_written_is_named(world: World) -> None:
    world.path.joinpath("state").write_text("")
    with pytest.raises(AuditError, match="let this user read the gateway's log and write"):
        world.ship()


def test_only_one_chainer_runs(world: World) -> None:
    with world.shipper(), pytest.raises(AuditError, match="another chainer is running here"):
        world.ship()
    with world.shipper() as running:
        assert running.spool.locked()
    assert not running.spool.locked()


def test_without_its_folder_a_chainer_goes_on_from_the_archive(world: World) -> None:
    world.write(5)
    world.ship()
    shutil.rmtree(world.spool)
    world.write(3)
    world.ship()
    assert checked(world).objects == 2


def test_it_does_not_go_on_from_a_head_that_somebody_else_signed(world: World) -> None:
    world.write(5)
    world.ship()
    content = world.archive.objects[FIRST]
    world.archive.objects[FIRST] = content[:-4] + bytes([content[-4] ^ 1]) + content[-3:]
    shutil.rmtree(world.spool)
    with pytest.raises(Untrusted):
        world.ship()


def test_an_old_folder_that_was_put_back_is_an_alarm_and_changes_nothing(world: World) -> None:
    world.write(5)
    world.ship()
    shutil.copytree(world.spool, world.path / "backup")
    world.write(3)
    world.ship()
    before = dict(world.archive.objects)
    shutil.rmtree(world.spool)
    (world.path / "backup").rename(world.spool)
    world.write(1)
    with pytest.raises(AuditError, match="holds something else than this chainer wants to put there"):
        world.ship()
    assert world.archive.objects == before


def test_a_folder_of_another_gateway_is_refused(world: World) -> None:
    world.ship()
    world.instance = "cloud"
    with pytest.raises(AuditError, match="belongs to instance 'home', not to 'cloud'"):
        world.ship()
    world.instance = "../cloud"
    with pytest.raises(InvalidField, match="allowed are"):
        world.ship()


def test_the_end_of_the_ledger_is_recorded_whenever_it_has_changed(world: World) -> None:
    world.ledger = world.path
    for verb in ("plan", "cutover"):
        ledger.append(world.path, verb, inputs=[], outputs=[], forced=False, result="")
        world.ship()
    chain = checked(world)
    assert [lines for lines, _ in chain.ledger] == [1, 2]
    assert chain.ledger[1] == ledger.end(world.path)
