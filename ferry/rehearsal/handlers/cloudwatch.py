"""CloudWatch alarms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, State, creates, deletes, first, reads
from ferry.rehearsal.handlers.tagging import as_map

PLAIN = {
    "alarmActions": "AlarmActions",
    "alarmDescription": "AlarmDescription",
    "actionsEnabled": "ActionsEnabled",
    "comparisonOperator": "ComparisonOperator",
    "datapointsToAlarm": "DatapointsToAlarm",
    "evaluateLowSampleCountPercentiles": "EvaluateLowSampleCountPercentile",
    "evaluationPeriods": "EvaluationPeriods",
    "extendedStatistic": "ExtendedStatistic",
    "insufficientDataActions": "InsufficientDataActions",
    "metricName": "MetricName",
    "namespace": "Namespace",
    "okActions": "OKActions",
    "period": "Period",
    "statistic": "Statistic",
    "threshold": "Threshold",
    "thresholdMetricId": "ThresholdMetricId",
    "treatMissingData": "TreatMissingData",
    "unit": "Unit",
}
"""Properties that `PutMetricAlarm` takes as they are."""


@creates("aws:cloudwatch/metricAlarm:MetricAlarm", fixed=("name",), again=True)
def metric_alarm(account: Account, inputs: Inputs) -> Created:
    """`PutMetricAlarm`, on one metric or on metric math."""
    region = inputs.region
    name = inputs.autoname("name", 255)
    request: dict[str, Any] = {"AlarmName": name, "Tags": inputs.tags()}
    for given, sent in PLAIN.items():
        value = inputs.take(given)
        if value is not None:
            request[sent] = value
    if dimensions := inputs.take("dimensions"):
        request["Dimensions"] = _dimensions(dimensions)
    if queries := inputs.each("metricQueries"):
        request["Metrics"] = [_query(query) for query in queries]
    account.client("cloudwatch", region).put_metric_alarm(**request)
    arn = f"arn:{account.partition}:cloudwatch:{region or account.region}:{account.account_id}:alarm:{name}"
    return Created(name, {"arn": arn, "name": name})


def _query(query: Inputs) -> dict[str, Any]:
    sent: dict[str, Any] = {"Id": query.take("id"), "ReturnData": query.take("returnData", False)}
    for given, name in (("expression", "Expression"), ("label", "Label"), ("period", "Period")):
        value = query.take(given)
        if value is not None:
            sent[name] = value
    if metric := query.nested("metric"):
        sent["MetricStat"] = {
            "Metric": {
                "Namespace": metric.take("namespace"),
                "MetricName": metric.take("metricName"),
                "Dimensions": _dimensions(metric.take("dimensions", {})),
            },
            "Period": metric.take("period"),
            "Stat": metric.take("stat"),
        }
        if unit := metric.take("unit"):
            sent["MetricStat"]["Unit"] = unit
    return sent


def _dimensions(dimensions: dict[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in dimensions.items()]


@reads("aws:cloudwatch/metricAlarm:MetricAlarm")
def read_alarm(account: Account, state: State) -> Mapping[str, Any]:
    """`DescribeAlarms` of one name."""
    cloudwatch = account.client("cloudwatch", state.region)
    found = first(cloudwatch.describe_alarms(AlarmNames=[state.id])["MetricAlarms"])
    return {
        **{given: found.get(sent) for given, sent in PLAIN.items()},
        "name": found["AlarmName"],
        "dimensions": {one["Name"]: one["Value"] for one in found.get("Dimensions", [])},
        "metricQueries": [_found_query(query) for query in found.get("Metrics", [])],
        "tags": as_map(cloudwatch.list_tags_for_resource(ResourceARN=found["AlarmArn"])["Tags"]),
    }


def _found_query(query: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        "id": query["Id"],
        "expression": query.get("Expression"),
        "label": query.get("Label"),
        "period": query.get("Period"),
        "returnData": query.get("ReturnData", False),
    }
    if stat := query.get("MetricStat"):
        found["metric"] = {
            "namespace": stat["Metric"].get("Namespace"),
            "metricName": stat["Metric"].get("MetricName"),
            "dimensions": {one["Name"]: one["Value"] for one in stat["Metric"].get("Dimensions", [])},
            "period": stat.get("Period"),
            "stat": stat.get("Stat"),
            "unit": stat.get("Unit"),
        }
    return found


@deletes("aws:cloudwatch/metricAlarm:MetricAlarm")
def delete_alarm(account: Account, state: State) -> None:
    """`DeleteAlarms`."""
    account.client("cloudwatch", state.region).delete_alarms(AlarmNames=[state.id])
