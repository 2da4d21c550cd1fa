"""IAM Roles Anywhere: accepted, not emulated, since moto 5.2.5 does not know the service. The role itself is real."""

from __future__ import annotations

import hashlib

from ferry.rehearsal.handlers import Account, Created, Inputs, State, creates, deletes

WHY = "IAM Roles Anywhere is missing in moto 5.2.5"


@creates("aws:rolesanywhere/trustAnchor:TrustAnchor", again=True)
def trust_anchor(account: Account, inputs: Inputs) -> Created:
    """Nothing is sent; the ARN has the form of a real one, for the trust policy that names it."""
    for name in ("enabled", "name", "notificationSettings", "source", "tags"):
        inputs.skip(name, WHY)
    return _created(account, inputs, "trust-anchor")


@creates("aws:rolesanywhere/profile:Profile", again=True)
def profile(account: Account, inputs: Inputs) -> Created:
    """Nothing is sent."""
    for name in ("acceptRoleSessionName", "durationSeconds", "enabled", "name", "roleArns", "sessionPolicy", "tags"):
        inputs.skip(name, WHY)
    return _created(account, inputs, "profile")


def _created(account: Account, inputs: Inputs, kind: str) -> Created:
    digits = hashlib.sha256(f"{inputs.type} {inputs.name}".encode()).hexdigest()
    id_ = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))
    arn = f"arn:{account.partition}:rolesanywhere:{account.region}:{account.account_id}:{kind}/{id_}"
    return Created(id_, {"arn": arn})


@deletes("aws:rolesanywhere/trustAnchor:TrustAnchor", "aws:rolesanywhere/profile:Profile")
def delete(account: Account, state: State) -> None:
    """Nothing was made."""
