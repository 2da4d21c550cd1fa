"""Rotation of keys: states, moments, and what a kill leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ferry.errors import InvalidField, TokenError
from ferry.traffic.gateway import GatewayFolder
from ferry.traffic.tokens import TokenFolder
from ferry.traffic.tokens.keys import KeyRing
from ferry.traffic.tokens.rotation import Rotated, rotate
from tests.unit.traffic.tokens.conftest import START, with_settings

Call = Callable[..., Rotated]
LONGEST = 3610
"""Seconds that a token may live, with the clocks apart."""


def states(ring: KeyRing) -> list[str]:
    return [key.state for key in ring.keys]


def published(folder: TokenFolder) -> list[str]:
    """The key ids that Envoy is given."""
    document = json.loads(folder.gateway.filter_file("authentication").read_text())
    inline = document["resources"][0]["typed_config"]["providers"]["token"]["local_jwks"]["inline_string"]
    return [key["kid"] for key in json.loads(inline)["keys"]]


def files(folder: TokenFolder) -> set[str]:
    return {path.stem for path in folder.path.glob("*.pem")}


def test_the_first_key_signs_at_once(rotated: Call, folder: TokenFolder) -> None:
    done = rotated(0)
    assert states(done.ring) == ["current"]
    assert done.next_at is None
    assert published(folder) == [done.ring.current.kid]
    assert folder.private_key(done.ring.current.kid).stat().st_mode & 0o777 == 0o600
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_a_rotation_publishes_then_switches_then_drops(rotated: Call, folder: TokenFolder) -> None:
    old = rotated(0).ring.current.kid
    begun = rotated(100)
    new = begun.ring.keys[1].kid
    assert states(begun.ring) == ["current", "next"]
    assert published(folder) == [old, new]
    assert begun.next_at == START + timedelta(seconds=160)

    switched = rotated(160)
    assert {key.kid: key.state for key in switched.ring.keys} == {old: "retiring", new: "current"}
    assert published(folder) == [new, old]
    assert switched.next_at == START + timedelta(seconds=160 + LONGEST)

    dropped = rotated(160 + LONGEST)
    assert [(key.kid, key.state) for key in dropped.ring.keys] == [(new, "current")]
    assert published(folder) == [new]
    assert files(folder) == {new}
    assert dropped.next_at is None


@pytest.mark.parametrize("seconds", [100, 159.9])
def test_a_call_before_every_verifier_has_the_key_changes_nothing(rotated: Call, seconds: float) -> None:
    rotated(0)
    begun = rotated(100)
    again = rotated(seconds)
    assert again.ring == begun.ring
    assert again.did == ()


def test_a_call_before_the_last_token_has_expired_drops_and_begins_nothing(rotated: Call) -> None:
    rotated(0), rotated(100), rotated(160)
    again = rotated(160 + LONGEST - 0.1)
    assert sorted(states(again.ring)) == ["current", "retiring"]
    assert again.did == ()


def test_a_key_that_the_gateway_got_late_waits_from_then_on(rotated: Call, folder: TokenFolder) -> None:
    rotated(0)
    begun = rotated(100)
    # Killed between the state and the filters: nobody has the key yet.
    unpublished = [key.model_copy(update={"published_at": None}) for key in begun.ring.keys if key.state == "next"]
    KeyRing(keys=(begun.ring.current, *unpublished)).write(folder.keys_file)
    folder.gateway.filter_file("authentication").unlink()
    resumed = rotated(500)
    assert states(resumed.ring) == ["current", "next"]
    assert resumed.next_at == START + timedelta(seconds=560)
    assert len(published(folder)) == 2


class Killed(BaseException):
    """The process ends here."""


def test_a_call_may_be_killed_before_any_write_and_called_again(
    folder: TokenFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each of the writes of a whole rotation; a verifier never lacks the key that signs."""
    writes, kill_at = 0, 0
    real_ring, real_filter = KeyRing.write, GatewayFolder.write_filter

    def counted(real: Callable[..., None]) -> Callable[..., None]:
        def write(*arguments: Any) -> None:
            nonlocal writes
            writes += 1
            if writes == kill_at:
                raise Killed
            real(*arguments)

        return write

    monkeypatch.setattr(KeyRing, "write", counted(real_ring))
    monkeypatch.setattr(GatewayFolder, "write_filter", counted(real_filter))
    moments = [0, 100, 200, 300 + LONGEST, 400 + LONGEST]
    survived = 0
    while True:
        kill_at, writes = kill_at + 1, 0
        home = tmp_path / str(kill_at)
        home.mkdir()
        mine = with_settings(home)
        killed = False
        for moment in moments:
            now = START + timedelta(seconds=moment)
            try:
                rotate(mine, now=lambda now=now: now)
            except Killed:
                killed = True
                if mine.keys_file.exists() and (ring := KeyRing.read(mine.keys_file)).in_state("current"):
                    on_disk = mine.gateway.filter_file("authentication")
                    assert not on_disk.exists() or ring.current.kid in published(mine) or len(ring.keys) == 1
                rotate(mine, now=lambda now=now: now)
        ring = KeyRing.read(mine.keys_file)
        assert ring.in_state("current") is not None
        assert published(mine) == [key["kid"] for key in ring.jwks()["keys"]]
        assert files(mine) == {key.kid for key in ring.keys}
        if not killed:
            break
        survived += 1
    assert survived >= 10


