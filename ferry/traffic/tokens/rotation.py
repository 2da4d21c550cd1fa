"""Rotate the keys that sign tokens. Each call does what is due, and may be killed at any moment and called again.

    first call      a new key is made and published beside the current one           current + next
    call after …    … every verifier has it (TokenSettings.propagation): it signs     retiring + current
    call after …    … the last token of the old key has expired: that key goes        current

A call that comes too early changes nothing, and the call that ends a rotation begins no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ferry.errors import InvalidField
from ferry.traffic.tokens import signing
from ferry.traffic.tokens.folder import TokenFolder
from ferry.traffic.tokens.keys import Key, KeyRing
from ferry.traffic.tokens.settings import TokenSettings
from ferry.traffic.tokens.signing import public_jwk


@dataclass(frozen=True)
class Rotated:
    """The keys after a call."""

    ring: KeyRing
    did: tuple[str, ...]
    """One sentence each; empty where nothing was due."""
    next_at: datetime | None
    """When the next call has something to do; None: a call begins a new rotation."""
    in_force: bool
    """False: no Envoy answers; one that starts reads the keys then."""


def rotate(
    folder: TokenFolder,
    *,
    now: Callable[[], datetime],
    kms_key: str | None = None,
    compromised: str | None = None,
) -> Rotated:
    """Do what is due. `kms_key` is what a new rotation begins with; else a key is made in a file.

    `compromised` is the id of a key that is in wrong hands: it ends now, with every token that it signed, and nothing
    else is done; of a key that has ended, nothing at all. Raises TokenError, InvalidField, UnreadableInput,
    UnwritableOutput; GatewayError where Envoy does not take the keys: then no time counts for them.
    """
    with folder.locked():
        settings = folder.settings()
        was = KeyRing.read(folder.keys_file)
        ring = was.due(now(), settings) if compromised is None else was.without(compromised)
        idle = compromised is None and was == ring and {key.state for key in ring.keys} == {"current"}
        if idle or ring.in_state("current") is None:
            ring = ring.begin(_new_key(folder, settings, was, kms_key))
        elif kms_key is not None:
            raise InvalidField(f"no new key is due, so {kms_key} is not used; give --kms-key where a rotation begins")
        ring.write(folder.keys_file)
        # A key that a killed call has noted and not published counts as published from here on, and no earlier.
        folder.publish(now())
        # A key that Envoy does not know would sign nothing but refused tokens.
        in_force = folder.in_force()
        ring = ring.published(now())
        ring.write(folder.keys_file)
        _remove_unused(folder, ring)
        return Rotated(ring, tuple(_differences(was, ring)), _next_at(ring, settings), in_force)


def _new_key(folder: TokenFolder, settings: TokenSettings, ring: KeyRing, kms_key: str | None) -> Key:
    current = ring.in_state("current")
    if kms_key is not None:
        private = signing.load_from_kms(kms_key, settings.algorithm)
        if private.thumbprint() in _kids(ring):
            raise InvalidField(f"KMS key {kms_key} is in use already; a rotation needs another: `aws kms create-key`")
    elif current is not None and current.kms_key is not None:
        raise InvalidField(f"the key {current.kms_key} is in KMS; name the one that follows it with --kms-key")
    else:
        private = signing.generate(settings.algorithm)
        signing.save(folder.private_key(private.thumbprint()), private)
    public = public_jwk(private, settings.algorithm)
    return Key(kid=public["kid"], algorithm=settings.algorithm, state="next", kms_key=kms_key, public=public)


def _remove_unused(folder: TokenFolder, ring: KeyRing) -> None:
    """Private keys that verify nothing any more, also those that a killed call had made and not noted."""
    for path in folder.path.glob("*.pem"):
        if path.stem not in _kids(ring):
            path.unlink(missing_ok=True)


def _differences(before: KeyRing, after: KeyRing) -> list[str]:
    was, states = ({key.kid: key.state for key in ring.keys} for ring in (before, after))
    changed = [f"key {kid} is {state}, was {was[kid]}" for kid, state in states.items() if was.get(kid, state) != state]
    new = [f"key {kid} is new, {state}" for kid, state in states.items() if kid not in was]
    return [*changed, *new, *(f"key {kid} is gone, was {state}" for kid, state in was.items() if kid not in states)]


def _next_at(ring: KeyRing, settings: TokenSettings) -> datetime | None:
    moments = [ring.switches_at(settings), *(key.drop_at for key in ring.keys)]
    return min((moment for moment in moments if moment is not None), default=None)


def _kids(ring: KeyRing) -> set[str]:
    return {key.kid for key in ring.keys}
