"""What has to be true of scaling on load: the numbers, the metrics, and that nodes send what the alarms read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from ferry.rehearsal.checks import Seen, Stack, check
from ferry.rehearsal.checks.failover import ASKED_IN_VAIN
from ferry.rehearsal.checks.inference_fleet import agent_config, boot_files, groups, seen
from ferry.rehearsal.handlers import Account
from templates.engine_metrics import DIMENSION, ENGINES, NAMESPACE


@check
def fleets_scale_by_the_numbers_of_the_stack(account: Account, stack: Stack) -> Iterator[Seen]:
    """Each policy with the alarm that runs it: threshold, how long, how many nodes, and their warm-up."""
    for version, group in groups(account, stack):
        scaling = version.fleet.scaling
        period, warm_up = f"{scaling.period_seconds} s", f"warm-up {scaling.warmup_seconds} s"
        expected = [
            f"GreaterThanThreshold {scaling.scale_out_above:g} in {scaling.scale_out_datapoints} of "
            f"{scaling.scale_out_datapoints} x {period}: ChangeInCapacity {scaling.scale_out_add:+d} (0 to open), "
            f"{warm_up}",
            f"LessThanThreshold {scaling.scale_in_below:g} in {scaling.scale_in_datapoints} of "
            f"{scaling.scale_in_datapoints} x {period}: ChangeInCapacity {-scaling.scale_in_remove:+d} (open to 0), "
            f"{warm_up}",
        ]
        found = [f"{_condition(alarm)}: {_steps(policy)}" for policy, alarm in _scaling(account, group)]
        yield seen(group, "; ".join(sorted(expected)), "; ".join(sorted(found)) or "none")


def _condition(alarm: Mapping[str, Any]) -> str:
    periods = sorted({metric["Period"] for metric in _metrics(alarm)})
    return (
        f"{alarm['ComparisonOperator']} {alarm['Threshold']:g} in {alarm.get('DatapointsToAlarm')} of "
        f"{alarm['EvaluationPeriods']} x {', '.join(map(str, periods))} s"
    )


def _steps(policy: Mapping[str, Any]) -> str:
    steps = [
        f"{step['ScalingAdjustment']:+d} ({_bound(step, 'Lower')} to {_bound(step, 'Upper')})"
        for step in policy["StepAdjustments"]
    ]
    return f"{policy['AdjustmentType']} {', '.join(steps)}, warm-up {policy['EstimatedInstanceWarmup']} s"


def _bound(step: Mapping[str, Any], side: str) -> str:
    bound = step.get(f"MetricInterval{side}Bound")
    return "open" if bound is None else f"{bound:g}"


@check
def fleets_scale_on_the_load_of_their_own_nodes(account: Account, stack: Stack) -> Iterator[Seen]:
    """What the scaling alarms watch: running and waiting requests per node over the engine's batch limit."""
    for version, group in groups(account, stack):
        names, own = ENGINES[version.engine.name], f"{{{DIMENSION}={group['AutoScalingGroupName']}}}"
        expected = (
            f"load = (running + waiting) / {version.engine.max_sequences}, "
            f"running = Average {NAMESPACE} {names.running} {own}, "
            f"waiting = Average {NAMESPACE} {names.waiting} {own}, no data notBreaching"
        )
        for _, alarm in _scaling(account, group):
            yield Seen(alarm["AlarmName"], expected, _watched(alarm))


def _watched(alarm: Mapping[str, Any]) -> str:
    queries = alarm.get("Metrics", [])
    math = [f"{query['Id']} = {query['Expression']}" for query in queries if query.get("ReturnData")]
    metrics = [
        f"{query['Id']} = {query['MetricStat']['Stat']} {_metric(query['MetricStat']['Metric'])}"
        for query in queries
        if "MetricStat" in query
    ]
    return ", ".join([*math, *metrics, f"no data {alarm.get('TreatMissingData', 'missing')}"])


