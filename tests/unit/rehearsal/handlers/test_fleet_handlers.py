"""What the handlers of alarms, parameters, images and groups send, beyond what the fleet's own tests see."""

from __future__ import annotations

from typing import Any

import pytest

import ferry.rehearsal.handlers.autoscaling
import ferry.rehearsal.handlers.cloudwatch
import ferry.rehearsal.handlers.ec2_instances
import ferry.rehearsal.handlers.ssm  # noqa: F401 (registered by being imported)
from ferry.errors import RehearsalError, UnknownProperty
from ferry.rehearsal.account import EmbeddedAccount
from ferry.rehearsal.handlers import HANDLERS, INVOKES, Created, Inputs

ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
SCHEDULE = "aws:autoscaling/schedule:Schedule"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
PARAMETER = "aws:ssm/getParameter:getParameter"
IMAGE = "aws:ec2/getAmi:getAmi"

ON_ONE_METRIC: dict[str, Any] = {
    "namespace": "AWS/ApplicationELB",
    "metricName": "TargetResponseTime",
    "dimensions": {"LoadBalancer": "app/ferry/1"},
    "extendedStatistic": "p99",
    "evaluateLowSampleCountPercentiles": "evaluate",
    "comparisonOperator": "GreaterThanThreshold",
    "threshold": 30,
    "period": 60,
    "evaluationPeriods": 5,
    "datapointsToAlarm": 3,
    "treatMissingData": "notBreaching",
    "alarmDescription": "slow",
    "alarmActions": ["arn:aws:sns:us-east-1:123456789012:ferry"],
    "okActions": ["arn:aws:sns:us-east-1:123456789012:ferry"],
    "tags": {"owner": "site"},
}


def create(account: EmbeddedAccount, token: str, **properties: Any) -> Created:
    inputs = Inputs(token, "thing", properties, [])
    created = HANDLERS[token](account, inputs)
    inputs.finish()
    return created


def ask(account: EmbeddedAccount, token: str, **arguments: Any) -> Any:
    inputs = Inputs(token, "", arguments, [])
    answer = INVOKES[token](account, inputs)
    inputs.finish()
    return answer


def group(account: EmbeddedAccount, name: str = "fleet") -> str:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    template = create(account, TEMPLATE, name=f"template-{name}", imageId="ami-1", instanceType="g5.xlarge")
    create(
        account,
        "aws:autoscaling/group:Group",
        name=name,
        minSize=0,
        maxSize=4,
        vpcZoneIdentifiers=[subnet],
        launchTemplate={"id": template.id, "version": "1"},
    )
    return name


def test_an_alarm_on_one_metric_is_put_as_it_is_given(account: EmbeddedAccount) -> None:
    made = create(account, ALARM, **ON_ONE_METRIC)
    (alarm,) = account.client("cloudwatch").describe_alarms(AlarmNames=[made.id])["MetricAlarms"]
    assert made.outputs["arn"] == alarm["AlarmArn"]
    expected = {
        "Namespace": "AWS/ApplicationELB",
        "MetricName": "TargetResponseTime",
        "Dimensions": [{"Name": "LoadBalancer", "Value": "app/ferry/1"}],
        "ExtendedStatistic": "p99",
        "EvaluateLowSampleCountPercentile": "evaluate",
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 30.0,
        "Period": 60,
        "EvaluationPeriods": 5,
        "DatapointsToAlarm": 3,
        "TreatMissingData": "notBreaching",
        "AlarmDescription": "slow",
        "AlarmActions": ["arn:aws:sns:us-east-1:123456789012:ferry"],
        "OKActions": ["arn:aws:sns:us-east-1:123456789012:ferry"],
    }
    assert {name: alarm[name] for name in expected} == expected
    tags = account.client("cloudwatch").list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
    assert tags == [{"Key": "owner", "Value": "site"}]


def test_a_threshold_of_0_is_sent(account: EmbeddedAccount) -> None:
    made = create(account, ALARM, **ON_ONE_METRIC | {"threshold": 0})
    (alarm,) = account.client("cloudwatch").describe_alarms(AlarmNames=[made.id])["MetricAlarms"]
    assert alarm["Threshold"] == 0.0


def test_an_alarm_names_its_region_and_partition(account_in: Any) -> None:
    made = create(account_in("cn-north-1"), ALARM, **ON_ONE_METRIC)
    assert made.outputs["arn"] == f"arn:aws-cn:cloudwatch:cn-north-1:123456789012:alarm:{made.id}"


def test_an_unknown_property_of_a_metric_in_an_expression_is_an_error(account: EmbeddedAccount) -> None:
    metric = {"namespace": "n", "metricName": "m", "period": 60, "stat": "Sum", "colour": "red"}
    with pytest.raises(UnknownProperty, match=r"metricQueries\[\].metric.colour"):
        create(
            account,
            ALARM,
            comparisonOperator="GreaterThanThreshold",
            evaluationPeriods=1,
            threshold=1,
            metricQueries=[{"id": "m", "metric": metric, "returnData": True}],
        )


