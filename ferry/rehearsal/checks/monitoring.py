"""What has to be true of the alarms, of the topic that they write to, and of the budget."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ferry.rehearsal.checks import Seen, Stack, check
from ferry.rehearsal.handlers import Account
from stacks.settings import ModelVersion
from templates import engine_metrics
from templates.engine_metrics import ENGINES

Alarm = Mapping[str, Any]

OWN = "-monitoring-"
"""How the alarms that tell people are named; those that scale a fleet watch some of the same metrics."""


@check
def notifications_are_encrypted_with_a_key_of_their_own(account: Account, stack: Stack) -> Iterator[Seen]:
    """A customer's key, because the one of AWS lets no service publish, and rotated."""
    topic = _topic(account, stack)
    found = "not encrypted"
    if key := topic.get("KmsMasterKeyId"):
        kms = account.client("kms")
        rotated = kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
        manager = kms.describe_key(KeyId=key)["KeyMetadata"]["KeyManager"]
        found = f"{manager} key, {'rotated' if rotated else 'not rotated'}"
    yield Seen(topic["TopicArn"], "CUSTOMER key, rotated", found)


@check
def only_services_of_this_account_notify(account: Account, stack: Stack) -> Iterator[Seen]:
    """Each permission to publish is one service's, and on behalf of this account."""
    topic = _topic(account, stack)
    for statement in json.loads(topic["Policy"])["Statement"]:
        if statement["Effect"] == "Allow":
            conditions = {
                key: value for operator in statement.get("Condition", {}).values() for key, value in operator.items()
            }
            source = conditions.get("aws:SourceArn", "").split(":")
            behalf = source[4] if len(source) > 4 else "anybody"
            by = "a service" if set(statement["Principal"]) == {"Service"} else "anybody"
            yield Seen(
                f"{topic['TopicArn']} {statement.get('Sid', '')}",
                f"a service for {account.account_id}",
                f"{by} for {behalf}",
            )


@check
def notifications_reach_the_people_of_the_stack(account: Account, stack: Stack) -> Iterator[Seen]:
    """E-mail subscriptions of the topic."""
    arn = stack.outputs["notification_topic_arn"]
    pages = account.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn)
    found = sorted(one["Endpoint"] for page in pages for one in page["Subscriptions"] if one["Protocol"] == "email")
    expected = sorted(stack.settings.monitoring.notification_emails)
    yield Seen(arn, " ".join(expected) or "nobody", " ".join(found) or "nobody")


@check
def slow_answers_raise_an_alarm(account: Account, stack: Stack) -> Iterator[Seen]:
    """P99 of the time to the first byte at the gateway, and of whole answers at the engines, for each version."""
    seconds, alarms = f"{stack.settings.monitoring.latency_p99_seconds:g}", _alarms(account)
    for version in stack.settings.model_versions:
        targets, nodes = _targets(stack, version), _nodes(stack, version)
        yield _seen(alarms, stack, version.name, "TargetResponseTime", targets, f"p99 > {seconds}")
        yield _seen(alarms, stack, version.name, engine_metrics.LATENCY_P99_SECONDS, nodes, f"Maximum > {seconds}")


@check
def failed_answers_raise_an_alarm(account: Account, stack: Stack) -> Iterator[Seen]:
    """Share of 5xx answers, for each version, and for the gateway with the answers that it gives itself."""
    expected, alarms = f"rate > {stack.settings.monitoring.error_rate_percent:g}", _alarms(account)
    yield _seen(alarms, stack, "gateway", "HTTPCode_ELB_5XX_Count", _gateway(stack), expected)
    for version in stack.settings.model_versions:
        yield _seen(alarms, stack, version.name, "HTTPCode_Target_5XX_Count", _targets(stack, version), expected)


@check
def nodes_that_do_not_answer_raise_an_alarm(account: Account, stack: Stack) -> Iterator[Seen]:
    """Unhealthy targets of each version."""
    alarms = _alarms(account)
    for version in stack.settings.model_versions:
        yield _seen(alarms, stack, version.name, "UnHealthyHostCount", _targets(stack, version), "Maximum > 0")


@check
def queues_raise_an_alarm(account: Account, stack: Stack) -> Iterator[Seen]:
    """Waiting requests, averaged over the nodes that report, for each version."""
    expected, alarms = f"Average > {stack.settings.monitoring.queue_per_instance}", _alarms(account)
    for version in stack.settings.model_versions:
        waiting = ENGINES[version.engine.name].waiting
        yield _seen(alarms, stack, version.name, waiting, _nodes(stack, version), expected)


@check
def gpu_faults_raise_an_alarm(account: Account, stack: Stack) -> Iterator[Seen]:
    """Xid and ECC errors of each version's nodes."""
    alarms = _alarms(account)
    for version in stack.settings.model_versions:
        for metric in (engine_metrics.GPU_XID_ERRORS, engine_metrics.GPU_ECC_ERRORS):
            yield _seen(alarms, stack, version.name, metric, _nodes(stack, version), "Maximum > 0")


