"""Scaling on load: its numbers, its metrics, and what happens when the metric is not what it should be."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from components.fleet_scaling import load_expression
from ferry.simulation.policies import from_stack
from ferry.simulation.scaling_spec import AlarmSpec, StepAdjustment, StepPolicy
from stacks.settings import ModelVersion
from templates.engine_metrics import DIMENSION, ENGINES, NAMESPACE

Run = Callable[..., Any]


def metrics(alarm: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Query id to its statistic, of an alarm on metric math."""
    return {query["Id"]: query["MetricStat"] for query in alarm["Metrics"] if "MetricStat" in query}


def test_above_eight_tenths_two_nodes_are_added_and_below_three_tenths_one_is_removed(fleet: Run) -> None:
    made = fleet()
    scale_in, scale_out = made.policies
    assert [scale_out["StepAdjustments"], scale_in["StepAdjustments"]] == [
        [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 2}],
        [{"MetricIntervalUpperBound": 0.0, "ScalingAdjustment": -1}],
    ]
    out, in_ = made.alarm("scaling-out"), made.alarm("scaling-in")
    assert (out["ComparisonOperator"], out["Threshold"]) == ("GreaterThanThreshold", 0.8)
    assert (in_["ComparisonOperator"], in_["Threshold"]) == ("LessThanThreshold", 0.3)
    assert out["AlarmActions"] == [scale_out["PolicyARN"]]
    assert in_["AlarmActions"] == [scale_in["PolicyARN"]]
    assert made.run.outputs["scale_out_alarm_name"] == out["AlarmName"]
    assert made.run.outputs["scale_in_alarm_name"] == in_["AlarmName"]


