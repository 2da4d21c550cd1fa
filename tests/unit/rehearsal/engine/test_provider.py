"""The provider over gRPC on loopback: what the engine asks, and what stands in the account afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import provider_pb2

from ferry.rehearsal.engine import values

BUCKET = "aws:s3/bucket:Bucket"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
TOPIC = "aws:sns/topic:Topic"
ROLE = "aws:iam/role:Role"

UNKNOWN = values.UNKNOWN
ALARM_INPUTS = {
    "name": "busy",
    "comparisonOperator": "GreaterThanThreshold",
    "evaluationPeriods": 2,
    "metricName": "load",
    "namespace": "ferry",
    "period": 60,
    "statistic": "Average",
    "threshold": 0.8,
    "tags": {"owner": "site"},
}


def test_what_is_created_stands_in_the_account_and_its_outputs_hold_the_inputs(engine: Any, account: Any) -> None:
    id_, outputs = engine.create(BUCKET, {"bucket": "models", "tags": {"owner": "site"}})
    assert id_ == "models"
    assert outputs["arn"] == "arn:aws:s3:::models"
    assert outputs["tags"] == {"owner": "site"}
    assert outputs["region"] == "us-east-1"
    assert account.client("s3").get_bucket_tagging(Bucket="models")["TagSet"] == [{"Key": "owner", "Value": "site"}]
    assert engine.provider.resources[BUCKET] == 1


def test_a_preview_creates_nothing_and_keeps_what_it_cannot_know(engine: Any, account: Any) -> None:
    id_, outputs = engine.create(BUCKET, {"bucket": UNKNOWN}, preview=True)
    assert (id_, outputs) == ("", {"bucket": UNKNOWN})
    assert account.client("s3").list_buckets()["Buckets"] == []


def test_equal_inputs_are_no_change(engine: Any) -> None:
    answer = engine.diff(BUCKET, {"bucket": "models", "tags": {"a": "1"}}, {"bucket": "models", "tags": {"a": "1"}})
    assert answer.changes == provider_pb2.DiffResponse.DIFF_NONE
    assert (list(answer.diffs), list(answer.replaces)) == ([], [])


def test_tags_are_changed_in_place_and_a_name_replaces(engine: Any) -> None:
    old = {"bucket": "models", "tags": {"a": "1"}}
    tags = engine.diff(BUCKET, old, {"bucket": "models", "tags": {"a": "2"}})
    name = engine.diff(BUCKET, old, {"bucket": "other", "tags": {"a": "1"}})
    assert (list(tags.diffs), list(tags.replaces), tags.deleteBeforeReplace) == (["tags"], [], False)
    assert (list(name.diffs), list(name.replaces), name.deleteBeforeReplace) == (["bucket"], ["bucket"], False)


def test_what_keeps_its_given_name_is_deleted_before_it_is_replaced(engine: Any) -> None:
    old = {"bucket": "models", "objectLockEnabled": False}
    answer = engine.diff(BUCKET, old, {"bucket": "models", "objectLockEnabled": True})
    assert (list(answer.replaces), answer.deleteBeforeReplace) == (["objectLockEnabled"], True)


def test_an_autonamed_replacement_has_another_name_than_what_it_replaces(engine: Any) -> None:
    first, outputs = engine.create(TOPIC, {"fifoTopic": None})
    assert engine.diff(TOPIC, {}, {"region": "us-west-2"}).replaces == ["region"]
    second, _ = engine.create(TOPIC, {})
    assert outputs["name"].startswith("it-")
    assert first != second


def test_a_value_that_a_preview_does_not_know_may_replace(engine: Any) -> None:
    answer = engine.diff(BUCKET, {"bucket": "models"}, {"bucket": UNKNOWN})
    assert list(answer.replaces) == ["bucket"]


def test_a_change_that_nobody_has_described_is_refused_and_not_guessed(
    engine: Any, refused: Callable[..., str]
) -> None:
    log_group = "aws:cloudwatch/logGroup:LogGroup"
    said = refused(lambda: engine.diff(log_group, {"name": "a"}, {"name": "a", "kmsKeyId": "k"}))
    assert said == (
        "aws:cloudwatch/logGroup:LogGroup it: how AWS changes kmsKeyId is not known here; add it to the type's `fixed` "
        "or `@updates` in ferry/rehearsal/handlers"
    )


def test_an_ignored_property_is_no_change(engine: Any) -> None:
    group = "aws:autoscaling/group:Group"
    answer = engine.diff(group, {"desiredCapacity": 1}, {"desiredCapacity": 3}, ignoreChanges=["desiredCapacity"])
    assert answer.changes == provider_pb2.DiffResponse.DIFF_NONE


def test_an_update_by_putting_again_changes_the_account_and_the_tags(engine: Any, account: Any) -> None:
    id_, outputs = engine.create(ALARM, ALARM_INPUTS)
    changed = ALARM_INPUTS | {"threshold": 0.9, "tags": {"team": "platform"}}
    after = engine.update(ALARM, id_, outputs, ALARM_INPUTS, changed)
    cloudwatch = account.client("cloudwatch")
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=["busy"])["MetricAlarms"]
    assert alarm["Threshold"] == 0.9
    assert cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"] == [
        {"Key": "team", "Value": "platform"}
    ]
    assert (after["threshold"], after["arn"]) == (0.9, outputs["arn"])


def test_outputs_that_an_update_moves_are_unknown_in_its_preview_and_known_after_it(engine: Any, account: Any) -> None:
    old = {"name": "node", "instanceType": "g5.xlarge"}
    new = {"name": "node", "instanceType": "g5.2xlarge"}
    id_, outputs = engine.create(TEMPLATE, old)
    previewed = engine.update(TEMPLATE, id_, outputs, old, new, preview=True)
    assert (previewed["latestVersion"], previewed["arn"]) == (UNKNOWN, outputs["arn"])
    assert account.client("ec2").describe_launch_templates()["LaunchTemplates"][0]["LatestVersionNumber"] == 1
    done = engine.update(TEMPLATE, id_, outputs, old, new)
    assert (done["latestVersion"], done["defaultVersion"]) == (2, 1)
    newest = account.client("ec2").describe_launch_template_versions(LaunchTemplateId=id_, Versions=["$Latest"])
    assert newest["LaunchTemplateVersions"][0]["LaunchTemplateData"]["InstanceType"] == "g5.2xlarge"


def test_only_the_sizes_that_differ_are_sent_to_a_group(engine: Any, account: Any) -> None:
    group = "aws:autoscaling/group:Group"
    template, _ = engine.create(TEMPLATE, {"name": "node", "imageId": "ami-1", "instanceType": "g5.xlarge"}, "node")
    override = {"launchTemplateSpecification": {"launchTemplateId": template, "version": "$Latest"}}
    old = {
        "name": "fleet",
        "minSize": 0,
        "maxSize": 2,
        "desiredCapacity": 0,
        "vpcZoneIdentifiers": [account.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]],
        "mixedInstancesPolicy": {"launchTemplate": override | {"overrides": [{"instanceType": "g5.xlarge"}]}},
    }
    id_, outputs = engine.create(group, old)
    autoscaling = account.client("autoscaling")
    autoscaling.update_auto_scaling_group(AutoScalingGroupName="fleet", MinSize=1)
    engine.update(group, id_, outputs, old, old | {"maxSize": 4})
    (found,) = autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    assert (found["MinSize"], found["MaxSize"]) == (1, 4)
    assert found["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"] == [{"InstanceType": "g5.xlarge"}]


def test_what_was_changed_behind_its_back_is_read_as_it_is_now(engine: Any, account: Any) -> None:
    id_, outputs = engine.create(ALARM, ALARM_INPUTS)
    assert engine.read(ALARM, id_, outputs, ALARM_INPUTS) == (id_, ALARM_INPUTS, outputs)
    kept = ("MetricName", "Namespace", "Period", "Statistic", "ComparisonOperator", "EvaluationPeriods")
    (alarm,) = account.client("cloudwatch").describe_alarms(AlarmNames=[id_])["MetricAlarms"]
    account.client("cloudwatch").put_metric_alarm(AlarmName=id_, Threshold=0.1, **{key: alarm[key] for key in kept})
    _, inputs, after = engine.read(ALARM, id_, outputs, ALARM_INPUTS)
    assert inputs == ALARM_INPUTS | {"threshold": 0.1}
    assert after["threshold"] == 0.1


@pytest.mark.parametrize(
    ("token", "inputs"), [(BUCKET, {"bucket": "models"}), (ALARM, ALARM_INPUTS), (ROLE, {"assumeRolePolicy": "{}"})]
)
def test_what_is_gone_is_read_as_gone_and_deleted_without_complaint(
    engine: Any, token: str, inputs: dict[str, Any]
) -> None:
    id_, outputs = engine.create(token, inputs)
    engine.delete(token, id_, outputs, inputs)
    assert engine.read(token, id_, outputs, inputs)[0] == ""
    engine.delete(token, id_, outputs, inputs)


def test_a_resource_that_is_there_can_be_imported_by_its_id(engine: Any, account: Any) -> None:
    s3 = account.client("s3")
    s3.create_bucket(Bucket="old-models")
    s3.put_bucket_tagging(Bucket="old-models", Tagging={"TagSet": [{"Key": "owner", "Value": "site"}]})
    id_, inputs, outputs = engine.read(BUCKET, "old-models", {}, {})
    assert id_ == "old-models"
    assert inputs == {"bucket": "old-models", "tags": {"owner": "site"}, "objectLockEnabled": False}
    assert outputs == inputs | {"id": "old-models", "region": "us-east-1"}


def test_a_bucket_with_contents_is_deleted_only_where_that_was_asked_for(
    engine: Any, account: Any, refused: Callable[..., str]
) -> None:
    inputs = {"bucket": "models"}
    id_, outputs = engine.create(BUCKET, inputs)
    account.client("s3").put_object(Bucket="models", Key="k", Body=b"v")
    assert "BucketNotEmpty" in refused(lambda: engine.delete(BUCKET, id_, outputs, inputs))
    engine.delete(BUCKET, id_, outputs, inputs | {"forceDestroy": True})
    with pytest.raises(ClientError, match="404"):
        account.client("s3").head_bucket(Bucket="models")


def test_a_load_balancer_under_deletion_protection_is_not_deleted_as_in_aws(
    engine: Any, account: Any, refused: Callable[..., str]
) -> None:
    balancer = "aws:lb/loadBalancer:LoadBalancer"
    subnets = [one["SubnetId"] for one in account.client("ec2").describe_subnets()["Subnets"]][:2]
    inputs = {"subnets": subnets, "enableDeletionProtection": True}
    id_, outputs = engine.create(balancer, inputs)
    said = refused(lambda: engine.delete(balancer, id_, outputs, inputs))
    assert f"load balancer {id_} cannot be deleted because deletion protection is enabled" in said
    engine.update(balancer, id_, outputs, inputs, inputs | {"enableDeletionProtection": False})
    engine.delete(balancer, id_, outputs, inputs)
    assert account.client("elbv2").describe_load_balancers()["LoadBalancers"] == []


def test_a_secret_arrives_opened_and_the_engine_is_told_that_it_closes_them(engine: Any) -> None:
    request = provider_pb2.ConfigureRequest(variables={"aws:config:region": "us-east-1"}, acceptSecrets=True)
    answer = engine.stub.Configure(request)
    assert (answer.acceptSecrets, answer.supportsPreview) == (False, True)


def test_a_provider_of_another_region_is_refused(engine: Any, refused: Callable[..., str]) -> None:
    said = refused(
        lambda: engine.stub.Configure(provider_pb2.ConfigureRequest(variables={"aws:config:region": "eu-west-1"}))
    )
    assert said == (
        "a provider for the region eu-west-1: the embedded account is that of the stack's aws:region, us-east-1; "
        "name another region on the resource itself (`region`)"
    )


def test_a_type_that_no_handler_knows_is_refused_when_it_is_checked(engine: Any, refused: Callable[..., str]) -> None:
    request = provider_pb2.CheckRequest(urn=engine.urn("aws:neptune/cluster:Cluster"), news=Struct())
    assert refused(lambda: engine.stub.Check(request)) == (
        "aws:neptune/cluster:Cluster it: no handler for this type; add it to ferry/rehearsal/handlers"
    )


def test_a_property_that_no_handler_knows_is_refused_with_the_resources_name(
    engine: Any, refused: Callable[..., str]
) -> None:
    assert refused(lambda: engine.create(BUCKET, {"bucket": "models", "accelerated": True})) == (
        "aws:s3/bucket:Bucket it: no handler for accelerated; add it to ferry/rehearsal/handlers"
    )


def test_what_aws_refuses_is_said_with_the_resources_name(engine: Any, refused: Callable[..., str]) -> None:
    engine.create(ROLE, {"name": "node", "assumeRolePolicy": "{}"})
    said = refused(lambda: engine.create(ROLE, {"name": "node", "assumeRolePolicy": "{}"}, "again"))
    assert said.startswith("aws:iam/role:Role again: EntityAlreadyExistsException: ")


def test_a_cancelled_run_begins_nothing_more_and_the_next_one_does(engine: Any, refused: Callable[..., str]) -> None:
    from google.protobuf.empty_pb2 import Empty

    engine.stub.Cancel(Empty())
    assert refused(lambda: engine.create(BUCKET, {"bucket": "models"})) == "cancelled; `pulumi up` again does the rest"
    engine.stub.Handshake(provider_pb2.ProviderHandshakeRequest())
    assert engine.create(BUCKET, {"bucket": "models"})[0] == "models"


def test_a_function_is_answered_from_the_account(engine: Any, refused: Callable[..., str]) -> None:
    answer = engine.stub.Invoke(
        provider_pb2.InvokeRequest(tok="aws:index/getCallerIdentity:getCallerIdentity", args=Struct())
    )
    assert values.of_struct(getattr(answer, "return"))["accountId"] == "123456789012"
    unknown = provider_pb2.InvokeRequest(tok="aws:index/getFarewell:getFarewell", args=Struct())
    assert refused(lambda: engine.stub.Invoke(unknown)) == (
        "aws:index/getFarewell:getFarewell: no answer to this call; add it to ferry/rehearsal/handlers"
    )