@check
def spot_interruptions_are_announced(account: Account, stack: Stack) -> Iterator[Seen]:
    """An enabled rule leads from EC2's warning to the topic, where a fleet uses spot."""
    uses_spot = any(version.fleet.spot_percentage for version in stack.settings.model_versions)
    events = account.client("events")
    targets = [
        target["Arn"]
        for page in events.get_paginator("list_rules").paginate()
        for rule in page["Rules"]
        if rule["State"] == "ENABLED" and "EC2 Spot Instance Interruption Warning" in rule.get("EventPattern", "")
        for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    ]
    yield Seen(
        "EC2 Spot Instance Interruption Warning",
        stack.outputs["notification_topic_arn"] if uses_spot else "no rule",
        " ".join(targets) or "no rule",
    )


@check
def the_month_has_the_budget_of_the_stack(account: Account, stack: Stack) -> Iterator[Seen]:
    """Amount, currency, and a notice of the forecast before the money is spent."""
    monitoring, budgets = stack.settings.monitoring, account.client("budgets")
    name = f"ferry-{stack.settings.environment}-monthly"
    expected = "no budget"
    if monitoring.monthly_budget_cny is not None:
        expected = f"{monitoring.monthly_budget_cny} CNY, forecast above 100 %"
    elif monitoring.monthly_budget_usd is not None:
        expected = f"{monitoring.monthly_budget_usd} USD, forecast above 100 %"
    found = "no budget"
    for budget in budgets.describe_budgets(AccountId=account.account_id)["Budgets"]:
        if budget["BudgetName"] == name:
            notices = budgets.describe_notifications_for_budget(AccountId=account.account_id, BudgetName=name)
            forecast = [
                f"{one['Threshold']:g} %" for one in notices["Notifications"] if one["NotificationType"] == "FORECASTED"
            ]
            limit = budget["BudgetLimit"]
            found = f"{limit['Amount']} {limit['Unit']}, forecast above {', '.join(forecast) or 'nothing'}"
    yield Seen(name, expected, found)


@check
def the_dashboard_shows_each_version(account: Account, stack: Stack) -> Iterator[Seen]:
    """Its traffic and its nodes."""
    name = stack.outputs["dashboard_name"]
    body = account.client("cloudwatch").get_dashboard(DashboardName=name)["DashboardBody"]
    shown = {
        value
        for widget in json.loads(body)["widgets"]
        for metric in widget["properties"]["metrics"]
        for value in metric
        if isinstance(value, str)
    }
    for version in stack.settings.model_versions:
        for value in (*_targets(stack, version).values(), *_nodes(stack, version).values()):
            yield Seen(f"{name} {value}", "shown", "shown" if value in shown else "not shown")


def _seen(
    alarms: list[Alarm], stack: Stack, watched: str, metric: str, dimensions: Mapping[str, str], condition: str
) -> Seen:
    """The alarms on a metric with exactly these dimensions: on what condition they tell whom."""
    found = [
        f"{_statistic(alarm)} {_comparison(alarm)} {alarm['Threshold']:g}, tells {_told(alarm)}"
        for alarm in alarms
        if (metric, dimensions) in _watched(alarm)
    ]
    expected = f"{condition}, tells {stack.outputs['notification_topic_arn']}"
    return Seen(f"{watched} {metric}", expected, "; ".join(found) or "no alarm")


def _alarms(account: Account) -> list[Alarm]:
    pages = account.client("cloudwatch").get_paginator("describe_alarms").paginate()
    return [alarm for page in pages for alarm in page["MetricAlarms"] if OWN in alarm["AlarmName"]]


def _watched(alarm: Alarm) -> list[tuple[str, dict[str, str]]]:
    """Metric and dimensions: one pair, or one for each metric of an expression."""
    metrics = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query] or [alarm]
    return [
        (metric["MetricName"], {one["Name"]: one["Value"] for one in metric["Dimensions"]})
        for metric in metrics
        if "MetricName" in metric
    ]


def _statistic(alarm: Alarm) -> str:
    answer = [query["Id"] for query in alarm.get("Metrics", []) if query.get("ReturnData")]
    return str(alarm.get("Statistic") or alarm.get("ExtendedStatistic") or " ".join(answer))


def _comparison(alarm: Alarm) -> str:
    operator = alarm["ComparisonOperator"]
    return ">" if operator == "GreaterThanThreshold" else str(operator)


def _told(alarm: Alarm) -> str:
    return " ".join(alarm["AlarmActions"]) if alarm["ActionsEnabled"] and alarm["AlarmActions"] else "nobody"


def _topic(account: Account, stack: Stack) -> Any:
    arn = stack.outputs["notification_topic_arn"]
    return account.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]


def _gateway(stack: Stack) -> dict[str, str]:
    return {"LoadBalancer": stack.outputs["load_balancer_arn"].partition(":loadbalancer/")[2]}


def _targets(stack: Stack, version: ModelVersion) -> dict[str, str]:
    return _gateway(stack) | {"TargetGroup": stack.outputs["target_group_arns"][version.name].rpartition(":")[2]}


def _nodes(stack: Stack, version: ModelVersion) -> dict[str, str]:
    return {engine_metrics.DIMENSION: stack.outputs["group_names"][version.name]}
