"""Which tokens are refused although they are valid: `state/tokens/revoked.json`.

One token by its id, or all that a subject or a tenant was given so far; a new one is good again. An entry goes when the
tokens that it is about have expired, so the list stays as short as the tokens are short-lived: each entry costs the
gateway about 70 ns a request.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from ferry.artefacts import Frozen
from ferry.traffic.tokens.envoy_filters import Blocked
from ferry.traffic.tokens.state_file import StateFile

Claim = Literal["jti", "sub", "tenant"]


class Revocation(Frozen):
    """Tokens that are refused."""

    claim: Claim
    value: str = Field(min_length=1, max_length=256)
    at: datetime
    until: datetime = Field(description="when the last of these tokens has expired")

    def blocked(self) -> Blocked:
        """As the gateway's filter knows it. A token bears whole seconds: those of this very second are refused, too."""
        before = None if self.claim == "jti" else int(self.at.timestamp()) + 1
        return Blocked(claim=self.claim, value=self.value, issued_before=before)

    def concerns(self, claims: dict[str, str], issued_at: int) -> bool:
        """Whether a token with these claims is refused."""
        blocked = self.blocked()
        before = blocked.issued_before
        return claims.get(self.claim) == self.value and (before is None or issued_at < before)


class Revocations(StateFile):
    """All that are refused now."""

    schema_: Literal["ferry/revoked-tokens/v1"] = Field(default="ferry/revoked-tokens/v1", alias="schema")
    revoked: tuple[Revocation, ...] = ()

    def adding(self, new: Revocation) -> Revocations:
        """With one more. Of two about the same, the later moments count: nothing that was refused comes back."""
        same = [one for one in self.revoked if (one.claim, one.value) == (new.claim, new.value)]
        merged = new.model_copy(
            update={
                "at": max(one.at for one in (*same, new)),
                "until": max(one.until for one in (*same, new)),
            }
        )
        return self.model_copy(update={"revoked": (*(one for one in self.revoked if one not in same), merged)})

    def pruned(self, now: datetime) -> Revocations:
        """Without those whose tokens have all expired."""
        return self.model_copy(update={"revoked": tuple(one for one in self.revoked if one.until > now)})
