from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from components.inference_fleet import is_mixed, shares
from ferry.errors import RehearsalError
from stacks.settings import FleetSettings, group_name

Run = Callable[..., Any]


def settings(**changes: Any) -> FleetSettings:
    return FleetSettings.model_validate({"instance_types": ["g5.xlarge"], "min_size": 1, "max_size": 4, **changes})


def test_a_group_is_named_after_environment_and_version(fleet: Run) -> None:
    made = fleet()
    assert made.group["AutoScalingGroupName"] == group_name("prod", "r1") == "ferry-prod-r1"
    assert made.run.outputs["group_name"] == "ferry-prod-r1"
    assert made.run.outputs["group_arn"] == made.group["AutoScalingGroupARN"]


def test_a_group_starts_at_its_smallest_size_in_all_private_subnets_behind_its_target_group(fleet: Run) -> None:
    made = fleet(min_size=2, max_size=6)
    group = made.group
    assert (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) == (2, 2, 6)
    assert group["VPCZoneIdentifier"].split(",") == made.given["subnet_ids"]
    assert group["TargetGroupARNs"] == [made.given["target_group_arn"]]
    assert (group["HealthCheckType"], group["HealthCheckGracePeriod"]) == ("ELB", 120)


def test_one_type_on_demand_needs_no_mixed_instances(fleet: Run) -> None:
    made = fleet()
    assert "MixedInstancesPolicy" not in made.group
    assert made.group["LaunchTemplate"]["LaunchTemplateId"] == made.run.outputs["launch_template_id"]
    assert made.group["LaunchTemplate"]["Version"] == "1"
    assert made.group["CapacityRebalance"] is False


def test_spot_is_spread_over_the_types_above_an_on_demand_base_and_rebalanced(fleet: Run) -> None:
    made = fleet(instance_types=["g5.xlarge", "g6.xlarge"], on_demand_base=1, spot_percentage=75)
    policy = made.group["MixedInstancesPolicy"]
    assert [override["InstanceType"] for override in policy["LaunchTemplate"]["Overrides"]] == [
        "g5.xlarge",
        "g6.xlarge",
    ]
    assert policy["LaunchTemplate"]["LaunchTemplateSpecification"]["Version"] == "1"
    assert policy["InstancesDistribution"] == {
        "OnDemandAllocationStrategy": "prioritized",
        "OnDemandBaseCapacity": 1,
        "OnDemandPercentageAboveBaseCapacity": 25,
        "SpotAllocationStrategy": "price-capacity-optimized",
    }
    assert made.group["CapacityRebalance"] is True


def test_several_types_on_demand_are_mixed_without_rebalancing(fleet: Run) -> None:
    made = fleet(instance_types=["g5.xlarge", "g5.2xlarge"])
    assert made.group["MixedInstancesPolicy"]["InstancesDistribution"]["OnDemandPercentageAboveBaseCapacity"] == 100
    assert made.group["CapacityRebalance"] is False


def test_a_warm_pool_keeps_stopped_nodes_and_takes_them_back(fleet: Run) -> None:
    assert fleet(warm_pool={"min_size": 2}).group["WarmPoolConfiguration"] == {
        "MinSize": 2,
        "PoolState": "Stopped",
        "InstanceReusePolicy": {"ReuseOnScaleIn": True},
    }


def test_no_warm_pool_unless_it_is_asked_for(fleet: Run) -> None:
    assert "WarmPoolConfiguration" not in fleet().group


def test_the_launching_hook_abandons_what_does_not_boot_in_time(fleet: Run) -> None:
    made = fleet(boot_timeout_seconds=2400)
    (hook,) = made.account.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName="ferry-prod-r1")[
        "LifecycleHooks"
    ]
    assert hook["LifecycleHookName"] == "ferry-prod-r1-boot"
    assert hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_LAUNCHING"
    assert (hook["DefaultResult"], hook["HeartbeatTimeout"]) == ("ABANDON", 2400)


def test_the_hook_is_there_before_the_first_node(fleet: Run) -> None:
    ((properties, _),) = fleet(boot_timeout_seconds=2400).asked("aws:autoscaling/group:Group")
    assert properties["initialLifecycleHooks"] == [
        {
            "name": "ferry-prod-r1-boot",
            "lifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
            "defaultResult": "ABANDON",
            "heartbeatTimeout": 2400,
        }
    ]


def test_the_group_owns_its_desired_capacity(fleet: Run) -> None:
    ((_, ignored),) = fleet().asked("aws:autoscaling/group:Group")
    assert ignored == ["desiredCapacity"]


def test_nodes_are_replaced_by_new_ones_first_in_two_steps_and_a_failure_brings_the_old_ones_back(fleet: Run) -> None:
    made = fleet(scaling={"warmup_seconds": 240})
    ((properties, _),) = made.asked("aws:autoscaling/group:Group")
    assert properties["instanceRefresh"] == {
        "strategy": "Rolling",
        "preferences": {
            "minHealthyPercentage": 100,
            "maxHealthyPercentage": 110,
            "instanceWarmup": "240",
            "checkpointPercentages": [50, 100],
            "checkpointDelay": "600",
            "autoRollback": True,
            "alarmSpecification": {"alarms": [made.alarm("rollback")["AlarmName"]]},
            "skipMatching": True,
        },
    }


def test_an_update_does_not_wait_for_nodes_whose_models_it_has_yet_to_make_room_for(fleet: Run) -> None:
    ((properties, _),) = fleet().asked("aws:autoscaling/group:Group")
    assert properties["waitForCapacityTimeout"] == "0"


