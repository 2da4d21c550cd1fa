"""home-loss: the gateway at home dies; its supervisor starts it again. Then the whole room is gone.

What carries on without the room has to be provisioned: gateways in the cloud, a fleet behind them, and a record that
leads clients there. They are looked for in the account; the step of the record is made in its copy.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ferry.artefacts import Drill
from ferry.drills.provisioned import Provisioned
from ferry.drills.scene import Scene
from ferry.drills.timeline import Timeline
from ferry.drills.timings import Duration
from ferry.drills.traffic import (
    REQUESTS_PER_SECOND,
    SOURCE,
    STEADY,
    Traffic,
    seen_within,
    site_folder,
    under_load,
)
from ferry.rehearsal.crossing.site import next_event, serving
from ferry.rehearsal.load import Load
from stacks.settings import GatewayTierSettings

NAME = "home-loss"
FAULT = "Envoy at home is killed (kill -9), and after it is back the whole room is gone"
ASKED = 60
"""Requests to the gateway in the cloud."""
SERVED_AGAIN_S = 5.0
"""Until a request that was sent after the restart is answered."""
AT_ONCE = Duration(0, "assumed", "clients are refused at once")
ROOM = "every request crosses the room, which is a single point of failure"


def drill(scene: Scene) -> Drill:
    """First the gateway alone, under load; then the room."""
    timeline = Timeline(NAME, FAULT, scene.target_s)
    with under_load(scene, cloud_percent=100) as traffic:
        _envoy_is_killed(timeline, traffic)
    room_is_gone(timeline, scene)
    return timeline.end()


def _envoy_is_killed(timeline: Timeline, traffic: Traffic) -> None:
    started, weight = time.monotonic(), traffic.cloud_percent()
    os.kill(traffic.site.envoy_pid, signal.SIGKILL)
    next_event(traffic.site, "died")
    back = next_event(traffic.site, "serving")
    back_at = time.monotonic()

    def is_answered() -> bool:
        load = traffic.load
        return any(one.outcome == "answered" and load.began_at + one.sent_s > back_at for one in load.answers)

    answered = seen_within(SERVED_AGAIN_S, is_answered)
    traffic.load.stop()
    timeline.lost_requests = len(traffic.lost())
    what = f"its supervisor starts it again: nobody was served for {back.gap_ms:.0f} ms"
    timeline.did("note", what, back_at - started, f"{SOURCE}, under `ferry gateway run`'s supervisor")
    if not answered or traffic.cloud_percent() != weight:
        timeline.missing.append(
            f"the gateway that was started again does not divide as before ({weight} % to the cloud)"
        )


def room_is_gone(timeline: Timeline, scene: Scene) -> None:
    """Who carries on, and how clients get there."""
    way, timings = _Way.of(scene), scene.timings
    if isinstance(way, str):
        timeline.missing.append(way)
        return
    _the_tier_serves(timeline, scene, way.tier)
    if (check := way.health_check(scene)) is not None:
        detects_s = check["RequestInterval"] * check["FailureThreshold"]
        source = f"{check['FailureThreshold']} x {check['RequestInterval']} s of the record's health check"
        timeline.waited("detected", "Route 53 finds the room unhealthy", Duration(detects_s, "assumed", source))
        timeline.waited("decided", "it answers with the cloud's record alone", Duration(0, "assumed", source))
    else:
        timeline.waited("detected", "nothing in the account watches the room: clients say so", AT_ONCE)
        timeline.waited("decided", "a person gives the cloud's record all of the weight", timings.person)
        started = time.monotonic()
        way.lead_to_the_cloud(scene)
        what = f"{way.name} leads to the cloud alone"
        timeline.did("note", what, time.monotonic() - started, "ChangeResourceRecordSets on the copied account")
        timeline.waited("note", "all of Route 53's servers have it", timings.record_propagation)
    timeline.waited(
        "recovered",
        f"clients ask for {way.name} again, and {way.gateways} gateways in the cloud answer",
        Duration(way.home["TTL"], "assumed", f"TTL of {way.name} in the account"),
    )


def _the_tier_serves(timeline: Timeline, scene: Scene, tier: GatewayTierSettings) -> None:
    """What the gateways in the cloud are configured with, on a real Envoy, without the engine of the room."""
    with serving(site_folder(scene), scene.settings, home=STEADY, cloud=STEADY, tier=tier) as site:
        site.home.kill()
        started = time.monotonic()
        with Load(site.url, requests_per_second=REQUESTS_PER_SECOND) as load:
            seen_within(SERVED_AGAIN_S, lambda: len(load.answers) >= ASKED)
            load.stop()
    by_the_cloud = sum(one.outcome == "answered" and one.engine == "cloud" for one in load.answers)
    what = f"without it, the gateway in the cloud has {by_the_cloud} of {len(load.answers)} requests answered there"
    timeline.did("note", what, time.monotonic() - started, SOURCE)
    if by_the_cloud < len(load.answers):
        timeline.missing.append(f"gateway_tier: {what}; it has to carry on without the room")


@dataclass(frozen=True)
class _Way:
    """How clients reach the cloud without the room."""

    tier: GatewayTierSettings
    zone_id: str
    name: str
    home: Mapping[str, Any]
    """The record that leads to the room."""
    cloud: Mapping[str, Any]
    """The record that leads to the gateways in the cloud."""
    gateways: int

    @classmethod
    def of(cls, scene: Scene) -> _Way | str:
        """As the account has it; else what of it is missing."""
        tier = scene.settings.gateway_tier
        if tier is None:
            return f"gateway_tier: none; {ROOM}: give the gateway a group of its own in the cloud, with a record"
        if tier.record is None:
            return f"gateway_tier.record: none; clients know the room's address alone, and {ROOM}: name a record"
        name = tier.record.name
        gateways = _desired(scene, str(scene.output("gateway_tier_group_name")))
        if not gateways:
            return "gateway_tier.min_size: the group of the gateways in the cloud has none in the account; give it two"
        if not any(fleet.desired for fleet in Provisioned(scene).fleets):
            return (
                "model_versions[0].fleet.min_size: 0; no engine runs in the cloud when the room is gone: keep one there"
            )
        listed = scene.account.client("route53").list_resource_record_sets(HostedZoneId=tier.record.zone_id)
        records = [
            one for one in listed["ResourceRecordSets"] if one["Name"].rstrip(".") == name and one["Type"] == "A"
        ]
        dns_name = str(scene.output("gateway_tier_dns_name"))
        cloud = [one for one in records if one.get("AliasTarget", {}).get("DNSName", "").rstrip(".") == dns_name]
        home = [one for one in records if "ResourceRecords" in one]
        if not cloud or not home:
            lacks = "the cloud's gateways" if not cloud else "the room"
            return f"gateway_tier.record: no record of {name} in the account leads to {lacks}; `pulumi up` makes it"
        return cls(tier, tier.record.zone_id, name, home[0], cloud[0], gateways)

    def health_check(self, scene: Scene) -> Mapping[str, Any] | None:
        """Of the room's record: with one, Route 53 stops naming the room by itself."""
        if "HealthCheckId" not in self.home:
            return None
        found = scene.account.client("route53").get_health_check(HealthCheckId=self.home["HealthCheckId"])
        config: Mapping[str, Any] = found["HealthCheck"]["HealthCheckConfig"]
        return config

    def lead_to_the_cloud(self, scene: Scene) -> None:
        """The DNS step: the cloud's record has all of the weight."""
        changes = [
            {"Action": "UPSERT", "ResourceRecordSet": {**record, "Weight": weight}}
            for record, weight in ((self.cloud, 100), (self.home, 0))
        ]
        scene.account.client("route53").change_resource_record_sets(
            HostedZoneId=self.zone_id, ChangeBatch={"Changes": changes}
        )


def _desired(scene: Scene, group: str) -> int:
    found = scene.account.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group])
    return sum(int(one["DesiredCapacity"]) for one in found["AutoScalingGroups"])
