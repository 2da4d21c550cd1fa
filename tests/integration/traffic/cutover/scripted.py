"""`ferry …` with a gate that looks at the clock alone: it advances after a step's `minimum_seconds`.

For tests of what a controller does, whatever a gate decides from.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

from ferry.traffic.gate.decision import Decision, Required
from ferry.traffic.gate.policy import CanaryPolicy, Step


class Clockwork:
    def __init__(self, policy: CanaryPolicy, step: Step, *, started_s: float = 0.0) -> None:
        self.seconds = step.minimum_seconds or 0.1
        self.started_s = started_s

    def required(self) -> Required:
        return Required(baseline=1, candidate=1, minimum_seconds=self.seconds, candidate_share=1.0)

    def observe(self, baseline: object, candidate: object, at_s: float, **_: object) -> Decision:
        over = at_s - self.started_s >= self.seconds
        return Decision(action="advance" if over else "hold", reason="by the clock", figures={})


# In place of the module, whose statistics take a second to load.
sys.modules["ferry.traffic.gate.gate"] = SimpleNamespace(Gate=Clockwork)  # type: ignore[assignment]

if __name__ == "__main__":
    from ferry.cli import main

    main()