def test_a_schedule_sets_sizes_in_its_time_zone_and_leaves_the_desired_capacity(fleet: Run) -> None:
    office = {"name": "office", "recurrence": "30 7 * * MON-FRI", "time_zone": "Asia/Shanghai"}
    made = fleet(
        schedules=[
            {**office, "min_size": 3, "max_size": 6},
            {**office, "name": "night", "min_size": 0, "max_size": 6, "desired_capacity": 0},
        ]
    )
    actions = made.account.client("autoscaling").describe_scheduled_actions()["ScheduledUpdateGroupActions"]
    assert [
        {
            key: action.get(key)
            for key in ("ScheduledActionName", "Recurrence", "TimeZone", "MinSize", "DesiredCapacity")
        }
        for action in actions
    ] == [
        {
            "ScheduledActionName": "ferry-prod-r1-office",
            "Recurrence": "30 7 * * MON-FRI",
            "TimeZone": "Asia/Shanghai",
            "MinSize": 3,
            "DesiredCapacity": None,
        },
        {
            "ScheduledActionName": "ferry-prod-r1-night",
            "Recurrence": "30 7 * * MON-FRI",
            "TimeZone": "Asia/Shanghai",
            "MinSize": 0,
            "DesiredCapacity": 0,
        },
    ]


def test_every_tag_reaches_the_nodes(fleet: Run) -> None:
    tags = {tag["Key"]: (tag["Value"], tag["PropagateAtLaunch"]) for tag in fleet().group["Tags"]}
    assert tags == {"owner": ("ml-platform", True), "Name": ("ferry-prod-r1", True)}


def test_a_group_counts_its_nodes_every_minute(fleet: Run) -> None:
    assert {metric["Metric"] for metric in fleet().group["EnabledMetrics"]} >= {
        "GroupDesiredCapacity",
        "GroupInServiceInstances",
    }


def test_reserved_capacity_is_spread_over_the_zones_and_listed_as_not_emulated(fleet: Run) -> None:
    made = fleet(capacity_reservation_count=4)
    reservations = [properties for properties, _ in made.asked("aws:ec2/capacityReservation:CapacityReservation")]
    assert [
        tuple(one[name] for name in ("availabilityZone", "instanceType", "instanceCount", "instanceMatchCriteria"))
        for one in reservations
    ] == [
        ("us-east-1a", "g5.xlarge", 2, "targeted"),
        ("us-east-1b", "g5.xlarge", 1, "targeted"),
        ("us-east-1c", "g5.xlarge", 1, "targeted"),
    ]
    ((group, _),) = made.asked("aws:autoscaling/group:Group")
    specification = group["capacityReservationSpecification"]
    assert specification["capacityReservationPreference"] == "capacity-reservations-first"
    assert len(set(specification["capacityReservationTarget"]["capacityReservationIds"])) == 3
    assert made.skipped() >= {"instanceCount", "availabilityZone", "capacityReservationSpecification"}


def test_what_moto_cannot_do_with_a_group_is_listed(fleet: Run) -> None:
    assert made_of(fleet()) == {
        "aws:autoscaling/group:Group": {"instanceRefresh", "waitForCapacityTimeout"},
        "aws:ec2/launchTemplate:LaunchTemplate": {"updateDefaultVersion"},
    }


def made_of(made: Any) -> dict[str, set[str]]:
    skipped: dict[str, set[str]] = {}
    for one in made.run.not_emulated:
        skipped.setdefault(one.resource.partition(" ")[0], set()).add(one.property)
    return skipped


def test_an_unhealthy_node_undoes_a_refresh(fleet: Run) -> None:
    made = fleet()
    alarm = made.alarm("rollback")
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == (
        "AWS/ApplicationELB",
        "UnHealthyHostCount",
        "Maximum",
    )
    assert {one["Name"]: one["Value"] for one in alarm["Dimensions"]} == {
        "LoadBalancer": "app/ferry/1234567890123456",
        "TargetGroup": made.given["target_group_arn_suffix"],
    }
    assert (alarm["ComparisonOperator"], alarm["Threshold"], alarm["Period"], alarm["EvaluationPeriods"]) == (
        "GreaterThanThreshold", 0, 60, 3,
    )  # fmt: skip


def test_arguments_that_aws_would_refuse_are_refused_before_anything_is_made(fleet: Run, account: Any) -> None:
    with pytest.raises(RehearsalError, match=r"spot_percentage 50, allowed with a warm pool is 0"):
        fleet(warm_pool={"min_size": 1}, spot_percentage=50)
    assert account.client("iam").list_roles()["Roles"] == []


@pytest.mark.parametrize(
    ("total", "parts", "spread"), [(0, 3, []), (1, 3, [1]), (3, 3, [1, 1, 1]), (5, 3, [2, 2, 1]), (4, 2, [2, 2])]
)
def test_reserved_instances_are_shared_out(total: int, parts: int, spread: list[int]) -> None:
    assert shares(total, parts) == spread


def test_a_group_is_mixed_with_several_types_or_any_spot() -> None:
    assert [
        is_mixed(settings()),
        is_mixed(settings(spot_percentage=1)),
        is_mixed(settings(instance_types=["g5.xlarge", "g6.xlarge"])),
    ] == [False, True, True]


def test_a_group_is_never_empty_when_no_schedule_empties_it() -> None:
    night = {"name": "night", "recurrence": "0 20 * * *", "time_zone": "Etc/UTC", "min_size": 0, "max_size": 4}
    assert [
        settings().never_empty,
        settings(min_size=0).never_empty,
        settings(schedules=[night]).never_empty,
        settings(schedules=[{**night, "min_size": 1}]).never_empty,
    ] == [True, False, False, True]
