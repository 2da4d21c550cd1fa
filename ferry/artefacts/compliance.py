"""What is proven of a standard, clause by clause: `ferry compliance report`."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from ferry.artefacts.artefact import Artefact
from ferry.artefacts.figures import Frozen
from ferry.artefacts.rehearsal import PolicySeen

ClauseStatus = Literal["met", "met in part", "not met", "not proven", "organisation", "not applicable"]
ProofState = Literal["holds", "broken", "nothing to look at", "not run"]


class ClauseProof(Frozen):
    """A policy or a check that serves a clause, what became of it, and the evidence."""

    kind: Literal["policy", "check"]
    name: str
    says_zh: str
    says_en: str
    state: ProofState
    evidence: list[PolicySeen]


class ClauseResult(Frozen):
    """One clause. `basis` is `assumed` where the catalogue's summary rests on general knowledge of the standard."""

    clause: str
    title_zh: str
    title_en: str
    requirement_zh: str
    requirement_en: str
    status: ClauseStatus
    why_zh: str
    why_en: str
    rest_zh: str
    rest_en: str
    proofs: list[ClauseProof]
    source: str
    basis: str


class Compliance(Artefact):
    """What is proven of a standard. It is computed from evidence, and claims nothing beside it."""

    SCHEMA: ClassVar[str] = "ferry/compliance/v1"

    profile: str
    standard: str
    judged: Literal["plan", "rehearsal", "account"]
    judged_at: datetime = Field(description="when what was judged was looked at")
    environment: str
    region: str
    clauses: list[ClauseResult]

    def of_status(self, status: ClauseStatus) -> list[ClauseResult]:
        """The clauses of one status."""
        return [one for one in self.clauses if one.status == status]

    @property
    def broken(self) -> bool:
        """Whether a clause is not met."""
        return bool(self.of_status("not met"))
