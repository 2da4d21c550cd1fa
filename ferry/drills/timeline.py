"""The moments of one drill, as they come."""

from __future__ import annotations

from dataclasses import dataclass, field

from ferry.artefacts import Drill, Moment, Saving
from ferry.artefacts.drills import Phase
from ferry.drills.timings import Duration


@dataclass
class Timeline:
    """Two clocks, one line: what is done here is measured, what AWS would wait for is added from the timings."""

    name: str
    fault: str
    target_s: float
    now_s: float = 0.0
    moments: list[Moment] = field(default_factory=list)
    savings: list[Saving] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    lost_requests: int | None = None

    def __post_init__(self) -> None:
        self.moments.append(
            Moment(at_s=0, phase="fault", what=self.fault, basis="measured", source="made here", clock="real")
        )

    def waited(self, phase: Phase, what: str, duration: Duration) -> None:
        """AWS would have waited so long."""
        self.now_s += duration.seconds
        self._add(phase, what, duration, clock_is_real=False)

    def did(self, phase: Phase, what: str, seconds: float, source: str) -> None:
        """It was done here, and took so long."""
        self.now_s += seconds
        self._add(phase, what, Duration(seconds, "measured", source), clock_is_real=True)

    def meanwhile(self, what: str, at_s: float, duration: Duration) -> None:
        """Something that happens beside the rest, so long after the fault, and delays nothing."""
        then, self.now_s = self.now_s, at_s
        self._add("note", what, duration, clock_is_real=False, beside=True)
        self.now_s = then

    def end(self) -> Drill:
        """What came of it."""
        return Drill(
            name=self.name,
            fault=self.fault,
            target_s=self.target_s,
            timeline=sorted(self.moments, key=lambda moment: moment.at_s),
            lost_requests=self.lost_requests,
            savings=self.savings,
            missing=self.missing,
        )

    def _add(self, phase: Phase, what: str, duration: Duration, *, clock_is_real: bool, beside: bool = False) -> None:
        self.moments.append(
            Moment(
                at_s=round(self.now_s, 2),
                phase=phase,
                what=what,
                basis=duration.basis,
                source=duration.source,
                clock="real" if clock_is_real else "simulated",
                beside=beside,
            )
        )