def test_every_number_of_scaling_can_be_changed(fleet: Run) -> None:
    made = fleet(
        scaling={
            "scale_out_above": 0.9,
            "scale_out_add": 3,
            "scale_in_below": 0.2,
            "scale_in_remove": 2,
            "period_seconds": 120,
            "scale_out_datapoints": 4,
            "scale_in_datapoints": 15,
            "warmup_seconds": 600,
        }
    )
    scale_in, scale_out = made.policies
    assert (scale_out["StepAdjustments"][0]["ScalingAdjustment"], scale_out["EstimatedInstanceWarmup"]) == (3, 600)
    assert (scale_in["StepAdjustments"][0]["ScalingAdjustment"], scale_in["EstimatedInstanceWarmup"]) == (-2, 600)
    for name, threshold, datapoints in (("scaling-out", 0.9, 4), ("scaling-in", 0.2, 15)):
        alarm = made.alarm(name)
        assert alarm["Threshold"] == threshold
        assert (alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (datapoints, datapoints)
        assert {statistic["Period"] for statistic in metrics(alarm).values()} == {120}


def provisioned(alarm: dict[str, Any], policy: dict[str, Any]) -> StepPolicy:
    """A policy and its alarm in the account, as the simulation would take them."""
    (period,) = {statistic["Period"] for statistic in metrics(alarm).values()}
    assert alarm["AlarmActions"] == [policy["PolicyARN"]]
    return StepPolicy(
        alarm=AlarmSpec(
            threshold=alarm["Threshold"],
            comparison=alarm["ComparisonOperator"],
            evaluation_periods=alarm["EvaluationPeriods"],
            datapoints_to_alarm=alarm["DatapointsToAlarm"],
            period_seconds=period,
            treat_missing_data=alarm["TreatMissingData"],
        ),
        steps=tuple(
            StepAdjustment(
                lower_bound=step.get("MetricIntervalLowerBound"),
                upper_bound=step.get("MetricIntervalUpperBound"),
                adjustment=step["ScalingAdjustment"],
            )
            for step in policy["StepAdjustments"]
        ),
        adjustment_type=policy["AdjustmentType"],
        metric_aggregation=policy["MetricAggregationType"],
    )


@pytest.mark.parametrize(
    "scaling", [{}, {"scale_out_above": 0.9, "scale_out_add": 3, "period_seconds": 120, "warmup_seconds": 600}]
)
def test_what_the_simulation_scales_by_is_what_stands_in_the_account(fleet: Run, scaling: dict[str, Any]) -> None:
    made = fleet(scaling=scaling)
    spec = from_stack(ModelVersion.model_validate(made.given["version"]).fleet)
    scale_in, scale_out = made.policies
    assert spec.policies == (
        provisioned(made.alarm("scaling-out"), scale_out),
        provisioned(made.alarm("scaling-in"), scale_in),
    )
    assert {scale_in["EstimatedInstanceWarmup"], scale_out["EstimatedInstanceWarmup"]} == {spec.warmup_seconds}
    assert (made.group["MinSize"], made.group["MaxSize"]) == (spec.min_size, spec.max_size)
    assert spec.metric == "load"


def test_policies_change_the_capacity_in_steps(fleet: Run) -> None:
    for policy in fleet().policies:
        assert (policy["PolicyType"], policy["AdjustmentType"], policy["MetricAggregationType"]) == (
            "StepScaling",
            "ChangeInCapacity",
            "Average",
        )


@pytest.mark.parametrize("name", ["scaling-out", "scaling-in"])
@pytest.mark.parametrize("engine", ENGINES)
def test_load_is_running_and_waiting_requests_per_reporting_node_over_the_batch_limit(
    fleet: Run, engine: str, name: str
) -> None:
    alarm = fleet(engine={"name": engine, "max_sequences": 48}).alarm(name)
    assert [(query["Id"], query["Expression"]) for query in alarm["Metrics"] if query.get("ReturnData")] == [
        ("load", "(running + waiting) / 48")
    ]
    own = [{"Name": "AutoScalingGroupName", "Value": "ferry-prod-r1"}]
    assert {id_: (one["Metric"], one["Stat"]) for id_, one in metrics(alarm).items()} == {
        "running": (
            {"Namespace": "Ferry/Inference", "MetricName": ENGINES[engine].running, "Dimensions": own},
            "Average",
        ),
        "waiting": (
            {"Namespace": "Ferry/Inference", "MetricName": ENGINES[engine].waiting, "Dimensions": own},
            "Average",
        ),
    }


@pytest.mark.parametrize("engine", ENGINES)
def test_the_agent_on_the_node_sends_exactly_what_the_alarms_read(fleet: Run, engine: str) -> None:
    """The agent's two files in the user data of the launch template, against each metric in an alarm of the account."""
    made = fleet(engine={"name": engine})
    files = {file["path"]: file["content"] for file in made.user_data["write_files"]}
    prometheus = json.loads(files["/opt/ferry/agent.json"])["logs"]["metrics_collected"]["prometheus"]
    assert prometheus["emf_processor"]["metric_namespace"] == NAMESPACE
    sent: dict[str, list[dict[str, str]]] = {}
    for job in yaml.safe_load(files[prometheus["prometheus_config_path"]])["scrape_configs"]:
        (labels,) = [target["labels"] for target in job["static_configs"]]
        kept = [one["regex"] for one in job["metric_relabel_configs"] if one["action"] == "keep"]
        for declaration in prometheus["emf_processor"]["metric_declaration"]:
            if not re.search(declaration["label_matcher"], job["job_name"]):
                continue
            for name in (ENGINES[engine].running, ENGINES[engine].waiting):
                if re.fullmatch(kept[0], name) and any(
                    re.search(selector, name) for selector in declaration["metric_selectors"]
                ):
                    sent[name] = [{label: labels[label] for label in names} for names in declaration["dimensions"]]
    read = {
        statistic["Metric"]["MetricName"]: [{one["Name"]: one["Value"] for one in statistic["Metric"]["Dimensions"]}]
        for alarm in (made.alarm("scaling-out"), made.alarm("scaling-in"))
        for statistic in metrics(alarm).values()
    }
    assert (
        sent
        == read
        == {
            ENGINES[engine].running: [{DIMENSION: "ferry-prod-r1"}],
            ENGINES[engine].waiting: [{DIMENSION: "ferry-prod-r1"}],
        }
    )


@pytest.mark.parametrize("name", ["scaling-out", "scaling-in"])
def test_without_data_neither_alarm_is_raised_so_nothing_is_added_or_removed(fleet: Run, name: str) -> None:
    assert fleet().alarm(name)["TreatMissingData"] == "notBreaching"


def test_a_fleet_that_should_have_nodes_and_reports_nothing_for_longer_than_a_boot_tells_somebody(fleet: Run) -> None:
    made = fleet(boot_timeout_seconds=2400)
    alarm = made.alarm("scaling-silent")
    assert (alarm["Namespace"], alarm["MetricName"]) == (NAMESPACE, "vllm:num_requests_running")
    assert alarm["Dimensions"] == [{"Name": DIMENSION, "Value": "ferry-prod-r1"}]
    assert (alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == (
        "SampleCount", "LessThanThreshold", 1,
    )  # fmt: skip
    assert alarm["TreatMissingData"] == "breaching"
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 2700
    assert alarm["AlarmActions"] == alarm["OKActions"] == [made.given["alarm_topic_arn"]]


def test_a_fleet_that_may_be_empty_is_not_called_silent(fleet: Run) -> None:
    night = {"name": "night", "recurrence": "0 20 * * *", "time_zone": "Etc/UTC", "min_size": 0, "max_size": 6}
    made = fleet(schedules=[night])
    found = made.account.client("cloudwatch").describe_alarms(AlarmNamePrefix="ferry-r1-scaling-silent")["MetricAlarms"]
    assert found == []


def average(values: list[float]) -> float:
    return sum(values) / len(values)


def load(running: list[float], waiting: list[float], max_sequences: int) -> float | None:
    """What CloudWatch computes: an average over the values that came, nothing when none came.

    The arithmetic of metric math is Python's here, so the component's own expression is what is evaluated.
    """
    if not running:
        return None
    return eval(load_expression(max_sequences), {"running": average(running), "waiting": average(waiting)})


def test_one_stale_node_does_not_hide_that_the_others_are_full() -> None:
    """Four nodes, one agent has stopped. A sum over four instances would see 0.675 and not grow."""
    assert load([54.0, 54.0, 54.0], [0.0, 0.0, 0.0], 60) == 0.9
    assert sum([54.0, 54.0, 54.0]) / 4 / 60 == pytest.approx(0.675)


def test_a_full_batch_on_each_node_is_a_load_of_one_and_a_queue_makes_it_more() -> None:
    assert load([64.0, 64.0], [0.0, 0.0], 64) == 1.0
    assert load([64.0, 64.0], [32.0, 0.0], 64) == 1.25


def test_an_empty_fleet_has_no_load() -> None:
    assert load([], [], 64) is None
