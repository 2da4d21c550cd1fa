"""Which tokens are refused although they are valid: `state/tokens/revoked.json`.

One token by its id, or all that a subject or a tenant was given so far; a new one is good again. An entry goes when the
tokens that it is about have expired, so the list stays as short as the tokens are short-lived: each entry costs the
gateway about 70 ns a request.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from ferry.artefacts import Frozen, first_problem, read_yaml, write_whole
from ferry.errors import UnknownSchema, UnreadableInput
from ferry.traffic.tokens.envoy_filters import Blocked

SCHEMA: Literal["ferry/revoked-tokens/v1"] = "ferry/revoked-tokens/v1"
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


class Revocations(Frozen):
    """All that are refused now."""

    schema_: Literal["ferry/revoked-tokens/v1"] = Field(default=SCHEMA, alias="schema")
    revoked: tuple[Revocation, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Revocations:
        """The list in a file; empty where there is none. Raises UnreadableInput, UnknownSchema."""
        if not path.exists():
            return cls()
        document = read_yaml(path)
        if document.get("schema") != SCHEMA:
            raise UnknownSchema(f"{path}: schema is {document.get('schema')!r}, this Ferry reads {SCHEMA!r}")
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise UnreadableInput(f"{path}: {first_problem(error)}") from error

    def write(self, path: Path) -> None:
        """Replace the file in one step. Raises UnwritableOutput."""
        write_whole(path, self.model_dump_json(by_alias=True, indent=2) + "\n")

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
