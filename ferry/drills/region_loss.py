"""region-loss: the first region answers nothing, and the name of its load balancer has to lead elsewhere."""

from __future__ import annotations

from ferry.artefacts import Drill, Saving
from ferry.drills import boots
from ferry.drills.boots import Supply
from ferry.drills.provisioned import Fleet, HealthCheck, Provisioned
from ferry.drills.replacement import served, slowest, told
from ferry.drills.scene import Scene
from ferry.drills.second_region import ALIAS_TTL_S, SecondRegion, Watch
from ferry.drills.timeline import Timeline
from ferry.drills.timings import Duration

NAME = "region-loss"
REPLICATION = Duration(
    0,
    "assumed",
    "S3 copies most objects within 15 minutes (the embedded account copies none): "
    "https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-troubleshoot.html",
)
HOME = Duration(0, "assumed", "outlier_detection of the gateway at home; `ferry drill cloud-unreachable` measures it")


def drill(scene: Scene) -> Drill:
    """Of each version that the second region has a fleet of: the one that recovers last counts."""
    if scene.settings.failover is None:
        return scene.skipped(
            NAME, "the stack has no second region (ferry:failover): without the first one, home answers alone"
        )
    there = SecondRegion(scene)
    fault = _made(scene)
    checks = [fleet.target for fleet in Provisioned(scene).fleets if fleet.target]
    lost = _lost(there)
    return slowest([_of_fleet(scene, there, fleet, fault, checks, lost) for fleet in there.fleets])


def _made(scene: Scene) -> str:
    """No target of the first region's load balancer is left; says so as the fault."""
    client, gone = scene.account.client("elbv2"), 0
    for arn in scene.output("target_group_arns").values():
        targets = [
            one["Target"] for one in client.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        ]
        if targets:
            client.deregister_targets(TargetGroupArn=arn, Targets=targets)
        gone += len(targets)
    return f"{scene.account.region} is lost: none of the {gone} nodes of its load balancer answers"


def _lost(there: SecondRegion) -> list[Watch] | str:
    """The alarms by which the first region counts as lost, or what is missing."""
    primary, secondary = there.record("PRIMARY"), there.record("SECONDARY")
    for role, record in (("PRIMARY", primary), ("SECONDARY", secondary)):
        if record is None:
            return f"no {role} record leads to the load balancer of its region"
    if primary is None or not primary.get("HealthCheckId"):
        return "the PRIMARY record has no health check, and is answered for ever"
    return there.watches(primary["HealthCheckId"])


def _of_fleet(
    scene: Scene,
    there: SecondRegion,
    fleet: Fleet,
    fault: str,
    checks: list[HealthCheck],
    lost: list[Watch] | str,
) -> Drill:
    def story(supply: Supply) -> Timeline:
        timeline = Timeline(NAME, fault, scene.target_s)
        timeline.meanwhile("the gateway at home sends requests to the engine at home", 0, HOME)
        if not there.replicates():
            timeline.missing.append(
                f"ferry:model_repository.replica_region: the models' bucket is not replicated to {there.region}, so no "
                "node there has what was put since; `pulumi up` puts the rule back"
            )
            return timeline
        timeline.meanwhile(f"{there.region} has the models that were put before", 0, REPLICATION)
        if isinstance(lost, str):
            timeline.missing.append(f"ferry:failover: {lost}; `pulumi up` puts it right")
            return timeline
        _switched(timeline, scene, there, checks, lost)
        _answered(timeline, scene, there, fleet, supply)
        return timeline

    drill = told(there.scene, fleet, _pool(there, fleet), story)
    in_its_place = f"{fleet.setting}.fleet.warm_pool"
    missing = [sentence.replace(in_its_place, "ferry:failover.warm_pool") for sentence in drill.missing]
    savings, at_once_s = list(drill.savings), drill.seconds_to("decided")
    if not fleet.desired and drill.mttr_s is not None and at_once_s is not None:
        savings.append(Saving(choice="a node that always runs there", recovery_s=at_once_s))
        if drill.mttr_s > scene.target_s >= at_once_s:
            missing = [f"ferry:failover.min_size: 0; set it to 1; it would be {at_once_s:.0f} s"]
    return drill.model_copy(update={"missing": missing, "savings": savings})


def _switched(
    timeline: Timeline, scene: Scene, there: SecondRegion, checks: list[HealthCheck], lost: list[Watch]
) -> None:
    """The load balancer's verdict, then the alarms, then the name."""
    check = max(checks, key=lambda one: one.detects_s, default=None)
    if check is not None:
        verdict = Duration(check.detects_s, "assumed", f"{check.failures} x {check.interval_s} s in the account")
        timeline.waited("note", "the load balancer's health checks failed, as far as it still asks", verdict)
    slow = max(lost, key=lambda one: one.window_s)
    delay = scene.timings.metric_delay
    timeline.waited(
        "detected",
        f"{slow.alarm}: no healthy node, or no data",
        Duration(slow.window_s + delay.seconds, delay.basis, f"{slow.window}; {delay.source}"),
    )
    record = there.record("PRIMARY") or {}
    ttl_s = record.get("TTL", ALIAS_TTL_S)
    timeline.waited(
        "decided",
        f"{record.get('Name', '').rstrip('.')} leads to {there.region}, at the gateway at home, too",
        Duration(
            ttl_s, "assumed", f"answers live {ttl_s} s (an alias: the load balancer's own TTL); Envoy keeps to it"
        ),
    )


def _answered(timeline: Timeline, scene: Scene, there: SecondRegion, fleet: Fleet, supply: Supply) -> None:
    if fleet.desired:
        what = (
            f"{fleet.desired} of {fleet.max_size} nodes of {fleet.group} in {there.region} answer; load adds the rest"
        )
        timeline.waited("recovered", what, Duration(0, "assumed", "they run and are healthy"))
        return
    wake = there.wake_up(fleet)
    if wake is None:
        timeline.missing.append(
            f"ferry:failover.min_size: 0; no alarm on refused requests starts {fleet.group} in {there.region}: set it "
            "to 1, or `pulumi up` puts the alarm back"
        )
        return
    if problem := boots.problem(fleet, supply.cold):
        timeline.missing.append(problem)
        return
    delay = scene.timings.metric_delay
    count = min(wake.adds, fleet.max_size)
    window = f"one refused request in {wake.period_s} s in the account; {delay.source}"
    timeline.waited(
        "note",
        f"{wake.alarm} starts {count} nodes of {fleet.group}",
        Duration(wake.period_s + delay.seconds, delay.basis, window),
    )
    last = max(supply.boots(count), key=lambda boot: boot.seconds)
    served(timeline, fleet, last, f"{count} nodes of {fleet.group} in {there.region} answer")


def _pool(there: SecondRegion, fleet: Fleet) -> int:
    """A warm pool that has all that is started."""
    wake = there.wake_up(fleet)
    return min(wake.adds, fleet.max_size) if wake else 1
