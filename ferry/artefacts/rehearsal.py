"""What the program left in the embedded account: `ferry rehearse`."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import (
    Field,
)

from ferry.artefacts.artefact import Artefact
from ferry.artefacts.figures import Frozen


class Check(Frozen):
    """One statement about the account, held against what the describe calls say."""

    name: str
    passed: bool
    resource: str
    expected: str
    found: str


class NotEmulated(Frozen):
    """A property that was accepted and has no effect in the embedded account."""

    resource: str
    property: str
    why: str


class Crossing(Frozen):
    """One thing that was done to real traffic on loopback: model, gateway, cutover, rollback, audit."""

    name: str
    result: Literal["done", "failed", "skipped"]
    seconds: float
    figures: dict[str, int | float | str] = Field(default={}, description="units stand in their names")
    why: str | None = Field(default=None, description="of what failed or was skipped")


class ResourceChange(Frozen):
    """One resource that the engine would change, or has changed."""

    action: Literal["create", "update", "delete", "replace", "import"]
    type: str
    name: str
    properties: list[str] = Field(description="inputs that differ; empty for what is created or deleted")


class PolicySeen(Frozen):
    """What a policy saw of one property of one resource that the program asks for."""

    resource: str
    property: str
    value: str
    ok: bool
    sha256: str = Field(description="over the resource's type and properties as they were judged")


class PolicyAnswer(Frozen):
    """What one policy saw in the whole stack. Nothing seen proves nothing."""

    rule: str
    seen: list[PolicySeen]


class Rehearsal(Artefact):
    """What the program left in the embedded account: `ferry rehearse`."""

    SCHEMA: ClassVar[str] = "ferry/rehearsal/v1"

    environment: str
    region: str
    front: str = Field(description="`in-process`, or the CLI whose engine ran the program: `pulumi v3.272.0`")
    emulator: str
    seconds: float
    resources: dict[str, int] = Field(description="type token to count")
    checks: list[Check]
    policies: list[PolicyAnswer] = Field(
        default=[], description="of a project with a policy pack (`policies/`); empty where it has none"
    )
    policy_profile: str | None = Field(default=None, description="what the policies were asked under")
    not_emulated: list[NotEmulated]
    seeded: list[str]
    conditions_evaluated: list[str]
    outputs: dict[str, Any]
    crossing: list[Crossing] = Field(default=[], description="empty: it was left out")
    changes: list[ResourceChange] | None = Field(
        default=None, description="what makes this stack of the one before, where a change was rehearsed"
    )

    @property
    def passed(self) -> bool:
        """Whether every check passed, and nothing of the crossing failed."""
        return all(check.passed for check in self.checks) and all(one.result != "failed" for one in self.crossing)
