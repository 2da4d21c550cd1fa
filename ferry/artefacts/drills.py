"""What faults did to the provisioned stack, and how long each lasted: `ferry drill`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ferry.artefacts.artefact import Artefact
from ferry.artefacts.figures import Basis, Frozen

Phase = Literal["fault", "detected", "decided", "recovered", "note"]


class Moment(Frozen):
    """One line of a timeline, in seconds after the fault."""

    at_s: float
    phase: Phase
    what: str
    basis: Basis = Field(description="of the time since the moment before: measured by doing it, or assumed")
    source: str = Field(description="of an assumed time; what was run for a measured one")
    clock: Literal["simulated", "real"] = Field(description="real: it was done here; simulated: AWS would wait so long")
    beside: bool = Field(default=False, description="it happens beside the rest, whose times pass over it")


class Saving(Frozen):
    """What another choice would do to the recovery."""

    choice: str
    recovery_s: float


class Drill(Frozen):
    """One fault and its end."""

    name: str
    fault: str
    target_s: float
    timeline: list[Moment] = Field(description="in the order of time; empty for what was skipped")
    lost_requests: int | None = Field(default=None, description="None where the drill sends none")
    savings: list[Saving] = []
    missing: list[str] = Field(default=[], description="what of the provisioned stack would have met the target")
    skipped: str | None = Field(default=None, description="why it did not run")

    def seconds_to(self, phase: Phase) -> float | None:
        """When the first moment of this phase came; None where it never did."""
        return next((moment.at_s for moment in self.timeline if moment.phase == phase), None)

    @property
    def mttr_s(self) -> float | None:
        """From the fault to the recovery; None where there was none."""
        return self.seconds_to("recovered")

    @property
    def outcome(self) -> str:
        """What came of it, in a few words."""
        if self.skipped is not None:
            return f"skipped: {self.skipped}"
        if self.mttr_s is None:
            return f"not recovered (target {minutes(self.target_s)})"
        return f"recovered after {minutes(self.mttr_s)} (target {minutes(self.target_s)})"

    @property
    def passed(self) -> bool:
        """Whether it ran, recovered within its target, lost nothing that was not its fault's, and misses nothing."""
        return not self.missing and self.mttr_s is not None and self.mttr_s <= self.target_s


class Drills(Artefact):
    """What faults did to the provisioned stack, and how long each lasted: `ferry drill`."""

    SCHEMA: ClassVar[str] = "ferry/drills/v1"

    environment: str
    region: str
    seconds: float
    drills: list[Drill]

    @property
    def passed(self) -> bool:
        """Whether each drill that ran met its target."""
        return all(drill.passed for drill in self.drills if drill.skipped is None)


def minutes(seconds: float) -> str:
    """Seconds as a drill counts them: `12:05`."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
