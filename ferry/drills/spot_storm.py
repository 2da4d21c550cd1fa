"""spot-storm: all Spot Instances get their two-minute notice at once, and are gone when it ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ferry.artefacts import Drill
from ferry.drills.boots import Supply
from ferry.drills.provisioned import Fleet, Provisioned, terminate
from ferry.drills.replacement import replaced, slowest, told
from ferry.drills.scene import Scene
from ferry.drills.timeline import Timeline
from ferry.drills.timings import GUIDE, Duration

NAME = "spot-storm"
_WARNING = "EC2 Spot Instance Interruption Warning"
_REBALANCING = f"{GUIDE}/ec2-auto-scaling-capacity-rebalancing.html"


def drill(scene: Scene) -> Drill:
    """Every fleet's Spot Instances at once, at the fleet's largest size. What is on demand stays."""
    bought = [fleet for fleet in Provisioned(scene).fleets if fleet.spot_percent]
    autoscaling = scene.account.client("autoscaling")
    for fleet in bought:
        autoscaling.set_desired_capacity(AutoScalingGroupName=fleet.group, DesiredCapacity=fleet.max_size)
    fleets = [fleet for fleet in Provisioned(scene).fleets if fleet.spot]
    if not fleets:
        return scene.skipped(NAME, "no fleet has a Spot Instance, at its largest size either")
    return slowest([_taken_back(scene, fleet) for fleet in fleets])


def _taken_back(scene: Scene, fleet: Fleet) -> Drill:
    gone = fleet.spot
    terminate(scene, fleet.instances[-gone:])
    kept = fleet.desired - gone
    pools = _other_pools(fleet)
    says = _says_so(scene)

    def story(supply: Supply) -> Timeline:
        fault = f"{gone} of the {fleet.desired} nodes of {fleet.group} are Spot and get the two-minute notice"
        timeline = Timeline(NAME, fault, scene.target_s)
        timings = scene.timings
        if fleet.rebalances:
            timeline.waited("detected", "the group sees the notice", Duration(0, "assumed", _REBALANCING))
            at_once = f"a replacement is launched immediately; {_REBALANCING}"
            timeline.waited("decided", "it launches replacements, and drains what will go", _immediately(at_once))
            cut = f"they are gone; an answer that took longer than {timings.spot_notice.seconds:g} s is cut"
            timeline.meanwhile(cut, timings.spot_notice.seconds, timings.spot_notice)
        else:
            timeline.waited("note", "the instances are gone: what they answered is cut", timings.spot_notice)
            timeline.waited("detected", "the group finds that they run no more", timings.health_verdict)
            timeline.waited("decided", "it replaces them", _immediately(f"{GUIDE}/healthcheck.html"))
            timeline.missing.append(
                f"{fleet.setting}.fleet: the group's capacity rebalancing is off, so the notice is not used: nothing "
                "is drained, and replacements start when the instances are gone; `pulumi up` turns it on"
            )
        if says is None:
            timeline.missing.append(
                f"ferry:monitoring: no rule of EventBridge tells anybody of a {_WARNING}; `pulumi up` makes it"
            )
        if not pools:
            timeline.missing.append(
                f"{fleet.setting}.fleet.instance_types: {fleet.instance_types[0]} alone, in the zones that were taken "
                "back; add a type of the same GPU memory"
            )
            return timeline
        left = f"{kept} on demand stay" if kept else "none is on demand: nobody answers meanwhile"
        replaced(timeline, fleet, supply, gone, among=f"from {pools[0]} and {len(pools) - 1} more pools; {left}")
        return timeline

    return told(scene, fleet, gone, story)


def _other_pools(fleet: Fleet) -> list[str]:
    """Spot pools (a type in a zone) of the group in which none of its instances ran.

    The instances ran as the first type, spread over the zones: that is what was taken back.
    """
    taken = {(fleet.instance_types[0], zone) for zone in fleet.zones[: fleet.spot]}
    return [f"{kind} in {zone}" for kind in fleet.instance_types for zone in fleet.zones if (kind, zone) not in taken]


def _says_so(scene: Scene) -> str | None:
    """The rule of EventBridge that has a target for the notices."""
    events = scene.account.client("events")
    for rule in events.list_rules()["Rules"]:
        pattern: Mapping[str, Any] = json.loads(rule.get("EventPattern", "{}"))
        named = rule["State"] == "ENABLED" and _WARNING in pattern.get("detail-type", [])
        if named and events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
            return str(rule["Name"])
    return None


def _immediately(source: str) -> Duration:
    return Duration(0, "assumed", source)
