from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest

from components import dashboard
from components.monitoring import monthly_limit
from ferry.rehearsal.account import EmbeddedAccount
from stacks.settings import ModelVersion, MonitoringSettings

TOPIC = "arn:aws:sns:us-east-1:123456789012:topic"

PROGRAM = """
import json
import pulumi
from components.identity import Identity
from components.monitoring import Monitoring, MonitoringArgs
from stacks.settings import ModelVersion, MonitoringSettings

config = json.loads(pulumi.Config("test").require("args"))
versions = [ModelVersion(**version) for version in config["versions"]]
monitoring = Monitoring(
    "monitoring",
    MonitoringArgs(
        identity=Identity("123456789012", "aws", "us-east-1"),
        environment="test",
        monitoring=MonitoringSettings(**config["monitoring"]),
        versions=versions,
        load_balancer_arn_suffix="app/lb/1",
        target_group_arn_suffixes={version.name: f"targetgroup/{version.name}/1" for version in versions},
        group_names={version.name: f"ferry-test-{version.name}" for version in versions},
        topic_arn=config["topic"],
        tags={"project": "ferry"},
    ),
)
pulumi.export("dashboard_name", monitoring.dashboard_name)
"""

Alarms = Mapping[str, Any]


def version(name: str, *, engine: str = "vllm", spot_percentage: int = 0) -> dict[str, Any]:
    return {
        "name": name,
        "model": "r1",
        "version": "1",
        "engine": {"image": "engine:1", "name": engine},
        "fleet": {
            "instance_types": ["g5.xlarge"],
            "min_size": 1,
            "max_size": 2,
            "spot_percentage": spot_percentage,
        },
    }


@pytest.fixture
def make(account: EmbeddedAccount, run_program: Callable[..., Any]) -> Callable[..., Alarms]:
    """Run the component; give its alarms by the logical part of their name."""

    def made(*versions: dict[str, Any], **monitoring: Any) -> Alarms:
        args = {"versions": versions or [version("one")], "monitoring": monitoring, "topic": TOPIC}
        run_program(PROGRAM, {"test:args": args})
        alarms = account.client("cloudwatch").describe_alarms()["MetricAlarms"]
        return {alarm["AlarmName"].removeprefix("monitoring-")[:-8]: alarm for alarm in alarms}

    return made


def dimensions(metric: Mapping[str, Any]) -> dict[str, str]:
    return {each["Name"]: each["Value"] for each in metric["Dimensions"]}


TARGET = {"LoadBalancer": "app/lb/1", "TargetGroup": "targetgroup/one/1"}
GROUP = {"AutoScalingGroupName": "ferry-test-one"}


def test_these_alarms_watch_a_version_and_the_gateway(make: Callable[..., Alarms]) -> None:
    assert sorted(make()) == [
        "error-rate",
        "one-answer-p99",
        "one-error-rate",
        "one-gpu-ecc",
        "one-gpu-xid",
        "one-latency-p99",
        "one-queue",
        "one-unhealthy",
    ]


def test_every_alarm_tells_the_topic_when_it_starts_and_when_it_ends(make: Callable[..., Alarms]) -> None:
    for alarm in make().values():
        assert (alarm["AlarmActions"], alarm["OKActions"], alarm["ActionsEnabled"]) == ([TOPIC], [TOPIC], True)


def test_no_alarm_is_raised_by_a_fleet_that_is_at_rest(make: Callable[..., Alarms]) -> None:
    assert {alarm["TreatMissingData"] for alarm in make().values()} == {"notBreaching"}


def test_slow_answers_are_measured_at_the_99th_percentile_of_the_versions_target_group(
    make: Callable[..., Alarms],
) -> None:
    alarm = make(latency_p99_seconds=12.5)["one-latency-p99"]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/ApplicationELB", "TargetResponseTime")
    assert (alarm["ExtendedStatistic"], alarm["Threshold"], alarm["Period"]) == ("p99", 12.5, 60)
    assert dimensions(alarm) == TARGET