def test_a_compromised_key_goes_at_once_and_a_new_one_signs(rotated: Call, folder: TokenFolder) -> None:
    stolen = rotated(0).ring.current.kid
    done = rotated(10, compromised=stolen)
    assert states(done.ring) == ["current"]
    assert done.ring.current.kid != stolen
    assert published(folder) == [done.ring.current.kid]
    assert files(folder) == {done.ring.current.kid}


def test_a_key_that_was_ended_is_not_ended_twice(rotated: Call) -> None:
    stolen = rotated(0).ring.current.kid
    done = rotated(10, compromised=stolen)
    again = rotated(20, compromised=stolen)
    assert (again.ring, again.did) == (done.ring, ())


def test_the_next_key_takes_over_from_a_compromised_one(rotated: Call) -> None:
    stolen = rotated(0).ring.current.kid
    waiting = rotated(10).ring.in_state("next")
    assert waiting is not None
    done = rotated(20, compromised=stolen)
    assert [(key.kid, key.state) for key in done.ring.keys] == [(waiting.kid, "current")]


def test_a_compromised_key_that_signs_no_more_ends_alone(rotated: Call) -> None:
    stolen = rotated(0).ring.current.kid
    rotated(10)
    current = rotated(70).ring.current
    assert rotated(80, compromised=stolen).ring.keys == (current,)


def test_a_rotation_can_change_the_algorithm(rotated: Call, folder: TokenFolder, tmp_path: Path) -> None:
    rotated(0)
    with_settings(tmp_path, algorithm="RS256")
    assert [key.algorithm for key in rotated(100).ring.keys] == ["ES256", "RS256"]


def test_a_load_balancer_is_given_a_day_to_fetch_the_new_key(tmp_path: Path) -> None:
    folder = with_settings(tmp_path, algorithm="RS256", load_balancer_checks=True)
    rotate(folder, now=lambda: START)
    assert rotate(folder, now=lambda: START).next_at == START + timedelta(days=1)


def test_a_kms_key_that_no_rotation_needs_is_refused(rotated: Call) -> None:
    rotated(0), rotated(100)
    with pytest.raises(InvalidField, match="no new key is due, so alias/next is not used"):
        rotated(110, kms_key="alias/next")


def test_settings_without_a_key_let_nobody_in_by_accident(folder: TokenFolder) -> None:
    with pytest.raises(TokenError, match="there is no key to check tokens with"):
        folder.filters()
