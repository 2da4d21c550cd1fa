"""The keys of one gateway and where each stands, as a value: `state/tokens/keys.json`, without anything secret.

    next       published; signs nothing until every verifier has it
    current    signs
    retiring   signs no more; published until the last token that it signed has expired

`due` is the whole of a rotation, pure: what becomes of the keys at a moment. Each state is reached by one atomic write.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import Field

from ferry.artefacts import Frozen
from ferry.errors import TokenError
from ferry.traffic.tokens.settings import Algorithm, TokenSettings
from ferry.traffic.tokens.state_file import StateFile

State = Literal["next", "current", "retiring"]
ORDER: tuple[State, ...] = ("current", "next", "retiring")


class Key(Frozen):
    """One key pair. The private half is in the file `<kid>.pem` beside keys.json, or in KMS."""

    kid: str = Field(pattern=r"^[A-Za-z0-9_-]{43}$", description="RFC 7638 thumbprint")
    algorithm: Algorithm
    state: State
    kms_key: str | None = None
    public: dict[str, Any]
    published_at: datetime | None = Field(
        default=None, description="when the gateway's filter had it for the first time"
    )
    drop_at: datetime | None = Field(default=None, description="retiring: when its last token has expired")


class KeyRing(StateFile):
    """All keys that a verifier has to know."""

    schema_: Literal["ferry/token-keys/v1"] = Field(default="ferry/token-keys/v1", alias="schema")
    keys: tuple[Key, ...] = ()

    def in_state(self, state: State) -> Key | None:
        """The key in a state. Of `retiring` there may be several: the first."""
        return next((key for key in self.keys if key.state == state), None)

    @property
    def current(self) -> Key:
        """The key that signs. Raises TokenError where there is none yet."""
        key = self.in_state("current")
        if key is None:
            raise TokenError("there is no key to sign with; make one with `ferry token rotate-keys`")
        return key

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517), the one that signs first."""
        return {"keys": [key.public for key in sorted(self.keys, key=lambda key: ORDER.index(key.state))]}

    def published(self, now: datetime) -> KeyRing:
        """After the filters were written: from now on verifiers learn of what they had not seen."""
        return self._with(
            key if key.published_at else key.model_copy(update={"published_at": now}) for key in self.keys
        )

    def begin(self, key: Key) -> KeyRing:
        """With a new key: the next one, or the current one where there is none whose verifiers could be surprised."""
        state: State = "next" if self.in_state("current") else "current"
        return self._with((*self.keys, key.model_copy(update={"state": state})))

    def due(self, now: datetime, settings: TokenSettings) -> KeyRing:
        """What the passing of time allows: drop what nobody holds a token of, switch to what every verifier has."""
        kept = [key for key in self.keys if key.drop_at is None or key.drop_at > now]
        if (switches := self.switches_at(settings)) is None or switches > now:
            return self._with(kept)
        drop_at = now + timedelta(seconds=settings.longest_seconds)
        return self._with(
            key.model_copy(update={"state": "current"})
            if key.state == "next"
            else key.model_copy(update={"state": "retiring", "drop_at": drop_at})
            if key.state == "current"
            else key
            for key in kept
        )

    def switches_at(self, settings: TokenSettings) -> datetime | None:
        """When the next key may sign; None without one that is published."""
        key = self.in_state("next")
        if key is None or key.published_at is None:
            return None
        return key.published_at + timedelta(seconds=settings.propagation)

    def without(self, kid: str) -> KeyRing:
        """A key is in wrong hands: gone at once. Of the current one, the next takes over, if there is one."""
        left = self._with(key for key in self.keys if key.kid != kid)
        if left.in_state("current"):
            return left
        return left._with(
            key.model_copy(update={"state": "current"}) if key.state == "next" else key for key in left.keys
        )

    def _with(self, keys: Any) -> KeyRing:
        return self.model_copy(update={"keys": tuple(keys)})
