"""region-loss: the second region that is provisioned decides, and what is broken there is missed and named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ferry.artefacts import Drill
from ferry.drills import runner
from ferry.drills.scene import Scene
from ferry.drills.timings import Timings
from ferry.rehearsal.account import EmbeddedAccount
from tests.conftest import Rehearsed

HERE, THERE, GROUP = "us-east-1", "us-west-2", "ferry-prod-r1-32b"
Break = Callable[[EmbeddedAccount, Any], object]


@pytest.fixture
def lost(rehearsed: Callable[[str], Rehearsed], tmp_path: Path) -> Iterator[Callable[..., Drill]]:
    """The drill, on a copy of a stack in which something was broken first."""
    with ExitStack() as copies:

        def run(environment: str = "prod", broken: Break = lambda account, outputs: None) -> Drill:
            original = rehearsed(environment)
            account = EmbeddedAccount(copies.enter_context(original.served.copy()), original.stack.settings.region)
            broken(account, original.stack.outputs)
            scene = Scene(
                account=account,
                settings=original.stack.settings,
                outputs=original.stack.outputs,
                timings=Timings(),
                target_s=900,
                scratch=tmp_path,
            )
            return runner.drilled("region-loss", scene)

        yield run


def records_deleted(account: EmbeddedAccount, outputs: Any) -> None:
    route53, zone = account.client("route53"), outputs["failover"]["zone_id"]
    for record in route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]:
        if record.get("Failover") == "SECONDARY":
            route53.change_resource_record_sets(
                HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "DELETE", "ResourceRecordSet": record}]}
            )


def without_health_check(account: EmbeddedAccount, outputs: Any) -> None:
    route53, zone = account.client("route53"), outputs["failover"]["zone_id"]
    for record in route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]:
        if record.get("Failover") == "PRIMARY":
            record.pop("HealthCheckId")
            route53.change_resource_record_sets(
                HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]}
            )


def silence_is_health(account: EmbeddedAccount, outputs: Any) -> None:
    for check in account.client("route53").list_health_checks()["HealthChecks"]:
        if check["HealthCheckConfig"]["Type"] == "CLOUDWATCH_METRIC":
            account.client("route53").update_health_check(
                HealthCheckId=check["Id"], InsufficientDataHealthStatus="LastKnownStatus"
            )


def alarm_deleted(prefix: str, region: str) -> Break:
    def make(account: EmbeddedAccount, outputs: Any) -> None:
        cloudwatch = account.client("cloudwatch", region)
        (alarm,) = cloudwatch.describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"]
        cloudwatch.delete_alarms(AlarmNames=[alarm["AlarmName"]])

    return make


def no_replication(account: EmbeddedAccount, outputs: Any) -> None:
    account.client("s3").delete_bucket_replication(Bucket=outputs["model_bucket"])


def no_fleet(account: EmbeddedAccount, outputs: Any) -> None:
    account.client("autoscaling", THERE).delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)


def slow_alarm(account: EmbeddedAccount, outputs: Any) -> None:
    cloudwatch = account.client("cloudwatch", HERE)
    (alarm,) = cloudwatch.describe_alarms(AlarmNamePrefix="ferry-failover-r1-32b-lost")["MetricAlarms"]
    kept = ("AlarmName", "Namespace", "MetricName", "Dimensions", "Statistic", "ComparisonOperator", "Threshold")
    cloudwatch.put_metric_alarm(
        **{name: alarm[name] for name in kept}, Period=60, EvaluationPeriods=5, TreatMissingData="breaching"
    )


def asleep(account: EmbeddedAccount, outputs: Any) -> None:
    account.client("autoscaling", THERE).update_auto_scaling_group(
        AutoScalingGroupName=GROUP, MinSize=0, DesiredCapacity=0
    )


def woken(account: EmbeddedAccount, outputs: Any) -> None:
    """Without nodes, as `min_size: 0` provisions it."""
    asleep(account, outputs)
    autoscaling = account.client("autoscaling", THERE)
    autoscaling.put_scaling_policy(
        AutoScalingGroupName=GROUP,
        PolicyName="wake",
        PolicyType="StepScaling",
        AdjustmentType="ChangeInCapacity",
        StepAdjustments=[{"ScalingAdjustment": 3, "MetricIntervalLowerBound": 0}],
    )
    (policy,) = autoscaling.describe_policies(AutoScalingGroupName=GROUP, PolicyNames=["wake"])["ScalingPolicies"]
    balancer = outputs["failover"]["load_balancer_arn"].partition(":loadbalancer/")[2]
    account.client("cloudwatch", THERE).put_metric_alarm(
        AlarmName="wake",
        Namespace="AWS/ApplicationELB",
        MetricName="HTTPCode_ELB_503_Count",
        Dimensions=[{"Name": "LoadBalancer", "Value": balancer}],
        Statistic="Sum",
        ComparisonOperator="GreaterThanThreshold",
        Threshold=0,
        Period=60,
        EvaluationPeriods=1,
        AlarmActions=[policy["PolicyARN"]],
    )


def test_production_answers_from_its_second_region_in_time(lost: Callable[..., Drill]) -> None:
    drill = lost()
    assert (drill.passed, drill.missing, drill.skipped) == (True, [], None)
    assert drill.fault == "us-east-1 is lost: none of the 3 nodes of its load balancer answers"
    # 3 x 15 s of health checks, 2 x 60 s of alarm and 60 s of CloudWatch; answers live 60 s; a node is there
    assert [drill.seconds_to(phase) for phase in ("detected", "decided", "recovered")] == [225, 285, 285]


def test_a_second_region_that_sleeps_takes_too_long_and_says_what_would_not(lost: Callable[..., Drill]) -> None:
    drill = lost(broken=woken)
    # 60 + 60 s until the alarm on refusals, then a new node, since the warm pool has two of the three
    assert drill.mttr_s == pytest.approx(1071.82)
    assert drill.missing == ["ferry:failover.min_size: 0; set it to 1; it would be 285 s"]
    assert [(saving.choice, saving.recovery_s) for saving in drill.savings[-1:]] == [
        ("a node that always runs there", 285)
    ]


MISSING: dict[str, tuple[Break, str]] = {
    "no way to the second region": (records_deleted, "no SECONDARY record leads to the load balancer"),
    "a first record that is answered for ever": (without_health_check, "the PRIMARY record has no health check"),
    "silence that counts as health": (silence_is_health, "takes silence for LastKnownStatus"),
    "no alarm on healthy nodes": (alarm_deleted("ferry-failover-r1-32b-lost", HERE), "is not in us-east-1"),
    "nothing that starts the fleet": (asleep, "no alarm on refused requests starts ferry-prod-r1-32b in us-west-2"),
    "no replication": (no_replication, "the models' bucket is not replicated to us-west-2"),
    "no fleet": (no_fleet, "the account has no group ferry-prod-r1-32b in us-west-2"),
}


@pytest.mark.parametrize(("broken", "sentence"), MISSING.values(), ids=MISSING)
def test_what_is_not_provisioned_is_missed_and_named(lost: Callable[..., Drill], broken: Break, sentence: str) -> None:
    drill = lost(broken=broken)
    assert (drill.passed, drill.mttr_s, len(drill.missing)) == (False, None, 1)
    assert sentence in drill.missing[0]


def test_a_slower_alarm_is_seen_in_the_timeline(lost: Callable[..., Drill]) -> None:
    assert lost(broken=slow_alarm).seconds_to("detected") == 225 + 3 * 60


def test_a_stack_without_a_second_region_skips_it(lost: Callable[..., Drill]) -> None:
    drill = lost("dev")
    assert (drill.skipped or "").startswith("the stack has no second region (ferry:failover)")
