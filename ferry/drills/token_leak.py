"""token-leak: somebody else has a tenant's token and asks with it. It is revoked by its id, then its key is ended.

Only what the gateway at home decides is real here; that the load balancer behind it knows no revocation is worked out.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ferry.artefacts import Drill
from ferry.drills.scene import Scene
from ferry.drills.timeline import Timeline
from ferry.drills.timings import Duration
from ferry.drills.traffic import Happened, seen_within, site_folder, tell
from ferry.errors import RehearsalError
from ferry.rehearsal.crossing.site import Site, serving
from ferry.traffic.tokens import TokenFolder
from ferry.traffic.tokens.issue import Issued, issue, revoke
from ferry.traffic.tokens.keys import KeyRing
from ferry.traffic.tokens.rotation import rotate
from ferry.traffic.tokens.settings import FILE_NAME
from stacks.settings import JwtSettings

NAME = "token-leak"
OWNER, THIEF = "127.0.0.1", "127.0.0.2"
"""Two addresses of this machine."""
REVOKED_WITHIN_S = 60.0
PATIENCE_S = 5.0
SOURCE = "Envoy with the filters that `ferry token` writes, on this machine"


def drill(scene: Scene) -> Drill:
    """One token of two that a tenant has."""
    jwt = scene.settings.gateway.jwt
    if jwt is None:
        return scene.skipped(NAME, "gateway.jwt: none; the stack asks nobody for a token, so none can leak")
    with serving(site_folder(scene), scene.settings) as site:
        return _leaked(scene, jwt, site)


def _leaked(scene: Scene, jwt: JwtSettings, site: Site) -> Drill:
    tokens = _asking_for_tokens(site, jwt)
    leaked, other = (issue(tokens, tenant="drill", subject=name, now=_now()) for name in ("leaked", "other"))
    _until(site, [(leaked, 200), (other, 200)], "the gateway did not begin to let tokens in")
    timeline = Timeline(NAME, f"a token is used from {THIEF}, and it was given to {OWNER}", scene.target_s)
    faulted_at = time.monotonic()
    if _status(site, leaked, THIEF) != 200:
        raise RehearsalError("the token does not serve the thief, so nothing has leaked")
    if not seen_within(PATIENCE_S, lambda: _addresses(site, leaked) >= {OWNER, THIEF}):
        raise RehearsalError(f"{site.folder.access_log}: does not name the token and its two addresses")
    what = f"the log has one token_id from two clients: {leaked.claims['jti']}"
    tell(timeline, faulted_at, [Happened(time.monotonic(), "detected", what)], SOURCE)
    timeline.waited("decided", "a person revokes it by its id: no alarm watches for this", scene.timings.person)

    started = time.monotonic()
    revoke(tokens, "jti", str(leaked.claims["jti"]), now=_now())
    refused = seen_within(REVOKED_WITHIN_S, lambda: _status(site, leaked, THIEF) == 403)
    seconds = time.monotonic() - started
    if not refused:
        timeline.missing.append(
            f"the gateway takes the token {REVOKED_WITHIN_S:g} s after it was revoked: look at Envoy"
        )
    elif _status(site, other, OWNER) != 200:
        timeline.missing.append("the tenant's other token was refused with it: revoke by id alone")
    else:
        what = "Envoy refuses it (403), and the tenant's other token is good"
        timeline.did("recovered", what, seconds, SOURCE)
        _end_key(timeline, site, tokens, other)
    _at_the_load_balancer(scene, timeline, leaked, tokens)
    return timeline.end()


def _end_key(timeline: Timeline, site: Site, tokens: TokenFolder, other: Issued) -> None:
    """Where nobody knows what else has leaked: the key, with all that it signed."""
    started = time.monotonic()
    rotate(tokens, now=_now, compromised=KeyRing.read(tokens.keys_file).current.kid)
    new = issue(tokens, tenant="drill", subject="other", now=_now())
    _until(site, [(other, 401), (new, 200)], "the gateway did not end the key")
    what = "`ferry token rotate-keys --compromised`: all that the key signed is refused (401), a new token is good"
    timeline.did("note", what, time.monotonic() - started, SOURCE)


def _at_the_load_balancer(scene: Scene, timeline: Timeline, leaked: Issued, tokens: TokenFolder) -> None:
    """It checks signature, issuer, audience and age, and has no list of what was revoked: who may reach it decides."""
    lives_s = leaked.claims["exp"] - leaked.claims["iat"]
    until = Duration(lives_s, "assumed", f"lifetime_seconds of {FILE_NAME}: {tokens.settings().lifetime_seconds}")
    timeline.meanwhile("the load balancer in the cloud takes it until it expires", lives_s, until)
    if wide := [cidr for cidr in _admitted(scene) if ipaddress.ip_network(cidr).prefixlen == 0]:
        timeline.missing.append(
            f"gateway.allowed_cidrs: {', '.join(wide)}; who has the token goes past the gateway to the load balancer, "
            "which knows no revocation: name the gateways' own addresses"
        )


def _admitted(scene: Scene) -> list[str]:
    """The address ranges that the load balancer's security groups let in, in the account."""
    arn = scene.output("load_balancer_arn")
    [found] = scene.account.client("elbv2").describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"]
    groups = scene.account.client("ec2").describe_security_groups(GroupIds=found["SecurityGroups"])["SecurityGroups"]
    return [
        cidr
        for group in groups
        for permission in group["IpPermissions"]
        for cidr in (
            *(one["CidrIp"] for one in permission["IpRanges"]),
            *(one["CidrIpv6"] for one in permission["Ipv6Ranges"]),
        )
    ]


def _asking_for_tokens(site: Site, jwt: JwtSettings) -> TokenFolder:
    """The gateway's own settings, as the stack's load balancer wants them (docs/traffic.md), and a first key."""
    settings = {
        "issuer": jwt.issuer,
        "audience": jwt.audience or "ferry",
        "algorithm": "RS256",
        "load_balancer_checks": True,
    }
    (site.folder.path / FILE_NAME).write_text(json.dumps(settings), encoding="utf-8")
    tokens = TokenFolder.at(site.folder.path)
    rotate(tokens, now=_now)
    return tokens


def _until(site: Site, wanted: Sequence[tuple[Issued, int]], problem: str) -> None:
    if not seen_within(PATIENCE_S, lambda: all(_status(site, one, OWNER) == code for one, code in wanted)):
        raise RehearsalError(f"{problem} within {PATIENCE_S:g} s")


def _status(site: Site, issued: Issued, client: str) -> int:
    """What a request with a token is answered with, sent from an address."""
    host, port = site.folder.address()
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_S, source_address=(client, 0))
    try:
        body = json.dumps({"model": "stub-model", "prompt": "1", "max_tokens": 1})
        headers = {"authorization": f"Bearer {issued.token}", "content-type": "application/json"}
        connection.request("POST", "/v1/completions", body, headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise RehearsalError(f"{host}:{port}: does not answer {client}: {error}") from error
    finally:
        connection.close()


def _addresses(site: Site, issued: Issued) -> set[str]:
    """Who has used a token, by the access log."""
    lines = site.folder.access_log.read_bytes().split(b"\n")[:-1]
    logged: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return {str(one["client"]) for one in logged if one["token_id"] == issued.claims["jti"]}


def _now() -> datetime:
    return datetime.now(UTC)
