"""The production stack with its second region: each check fails where it should, and no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Rehearsed

HERE, THERE, NAME = "us-east-1", "us-west-2", "llm.example.com"
ANSWERS = "the second region answers when the first is lost"
LOST = "the first region is lost when no version has a healthy node"
WAKES = "a second region without nodes starts them when it is asked"


def second(of: Rehearsed, output: str) -> Any:
    return of.stack.outputs["failover"][output]


def records(of: Rehearsed) -> list[dict[str, Any]]:
    found = of.account.client("route53").list_resource_record_sets(HostedZoneId=second(of, "zone_id"))
    return [one for one in found["ResourceRecordSets"] if one["Name"].rstrip(".") == NAME and one["Type"] == "A"]


def record_changed(role: str, **changes: Any) -> Callable[[Rehearsed], None]:
    def make(of: Rehearsed) -> None:
        (record,) = (one for one in records(of) if one["Failover"] == role)
        change = {"Action": "UPSERT", "ResourceRecordSet": {**record, **changes}}
        of.account.client("route53").change_resource_record_sets(
            HostedZoneId=second(of, "zone_id"), ChangeBatch={"Changes": [change]}
        )

    return make


def record_deleted(of: Rehearsed) -> None:
    (record,) = (one for one in records(of) if one["Failover"] == "SECONDARY")
    of.account.client("route53").change_resource_record_sets(
        HostedZoneId=second(of, "zone_id"),
        ChangeBatch={"Changes": [{"Action": "DELETE", "ResourceRecordSet": record}]},
    )


def alarm_deleted(name: str, region: str) -> Callable[[Rehearsed], None]:
    def make(of: Rehearsed) -> None:
        cloudwatch = of.account.client("cloudwatch", region)
        names = [one["AlarmName"] for one in cloudwatch.describe_alarms(AlarmNamePrefix=name)["MetricAlarms"]]
        assert len(names) == 1
        cloudwatch.delete_alarms(AlarmNames=names)

    return make


def silence_taken_for_health(of: Rehearsed) -> None:
    route53 = of.account.client("route53")
    (child,) = (
        check["Id"]
        for check in route53.list_health_checks()["HealthChecks"]
        if check["HealthCheckConfig"]["Type"] == "CLOUDWATCH_METRIC"
    )
    route53.update_health_check(HealthCheckId=child, InsufficientDataHealthStatus="Healthy")


def group_emptied_for_good(of: Rehearsed) -> None:
    client, group = of.account.client("autoscaling", THERE), second(of, "group_names")["r1-32b"]
    client.update_auto_scaling_group(AutoScalingGroupName=group, MaxSize=1)


def listener_without_tls(of: Rehearsed) -> None:
    target = second(of, "target_group_arns")["r1-32b"]
    of.account.client("elbv2", THERE).create_listener(
        LoadBalancerArn=second(of, "load_balancer_arn"),
        Port=80,
        Protocol="HTTP",
        DefaultActions=[{"Type": "forward", "TargetGroupArn": target}],
    )


def wakes_by_one_node(of: Rehearsed) -> None:
    client, group = of.account.client("autoscaling", THERE), second(of, "group_names")["r1-32b"]
    (policy,) = (
        one
        for one in client.describe_policies(AutoScalingGroupName=group)["ScalingPolicies"]
        if one["EstimatedInstanceWarmup"] == 1800
    )
    client.put_scaling_policy(
        AutoScalingGroupName=group,
        PolicyName=policy["PolicyName"],
        PolicyType="StepScaling",
        AdjustmentType="ChangeInCapacity",
        EstimatedInstanceWarmup=1800,
        StepAdjustments=[{"ScalingAdjustment": 1, "MetricIntervalLowerBound": 0}],
    )


OTHER_ALIAS = {"HostedZoneId": "Z26RNL4JYFTOTI", "DNSName": "elsewhere.example.com", "EvaluateTargetHealth": False}

MUTATIONS: dict[str, tuple[Callable[[Rehearsed], None], str]] = {
    "no way to the second region": (record_deleted, ANSWERS),
    "a record that leads elsewhere": (record_changed("SECONDARY", AliasTarget=OTHER_ALIAS), ANSWERS),
    "silence that counts as health": (silence_taken_for_health, LOST),
    "no alarm on the first region's nodes": (alarm_deleted("ferry-failover-r1-32b-lost", HERE), LOST),
    "a fleet that cannot grow": (group_emptied_for_good, f"fleets have the sizes of the stack, in {THERE}"),
    "a listener without TLS": (listener_without_tls, f"gateway listens on https only, in {THERE}"),
    "no alarm that tells of unhealthy nodes": (
        alarm_deleted("ferry-failover-monitoring-r1-32b-unhealthy", THERE),
        f"nodes that do not answer raise an alarm, in {THERE}",
    ),
}


@pytest.mark.parametrize(("mutation", "check"), MUTATIONS.values(), ids=MUTATIONS)
def test_exactly_the_check_that_is_about_it_fails(
    own_rehearsed: Any, failed_checks: Any, mutation: Callable[[Rehearsed], None], check: str
) -> None:
    prod = own_rehearsed("prod")
    mutation(prod)
    assert failed_checks(prod) == [check]


ASLEEP: dict[str, Callable[[Rehearsed], None]] = {
    "nothing that wakes": alarm_deleted("ferry-failover-wake", THERE),
    "a single node that wakes": wakes_by_one_node,
}


@pytest.mark.parametrize("mutation", ASLEEP.values(), ids=ASLEEP)
def test_a_second_region_that_sleeps_has_to_be_woken(
    own: Rehearsed, failed_checks: Any, mutation: Callable[[Rehearsed], None]
) -> None:
    mutation(own)
    assert failed_checks(own) == [WAKES]


def test_what_is_in_the_second_region_is_there_and_nowhere_else(rehearsed: Any) -> None:
    prod = rehearsed("prod")
    groups = {
        region: [
            (group["AutoScalingGroupName"], group["MinSize"], group["MaxSize"], group["AvailabilityZones"])
            for group in prod.account.client("autoscaling", region).describe_auto_scaling_groups()["AutoScalingGroups"]
        ]
        for region in (HERE, THERE)
    }
    assert groups == {
        HERE: [
            ("ferry-prod-gateway-tier", 2, 4, ["us-east-1a", "us-east-1b", "us-east-1c"]),
            ("ferry-prod-r1-32b", 3, 12, ["us-east-1a", "us-east-1b", "us-east-1c"]),
        ],
        THERE: [("ferry-prod-r1-32b", 1, 12, ["us-west-2a", "us-west-2b"])],
    }
    keys = [second(prod, name).split(":")[3] for name in ("model_key_arn", "load_balancer_arn", "listener_arn")]
    assert (keys, second(prod, "model_bucket")) == ([THERE] * 3, prod.stack.outputs["model_replica_bucket"])


def test_dashboard_and_budget_are_the_accounts_and_come_once(rehearsed: Any) -> None:
    resources = rehearsed("prod").served.rehearsal.resources
    assert (resources["aws:cloudwatch/dashboard:Dashboard"], resources["aws:budgets/budget:Budget"]) == (1, 1)


def test_nothing_of_failover_is_left_unemulated(rehearsed: Any) -> None:
    told = rehearsed("prod").served.rehearsal.not_emulated
    assert [one for one in told if one.resource.startswith("aws:route53/")] == []