def test_a_streamed_answer_is_measured_to_its_end_by_the_engine(make: Callable[..., Alarms]) -> None:
    alarm = make(latency_p99_seconds=12.5)["one-answer-p99"]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("Ferry/Inference", "ferry_latency_p99_seconds")
    assert (alarm["Statistic"], alarm["Threshold"]) == ("Maximum", 12.5)
    assert dimensions(alarm) == GROUP


def test_a_queue_is_averaged_over_the_nodes_that_report(make: Callable[..., Alarms]) -> None:
    alarm = make(queue_per_instance=7)["one-queue"]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("Ferry/Inference", "vllm:num_requests_waiting")
    assert (alarm["Statistic"], alarm["Threshold"]) == ("Average", 7)
    assert dimensions(alarm) == GROUP


def test_a_queue_is_watched_under_the_name_that_the_engine_gives_it(make: Callable[..., Alarms]) -> None:
    assert make(version("one", engine="sglang"))["one-queue"]["MetricName"] == "sglang:num_queue_reqs"


@pytest.mark.parametrize(
    ("name", "metric"),
    [("one-gpu-xid", "ferry_gpu_xid_errors"), ("one-gpu-ecc", "ferry_gpu_ecc_uncorrected_errors")],
)
def test_one_gpu_fault_of_one_node_is_enough(make: Callable[..., Alarms], name: str, metric: str) -> None:
    alarm = make()[name]
    assert (alarm["MetricName"], alarm["Statistic"], alarm["Threshold"]) == (metric, "Maximum", 0)
    assert (alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (1, 1)
    assert dimensions(alarm) == GROUP


def test_an_unhealthy_node_has_three_minutes_of_five(make: Callable[..., Alarms]) -> None:
    alarm = make()["one-unhealthy"]
    assert (alarm["MetricName"], alarm["Statistic"], alarm["Threshold"]) == ("UnHealthyHostCount", "Maximum", 0)
    assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (3, 5)
    assert dimensions(alarm) == TARGET


def test_the_gateways_error_rate_counts_answers_that_no_engine_gave(make: Callable[..., Alarms]) -> None:
    alarm = make(error_rate_percent=2)["error-rate"]
    queries = {query["Id"]: query for query in alarm["Metrics"]}
    metrics = {
        id_: query["MetricStat"]["Metric"]["MetricName"] for id_, query in queries.items() if "MetricStat" in query
    }
    assert metrics == {
        "engine": "HTTPCode_Target_5XX_Count",
        "gateway": "HTTPCode_ELB_5XX_Count",
        "requests": "RequestCount",
    }
    assert {query["MetricStat"]["Stat"] for query in alarm["Metrics"] if "MetricStat" in query} == {"Sum"}
    assert queries["errors"]["Expression"] == "FILL(engine, 0) + FILL(gateway, 0)"
    assert [query["Id"] for query in alarm["Metrics"] if query.get("ReturnData")] == ["rate"]
    assert alarm["Threshold"] == 2


def rate(alarm: Mapping[str, Any], **values: float) -> float:
    """What the alarm's expressions give; CloudWatch's functions as Python's."""
    known: dict[str, Any] = dict(values)
    functions = {
        "FILL": lambda value, default: default if value is None else value,
        "IF": lambda condition, yes, no: yes if condition else no,
    }
    for query in alarm["Metrics"]:
        if "Expression" in query:
            # Both branches of an IF are computed in CloudWatch as well, where a division by zero is no value.
            known[query["Id"]] = eval(query["Expression"].replace("/ answers", "/ (answers or 1)"), functions, known)
    return float(known["rate"])


@pytest.mark.parametrize(
    ("engine", "gateway", "requests", "percent"),
    [
        (None, None, 1000, 0),
        (None, None, None, 0),
        (10, None, 1000, 1),
        (10, 10, 1000, 2),
        (None, 50, None, 100),  # no node is there: the gateway refuses all, and counts no request
        (None, 50, 25, 100),
    ],
)
def test_the_error_rate_is_right_also_where_cloudwatch_has_no_values(
    make: Callable[..., Alarms], engine: float, gateway: float, requests: float, percent: float
) -> None:
    assert rate(make()["error-rate"], engine=engine, gateway=gateway, requests=requests) == percent


def test_a_spot_interruption_is_announced(make: Callable[..., Alarms], account: EmbeddedAccount) -> None:
    make(version("one", spot_percentage=50))
    events = account.client("events")
    (rule,) = events.list_rules()["Rules"]
    assert json.loads(rule["EventPattern"]) == {
        "source": ["aws.ec2"],
        "detail-type": ["EC2 Spot Instance Interruption Warning"],
    }
    assert [target["Arn"] for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]] == [TOPIC]


