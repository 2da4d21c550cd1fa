"""What a group does when it has lost nodes, and what else would have brought them back sooner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, pairwise

from ferry.artefacts import Drill, Saving
from ferry.drills import boots
from ferry.drills.boots import Boot, Supply
from ferry.drills.provisioned import Fleet
from ferry.drills.scene import Scene
from ferry.drills.timeline import Timeline
from ferry.drills.timings import Duration

Story = Callable[[Supply], Timeline]
"""What happens where new nodes come from a supply."""


def told(scene: Scene, fleet: Fleet, pool: int, story: Story) -> Drill:
    """The story as the fleet is provisioned, with what other choices would make of it: a warm pool of `pool` nodes, …

    Where it misses the target, the choices that would meet it are what is missing.
    """
    weights = boots.weights_of(scene, fleet)
    drill = story(boots.supply(fleet, weights, scene.timings)).end()
    savings, remedies = [], []
    for choice in boots.choices(fleet, weights, scene.timings, pool):
        other = story(choice.supply).end()
        if other.mttr_s is None or other.mttr_s == drill.mttr_s:
            continue
        savings.append(Saving(choice=choice.what, recovery_s=other.mttr_s))
        if other.mttr_s <= scene.target_s:
            remedies.append(f"{choice.remedy}; it would be {other.mttr_s:.0f} s")
    missing = list(drill.missing)
    if drill.mttr_s is not None and drill.mttr_s > scene.target_s and not missing:
        missing = remedies or [_too_slow(fleet, drill)]
    return drill.model_copy(update={"savings": savings, "missing": missing})


def _too_slow(fleet: Fleet, drill: Drill) -> str:
    """Where nothing else would meet the target: what took longest."""
    in_line = [moment for moment in drill.timeline if not moment.beside]
    spent = [(after.at_s - before.at_s, after) for before, after in pairwise(in_line)]
    seconds, moment = max(spent, key=lambda one: one[0])
    return f'{fleet.setting}.fleet: {seconds:.0f} s pass until "{moment.what}" ({moment.source}); shorten that first'


def slowest(drills: Sequence[Drill]) -> Drill:
    """Of the drills of several fleets: the one that recovers last, or not at all, with all that is missing anywhere."""
    last = max(drills, key=lambda drill: float("inf") if drill.mttr_s is None else drill.mttr_s)
    missing = dict.fromkeys(chain.from_iterable(drill.missing for drill in drills))
    return last.model_copy(update={"missing": list(missing)})


def replaced(timeline: Timeline, fleet: Fleet, supply: Supply, count: int, *, among: str) -> None:
    """`count` nodes are launched at once, boot, and take requests; the last of them is the recovery."""
    if problem := boots.problem(fleet, supply.cold):
        timeline.missing.append(problem)
        return
    last = max(supply.boots(count), key=lambda boot: boot.seconds)
    whose = "from the warm pool" if last is supply.warm else "new"
    launched = f"{count} node{'s' if count > 1 else ''} {whose} {among}"
    timeline.waited("note", launched, Duration(0, "assumed", "launched at once"))
    served(timeline, fleet, last, f"{fleet.group} has its {fleet.desired} nodes again")


def served(timeline: Timeline, fleet: Fleet, boot: Boot, outcome: str) -> None:
    """One boot, part by part, until the load balancer sends requests."""
    for what, duration in boot.parts:
        timeline.waited("note", what, duration)
    check = fleet.target
    timeline.waited(
        "recovered",
        outcome,
        Duration(
            check.interval_s if check else 0,
            "assumed",
            "a new target passes one health check; the target group's interval in the account",
        ),
    )
