"""Where the state and the secrets of a stack may lie.

A state names every resource and holds every setting; MLPS level 3 keeps a system's data in mainland China, so for a
stack of the partition `aws-cn` both stay there: a bucket of one's own as the backend, which Pulumi locks while it works
on it (`.pulumi/locks/`), and a KMS key as the secrets provider, both in a mainland region.
https://www.pulumi.com/docs/iac/concepts/state-and-backends/ and …/secrets/#available-encryption-providers
"""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from ferry.errors import ProvisioningError
from stacks.rules import partition

MAINLAND = "aws-cn"
BUCKET = "ferry-state-<account>"
KEY = "alias/ferry-state"


def check(stack: str, region: str, backend: str, secrets_provider: str | None) -> None:
    """Raise ProvisioningError where a stack of the mainland would keep its state or its secrets elsewhere."""
    if partition(region) != MAINLAND:
        return
    for what, found, scheme in (("state", backend, "s3"), ("secrets", secrets_provider or "", "awskms")):
        url = urlsplit(found)
        within = parse_qs(url.query).get("region", [""])[0]
        if url.scheme != scheme or not within.startswith("cn-"):
            raise ProvisioningError(
                f"stack {stack} is in {region}, and its {what} would lie in {found or 'no provider that is named'}: "
                f"needed is {scheme}://… with a region of mainland China; run "
                + " && ".join(commands(stack, region))
                + " (docs/aws.md, State and secrets)"
            )


def commands(stack: str, region: str) -> list[str]:
    """What moves a stack's state and secrets into one's own account, in its own region."""
    return [
        f"pulumi login 's3://{BUCKET}?region={region}'",
        f"pulumi stack init {stack} --secrets-provider='awskms://{KEY}?region={region}'",
    ]
