"""A spike, minute by minute: alarms, steps, warm-ups, and nodes that come from the warm pool as far as it goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ferry.artefacts import Drill
from ferry.drills import spike
from ferry.drills.provisioned import Fleet, LoadAlarm
from tests.fleets import FLEET, WEIGHTS, scene_in


def alarm(threshold: float, steps: list[dict[str, Any]], *, is_out: bool, batch: float = 10) -> LoadAlarm:
    name = "out" if is_out else "in"
    return LoadAlarm(
        name=name,
        batch=batch,
        threshold=threshold,
        comparison="GreaterThanThreshold" if is_out else "LessThanThreshold",
        period_s=60,
        evaluation_periods=2 if is_out else 10,
        datapoints=2 if is_out else 10,
        treat_missing="notBreaching",
        policy={
            "PolicyName": f"policy-{name}",
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Average",
            "EstimatedInstanceWarmup": 300,
            "StepAdjustments": steps,
        },
    )


def fleet(*out_steps: dict[str, Any], batch: float = 10, **changes: Any) -> Fleet:
    """Four nodes with ten requests each: 44 are in flight, and six nodes bring the load to 0.73."""
    out = alarm(0.8, [*out_steps], is_out=True, batch=batch)
    less = alarm(0.3, [{"MetricIntervalUpperBound": 0.0, "ScalingAdjustment": -1}], is_out=False, batch=batch)
    whole: dict[str, Any] = {"desired": 4, "min_size": 4, "batch": 10, "load_alarms": (out, less), **changes}
    return replace(FLEET, **whole)


def drilled(folder: Path, spiked: Fleet) -> Drill:
    scene = replace(scene_in(folder), weights={FLEET.version: WEIGHTS.bytes})
    return spike.loaded(scene, spiked)


def times(drill: Drill) -> list[tuple[float, str]]:
    return [(moment.at_s, moment.phase) for moment in drill.timeline if moment.phase != "note"]


ADD_ONE = {"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}
ADD_TWO = {"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 2}
COLD_S, WARM_S, CHECK_S = 507.68, 410, 15


def test_one_step_that_is_high_enough_takes_an_alarm_and_a_boot(tmp_path: Path) -> None:
    drill = drilled(tmp_path, fleet(ADD_TWO))
    assert times(drill)[:3] == [(0, "fault"), (180, "detected"), (180, "decided")]
    assert times(drill)[3:] == [(pytest.approx(180 + COLD_S + CHECK_S), "recovered")]
    assert drill.passed


def test_a_second_step_waits_for_the_boot_and_the_warm_up_of_the_first(tmp_path: Path) -> None:
    drill = drilled(tmp_path, fleet(ADD_ONE))
    # The first node serves at 702.7 s and is warm 300 s later: 1020 s is the next minute.
    second = 1020
    assert times(drill)[2:] == [
        (180, "decided"),
        (second, "decided"),
        (pytest.approx(second + COLD_S + CHECK_S), "recovered"),
    ]
    assert not drill.passed


def test_a_warm_pool_serves_the_first_step_and_is_empty_for_the_second(tmp_path: Path) -> None:
    drill = drilled(tmp_path, fleet(ADD_ONE, warm_pool=1))
    # 180 + 410 + 15 + 300 = 905
    assert times(drill)[3:] == [(960, "decided"), (pytest.approx(960 + COLD_S + CHECK_S), "recovered")]
    both = drilled(tmp_path, fleet(ADD_ONE, warm_pool=2))
    assert times(both)[4] == (960 + WARM_S + CHECK_S, "recovered")


def test_a_higher_step_for_a_higher_load_is_taken(tmp_path: Path) -> None:
    low = {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 0.2, "ScalingAdjustment": 1}
    high = {"MetricIntervalLowerBound": 0.2, "ScalingAdjustment": 2}
    assert times(drilled(tmp_path, fleet(low, high)))[3:] == [(pytest.approx(180 + COLD_S + CHECK_S), "recovered")]


def test_a_batch_in_the_alarm_that_is_not_the_engines_shows(tmp_path: Path) -> None:
    """Divided by 20, a load of 1.1 looks like 0.55."""
    drill = drilled(tmp_path, fleet(ADD_TWO, batch=20))
    assert drill.missing == [
        "model_versions[0].fleet.scaling.scale_out_above: out is never in ALARM: a load of 0.55 is not above 0.8"
    ]
    assert drill.mttr_s is None


def test_a_policy_without_a_step_for_the_load_is_named(tmp_path: Path) -> None:
    drill = drilled(tmp_path, fleet({"MetricIntervalLowerBound": 0.5, "ScalingAdjustment": 2}))
    assert drill.missing == [
        "model_versions[0].fleet.scaling: policy-out has no step for a load of 1.1, and the load needs 6 nodes"
    ]
