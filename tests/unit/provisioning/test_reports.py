"""What the CLI reports, as changes, as money, and as drift."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ferry.catalog import prices, services
from ferry.provisioning.drift import differences
from ferry.provisioning.preview import changes, steps
from ferry.provisioning.price import difference

GROUP = "aws:autoscaling/group:Group"
LB = "aws:lb/loadBalancer:LoadBalancer"


def state(kind: str, inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": kind, "custom": True, "inputs": inputs, **more}


def step(op: str, kind: str, before: Any = None, after: Any = None, *, diff: tuple[str, ...] = ()) -> dict[str, Any]:
    name = kind.rpartition(":")[2].lower()
    return {
        "op": op,
        "urn": f"urn:pulumi:prod::ferry::ferry:components:Thing${kind}::{name}",
        "oldState": before,
        "newState": after,
        "detailedDiff": {path: {"kind": "update", "inputDiff": True} for path in diff} or None,
    }


def group(low: int, high: int, instance_type: str = "g5.xlarge") -> dict[str, Any]:
    overrides = {"launchTemplate": {"overrides": [{"instanceType": instance_type}]}}
    return state(GROUP, {"minSize": low, "maxSize": high, "mixedInstancesPolicy": overrides})


def test_a_replacement_counts_once_and_components_not_at_all() -> None:
    bucket = "aws:s3/bucket:Bucket"
    report = {
        "steps": [
            step("create-replacement", bucket, state(bucket, {}), state(bucket, {}), diff=("bucket",)),
            step("replace", bucket, state(bucket, {}), state(bucket, {}), diff=("bucket",)),
            step("delete-replaced", bucket, state(bucket, {}), None),
            step("same", LB, state(LB, {}), state(LB, {})),
            {
                "op": "create",
                "urn": "a::b::ferry:components:Network::n",
                "newState": {"type": "ferry:x", "custom": False},
            },
        ]
    }
    assert [(one.action, one.name, one.properties) for one in changes(report)] == [("replace", "bucket", ["bucket"])]


def test_a_change_of_sizes_is_priced_from_the_catalogue_at_both_ends() -> None:
    month = prices.on_demand("g5.xlarge", "us-east-1").per_hour * 730
    alb = services.price("alb", "us-east-1").price * 730
    report = {
        "steps": [
            step("update", GROUP, group(1, 2), group(1, 4), diff=("maxSize",)),
            step("same", LB, state(LB, {}), state(LB, {})),
        ]
    }
    before, after = difference(steps(report), "us-east-1")
    assert (before.least, before.most) == (month + alb, 2 * month + alb)
    assert (after.least, after.most, after.currency) == (month + alb, 4 * month + alb, "USD")
    assert after.not_priced == {}


def test_what_has_no_price_is_named_and_never_free() -> None:
    endpoint = "aws:ec2/vpcEndpoint:VpcEndpoint"
    report = {
        "steps": [
            step("create", GROUP, None, group(1, 1, "q9.huge")),
            step("create", endpoint, None, state(endpoint, {})),
            step("create", "aws:iam/role:Role", None, state("aws:iam/role:Role", {})),
        ]
    }
    before, after = difference(steps(report), "us-east-1")
    assert (after.least, after.currency) == (Decimal(0), "")
    assert sorted(what.partition(": ")[0] for what in after.not_priced) == [GROUP, endpoint]
    assert after.not_priced[f"{endpoint}: billed by use, or not in the catalogue"] == 1
    assert before.not_priced == {}


def test_what_is_deleted_costs_before_and_not_after() -> None:
    before, after = difference(steps({"steps": [step("delete", LB, state(LB, {}), None)]}), "us-east-1")
    assert (before.least > 0, after.least) == (True, Decimal(0))


def test_drift_says_what_was_expected_what_was_found_and_what_it_may_be() -> None:
    alarm = "aws:cloudwatch/metricAlarm:MetricAlarm"
    report = {
        "steps": [
            step("update", GROUP, group(1, 2), group(1, 9), diff=("maxSize",)),
            step("update", alarm, state(alarm, {"threshold": 1}), state(alarm, {"threshold": 5}), diff=("threshold",)),
            step("delete", LB, state(LB, {}, protect=True), None),
            step("refresh", LB, state(LB, {}), state(LB, {})),
        ]
    }
    assert [(d.name, d.property, d.expected, d.found, d.protected) for d in differences(report)] == [
        ("group", "maxSize", "2", "9", False),
        ("metricalarm", "threshold", "1", "5", False),
        ("loadbalancer", "", "there", "gone", True),
    ]
    assert [d.explanation.partition(";")[0] for d in differences(report)] == [
        "a schedule or a hand set it",
        "changed outside of Pulumi",
        "deleted outside of Pulumi",
    ]


def test_a_secret_is_not_shown_in_drift() -> None:
    topic = "aws:sns/topic:Topic"
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "x"}
    report = {"steps": [step("update", topic, state(topic, {"name": secret}), state(topic, {}), diff=("name",))]}
    (found,) = differences(report)
    assert (found.expected, found.found) == ("[secret]", "not set")
