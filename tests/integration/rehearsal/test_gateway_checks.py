"""Each check on gateway and alarms is proven: change the account behind the program's back, and it alone fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Change = Callable[[Any, Any], None]
"""Called with the account and the stack."""


def elbv2(account: Any) -> Any:
    return account.client("elbv2")


def listen_on_http(account: Any, stack: Any) -> None:
    elbv2(account).create_listener(
        LoadBalancerArn=stack.outputs["load_balancer_arn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}],
    )


def speak_tls_1_0(account: Any, stack: Any) -> None:
    elbv2(account).modify_listener(ListenerArn=stack.outputs["listener_arn"], SslPolicy="ELBSecurityPolicy-2016-08")


def show_another_certificate(account: Any, stack: Any) -> None:
    arn = account.client("acm").request_certificate(DomainName="elsewhere.example.com")["CertificateArn"]
    elbv2(account).modify_listener(
        ListenerArn=stack.outputs["listener_arn"], Certificates=[{"CertificateArn": arn}], Protocol="HTTPS"
    )


def send_everything_to_one_version(account: Any, stack: Any) -> None:
    arn = stack.outputs["target_group_arns"]["r1-14b"]
    elbv2(account).modify_listener(
        ListenerArn=stack.outputs["listener_arn"],
        DefaultActions=[
            {"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": arn, "Weight": 100}]}}
        ],
    )


def pin_a_version_to_the_other(account: Any, stack: Any) -> None:
    arns = stack.outputs["target_group_arns"]
    for rule in elbv2(account).describe_rules(ListenerArn=stack.outputs["listener_arn"])["Rules"]:
        if rule["Actions"][-1].get("TargetGroupArn") == arns["r1-14b-next"]:
            elbv2(account).modify_rule(
                RuleArn=rule["RuleArn"], Actions=[{"Type": "forward", "TargetGroupArn": arns["r1-14b"]}]
            )


def security_group(account: Any) -> str:
    (balancer,) = elbv2(account).describe_load_balancers()["LoadBalancers"]
    (group,) = balancer["SecurityGroups"]
    return str(group)


def permission(port: int) -> list[dict[str, Any]]:
    return [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


def let_everybody_in(account: Any, stack: Any) -> None:
    account.client("ec2").authorize_security_group_ingress(
        GroupId=security_group(account), IpPermissions=permission(443)
    )


def let_the_gateway_out(account: Any, stack: Any) -> None:
    account.client("ec2").authorize_security_group_egress(
        GroupId=security_group(account), IpPermissions=permission(8000)
    )


def move_to_the_private_subnets(account: Any, stack: Any) -> None:
    elbv2(account).set_subnets(
        LoadBalancerArn=stack.outputs["load_balancer_arn"], Subnets=stack.outputs["private_subnet_ids"]
    )


def attribute(key: str, value: str) -> Change:
    def change(account: Any, stack: Any) -> None:
        elbv2(account).modify_load_balancer_attributes(
            LoadBalancerArn=stack.outputs["load_balancer_arn"], Attributes=[{"Key": key, "Value": value}]
        )

    return change


def target_group_attribute(key: str, value: str) -> Change:
    def change(account: Any, stack: Any) -> None:
        elbv2(account).modify_target_group_attributes(
            TargetGroupArn=stack.outputs["target_group_arns"]["r1-14b-next"], Attributes=[{"Key": key, "Value": value}]
        )

    return change


def ask_for_health_elsewhere(account: Any, stack: Any) -> None:
    elbv2(account).modify_target_group(TargetGroupArn=stack.outputs["target_group_arns"]["r1-14b"], HealthCheckPath="/")


# ---- alarms, topic, budget -----------------------------------------------------------------------------------------


def topic_attribute(name: str, value: str) -> Change:
    def change(account: Any, stack: Any) -> None:
        account.client("sns").set_topic_attributes(
            TopicArn=stack.outputs["notification_topic_arn"], AttributeName=name, AttributeValue=value
        )

    return change


ANYBODY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Sid": "Open", "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sns:Publish"}],
    }
)


def unsubscribe(account: Any, stack: Any) -> None:
    sns = account.client("sns")
    topic = stack.outputs["notification_topic_arn"]
    for one in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]:
        sns.unsubscribe(SubscriptionArn=one["SubscriptionArn"])


def delete_alarms(part: str) -> Change:
    def change(account: Any, stack: Any) -> None:
        cloudwatch = account.client("cloudwatch")
        names = [alarm["AlarmName"] for alarm in cloudwatch.describe_alarms()["MetricAlarms"]]
        cloudwatch.delete_alarms(
            AlarmNames=[name for name in names if name.startswith("ferry-monitoring-") and part in name]
        )

    return change


def disable_the_spot_rule(account: Any, stack: Any) -> None:
    events = account.client("events")
    for rule in events.list_rules(NamePrefix="ferry-monitoring-spot")["Rules"]:
        events.disable_rule(Name=rule["Name"])


def delete_the_budget(account: Any, stack: Any) -> None:
    account.client("budgets").delete_budget(AccountId=account.account_id, BudgetName="ferry-staging-monthly")


def forget_the_forecast(account: Any, stack: Any) -> None:
    budgets = account.client("budgets")
    name = "ferry-staging-monthly"
    found = budgets.describe_notifications_for_budget(AccountId=account.account_id, BudgetName=name)
    for notification in found["Notifications"]:
        if notification["NotificationType"] == "FORECASTED":
            budgets.delete_notification(AccountId=account.account_id, BudgetName=name, Notification=notification)


def empty_the_dashboard(account: Any, stack: Any) -> None:
    account.client("cloudwatch").put_dashboard(
        DashboardName=stack.outputs["dashboard_name"], DashboardBody=json.dumps({"widgets": []})
    )


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (listen_on_http, "gateway listens on https only"),
        (speak_tls_1_0, "gateway speaks tls 1 2 and 1 3 only"),
        (show_another_certificate, "gateway shows the certificate of its domain"),
        (send_everything_to_one_version, "traffic goes by the weights of the stack"),
        (pin_a_version_to_the_other, "a header pins each version"),
        (let_everybody_in, "gateway admits only the addresses of the stack"),
        (let_the_gateway_out, "gateway reaches only its fleets"),
        (move_to_the_private_subnets, "gateway lies in the public subnets"),
        (attribute("access_logs.s3.enabled", "false"), "gateway writes access logs"),
        (attribute("access_logs.s3.prefix", "elsewhere"), "gateway writes access logs"),
        (attribute("idle_timeout.timeout_seconds", "60"), "gateway waits for long generations"),
        (
            attribute("routing.http.drop_invalid_header_fields.enabled", "false"),
            "gateway drops invalid headers",
        ),
        (attribute("deletion_protection.enabled", "false"), "gateway is protected from deletion"),
        (
            target_group_attribute("deregistration_delay.timeout_seconds", "0"),
            "a node finishes its generations before it goes",
        ),
        (
            target_group_attribute("load_balancing.algorithm.type", "round_robin"),
            "requests go to the node with the fewest",
        ),
        (ask_for_health_elsewhere, "only nodes that answer get requests"),
        (topic_attribute("KmsMasterKeyId", ""), "notifications are encrypted with a key of their own"),
        (topic_attribute("Policy", ANYBODY), "only services of this account notify"),
        (unsubscribe, "notifications reach the people of the stack"),
        (delete_alarms("latency-p99"), "slow answers raise an alarm"),
        (delete_alarms("answer-p99"), "slow answers raise an alarm"),
        (delete_alarms("r1-14b-next-error-rate"), "failed answers raise an alarm"),
        (delete_alarms("-monitoring-error-rate"), "failed answers raise an alarm"),
        (delete_alarms("unhealthy"), "nodes that do not answer raise an alarm"),
        (delete_alarms("queue"), "queues raise an alarm"),
        (delete_alarms("gpu-ecc"), "gpu faults raise an alarm"),
        (disable_the_spot_rule, "spot interruptions are announced"),
        (delete_the_budget, "the month has the budget of the stack"),
        (forget_the_forecast, "the month has the budget of the stack"),
        (empty_the_dashboard, "the dashboard shows each version"),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", "change"),
)
def test_a_change_of_the_account_makes_exactly_its_check_fail(
    own_rehearsed: Callable[[str], Any], failed_checks: Callable[[Any], list[str]], change: Change, check: str
) -> None:
    staging = own_rehearsed("staging")
    change(staging.account, staging.stack)
    assert failed_checks(staging) == [check]


WRITABLE = (
    *("AlarmName", "AlarmActions", "OKActions", "ActionsEnabled", "ComparisonOperator", "EvaluationPeriods"),
    *("DatapointsToAlarm", "Threshold", "TreatMissingData", "MetricName", "Namespace", "Dimensions", "Period"),
    *("Statistic", "ExtendedStatistic", "Metrics"),
)


@pytest.mark.parametrize(
    "changed",
    [
        {"Threshold": 99999.0},
        {"AlarmActions": []},
        {"ActionsEnabled": False},
        {"ComparisonOperator": "LessThanThreshold"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_alarms_that_were_changed_are_found(
    own_rehearsed: Callable[[str], Any], failed_checks: Callable[[Any], list[str]], changed: dict[str, Any]
) -> None:
    staging = own_rehearsed("staging")
    cloudwatch = staging.account.client("cloudwatch")
    for alarm in cloudwatch.describe_alarms()["MetricAlarms"]:
        if alarm["AlarmName"].startswith("ferry-monitoring-"):
            kept = {name: alarm[name] for name in WRITABLE if alarm.get(name) not in (None, [])}
            cloudwatch.put_metric_alarm(**kept | changed)
    assert failed_checks(staging) == [
        "failed answers raise an alarm",
        "gpu faults raise an alarm",
        "nodes that do not answer raise an alarm",
        "queues raise an alarm",
        "slow answers raise an alarm",
    ]


def test_a_spot_rule_where_no_fleet_uses_spot_is_found(
    own_rehearsed: Callable[[str], Any], failed_checks: Callable[[Any], list[str]]
) -> None:
    prod = own_rehearsed("prod")
    events = prod.account.client("events")
    pattern = json.dumps({"source": ["aws.ec2"], "detail-type": ["EC2 Spot Instance Interruption Warning"]})
    events.put_rule(Name="leftover", EventPattern=pattern)
    events.put_targets(Rule="leftover", Targets=[{"Id": "1", "Arn": prod.stack.outputs["notification_topic_arn"]}])
    assert failed_checks(prod) == ["spot interruptions are announced"]
