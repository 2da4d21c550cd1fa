"""Monitoring: what is watched, when somebody is told, and what the month may cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from components import dashboard
from components.identity import Identity
from stacks.settings import ModelVersion, MonitoringSettings
from templates import engine_metrics
from templates.engine_metrics import ENGINES

GATEWAY = "AWS/ApplicationELB"


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs:
    """Arguments of `Monitoring`."""

    identity: Identity
    environment: str
    monitoring: MonitoringSettings
    versions: Sequence[ModelVersion]
    load_balancer_arn_suffix: pulumi.Input[str]
    target_group_arn_suffixes: Mapping[str, pulumi.Input[str]]
    """By version name."""
    group_names: Mapping[str, pulumi.Input[str]]
    """Auto-scaling group by version name."""
    topic_arn: pulumi.Input[str]
    is_first_region: bool = True
    """Dashboard and budget are the account's, and not a region's: they come with the first one."""
    tags: Mapping[str, str]


class Monitoring(pulumi.ComponentResource):
    """A dashboard, alarms for each model version and for the gateway, spot interruptions, and a monthly budget.

    The alarms on load, which scale, belong to the fleets; those on the trail to the audit archive.
    """

    dashboard_name: pulumi.Output[str] | None

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ferry:components:Monitoring", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)

        self._make_gateway_alarm()
        for version in args.versions:
            self._make_traffic_alarms(version)
            self._make_node_alarms(version)
        if any(version.fleet.spot_percentage for version in args.versions):
            self._make_spot_notice()
        self.dashboard_name = None
        if args.is_first_region:
            self._make_budget()
            self.dashboard_name = self._make_dashboard().dashboard_name
        self.register_outputs({"dashboard_name": self.dashboard_name})

    def _make_gateway_alarm(self) -> None:
        balancer = {"LoadBalancer": self._args.load_balancer_arn_suffix}
        self._alarm(
            "error-rate",
            f"More than {self._args.monitoring.error_rate_percent:g} % of the gateway's answers are 5xx",
            threshold=self._args.monitoring.error_rate_percent,
            metric_queries=[
                _query("engine", "HTTPCode_Target_5XX_Count", balancer),
                _query("gateway", "HTTPCode_ELB_5XX_Count", balancer),
                _query("requests", "RequestCount", balancer),
                *_rate("FILL(engine, 0) + FILL(gateway, 0)"),
            ],
        )

    def _make_traffic_alarms(self, version: ModelVersion) -> None:
        monitoring = self._args.monitoring
        target = {
            "LoadBalancer": self._args.load_balancer_arn_suffix,
            "TargetGroup": self._args.target_group_arn_suffixes[version.name],
        }
        self._alarm(
            f"{version.name}-latency-p99",
            f"{version.name}: P99 of the time to the first byte of an answer is above "
            f"{monitoring.latency_p99_seconds:g} s",
            threshold=monitoring.latency_p99_seconds,
            namespace=GATEWAY,
            metric_name="TargetResponseTime",
            dimensions=target,
            extended_statistic="p99",
            # `ignore` would wait for 1000 requests a minute; a model that answers in seconds rarely gets them.
            evaluate_low_sample_count_percentiles="evaluate",
            period=60,
        )
        self._alarm(
            f"{version.name}-error-rate",
            f"{version.name}: more than {monitoring.error_rate_percent:g} % of the engine's answers are 5xx",
            threshold=monitoring.error_rate_percent,
            metric_queries=[
                _query("engine", "HTTPCode_Target_5XX_Count", target),
                _query("requests", "RequestCount", target),
                *_rate("FILL(engine, 0)"),
            ],
        )
        self._alarm(
            f"{version.name}-unhealthy",
            f"{version.name}: a node in service does not answer /health",
            threshold=0,
            namespace=GATEWAY,
            metric_name="UnHealthyHostCount",
            dimensions=target,
            statistic="Maximum",
            period=60,
        )

    def _make_node_alarms(self, version: ModelVersion) -> None:
        waiting, seconds = self._args.monitoring.queue_per_instance, self._args.monitoring.latency_p99_seconds
        group = {engine_metrics.DIMENSION: self._args.group_names[version.name]}
        self._alarm(
            f"{version.name}-queue",
            f"{version.name}: more than {waiting} requests wait on a node, averaged over the nodes",
            threshold=waiting,
            namespace=engine_metrics.NAMESPACE,
            metric_name=ENGINES[version.engine.name].waiting,
            dimensions=group,
            statistic="Average",
            period=60,
        )
        # The gateway's clock stops at the first byte of a streamed answer; only the engine knows when it ended.
        self._alarm(
            f"{version.name}-answer-p99",
            f"{version.name}: P99 of whole answers is above {seconds:g} s on a node",
            threshold=seconds,
            namespace=engine_metrics.NAMESPACE,
            metric_name=engine_metrics.LATENCY_P99_SECONDS,
            dimensions=group,
            statistic="Maximum",
            period=60,
        )
        for what, metric in (("xid", engine_metrics.GPU_XID_ERRORS), ("ecc", engine_metrics.GPU_ECC_ERRORS)):
            self._alarm(
                f"{version.name}-gpu-{what}",
                f"{version.name}: a GPU reports {what.upper()} errors; replace the node",
                threshold=0,
                namespace=engine_metrics.NAMESPACE,
                metric_name=metric,
                dimensions=group,
                # The counters only grow while a node lives, so one value is proof.
                statistic="Maximum",
                period=60,
                evaluation_periods=1,
                datapoints_to_alarm=1,
            )

    def _alarm(
        self,
        what: str,
        description: str,
        *,
        evaluation_periods: int = 5,
        datapoints_to_alarm: int = 3,
        **condition: Any,
    ) -> None:
        aws.cloudwatch.MetricAlarm(
            f"{self._name}-{what}",
            alarm_description=description,
            comparison_operator="GreaterThanThreshold",
            evaluation_periods=evaluation_periods,
            datapoints_to_alarm=datapoints_to_alarm,
            # A fleet at rest has no traffic, and one scaled to zero no nodes: neither is a fault.
            treat_missing_data="notBreaching",
            alarm_actions=[self._args.topic_arn],
            ok_actions=[self._args.topic_arn],
            tags=self._tags(what),
            opts=self._child,
            **condition,
        )

    def _make_spot_notice(self) -> None:
        # The event names an instance, not its group, so the rule takes all spot instances of the account and region.
        rule = aws.cloudwatch.EventRule(
            f"{self._name}-spot-interruption",
            description="AWS takes a spot instance back in two minutes",
            event_pattern=json.dumps(
                {"source": ["aws.ec2"], "detail-type": ["EC2 Spot Instance Interruption Warning"]}
            ),
            tags=self._tags("spot-interruption"),
            opts=self._child,
        )
        aws.cloudwatch.EventTarget(
            f"{self._name}-spot-interruption", rule=rule.name, arn=self._args.topic_arn, opts=self._child
        )

    def _make_budget(self) -> None:
        limit = monthly_limit(self._args.monitoring)
        if limit is None:
            return
        amount, unit = limit
        aws.budgets.Budget(
            f"{self._name}-monthly",
            name=f"ferry-{self._args.environment}-monthly",
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=amount,
            limit_unit=unit,
            notifications=[
                # A forecast needs about five weeks of usage, so the spending itself has a notice as well.
                _notice("FORECASTED", 100, self._args.topic_arn),
                _notice("ACTUAL", 80, self._args.topic_arn),
            ],
            tags=self._tags("monthly"),
            opts=self._child,
        )

    def _make_dashboard(self) -> aws.cloudwatch.Dashboard:
        args = self._args
        body = pulumi.Output.all(
            balancer=args.load_balancer_arn_suffix,
            targets=dict(args.target_group_arn_suffixes),
            groups=dict(args.group_names),
        ).apply(
            lambda known: dashboard.body(
                region=args.identity.region,
                versions=args.versions,
                monitoring=args.monitoring,
                load_balancer=known["balancer"],
                target_groups=known["targets"],
                groups=known["groups"],
            )
        )
        return aws.cloudwatch.Dashboard(
            f"{self._name}-dashboard",
            dashboard_name=f"ferry-{args.environment}",
            dashboard_body=body,
            opts=self._child,
        )

    def _tags(self, what: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._name}-{what}"}


def monthly_limit(monitoring: MonitoringSettings) -> tuple[str, str] | None:
    """Amount and currency of the month's budget, None when there is none.

    A budget takes only the currency that the account is billed in: CNY in the China regions.
    https://docs.amazonaws.cn/en_us/aws/latest/userguide/billing-and-payment.html
    """
    if monitoring.monthly_budget_cny is not None:
        return str(monitoring.monthly_budget_cny), "CNY"
    if monitoring.monthly_budget_usd is not None:
        return str(monitoring.monthly_budget_usd), "USD"
    return None


def _query(
    id_: str, metric: str, dimensions: Mapping[str, pulumi.Input[str]]
) -> aws.cloudwatch.MetricAlarmMetricQueryArgsDict:
    return {
        "id": id_,
        "metric": {
            "namespace": GATEWAY,
            "metric_name": metric,
            "dimensions": dimensions,
            "period": 60,
            "stat": "Sum",
        },
    }


def _rate(errors: str) -> list[aws.cloudwatch.MetricAlarmMetricQueryArgsDict]:
    """Percent of the answers that are errors.

    RequestCount leaves out requests that found no node to go to; then the errors are all the answers there were.
    """
    return [
        {"id": "errors", "expression": errors},
        {"id": "counted", "expression": "FILL(requests, 0)"},
        {"id": "answers", "expression": "IF(counted > errors, counted, errors)"},
        {
            "id": "rate",
            "label": "5xx answers in percent",
            "expression": "IF(errors > 0, 100 * errors / answers, 0)",
            "return_data": True,
        },
    ]


def _notice(kind: str, percent: int, topic_arn: pulumi.Input[str]) -> aws.budgets.BudgetNotificationArgsDict:
    return {
        "notification_type": kind,
        "comparison_operator": "GREATER_THAN",
        "threshold": percent,
        "threshold_type": "PERCENTAGE",
        "subscriber_sns_topic_arns": [topic_arn],
    }
