"""tokens.yaml: what is refused, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ferry.errors import UnreadableInput
from ferry.traffic.tokens.settings import TokenSettings
from tests.unit.traffic.tokens.conftest import with_settings


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"lifetime_seconds": 7200}, "lifetime_seconds is 7200, at most 3600 is allowed"),
        ({"max_lifetime_seconds": 86401}, "max_lifetime_seconds: .* 86400, given 86401"),
        ({"load_balancer_checks": True}, "a load balancer checks RS256 only, algorithm is ES256"),
        ({"algorithm": "HS256"}, "algorithm: .*'ES256' or 'RS256', given 'HS256'"),
        ({"algorithm": "none"}, "algorithm: .*'ES256' or 'RS256', given 'none'"),
        ({"clock_skew_seconds": 301}, "clock_skew_seconds: .* 300, given 301"),
        ({"tenants": {"a b": {"requests_per_minute": 1, "burst": 1}}}, "tenants.a b.*: String should match pattern"),
        ({"limit": {"requests_per_minute": 0, "burst": 1}}, "limit.requests_per_minute: .* given 0"),
        ({"secret": "x"}, "secret: Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field_and_the_value(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with_settings(tmp_path, **changes)
    with pytest.raises(UnreadableInput, match=rf"tokens.yaml: {reason}"):
        TokenSettings.read(tmp_path)


def test_a_load_balancer_makes_keys_wait_longer(tmp_path: Path) -> None:
    for changes, seconds in (
        ({}, 60),
        ({"algorithm": "RS256", "load_balancer_checks": True}, 86_400),
        ({"propagation_seconds": 5}, 5),
    ):
        with_settings(tmp_path, **changes)
        settings = TokenSettings.read(tmp_path)
        assert settings is not None
        assert settings.propagation == seconds
