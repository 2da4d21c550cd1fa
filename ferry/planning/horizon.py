"""How long a replay may last: what schedules are drawn up for, and random interruptions."""

from __future__ import annotations

DAY_S = 86_400.0
LENGTHS = 2.0
"""In lengths of the trace, and a day more: a fleet that is too small works off its queue late."""


def horizon_s(trace_s: float) -> float:
    """Seconds, for a trace of `trace_s`."""
    return LENGTHS * trace_s + DAY_S
