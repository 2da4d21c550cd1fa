"""What has to be true of a second region beyond what holds in each: who answers when, and what starts it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ferry.rehearsal.checks import Seen, Stack, check
from ferry.rehearsal.handlers import Account

NONE = "no second region"
ASKED_IN_VAIN = "HTTPCode_ELB_503_Count"
"""Requests that a load balancer answers itself, since no node is there."""


@check
def the_second_region_answers_when_the_first_is_lost(account: Account, stack: Stack) -> Iterator[Seen]:
    """The records of the load balancer's name: where they lead, and on what condition."""
    if stack.settings.failover is None:
        yield _none(stack)
        return
    first, second = stack.outputs["gateway_dns_name"], stack.outputs["failover"]["gateway_dns_name"]
    name = stack.settings.gateway.domain_name
    found = [
        f"{record.get('Failover', 'always')} {record['AliasTarget']['DNSName'].rstrip('.')}"
        f"{' while healthy' if record.get('HealthCheckId') else ''}"
        f"{' by its targets' if record['AliasTarget']['EvaluateTargetHealth'] else ''}"
        for record in _records(account, stack)
    ]
    yield Seen(name, f"PRIMARY {first} while healthy; SECONDARY {second}", "; ".join(sorted(found)) or "no record")


@check
def the_first_region_is_lost_when_no_version_has_a_healthy_node(account: Account, stack: Stack) -> Iterator[Seen]:
    """The health check of the first record: on which alarms it rests, and what it makes of silence."""
    if stack.settings.failover is None:
        yield _none(stack)
        return
    balancer = stack.outputs["load_balancer_arn"].partition(":loadbalancer/")[2]
    awake = [one.name for one in stack.settings.model_versions if one.weight and one.fleet.never_empty]
    targets = sorted(stack.outputs["target_group_arns"][version].rpartition(":")[2] for version in awake)
    expected = [
        f"HealthyHostCount of {balancer} {target} Maximum LessThanThreshold 1 in 2 of 2 x 60 s, no data breaching, "
        "unknown Unhealthy"
        for target in targets
    ]
    for record in _records(account, stack):
        if id_ := record.get("HealthCheckId"):
            config = _health_check(account, id_)
            found = sorted(_condition(account, _health_check(account, each)) for each in config["ChildHealthChecks"])
            yield Seen(
                f"health check {id_}",
                f"CALCULATED 1 of {'; '.join(expected)}",
                f"{config['Type']} {config.get('HealthThreshold')} of {'; '.join(found)}",
            )


@check
def a_second_region_without_nodes_starts_them_when_it_is_asked(account: Account, stack: Stack) -> Iterator[Seen]:
    """By an alarm of its own on requests without a node: by how many nodes, for each version with traffic."""
    if (elsewhere := stack.elsewhere) is None or stack.settings.failover is None:
        yield _none(stack)
        return
    region, asleep = elsewhere.settings.region, stack.settings.failover.min_size == 0
    balancer = elsewhere.outputs["load_balancer_arn"].partition(":loadbalancer/")[2]
    alarms = [
        alarm
        for page in account.client("cloudwatch", region).get_paginator("describe_alarms").paginate()
        for alarm in page["MetricAlarms"]
        if alarm.get("MetricName") == ASKED_IN_VAIN
        and alarm["ActionsEnabled"]
        and {"Name": "LoadBalancer", "Value": balancer} in alarm["Dimensions"]
    ]
    for version in stack.settings.model_versions:
        group = elsewhere.outputs["group_names"][version.name]
        policies = account.client("autoscaling", region).describe_policies(AutoScalingGroupName=group)
        found = [
            f"{alarm['Statistic']} {alarm['ComparisonOperator']} {alarm['Threshold']:g} in "
            f"{alarm['EvaluationPeriods']} x {alarm['Period']} s: {policy['AdjustmentType']} "
            f"{' '.join(format(step['ScalingAdjustment'], '+d') for step in policy['StepAdjustments'])}"
            for policy in policies["ScalingPolicies"]
            for alarm in alarms
            if policy["PolicyARN"] in alarm["AlarmActions"]
        ]
        wakes = f"Sum GreaterThanThreshold 0 in 1 x 60 s: ChangeInCapacity {max(1, version.fleet.min_size):+d}"
        yield Seen(group, wakes if asleep and version.weight else "nothing", "; ".join(found) or "nothing")


def _none(stack: Stack) -> Seen:
    return Seen("the stack", NONE, str(stack.outputs.get("failover", NONE)))


def _records(account: Account, stack: Stack) -> list[Mapping[str, Any]]:
    """Those of the load balancer's name."""
    zone_id, name = stack.outputs["failover"]["zone_id"], stack.settings.gateway.domain_name
    found = account.client("route53").list_resource_record_sets(HostedZoneId=zone_id)["ResourceRecordSets"]
    return [one for one in found if one["Name"].rstrip(".") == name and one["Type"] == "A"]


def _health_check(account: Account, id_: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = account.client("route53").get_health_check(HealthCheckId=id_)["HealthCheck"]
    config: Mapping[str, Any] = found["HealthCheckConfig"]
    return config


def _condition(account: Account, config: Mapping[str, Any]) -> str:
    alarm = config["AlarmIdentifier"]
    found = account.client("cloudwatch", alarm["Region"]).describe_alarms(AlarmNames=[alarm["Name"]])["MetricAlarms"]
    return "; ".join(
        f"{one['MetricName']} of {' '.join(sorted(each['Value'] for each in one['Dimensions']))} {one['Statistic']} "
        f"{one['ComparisonOperator']} {one['Threshold']:g} in {one['DatapointsToAlarm']} of {one['EvaluationPeriods']} "
        f"x {one['Period']} s, no data {one['TreatMissingData']}, unknown {config['InsufficientDataHealthStatus']}"
        for one in found
    )
