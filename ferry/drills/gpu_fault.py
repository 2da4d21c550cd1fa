"""gpu-fault: a GPU of one node falls off the bus (Xid 79): its engine ends, and does not come up again.

NVIDIA's Xid catalogue has 79 as "GPU has fallen off the bus": the driver cannot reach it any more, and no restart of
the engine brings it back (docs.nvidia.com/deploy/xid-errors). So /health fails for good.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.artefacts import Drill
from ferry.drills.boots import Supply
from ferry.drills.provisioned import Fleet, Provisioned
from ferry.drills.replacement import replaced, slowest, told
from ferry.drills.scene import Scene
from ferry.drills.timeline import Timeline
from ferry.drills.timings import Duration
from ferry.errors import CatalogError
from ferry.render import alerts
from templates.engine_metrics import GPU_XID_ERRORS

NAME = "gpu-fault"
XID = 79
PROMETHEUS_S = 30
"""Of the site's Prometheus: a scrape and an evaluation, each every 15 s (templates/hybrid/local/prometheus)."""
_SCRAPED = Duration(PROMETHEUS_S, "assumed", "15 s of scrape and 15 s of evaluation in the rendered prometheus.yaml")


def drill(scene: Scene) -> Drill:
    """One GPU of one node of each fleet."""
    provisioned = Provisioned(scene)
    fleets = [fleet for fleet in provisioned.fleets if fleet.desired]
    if not fleets:
        return scene.skipped(NAME, "no fleet has a node: the groups' desired capacity is 0")
    return slowest([_fallen(scene, provisioned, fleet) for fleet in fleets])


def _fallen(scene: Scene, provisioned: Provisioned, fleet: Fleet) -> Drill:
    node = fleet.instances[0] if fleet.instances else "a node"
    told_by = provisioned.alarms_on(GPU_XID_ERRORS, fleet.group)
    seen = fleet.target is not None and fleet.is_replaced_by_verdict
    if seen and fleet.instances:
        _replace(scene, node)

    def story(supply: Supply) -> Timeline:
        timeline = Timeline(NAME, f"Xid {XID} on {node} of {fleet.group}: its engine ends for good", scene.target_s)
        timeline.meanwhile(f"the same at home: {_at_home()}", PROMETHEUS_S, _SCRAPED)
        if fleet.target is not None and seen:
            check = fleet.target
            timeline.waited(
                "detected",
                f"/health fails {check.failures} times: the load balancer sends it nothing more",
                Duration(check.detects_s, "assumed", f"{check.failures} x {check.interval_s} s in the account"),
            )
            timeline.waited(
                "decided", "the group takes that verdict, and replaces the node", scene.timings.health_verdict
            )
            if told_by:
                what, after = _notice(scene, told_by[0])
                timeline.meanwhile(what, after.seconds, after)
        elif told_by:
            timeline.waited("detected", *_notice(scene, told_by[0]))
            timeline.waited("decided", "somebody sets the node's health to Unhealthy", scene.timings.person)
        if not told_by:
            timeline.missing.append(
                f"ferry:monitoring: no alarm on {GPU_XID_ERRORS} of {fleet.group} tells anybody; `pulumi up` makes it"
            )
        if not seen:
            timeline.missing.append(
                f"{fleet.setting}.fleet: the group's health check is {fleet.health_check_type}, so a node whose engine "
                "is dead stays; `pulumi up` makes it ELB"
            )
        if seen or told_by:
            replaced(timeline, fleet, supply, 1, among=f"in place of {node}")
        return timeline

    return told(scene, fleet, 1, story)


def _replace(scene: Scene, node: str) -> None:
    """What the group does about the verdict, which the emulator does not: the verdict, the end, and a new node."""
    autoscaling = scene.account.client("autoscaling")
    autoscaling.set_instance_health(InstanceId=node, HealthStatus="Unhealthy")
    autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=node, ShouldDecrementDesiredCapacity=False)


def _notice(scene: Scene, alarm: Mapping[str, Any]) -> tuple[str, Duration]:
    """The alarm on the node's own gauge: what it says, after its periods and what CloudWatch takes."""
    delay, periods = scene.timings.metric_delay, alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"])
    source = f"{periods} x {alarm['Period']} s in the account; {delay.source}"
    what = f"{alarm['AlarmName']} is told: {alarm['AlarmDescription']}"
    return what, Duration(alarm["Period"] * periods + delay.seconds, delay.basis, source)


def _at_home() -> str:
    """The alert of the rendered rules, and what it asks a person to do."""
    alert = alerts.xid_alert(XID)
    if alert is None:
        raise CatalogError(f"Xid {XID} raises no alert at home; ferry/catalog/xids.csv has to name an action for it")
    return f"{alert.name} ({alert.severity}) asks to {alerts.ACTIONS[alert.action]}"
