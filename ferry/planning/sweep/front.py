"""The Pareto front: what holds and can be provisioned, and no other beats in cost and in time to first token both."""

from __future__ import annotations

from collections.abc import Iterable

from ferry.planning.sweep.search import Answer


def front(answers: Iterable[Answer]) -> list[Answer]:
    """Cheapest first, each with a shorter 99th percentile of the time to first token than all before it."""
    holding = sorted(
        (answer for answer in answers if answer.holds and answer.point.scaling.is_provisioned),
        # Of equals, the one of the fewest instances.
        key=lambda one: (one.cost, one.measured.ttft_p99_s, one.point.high),
    )
    found: list[Answer] = []
    for answer in holding:
        if not found or answer.measured.ttft_p99_s < found[-1].measured.ttft_p99_s:
            found.append(answer)
    return found
