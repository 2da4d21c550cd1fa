"""zone-loss: all nodes of one zone are gone at once, and those of the warm pool that lay there."""

from __future__ import annotations

from dataclasses import replace

from ferry.artefacts import Drill
from ferry.drills.boots import Supply
from ferry.drills.provisioned import Fleet, Provisioned, terminate
from ferry.drills.replacement import replaced, slowest, told
from ferry.drills.scene import Scene
from ferry.drills.timeline import Timeline
from ferry.drills.timings import Duration

NAME = "zone-loss"


def drill(scene: Scene) -> Drill:
    """The zone with most nodes is lost: by a group's rule, which spreads them evenly, its first."""
    fleets = [fleet for fleet in Provisioned(scene).fleets if fleet.desired]
    if not fleets:
        return scene.skipped(NAME, "no fleet has a node: the groups' desired capacity is 0")
    return slowest([_lost(scene, fleet) for fleet in fleets])


def _lost(scene: Scene, fleet: Fleet) -> Drill:
    zone = fleet.zones[0]
    gone = fleet.most_in_a_zone
    terminate(scene, fleet.instances[:gone])
    elsewhere = fleet.zones[1:]

    def story(supply: Supply) -> Timeline:
        pool = supply.pool
        left = pool - -(-pool // len(fleet.zones))
        timeline = Timeline(NAME, _fault(fleet, zone, gone, pool - left), scene.target_s)
        _detected(timeline, scene, fleet)
        if not elsewhere:
            timeline.missing.append(f"ferry:network.zone_count: {fleet.group} lies in {zone} alone; give it a second")
        else:
            replaced(timeline, fleet, replace(supply, pool=left), gone, among=f"in {', '.join(elsewhere)}")
        return timeline

    # As many that those of the other zones suffice.
    pooled = -(-gone * len(fleet.zones) // len(elsewhere)) if elsewhere else gone
    return told(scene, fleet, pooled, story)


def _fault(fleet: Fleet, zone: str, gone: int, pooled: int) -> str:
    pool = f", {pooled} of the warm pool" if pooled else ""
    return f"{zone} is lost, with {gone} of the {fleet.desired} nodes of {fleet.group}{pool}"


def _detected(timeline: Timeline, scene: Scene, fleet: Fleet) -> None:
    """Who sees it: the load balancer stops asking them, the group sees nodes that run no more."""
    if check := fleet.target:
        timeline.waited(
            "detected",
            f"the load balancer sends them nothing more: {check.failures} health checks failed",
            Duration(check.detects_s, "assumed", f"{check.failures} x {check.interval_s} s in the account"),
        )
    timeline.waited("decided", "the group finds that they run no more, and replaces them", scene.timings.health_verdict)
