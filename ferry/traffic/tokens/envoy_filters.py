"""The three filters that check tokens, as the ECDS files that Envoy reloads: authentication, revocation, rate limit.

    authentication(jwks, issuer=…, audience=…)   jwt_authn: who is it            401, 403 for another audience
    revocation(blocks)                           rbac: may they, still           403
    rate_limit(default, by_tenant)               local_ratelimit: not too often  429

Each comes with a form for everybody, for a gateway without tokens. A request has one token, in one header
`Authorization: Bearer …`: Envoy's own default also reads the query parameter `access_token`, which would stand in other
proxies' logs, and it takes the word "Bearer" anywhere in the header.
https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/extensions/filters/http/jwt_authn/v3/config.proto
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ferry.traffic.tokens.settings import Limit

METADATA = "envoy.filters.http.jwt_authn"
"""Where jwt_authn writes, under the key `CLAIMS`: %DYNAMIC_METADATA(envoy.filters.http.jwt_authn:claims:sub)%."""
CLAIMS = "claims"
CLOCK_SKEW_SECONDS = 10
"""How far the clocks of whoever issues and of the gateway may be apart. Envoy's own default is 60."""
INFERENCE_SCOPE = "inference"
INFERENCE_PATHS = ("/v1",)
NEEDED_CLAIMS = ("tenant", "sub", "jti", "iat")
"""Without one of them a token could neither be counted nor revoked."""
HEALTH_PATH = "/health"
"""Answered without a token, so that load balancers can ask for it."""

CACHED_TOKENS = 1000
MAX_TENANTS = 10_000
"""Tenants with the default limit that are counted at once; beyond it, the one not seen for longest starts anew."""

_ENDS = {0: "", 1: "[\\w-][AQgw]", 2: "[\\w-]{2}[AEIMQUYcgkosw048]"}
"""How base64url spells a number of bytes beyond a multiple of three; the bits left over are zero (RFC 4648, 3.5)."""
_SURROGATES = re.compile(r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}")
_TYPE = "type.googleapis.com/envoy.extensions.filters.http"


@dataclass(frozen=True, kw_only=True)
class Blocked:
    """Tokens that are refused although they are valid."""

    claim: str
    """`jti`, `sub` or `tenant`."""
    value: str
    issued_before: int | None = None
    """Only those issued before this second (Unix time); None: all."""


def authentication(
    jwks: Mapping[str, Any],
    *,
    issuer: str,
    audience: str,
    max_lifetime_seconds: int,
    clock_skew_seconds: int = CLOCK_SKEW_SECONDS,
    forward: bool = False,
    user_header: str | None = None,
) -> str:
    """Only requests with a token that a key of `jwks` signed. Each key in it names its one algorithm.

    `forward` leaves the header in the request, for a load balancer that checks the token again. A token that lives
    longer than `max_lifetime_seconds` is refused, whoever signed it. `user_header` takes the token's subject, whatever
    the client wrote into it, and the route is chosen anew: by it, a user stays with one engine.
    """
    provider: dict[str, Any] = {
        "issuer": issuer,
        "audiences": [audience],
        "local_jwks": {"inline_string": json.dumps(jwks, sort_keys=True)},
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        "forward": forward,
        "require_expiration": True,
        "max_lifetime": f"{max_lifetime_seconds}s",
        "clock_skew_seconds": clock_skew_seconds,
        "payload_in_metadata": CLAIMS,
        "normalize_payload_in_metadata": {"space_delimited_claims": ["scope"]},
        # Checking a signature is a third of what a request costs here. Times are checked again, and a reload forgets.
        "jwt_cache_config": {"jwt_cache_size": CACHED_TOKENS},
    }
    if user_header:
        provider["claim_to_headers"] = [{"header_name": user_header, "claim_name": "sub"}]
        provider["clear_route_cache"] = True
    # No token has this issuer, so whatever stands in the header is refused; and none at all is "missing".
    refused = provider | {"issuer": "ferry:more-or-less-than-one-token"}
    one_token = {"name": "authorization", "string_match": {"safe_regex": {"regex": _one_bearer(jwks)}}}
    return _discovery(
        "authentication",
        f"{_TYPE}.jwt_authn.v3.JwtAuthentication",
        {
            "providers": {"token": provider, "refused": refused},
            "rules": [
                {"match": {"path": HEALTH_PATH}},
                {"match": {"prefix": "/", "headers": [one_token]}, "requires": {"provider_name": "token"}},
                {"match": {"prefix": "/"}, "requires": {"provider_name": "refused"}},
            ],
        },
    )


def authentication_for_everybody() -> str:
    """No token is asked for, or looked at."""
    return _discovery("authentication", f"{_TYPE}.jwt_authn.v3.JwtAuthentication", {})


