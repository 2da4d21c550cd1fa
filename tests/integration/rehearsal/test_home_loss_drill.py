"""home-loss on a stack with gateways in the cloud and a record: the account says who carries on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ferry.artefacts import Drill
from ferry.drills import home_loss
from ferry.drills.scene import Scene
from ferry.drills.timeline import Timeline
from ferry.drills.timings import Timings
from ferry.rehearsal.account import EmbeddedAccount
from tests.conftest import Rehearsed

ZONE = "Z0123456789"
Lost = Callable[..., Drill]


@pytest.fixture
def lost(own: Rehearsed, tmp_path: Path) -> Lost:
    """The room's loss alone: Envoy's restart is another test's."""

    def run(broken: Callable[[EmbeddedAccount], object] = lambda account: None) -> Drill:
        broken(own.account)
        scene = Scene(
            account=own.account,
            settings=own.stack.settings,
            outputs=own.stack.outputs,
            timings=Timings(),
            target_s=900,
            scratch=tmp_path,
        )
        timeline = Timeline(home_loss.NAME, "the whole room is gone", scene.target_s)
        home_loss.room_is_gone(timeline, scene)
        return timeline.end()

    return run


def records(account: EmbeddedAccount) -> dict[str, dict[str, Any]]:
    listed = account.client("route53").list_resource_record_sets(HostedZoneId=ZONE)["ResourceRecordSets"]
    return {one["SetIdentifier"]: one for one in listed if "SetIdentifier" in one}


def change(account: EmbeddedAccount, action: str, record: dict[str, Any]) -> None:
    account.client("route53").change_resource_record_sets(
        HostedZoneId=ZONE, ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    )


@pytest.mark.tool("envoy")
def test_a_person_moves_the_record_and_the_gateways_in_the_cloud_carry_on(lost: Lost, own: Rehearsed) -> None:
    done = lost()
    # A person, Route 53's servers, the record's TTL; besides, what is done here.
    waits = [later.at_s - earlier.at_s for earlier, later in pairwise(done.timeline)]
    assert sum(round(wait) for wait in waits if wait > 30) == 600 + 60 + 60
    [served] = [moment.what for moment in done.timeline if "the gateway in the cloud has " in moment.what]
    asked = served.split(" of ")[1].split()[0]
    assert f"has {asked} of {asked} requests answered there" in served
    assert (done.missing, done.passed) == ([], True)
    assert {name: one["Weight"] for name, one in records(own.account).items()} == {"cloud": 100, "home": 0}


@pytest.mark.tool("envoy")
def test_a_health_check_of_the_room_needs_no_person(lost: Lost) -> None:
    def checked(account: EmbeddedAccount) -> None:
        made = account.client("route53").create_health_check(
            CallerReference="room",
            HealthCheckConfig={
                "Type": "TCP",
                "IPAddress": "203.0.113.10",
                "Port": 443,
                "RequestInterval": 10,
                "FailureThreshold": 3,
            },
        )
        change(account, "UPSERT", records(account)["home"] | {"HealthCheckId": made["HealthCheck"]["Id"]})

    done = lost(checked)
    moments = {moment.phase: moment.at_s for moment in done.timeline if moment.phase != "note"}
    assert (moments["decided"] - moments["detected"], round(moments["recovered"] - moments["decided"])) == (0, 60)
    assert [moment.source for moment in done.timeline if moment.phase == "detected"] == [
        "3 x 10 s of the record's health check"
    ]


def test_a_record_that_leads_home_alone_is_missed(lost: Lost) -> None:
    done = lost(lambda account: change(account, "DELETE", records(account)["cloud"]))
    assert done.missing == [
        "gateway_tier.record: no record of api.example.com in the account leads to the cloud's gateways; "
        "`pulumi up` makes it"
    ]
    assert not done.passed


def test_a_group_without_gateways_is_missed(lost: Lost) -> None:
    def emptied(account: EmbeddedAccount) -> None:
        account.client("autoscaling").update_auto_scaling_group(
            AutoScalingGroupName="ferry-prod-gateway-tier", MinSize=0, DesiredCapacity=0
        )

    assert lost(emptied).missing == [
        "gateway_tier.min_size: the group of the gateways in the cloud has none in the account; give it two"
    ]