def test_without_spot_nothing_waits_for_interruptions(make: Callable[..., Alarms], account: EmbeddedAccount) -> None:
    make()
    assert account.client("events").list_rules()["Rules"] == []


def test_the_month_has_a_budget_with_a_notice_of_the_forecast(
    make: Callable[..., Alarms], account: EmbeddedAccount
) -> None:
    make(monthly_budget_usd="45000.50")
    budgets = account.client("budgets")
    (budget,) = budgets.describe_budgets(AccountId=account.account_id)["Budgets"]
    assert budget["BudgetName"] == "ferry-test-monthly"
    assert budget["BudgetLimit"] == {"Amount": "45000.50", "Unit": "USD"}
    notices = budgets.describe_notifications_for_budget(AccountId=account.account_id, BudgetName="ferry-test-monthly")
    assert [(one["NotificationType"], one["Threshold"]) for one in notices["Notifications"]] == [
        ("FORECASTED", 100),
        ("ACTUAL", 80),
    ]


def test_without_a_limit_there_is_no_budget(make: Callable[..., Alarms], account: EmbeddedAccount) -> None:
    make()
    assert account.client("budgets").describe_budgets(AccountId=account.account_id)["Budgets"] == []


def test_a_budget_names_its_currency() -> None:
    assert monthly_limit(MonitoringSettings(monthly_budget_usd=Decimal(9000))) == ("9000", "USD")
    assert monthly_limit(MonitoringSettings(monthly_budget_cny=Decimal("180000.5"))) == ("180000.5", "CNY")
    assert monthly_limit(MonitoringSettings()) is None


# ---- dashboard -----------------------------------------------------------------------------------------------------


def widgets() -> list[Any]:
    versions = [ModelVersion(**version("one")), ModelVersion(**version("two", engine="sglang"))]
    text = dashboard.body(
        region="eu-central-1",
        versions=versions,
        monitoring=MonitoringSettings(latency_p99_seconds=12, queue_per_instance=7),
        load_balancer="app/lb/1",
        target_groups={"one": "targetgroup/one/1", "two": "targetgroup/two/1"},
        groups={"one": "group-one", "two": "group-two"},
    )
    loaded: list[Any] = json.loads(text)["widgets"]
    return loaded


def test_the_dashboard_has_a_row_for_the_traffic_and_one_for_each_versions_nodes() -> None:
    assert [(each["x"], each["y"], each["width"]) for each in widgets()] == [
        (column, row, 6) for row in (0, 6, 12) for column in (0, 6, 12, 18)
    ]
    assert {each["properties"]["region"] for each in widgets()} == {"eu-central-1"}


def test_the_dashboard_draws_the_thresholds_of_the_alarms() -> None:
    drawn = {
        each["properties"]["title"]: each["properties"]["annotations"]["horizontal"][0]["value"]
        for each in widgets()
        if "annotations" in each["properties"]
    }
    assert drawn == {
        "Time to the first byte, P99 (s)": 12,
        "one: requests on a node": 7,
        "one: P99 of the worst node (s)": 12,
        "two: requests on a node": 7,
        "two: P99 of the worst node (s)": 12,
    }


def test_the_dashboard_reads_each_engines_own_metrics() -> None:
    shown = {each["properties"]["title"]: each["properties"]["metrics"] for each in widgets()}
    assert [metric[1] for metric in shown["one: requests on a node"]] == [
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
    ]
    assert [metric[1:4] for metric in shown["two: requests on a node"]] == [
        ["sglang:num_running_reqs", "AutoScalingGroupName", "group-two"],
        ["sglang:num_queue_reqs", "AutoScalingGroupName", "group-two"],
    ]