def _metrics(alarm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [query["MetricStat"] for query in alarm.get("Metrics", []) if "MetricStat" in query]


def _metric(metric: Mapping[str, Any]) -> str:
    dimensions = ", ".join(f"{one['Name']}={one['Value']}" for one in metric["Dimensions"])
    return f"{metric['Namespace']} {metric['MetricName']} {{{dimensions}}}"


@check
def a_fleet_that_reports_nothing_raises_an_alarm(account: Account, stack: Stack) -> Iterator[Seen]:
    """Where there should always be a node: without data a fleet does not scale, so somebody has to be told."""
    for version, group in groups(account, stack):
        name, topic = group["AutoScalingGroupName"], stack.outputs["notification_topic_arn"]
        fleet = version.fleet
        has_nodes = fleet.min_size > 0 and all(schedule.min_size > 0 for schedule in fleet.schedules)
        found = [
            f"{alarm['Statistic']} {alarm['ComparisonOperator']} {alarm['Threshold']:g}, no data "
            f"{alarm['TreatMissingData']}, tells {' '.join(alarm['AlarmActions'])}"
            for alarm in _alarms(account)
            if alarm.get("MetricName") == ENGINES[version.engine.name].running
            and {"Name": DIMENSION, "Value": name} in alarm["Dimensions"]
        ]
        expected = f"SampleCount LessThanThreshold 1, no data breaching, tells {topic}"
        yield seen(group, expected if has_nodes else "none", "; ".join(found) or "none")


@check
def nodes_send_the_metrics_that_scale_their_fleet(account: Account, stack: Stack) -> Iterator[Seen]:
    """The agent's configuration in the user data, against namespace, names and dimensions in the scaling alarms."""
    for _, group in groups(account, stack):
        emitted = _emitted(account, group)
        for _, alarm in _scaling(account, group):
            for metric in (statistic["Metric"] for statistic in _metrics(alarm)):
                matches = any(
                    namespace == metric["Namespace"]
                    and dimensions == {one["Name"]: one["Value"] for one in metric["Dimensions"]}
                    and re.search(selector, metric["MetricName"])
                    for namespace, dimensions, selector in emitted
                )
                yield Seen(f"{alarm['AlarmName']} {_metric(metric)}", "sent", "sent" if matches else "not sent")


def _emitted(account: Account, group: Mapping[str, Any]) -> list[tuple[str, dict[str, str], str]]:
    """Namespace, dimensions and name pattern of what a node's agent makes metrics of."""
    prometheus = agent_config(account, group)["metrics_collected"]["prometheus"]
    processor = prometheus["emf_processor"]
    scrapes = yaml.safe_load(boot_files(account, group)[prometheus["prometheus_config_path"]])
    return [
        (processor["metric_namespace"], {name: _labels(job)[name] for name in dimensions}, selector)
        for declaration in processor["metric_declaration"]
        for job in scrapes["scrape_configs"]
        if re.search(declaration["label_matcher"], job["job_name"])
        for dimensions in declaration["dimensions"]
        if set(dimensions) <= _labels(job).keys()
        for selector in declaration["metric_selectors"]
    ]


def _labels(job: Mapping[str, Any]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for target in job["static_configs"]:
        labels |= target["labels"]
    return labels


def _scaling(account: Account, group: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Each scaling policy of a group with each alarm that runs it, but for what starts an empty second region."""
    policies = account.client("autoscaling").describe_policies(AutoScalingGroupName=group["AutoScalingGroupName"])
    for policy in policies["ScalingPolicies"]:
        for alarm in _alarms(account):
            if alarm.get("MetricName") == ASKED_IN_VAIN:
                continue
            if alarm["ActionsEnabled"] and policy["PolicyARN"] in alarm["AlarmActions"]:
                yield policy, alarm


def _alarms(account: Account) -> list[Mapping[str, Any]]:
    pages = account.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmTypes=["MetricAlarm"])
    return [alarm for page in pages for alarm in page["MetricAlarms"]]
