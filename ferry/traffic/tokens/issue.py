"""Issue a token, and revoke one."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, KeySet

from ferry.errors import InvalidField, TokenError
from ferry.traffic.tokens import signing
from ferry.traffic.tokens.envoy_filters import INFERENCE_SCOPE
from ferry.traffic.tokens.folder import TokenFolder
from ferry.traffic.tokens.keys import Key, KeyRing
from ferry.traffic.tokens.revocations import Claim, Revocation, Revocations
from ferry.traffic.tokens.settings import NAME_PATTERN
from ferry.traffic.tokens.signing import SigningKey

SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,64}")
"""scope-token of RFC 6749, 3.3, and not endless."""

TOKEN = re.compile(r"eyJ[\w-]*\.[\w-]+")
"""A token or most of one, whatever stands around it: `Bearer `, quotes, a line's end."""


@dataclass(frozen=True)
class Issued:
    """A token, and what it says."""

    token: str
    """The secret: whoever holds it may use it. It goes to its user and nowhere else."""
    claims: dict[str, Any]

    def __repr__(self) -> str:
        return f"Issued({self.claims['jti']})"


def issue(
    folder: TokenFolder,
    *,
    tenant: str,
    subject: str,
    now: datetime,
    scopes: Sequence[str] = (INFERENCE_SCOPE,),
    audience: str | None = None,
    lifetime_seconds: int | None = None,
) -> Issued:
    """Sign a token with the current key. Raises InvalidField, TokenError, InputError."""
    settings = folder.settings()
    lifetime = settings.lifetime_seconds if lifetime_seconds is None else lifetime_seconds
    if not 1 <= lifetime <= settings.max_lifetime_seconds:
        raise InvalidField(
            f"a token of {lifetime} s is not issued; from 1 to {settings.max_lifetime_seconds} s are allowed"
        )
    for what, name in (("tenant", tenant), ("subject", subject)):
        if not re.fullmatch(NAME_PATTERN, name):
            raise InvalidField(f"{name!r} is no {what}; letters, digits and ._@:/+- are allowed, at most 128 of them")
    if wrong := [scope for scope in scopes if not SCOPE.fullmatch(scope)] or not scopes:
        raise InvalidField(f"{wrong!r} are no scopes; name at least one, without spaces, quotes or backslashes")
    issued_at = int(now.timestamp())
    claims = {
        "iss": settings.issuer,
        "aud": settings.audience if audience is None else audience,
        "sub": subject,
        "jti": str(uuid.uuid4()),
        "iat": issued_at,
        "nbf": issued_at,
        "exp": issued_at + lifetime,
        "tenant": tenant,
        "scope": " ".join(scopes),
    }
    # As long as the lock is held, a rotation cannot retire the key and count the time that this token has to live.
    with folder.locked(shared=True):
        for one in Revocations.read(folder.revoked_file).revoked:
            if one.concerns({"tenant": tenant, "sub": subject}, issued_at):
                raise TokenError(
                    f"the tokens of {one.claim} {one.value} until now were just revoked; try again in a second"
                )
        key = KeyRing.read(folder.keys_file).current
        header = {"alg": key.algorithm, "typ": "JWT", "kid": key.kid}
        private = _private(folder, key)
        token = jws.serialize_compact(header, json.dumps(claims, separators=(",", ":")), private, [key.algorithm])
    return Issued(token, claims)


def _private(folder: TokenFolder, key: Key) -> SigningKey:
    if key.kms_key is None:
        private = signing.load(folder.private_key(key.kid), key.algorithm)
    else:
        private = signing.load_from_kms(key.kms_key, key.algorithm)
    if private.thumbprint() != key.kid:
        raise TokenError(f"the private key of {key.kid} is another one: {private.thumbprint()}; rotate the keys")
    return private


def revoke(
    folder: TokenFolder, claim: Claim, value: str, *, now: datetime, until: datetime | None = None
) -> Revocation:
    """Refuse a token by its id, or all that a subject or tenant has so far, and let the gateway know.

    `until` is when the last of them expires; None: when the longest-lived that could have been issued by now does.
    Raises InvalidField, TokenError.
    """
    if TOKEN.search(value):
        raise InvalidField("this is a token, not its id; give the token itself on standard input, with - in its place")
    if not 0 < len(value) <= 256 or not _is_text(value):
        raise InvalidField(f"a {claim} of {len(value)} characters is not possible; 1 to 256, as UTF-8, are allowed")
    with folder.locked():
        settings = folder.settings()
        expires = now + timedelta(seconds=settings.max_lifetime_seconds) if until is None else until
        ends = expires + timedelta(seconds=settings.clock_skew_seconds)
        if ends <= now:
            raise InvalidField(f"{expires.isoformat()} is over: what has expired by then needs no revocation")
        new = Revocation(claim=claim, value=value, at=now, until=ends)
        Revocations.read(folder.revoked_file).adding(new).write(folder.revoked_file)
        folder.publish(now)
    return new


def _is_text(value: str) -> bool:
    """Not so where a byte of the command line was no character."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def token_id(folder: TokenFolder, token: str) -> tuple[str, datetime]:
    """The id of a token of this gateway, and when it expires. Raises TokenError, which does not quote it."""
    keys = KeySet([JWKRegistry.import_key(key.public) for key in KeyRing.read(folder.keys_file).keys])
    try:
        claims = json.loads(jws.deserialize_compact(token, keys, ["ES256", "RS256"]).payload)
        return str(claims["jti"]), datetime.fromtimestamp(int(claims["exp"]), tz=UTC)
    except (JoseError, ValueError, LookupError, TypeError) as error:
        raise TokenError("what was given is no token that a key of this gateway signed") from error
