"""CloudWatch alarms."""

from __future__ import annotations

from typing import Any

from ferry.rehearsal.handlers import Account, Created, Inputs, creates

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


@creates("aws:cloudwatch/metricAlarm:MetricAlarm")
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