def test_an_unknown_property_of_a_launch_template_is_an_error(account: EmbeddedAccount) -> None:
    with pytest.raises(UnknownProperty, match="hibernationOptions"):
        create(account, TEMPLATE, imageId="ami-1", instanceType="m6a.large", hibernationOptions={"configured": True})


def test_a_parameter_is_answered_with_its_value_and_its_arn(account: EmbeddedAccount) -> None:
    account.client("ssm").put_parameter(Name="/site/image", Value="ami-7", Type="String")
    answer = ask(account, PARAMETER, name="/site/image")
    assert (answer["value"], answer["insecureValue"], answer["type"]) == ("ami-7", "ami-7", "String")
    assert answer["arn"] == "arn:aws:ssm:us-east-1:123456789012:parameter/site/image"


def test_a_secure_parameter_has_no_insecure_value(account: EmbeddedAccount) -> None:
    account.client("ssm").put_parameter(Name="/site/secret", Value="s", Type="SecureString")
    answer = ask(account, PARAMETER, name="/site/secret")
    assert (answer["value"], answer["insecureValue"]) == ("s", "")


def test_a_parameter_that_was_not_seeded_fails_by_its_name(account: EmbeddedAccount) -> None:
    with pytest.raises(RehearsalError, match="SSM parameter /aws/service/nowhere is not in the embedded account"):
        ask(account, PARAMETER, name="/aws/service/nowhere")


def test_an_image_is_found_by_its_id_with_its_root_device(account: EmbeddedAccount) -> None:
    image = account.client("ec2").register_image(Name="gpu")["ImageId"]
    answer = ask(account, IMAGE, filters=[{"name": "image-id", "values": [image]}])
    assert (answer["id"], answer["rootDeviceName"]) == (image, "/dev/sda1")


def test_filters_that_leave_no_image_fail(account: EmbeddedAccount) -> None:
    with pytest.raises(RehearsalError, match="0 images match"):
        ask(account, IMAGE, filters=[{"name": "image-id", "values": ["ami-0"]}])


def test_a_subnet_is_answered_with_its_zone(account: EmbeddedAccount) -> None:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24", AvailabilityZone="us-east-1b")["Subnet"]
    assert ask(account, "aws:ec2/getSubnet:getSubnet", id=made["SubnetId"])["availabilityZone"] == "us-east-1b"


def test_a_schedule_sends_the_providers_0_and_keeps_its_minus_1_to_itself(account: EmbeddedAccount) -> None:
    name = group(account)
    create(
        account, SCHEDULE,
        autoscalingGroupName=name, scheduledActionName="s", recurrence="0 8 * * *", minSize=-1, maxSize=4,
    )  # fmt: skip
    (action,) = account.client("autoscaling").describe_scheduled_actions()["ScheduledUpdateGroupActions"]
    assert "MinSize" not in action
    assert (action["MaxSize"], action["DesiredCapacity"], action["TimeZone"]) == (4, 0, "Etc/UTC")


def test_a_policy_has_the_arn_that_the_account_gave_it(account: EmbeddedAccount) -> None:
    name = group(account)
    made = create(
        account, "aws:autoscaling/policy:Policy",
        autoscalingGroupName=name, policyType="StepScaling", adjustmentType="ChangeInCapacity",
        estimatedInstanceWarmup=300, stepAdjustments=[{"scalingAdjustment": 2, "metricIntervalLowerBound": "0"}],
    )  # fmt: skip
    (policy,) = account.client("autoscaling").describe_policies()["ScalingPolicies"]
    assert made.outputs["arn"] == policy["PolicyARN"]


def test_flags_of_a_launch_template_are_strings_and_an_empty_one_says_nothing(account: EmbeddedAccount) -> None:
    made = create(
        account, TEMPLATE,
        imageId="ami-1", instanceType="g5.xlarge",
        networkInterfaces=[{"associatePublicIpAddress": "false", "deleteOnTermination": ""}],
    )  # fmt: skip
    (version,) = account.client("ec2").describe_launch_template_versions(LaunchTemplateId=made.id)[
        "LaunchTemplateVersions"
    ]
    assert version["LaunchTemplateData"]["NetworkInterfaces"] == [{"AssociatePublicIpAddress": False}]
    assert (made.outputs["latestVersion"], made.outputs["defaultVersion"]) == (1, 1)


def test_a_capacity_reservation_is_listed_and_its_id_is_the_same_each_time(account: EmbeddedAccount) -> None:
    reservations = []
    for _ in range(2):
        inputs = Inputs("aws:ec2/capacityReservation:CapacityReservation", "reserved", {"instanceCount": 3}, [])
        reservations.append(HANDLERS[inputs.type](account, inputs).id)
        inputs.finish()
        assert [(one.property, one.why) for one in inputs.not_emulated] == [
            ("instanceCount", "capacity reservations are missing in moto 5.2.5")
        ]
    assert reservations[0] == reservations[1]
