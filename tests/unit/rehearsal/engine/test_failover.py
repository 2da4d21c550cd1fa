"""Health checks, and the records that they decide between, as the engine makes, changes, reads and deletes them."""

from __future__ import annotations

from typing import Any

HEALTH_CHECK = "aws:route53/healthCheck:HealthCheck"
RECORD = "aws:route53/record:Record"
ALARM = {
    "type": "CLOUDWATCH_METRIC",
    "cloudwatchAlarmName": "lost",
    "cloudwatchAlarmRegion": "us-east-1",
    "insufficientDataHealthStatus": "Unhealthy",
    "tags": {"Name": "lost"},
}


def test_a_health_check_keeps_the_alarm_that_it_looks_at(engine: Any, account: Any) -> None:
    id_, outputs = engine.create(HEALTH_CHECK, ALARM)
    assert engine.read(HEALTH_CHECK, id_, outputs, ALARM)[1] == ALARM
    changed = ALARM | {"cloudwatchAlarmName": "gone", "insufficientDataHealthStatus": "Healthy", "tags": {"a": "1"}}
    assert list(engine.diff(HEALTH_CHECK, ALARM, changed).replaces) == []
    engine.update(HEALTH_CHECK, id_, outputs, ALARM, changed)
    assert engine.read(HEALTH_CHECK, id_, outputs, changed)[1] == changed
    engine.delete(HEALTH_CHECK, id_, outputs, changed)
    assert engine.read(HEALTH_CHECK, id_, outputs, changed)[0] == ""


def test_a_health_check_of_others_counts_them(engine: Any) -> None:
    children = sorted(engine.create(HEALTH_CHECK, ALARM, name)[0] for name in ("a", "b"))
    inputs = {"type": "CALCULATED", "childHealthchecks": children, "childHealthThreshold": 1}
    id_, outputs = engine.create(HEALTH_CHECK, inputs, "all")
    assert engine.read(HEALTH_CHECK, id_, outputs, inputs)[1] == inputs
    changed = inputs | {"childHealthchecks": children[:1]}
    engine.update(HEALTH_CHECK, id_, outputs, inputs, changed)
    assert engine.read(HEALTH_CHECK, id_, outputs, inputs)[1] == changed
    assert list(engine.diff(HEALTH_CHECK, inputs, inputs | {"type": "HTTPS"}).replaces) == ["type"]


def test_two_records_fail_over_by_a_health_check(engine: Any, account: Any) -> None:
    zone = account.client("route53").create_hosted_zone(Name="example.com", CallerReference="it")["HostedZone"]["Id"]
    check, _ = engine.create(HEALTH_CHECK, ALARM)
    alias = {"name": "lb.elb.amazonaws.com", "zoneId": "Z26RNL4JYFTOTI", "evaluateTargetHealth": False}
    inputs = {
        "zoneId": zone.rpartition("/")[2],
        "name": "llm.example.com",
        "type": "A",
        "setIdentifier": "primary",
        "aliases": [alias],
        "failoverRoutingPolicies": [{"type": "PRIMARY"}],
        "healthCheckId": check,
    }
    id_, outputs = engine.create(RECORD, inputs)
    assert engine.read(RECORD, id_, outputs, inputs)[1] == inputs
    other, _ = engine.create(HEALTH_CHECK, ALARM, "other")
    engine.update(RECORD, id_, outputs, inputs, inputs | {"healthCheckId": other})
    assert engine.read(RECORD, id_, outputs, inputs)[1] == inputs | {"healthCheckId": other}
    engine.delete(RECORD, id_, outputs, inputs)
    assert engine.read(RECORD, id_, outputs, inputs)[0] == ""
