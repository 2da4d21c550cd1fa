"""Drills of the fleets: what the account has decides, and what is broken there is missed by what depends on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ferry.artefacts import Drill
from ferry.drills import runner
from ferry.drills.scene import Scene
from ferry.drills.timings import Timings
from ferry.rehearsal.account import EmbeddedAccount
from tests.conftest import Rehearsed

FLEET_DRILLS = ("spike", "zone-loss", "spot-storm", "gpu-fault")
Break = Callable[[EmbeddedAccount], object]
Drilled = Callable[..., dict[str, Drill]]


@pytest.fixture
def drilled(rehearsed: Callable[[str], Rehearsed], tmp_path: Path) -> Iterator[Drilled]:
    """Drills of a stack, on a copy of it in which something was broken first."""
    with ExitStack() as copies:

        def run(
            environment: str,
            broken: Break = lambda account: None,
            *,
            names: tuple[str, ...] = FLEET_DRILLS,
            minutes: float = 15,
        ) -> dict[str, Drill]:
            original = rehearsed(environment)
            account = EmbeddedAccount(copies.enter_context(original.served.copy()), original.stack.settings.region)
            broken(account)
            scene = Scene(
                account=account,
                settings=original.stack.settings,
                outputs=original.stack.outputs,
                timings=Timings(),
                target_s=60 * minutes,
                scratch=tmp_path,
            )
            # One after the other on one copy, which is quicker: the group makes itself whole after each.
            return {name: runner.drilled(name, scene) for name in names}

        yield run


def missed(done: dict[str, Drill]) -> list[str]:
    return [name for name, drill in done.items() if drill.skipped is None and not drill.passed]


def group_of(account: EmbeddedAccount, version: str = "r1-32b") -> dict[str, Any]:
    groups = account.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    found: dict[str, Any] = next(one for one in groups if one["AutoScalingGroupName"].endswith(version))
    return found


def update(account: EmbeddedAccount, version: str = "r1-32b", **changes: Any) -> None:
    name = group_of(account, version)["AutoScalingGroupName"]
    account.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=name, **changes)


def alarm_on(account: EmbeddedAccount, part: str) -> dict[str, Any]:
    alarms = account.client("cloudwatch").describe_alarms()["MetricAlarms"]
    found: dict[str, Any] = next(alarm for alarm in alarms if part in alarm["AlarmName"])
    return found


def test_production_recovers_from_each_in_time(drilled: Drilled) -> None:
    done = drilled("prod")
    # 2 x 60 s of alarm and 60 s of CloudWatch; from the warm pool 180 + 64 GB / 500 MiB/s + 180 s; a check of 15 s
    assert {name: drill.mttr_s for name, drill in done.items()} == {
        "spike": 677.07,
        "zone-loss": 602.07,
        "spot-storm": None,
        "gpu-fault": 602.07,
    }
    assert missed(done) == []
    assert done["spot-storm"].skipped == "no fleet has a Spot Instance, at its largest size either"


def test_a_spot_storm_takes_what_is_not_on_demand_at_the_largest_size(drilled: Drilled) -> None:
    storm = drilled("staging", names=("spot-storm",))["spot-storm"]
    assert storm.fault.startswith("3 of the 6 nodes of ferry-staging-r1-14b are Spot")
    assert [moment.at_s for moment in storm.timeline if "they are gone" in moment.what] == [120]
    assert storm.passed


def delete_scale_out_alarm(account: EmbeddedAccount) -> None:
    account.client("cloudwatch").delete_alarms(AlarmNames=[alarm_on(account, "scaling-out")["AlarmName"]])


def delete_scale_in_alarm(account: EmbeddedAccount) -> None:
    account.client("cloudwatch").delete_alarms(AlarmNames=[alarm_on(account, "scaling-in")["AlarmName"]])


def put_scale_out_alarm(account: EmbeddedAccount, **changes: Any) -> None:
    fields = (
        "AlarmName", "AlarmActions", "Metrics", "ComparisonOperator", "Threshold", "EvaluationPeriods",
        "DatapointsToAlarm", "TreatMissingData",
    )  # fmt: skip
    alarm = alarm_on(account, "scaling-out")
    account.client("cloudwatch").put_metric_alarm(**{name: alarm[name] for name in fields} | changes)


def percent_for_a_share(account: EmbeddedAccount) -> None:
    put_scale_out_alarm(account, Threshold=80)


def other_group(account: EmbeddedAccount) -> None:
    metrics = alarm_on(account, "scaling-out")["Metrics"]
    for query in metrics:
        if "MetricStat" in query:
            query["MetricStat"]["Metric"]["Dimensions"][0]["Value"] = "ferry-prod-r1-70b"
    put_scale_out_alarm(account, Metrics=metrics)


def ten_datapoints(account: EmbeddedAccount) -> None:
    put_scale_out_alarm(account, EvaluationPeriods=10, DatapointsToAlarm=10)


def one_zone(account: EmbeddedAccount) -> None:
    update(account, VPCZoneIdentifier=group_of(account)["VPCZoneIdentifier"].split(",")[0])


def no_room(account: EmbeddedAccount) -> None:
    update(account, MaxSize=3)


def little_room(account: EmbeddedAccount) -> None:
    update(account, MaxSize=4)


def ec2_health(account: EmbeddedAccount) -> None:
    update(account, HealthCheckType="EC2")


def no_xid_alarm(account: EmbeddedAccount) -> None:
    account.client("cloudwatch").delete_alarms(AlarmNames=[alarm_on(account, "gpu-xid")["AlarmName"]])


def no_hook(account: EmbeddedAccount) -> None:
    name = group_of(account)["AutoScalingGroupName"]
    account.client("autoscaling").delete_lifecycle_hook(AutoScalingGroupName=name, LifecycleHookName=f"{name}-boot")


def no_target_group(account: EmbeddedAccount) -> None:
    group = group_of(account)
    account.client("autoscaling").detach_load_balancer_target_groups(
        AutoScalingGroupName=group["AutoScalingGroupName"], TargetGroupARNs=group["TargetGroupARNs"]
    )


def no_group(account: EmbeddedAccount) -> None:
    account.client("autoscaling").delete_auto_scaling_group(
        AutoScalingGroupName=group_of(account)["AutoScalingGroupName"], ForceDelete=True
    )


def hasty_hook(account: EmbeddedAccount) -> None:
    name = group_of(account)["AutoScalingGroupName"]
    account.client("autoscaling").put_lifecycle_hook(
        AutoScalingGroupName=name,
        LifecycleHookName=f"{name}-boot",
        LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING",
        HeartbeatTimeout=600,
    )


@pytest.mark.parametrize(
    ("broken", "expected", "says"),
    [
        (delete_scale_out_alarm, ["spike"], "no alarm on the load of ferry-prod-r1-32b runs a policy that adds nodes"),
        (delete_scale_in_alarm, ["spike"], "policies add instances and nothing ever removes one"),
        (percent_for_a_share, ["spike"], "is never in ALARM: a load of 1.1 is not above 80"),
        (other_group, ["spike"], "watches running of something else than ferry-prod-r1-32b"),
        (
            ten_datapoints,
            ["spike"],
            'until "ferry-r1-32b-scaling-out-a394116: load 1.10 is above 0.8" (10 of 10 x 60 s in the account',
        ),
        (no_room, ["spike"], "model_versions[0].fleet.max_size: 3"),
        (little_room, ["spike"], "the fleet stays at 4 nodes, and the load needs 5"),
        (one_zone, ["zone-loss"], "ferry:network.zone_count: ferry-prod-r1-32b lies in us-east-1a alone"),
        (ec2_health, ["gpu-fault"], "the group's health check is EC2, so a node whose engine is dead stays"),
        (no_xid_alarm, ["gpu-fault"], "no alarm on ferry_gpu_xid_errors of ferry-prod-r1-32b tells anybody"),
        (no_hook, ["spike", "zone-loss", "gpu-fault"], "the group has no launching hook"),
        (no_target_group, ["spike", "zone-loss", "gpu-fault"], "registers its nodes with no target group"),
        (no_group, [*FLEET_DRILLS], "model_versions[0].fleet: the account has no group ferry-prod-r1-32b"),
        (hasty_hook, ["spike", "zone-loss", "gpu-fault"], "fleet.boot_timeout_seconds: 600; a node needs 652 s"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_broken_is_missed_by_what_depends_on_it(
    drilled: Drilled, broken: Break, expected: list[str], says: str
) -> None:
    done = drilled("prod", broken)
    assert missed(done) == expected
    for name in expected:
        assert says in " ".join(done[name].missing)


def no_warm_pool(account: EmbeddedAccount) -> None:
    account.client("autoscaling").delete_warm_pool(
        AutoScalingGroupName=group_of(account)["AutoScalingGroupName"], ForceDelete=True
    )


def test_without_its_warm_pool_a_fleet_misses_what_only_the_pool_was_fast_enough_for(drilled: Drilled) -> None:
    assert missed(drilled("prod", minutes=12)) == []
    done = drilled("prod", no_warm_pool, minutes=12)
    assert missed(done) == ["spike", "zone-loss", "gpu-fault"]
    assert done["spike"].missing == [
        "model_versions[0].fleet.warm_pool: {min_size: 2, state: Stopped}; it would be 677 s",
        "model_versions[0].fleet.ami_parameter: an image that mounts the instance store at /opt/dlami/nvme; "
        "it would be 667 s",
    ]


def small_pool(account: EmbeddedAccount) -> None:
    account.client("autoscaling").put_warm_pool(
        AutoScalingGroupName=group_of(account)["AutoScalingGroupName"], MinSize=1, PoolState="Stopped"
    )


def test_a_lost_zone_takes_its_share_of_the_warm_pool(drilled: Drilled) -> None:
    lost = drilled("prod", small_pool, names=("zone-loss",))["zone-loss"]
    assert lost.fault.endswith("1 of the 3 nodes of ferry-prod-r1-32b, 1 of the warm pool")
    assert lost.mttr_s == 771.82  # a new node: 170 s more for its image and its model
    assert lost.savings[0].model_dump() == {"choice": "a warm pool of 2 stopped nodes", "recovery_s": 602.07}


def lost_template(account: EmbeddedAccount) -> None:
    template = group_of(account)["LaunchTemplate"]["LaunchTemplateId"]
    account.client("ec2").delete_launch_template(LaunchTemplateId=template)


def test_a_drill_that_cannot_be_run_says_what_the_account_lacks(drilled: Drilled) -> None:
    spike = drilled("prod", lost_template, names=("spike",))["spike"]
    [why] = spike.missing
    assert why.startswith("it could not be run: An error occurred (InvalidLaunchTemplateId.NotFound)")
    assert not spike.passed


def no_rebalancing(account: EmbeddedAccount) -> None:
    """The emulator changes it in no group that is there, so the group is made again."""
    autoscaling, group = account.client("autoscaling"), group_of(account, "r1-14b")
    kept = (
        "AutoScalingGroupName", "MinSize", "MaxSize", "DesiredCapacity", "VPCZoneIdentifier", "TargetGroupARNs",
        "MixedInstancesPolicy", "HealthCheckType", "HealthCheckGracePeriod",
    )  # fmt: skip
    name = group["AutoScalingGroupName"]
    template = group["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]
    template.pop("LaunchTemplateName", None)
    hooks = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"]
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
    autoscaling.create_auto_scaling_group(**{field: group[field] for field in kept}, CapacityRebalance=False)
    for hook in hooks:
        hook.pop("GlobalTimeout", None)
        autoscaling.put_lifecycle_hook(**hook)


def nobody_told(account: EmbeddedAccount) -> None:
    events = account.client("events")
    for rule in events.list_rules()["Rules"]:
        if "Spot" in rule.get("EventPattern", ""):
            targets = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
            events.remove_targets(Rule=rule["Name"], Ids=[target["Id"] for target in targets])


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (no_rebalancing, "the group's capacity rebalancing is off, so the notice is not used"),
        (nobody_told, "no rule of EventBridge tells anybody of a EC2 Spot Instance Interruption Warning"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_spot_needs_is_missed_by_a_spot_storm_alone(drilled: Drilled, broken: Break, says: str) -> None:
    done = drilled("staging", broken, names=("zone-loss", "spot-storm", "gpu-fault"))
    assert missed(done) == ["spot-storm"]
    assert says in " ".join(done["spot-storm"].missing)


def test_the_rehearsed_account_is_as_it_was(drilled: Drilled, rehearsed: Callable[[str], Rehearsed]) -> None:
    before = group_of(rehearsed("prod").account)
    drilled("prod")
    assert group_of(rehearsed("prod").account) == before