def revocation(blocked: Iterable[Blocked] = (), *, inference_paths: Iterable[str] = INFERENCE_PATHS) -> str:
    """Only tokens with the scope `inference`, only at and below the paths of inference, and none that is blocked.

    The engines' own paths (metrics, profiling, loading of adapters) are thereby out of a client's reach.
    """
    paths = [
        {"url_path": {"path": path}}
        for prefix in inference_paths
        for path in ({"exact": prefix}, {"prefix": f"{prefix}/"})
    ]
    scope = {"list_match": {"one_of": {"string_match": {"exact": INFERENCE_SCOPE}}}}
    may = [_claim("scope", scope), *(_claim(name, {"present_match": True}) for name in NEEDED_CLAIMS)]
    if refused := [_blocked(one) for one in blocked]:
        may.append({"not_id": {"or_ids": {"ids": refused}}})
    policies = {
        "health": {
            "permissions": [{"url_path": {"path": {"exact": HEALTH_PATH}}}],
            "principals": [{"any": True}],
        },
        "inference": {"permissions": paths, "principals": [{"and_ids": {"ids": may}}]},
    }
    return _discovery("revocation", f"{_TYPE}.rbac.v3.RBAC", {"rules": {"action": "ALLOW", "policies": policies}})


def revocation_for_everybody() -> str:
    """Nobody is refused."""
    return _discovery("revocation", f"{_TYPE}.rbac.v3.RBAC", {})


def rate_limit(default: Limit | None, by_tenant: Mapping[str, Limit] | None = None) -> str:
    """So many requests of each tenant, as each Envoy counts them.

    A tenant without a limit of its own has `default`, or none where that is None.
    """
    named = [({"key": "tenant", "value": name}, limit) for name, limit in sorted((by_tenant or {}).items())]
    # The first that fits counts. One without a value gives each tenant that is seen a bucket of its own.
    limits = [*named, *([({"key": "tenant"}, default)] if default else [])]
    if not limits:
        return rate_limit_for_everybody()
    slowest = min(limit.requests_per_minute for _, limit in limits)
    tenant = {
        "metadata": {
            "descriptor_key": "tenant",
            "metadata_key": {"key": METADATA, "path": [{"key": CLAIMS}, {"key": "tenant"}]},
            "source": "DYNAMIC",
        }
    }
    return _discovery(
        "rate_limit",
        f"{_TYPE}.local_ratelimit.v3.LocalRateLimit",
        {
            "stat_prefix": "tenant",
            "filter_enabled": _everything("filter_enabled"),
            "filter_enforced": _everything("filter_enforced"),
            "rate_limits": [{"actions": [tenant]}],
            "descriptors": [_descriptor(entry, limit) for entry, limit in limits],
            "max_dynamic_descriptors": MAX_TENANTS,
            "always_consume_default_token_bucket": False,
            "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
            # The longest that any tenant waits for one more request; x-ratelimit-reset is each one's own.
            "response_headers_to_add": [
                {
                    "header": {"key": "retry-after", "value": str(math.ceil(60 / slowest))},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            ],
        },
    )


def rate_limit_for_everybody() -> str:
    """Nobody is limited: a filter that is not enabled."""
    return _discovery("rate_limit", f"{_TYPE}.local_ratelimit.v3.LocalRateLimit", {"stat_prefix": "tenant"})


def _one_bearer(jwks: Mapping[str, Any]) -> str:
    """One token and nothing else, its signature in its one spelling.

    Envoy would take other last characters for the same bytes, and an ES256 signature with a byte more. Counting all
    characters would be clearer, and beyond what it allows a regular expression (re2.max_program_size).
    """
    sizes = {64 if key["kty"] == "EC" else len(base64.urlsafe_b64decode(key["n"] + "==")) for key in jwks["keys"]}
    ends = "|".join(sorted({_ENDS[size % 3] for size in sizes}))
    return rf"Bearer [\w-]+\.[\w-]+\.([\w-]{{4}})*({ends})"


def _descriptor(entry: Mapping[str, str], limit: Limit) -> dict[str, Any]:
    # Envoy fills a bucket continuously, at tokens_per_fill / fill_interval.
    bucket = {"max_tokens": limit.burst, "tokens_per_fill": limit.requests_per_minute, "fill_interval": "60s"}
    return {"entries": [entry], "token_bucket": bucket}


def _blocked(one: Blocked) -> dict[str, Any]:
    claim = _claim(one.claim, {"string_match": {"exact": one.value}})
    if one.issued_before is None:
        return claim
    issued = _claim("iat", {"double_match": {"range": {"start": 0, "end": one.issued_before}}})
    return {"and_ids": {"ids": [claim, issued]}}


def _claim(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    matcher = {"filter": METADATA, "path": [{"key": CLAIMS}, {"key": name}], "value": value}
    return {"sourced_metadata": {"metadata_matcher": matcher, "metadata_source": "DYNAMIC"}}


def _everything(key: str) -> dict[str, Any]:
    return {"runtime_key": f"ferry.rate_limit.{key}", "default_value": {"numerator": 100, "denominator": "HUNDRED"}}


def _discovery(name: str, kind: str, config: Mapping[str, Any]) -> str:
    resource = {
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": name,
        "typed_config": {"@type": kind, **config},
    }
    # JSON is YAML in which every string is quoted: Envoy reads a bare y, of a tenant's name for example, as true.
    version = hashlib.sha256(json.dumps(resource).encode()).hexdigest()[:16]
    text = json.dumps({"version_info": version, "resources": [resource]}, indent=2) + "\n"
    # But for this: of two escapes that are one character together, YAML takes neither, and Envoy not the file.
    return _SURROGATES.sub(lambda pair: str(json.loads(f'"{pair[0]}"')), text)
