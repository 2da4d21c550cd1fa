"""Tokens as they are issued, refused and revoked; whether Envoy thinks the same is an integration test."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jws
from joserfc.jwk import KeySet

from ferry.errors import InputError, InvalidField, TokenError, TrafficError, UnreadableInput
from ferry.rehearsal.account import EmbeddedAccount
from ferry.rehearsal.environment import variables
from ferry.traffic.lock import locked
from ferry.traffic.tokens import TokenFolder, signing
from ferry.traffic.tokens import folder as folders
from ferry.traffic.tokens.issue import issue, revoke, token_id
from ferry.traffic.tokens.keys import KeyRing
from ferry.traffic.tokens.revocations import Revocations
from ferry.traffic.tokens.rotation import Rotated, rotate
from tests.unit.traffic.tokens.conftest import ISSUER, START, with_settings

Call = Callable[..., Rotated]
SECOND = timedelta(seconds=1)


def verified(folder: TokenFolder, token: str) -> tuple[dict[str, str], dict[str, object]]:
    """Header and claims, as somebody reads them who has only the public keys."""
    keys = KeySet.import_key_set(KeyRing.read(folder.keys_file).jwks())  # type: ignore[arg-type]
    found = jws.deserialize_compact(token, keys, ["ES256", "RS256"])
    return found.headers(), json.loads(found.payload)


def test_a_token_says_who_for_whom_and_for_fifteen_minutes(rotated: Call, folder: TokenFolder) -> None:
    kid = rotated(0).ring.current.kid
    issued = issue(folder, tenant="acme", subject="bob", now=START)
    header, claims = verified(folder, issued.token)
    assert header == {"alg": "ES256", "typ": "JWT", "kid": kid}
    at = int(START.timestamp())
    assert claims == {
        "iss": ISSUER,
        "aud": "inference",
        "sub": "bob",
        "jti": issued.claims["jti"],
        "iat": at,
        "nbf": at,
        "exp": at + 900,
        "tenant": "acme",
        "scope": "inference",
    }
    assert issued.token not in repr(issued)


def test_each_token_has_an_id_of_its_own(rotated: Call, folder: TokenFolder) -> None:
    rotated(0)
    ids = {issue(folder, tenant="acme", subject="bob", now=START).claims["jti"] for _ in range(50)}
    assert len(ids) == 50


@pytest.mark.parametrize("seconds", [0, -1, 3601])
def test_a_lifetime_beyond_the_maximum_is_refused(rotated: Call, folder: TokenFolder, seconds: int) -> None:
    rotated(0)
    with pytest.raises(InvalidField, match=rf"a token of {seconds} s is not issued; from 1 to 3600 s are allowed"):
        issue(folder, tenant="acme", subject="bob", now=START, lifetime_seconds=seconds)


@pytest.mark.parametrize("name", ["", "a b", "a\n", "-x", "x" * 129, "é", "{x}"])
def test_a_name_that_could_confuse_a_log_is_refused(rotated: Call, folder: TokenFolder, name: str) -> None:
    rotated(0)
    with pytest.raises(InvalidField, match="is no tenant"):
        issue(folder, tenant=name, subject="bob", now=START)
    with pytest.raises(InvalidField, match="is no subject"):
        issue(folder, tenant="acme", subject=name, now=START)


def test_a_token_is_signed_by_the_current_key_while_the_next_one_waits(rotated: Call, folder: TokenFolder) -> None:
    old = rotated(0).ring.current.kid
    rotated(10)
    assert verified(folder, issue(folder, tenant="a", subject="b", now=START).token)[0]["kid"] == old
    new = rotated(70).ring.current.kid
    assert verified(folder, issue(folder, tenant="a", subject="b", now=START).token)[0]["kid"] == new != old


def test_no_rotation_can_retire_a_key_while_it_signs(
    rotated: Call, folder: TokenFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotated(0)
    real, refused = signing.load, []

    def load(*arguments: Any) -> signing.SigningKey:
        with (folder.path / "lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                refused.append("rotation")
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # others may sign meanwhile
        return real(*arguments)

    monkeypatch.setattr(signing, "load", load)
    issue(folder, tenant="a", subject="b", now=START)
    assert refused == ["rotation"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_a_key_that_others_may_use_signs_nothing(rotated: Call, folder: TokenFolder, mode: int) -> None:
    path = folder.private_key(rotated(0).ring.current.kid)
    path.chmod(mode)
    with pytest.raises(InputError, match=rf"has mode {mode:04o}, others may use it; run chmod 600"):
        issue(folder, tenant="a", subject="b", now=START)


def test_a_key_file_of_another_kind_is_refused_without_quoting_it(rotated: Call, folder: TokenFolder) -> None:
    path = folder.private_key(rotated(0).ring.current.kid)
    other = generate_private_key(SECP384R1())
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(UnreadableInput, match="which does not sign ES256"):
        issue(folder, tenant="a", subject="b", now=START)
    path.write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    with pytest.raises(UnreadableInput) as refused:
        issue(folder, tenant="a", subject="b", now=START)
    assert "c2VjcmV0" not in str(refused.value)


@pytest.fixture
def kms(account: EmbeddedAccount, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Makes a key of a spec; gives its id."""
    for name, value in variables(account.endpoint_url, account.region).items():
        monkeypatch.setenv(name, value)
    client = account.client("kms")
    return lambda spec: str(client.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"])


@pytest.mark.parametrize(("algorithm", "spec"), [("ES256", "ECC_NIST_P256"), ("RS256", "RSA_2048")])
def test_a_key_in_kms_signs_what_its_public_half_verifies(
    kms: Callable[[str], str], tmp_path: Path, algorithm: str, spec: str
) -> None:
    folder = with_settings(tmp_path, algorithm=algorithm)
    rotate(folder, now=lambda: START, kms_key=kms(spec))
    header, claims = verified(folder, issue(folder, tenant="acme", subject="bob", now=START).token)
    assert (header["alg"], claims["sub"]) == (algorithm, "bob")
    assert list(folder.path.glob("*.pem")) == []


def test_what_follows_a_key_in_kms_has_to_be_named_and_to_be_another(
    kms: Callable[[str], str], rotated: Call, folder: TokenFolder
) -> None:
    first, second = kms("ECC_NIST_P256"), kms("ECC_NIST_P256")
    rotated(0, kms_key=first)
    with pytest.raises(InvalidField, match="is in KMS; name the one that follows it with --kms-key"):
        rotated(0)
    with pytest.raises(InvalidField, match="is in use already"):
        rotated(0, kms_key=first)
    assert [key.kms_key for key in rotated(0, kms_key=second).ring.keys] == [first, second]


def test_a_kms_key_of_another_kind_is_refused(kms: Callable[[str], str], rotated: Call) -> None:
    key = kms("RSA_2048")
    with pytest.raises(
        InvalidField, match=r"is (RSA_2048|RSAPublicKey); for ES256 make one with .* --key-spec ECC_NIST_P256"
    ):
        rotated(0, kms_key=key)


def test_a_revocation_goes_when_the_token_has_expired_for_the_gateway_too(rotated: Call, folder: TokenFolder) -> None:
    rotated(0)
    revoke(folder, "jti", "one", now=START, until=START + 100 * SECOND)
    revoke(folder, "sub", "bob", now=START)
    names = lambda: [one.value for one in Revocations.read(folder.revoked_file).revoked]  # noqa: E731
    folder.publish(START + 109 * SECOND)
    assert names() == ["one", "bob"]
    folder.publish(START + 110 * SECOND)
    assert names() == ["bob"]
    folder.publish(START + 3610 * SECOND)
    assert names() == []
    assert "bob" not in folder.gateway.filter_file("revocation").read_text()


def test_revoking_twice_never_lets_a_token_back_in(rotated: Call, folder: TokenFolder) -> None:
    rotated(0)
    revoke(folder, "tenant", "acme", now=START + 50 * SECOND, until=START + 500 * SECOND)
    revoke(folder, "tenant", "acme", now=START + 10 * SECOND, until=START + 100 * SECOND)
    (one,) = Revocations.read(folder.revoked_file).revoked
    assert (one.at, one.until) == (START + 50 * SECOND, START + 510 * SECOND)


def test_a_new_token_right_after_a_revocation_waits_for_the_next_second(rotated: Call, folder: TokenFolder) -> None:
    rotated(0)
    revoke(folder, "sub", "bob", now=START)
    with pytest.raises(TokenError, match="the tokens of sub bob until now were just revoked; try again in a second"):
        issue(folder, tenant="acme", subject="bob", now=START)
    assert issue(folder, tenant="acme", subject="bob", now=START + SECOND).claims["sub"] == "bob"


def test_a_token_in_place_of_its_id_is_refused_unquoted(rotated: Call, folder: TokenFolder) -> None:
    rotated(0)
    token = issue(folder, tenant="acme", subject="bob", now=START).token
    for claim in ("jti", "sub", "tenant"):
        for given in (token, f"Bearer {token}", f"{token}\n", f"Bearer {token[:200]}"):
            with pytest.raises(InvalidField, match="this is a token, not its id") as refused:
                revoke(folder, claim, given, now=START)  # type: ignore[arg-type]
            assert token[:100] not in str(refused.value)
    assert not folder.revoked_file.exists()


def test_a_revocation_does_not_wait_for_ever_for_a_signature_that_hangs(
    rotated: Call, folder: TokenFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotated(0)
    monkeypatch.setattr(folders, "locked", partial(locked, wait_seconds=0.05))
    with folder.locked(shared=True), pytest.raises(TrafficError, match=r"locked for more than 0\.05 s by process"):
        revoke(folder, "sub", "bob", now=START)


def test_what_no_token_can_hold_is_no_name_to_revoke(rotated: Call, folder: TokenFolder) -> None:
    rotated(0)
    for given in ("", "x" * 257, "\udcff"):
        with pytest.raises(InvalidField, match="is not possible"):
            revoke(folder, "sub", given, now=START)


def test_a_token_names_its_id_only_if_a_key_of_this_gateway_signed_it(rotated: Call, folder: TokenFolder) -> None:
    rotated(0)
    issued = issue(folder, tenant="acme", subject="bob", now=START)
    assert token_id(folder, issued.token) == (issued.claims["jti"], START + 900 * SECOND)
    for wrong in (issued.token[:-4] + "AAAA", "x", "", "a.b.c"):
        with pytest.raises(TokenError, match="what was given is no token that a key of this gateway signed"):
            token_id(folder, wrong)
