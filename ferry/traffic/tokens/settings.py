"""What tokens are for one gateway: `tokens.yaml` in its folder, the operator's own file.

Where there is none, the gateway asks nobody for a token.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from ferry.artefacts import Frozen, first_problem, read_yaml
from ferry.errors import UnreadableInput

FILE_NAME = "tokens.yaml"
Algorithm = Literal["ES256", "RS256"]
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@:/+-]{0,127}$"
"""Of a tenant or a subject: it stands in logs, and in rules of other programs."""
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]


class Limit(Frozen):
    """A bucket of requests that fills evenly. Each gateway process counts for itself."""

    requests_per_minute: int = Field(ge=1, le=10_000_000)
    burst: int = Field(ge=1, le=10_000_000, description="requests at once, after a pause")


class TokenSettings(Frozen):
    """Who issues tokens, for whom, for how long, and how often each tenant may ask."""

    issuer: str = Field(min_length=1, max_length=256)
    audience: str = Field(min_length=1, max_length=256)
    algorithm: Algorithm = "ES256"
    lifetime_seconds: int = Field(default=900, ge=10, description="where `ferry token issue` is not told another")
    max_lifetime_seconds: int = Field(default=3600, ge=10, le=86_400, description="longer ones are refused")
    clock_skew_seconds: int = Field(default=10, ge=0, le=300, description="between issuer and gateway")
    load_balancer_checks: bool = Field(
        default=False, description="the stack's gateway.jwt is set: the token goes on to the cloud, signed with RS256"
    )
    propagation_seconds: int | None = Field(
        default=None, ge=0, description="until every verifier has a new key [60; 86400 where the load balancer checks]"
    )
    limit: Limit | None = Field(default=None, description="of each tenant that `tenants` does not name")
    tenants: dict[Name, Limit] = Field(default={}, description="limits of their own")

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.lifetime_seconds > self.max_lifetime_seconds:
            raise ValueError(
                f"lifetime_seconds is {self.lifetime_seconds}, at most {self.max_lifetime_seconds} is allowed"
            )
        if self.load_balancer_checks and self.algorithm != "RS256":
            raise ValueError(f"a load balancer checks RS256 only, algorithm is {self.algorithm}")
        return self

    @property
    def propagation(self) -> int:
        """Seconds until every verifier has a new key. How long a load balancer keeps a JWKS, AWS does not say."""
        if self.propagation_seconds is not None:
            return self.propagation_seconds
        return 86_400 if self.load_balancer_checks else 60

    @property
    def longest_seconds(self) -> int:
        """Until a token that is issued now is refused by every verifier for its age alone."""
        return self.max_lifetime_seconds + self.clock_skew_seconds

    @classmethod
    def read(cls, gateway: Path) -> Self | None:
        """The settings of a gateway's folder; None where there are none. Raises UnreadableInput."""
        path = gateway / FILE_NAME
        if not path.exists():
            return None
        try:
            return cls.model_validate(read_yaml(path))
        except ValidationError as error:
            raise UnreadableInput(f"{path}: {first_problem(error)}") from error
