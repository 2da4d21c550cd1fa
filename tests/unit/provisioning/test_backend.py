"""Where the state and the secrets of a stack of the mainland may lie."""

from __future__ import annotations

import pytest

from ferry.errors import ProvisioningError
from ferry.provisioning.backend import check

STATE = "s3://state?region=cn-north-1"
SECRETS = "awskms://alias/ferry-state?region=cn-north-1"


def test_a_stack_of_the_mainland_keeps_both_in_the_mainland() -> None:
    check("prod-cn", "cn-north-1", STATE, SECRETS)
    check("prod-cn", "cn-north-1", "s3://state?awssdk=v2&region=cn-northwest-1", SECRETS)


@pytest.mark.parametrize(
    ("backend", "secrets", "what", "found"),
    [
        ("https://api.pulumi.com", SECRETS, "state", "https://api.pulumi.com"),
        ("file:///home/me", SECRETS, "state", "file:///home/me"),
        ("s3://state?region=us-east-1", SECRETS, "state", "s3://state?region=us-east-1"),
        ("s3://state", SECRETS, "state", "s3://state"),
        (STATE, None, "secrets", "no provider that is named"),
        (STATE, "passphrase", "secrets", "passphrase"),
        (STATE, "awskms://alias/k?region=us-east-1", "secrets", "awskms://alias/k?region=us-east-1"),
    ],
)
def test_what_would_leave_the_mainland_is_refused_with_the_commands_that_keep_it(
    backend: str, secrets: str | None, what: str, found: str
) -> None:
    with pytest.raises(ProvisioningError) as caught:
        check("prod-cn", "cn-north-1", backend, secrets)
    scheme = {"state": "s3", "secrets": "awskms"}[what]
    assert str(caught.value) == (
        f"stack prod-cn is in cn-north-1, and its {what} would lie in {found}: needed is {scheme}://… with a region of "
        "mainland China; run pulumi login 's3://ferry-state-<account>?region=cn-north-1' && pulumi stack init prod-cn "
        "--secrets-provider='awskms://alias/ferry-state?region=cn-north-1' (docs/aws.md, State and secrets)"
    )


def test_elsewhere_the_backend_is_the_users_choice() -> None:
    check("prod", "us-east-1", "https://api.pulumi.com", None)
