"""A rollout against an embedded account; its EC2 Auto Scaling is played here, so that a refresh can end in any way.

Every request to the played service is checked against AWS's own description of it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.testing import CliRunner

from ferry.cli import app
from ferry.errors import Conflict, InvalidField, RepositoryError, TransferError
from ferry.models import fleet as fleets
from ferry.models import rollout
from ferry.models.rollout import Account, Pace
from ferry.models.signature import FileSigner
from stacks.settings import Settings
from templates.node import NodeBoot, user_data

GROUP = "ferry-prod-blue"
TARGET_GROUP = "targetgroup/blue/0123456789abcdef"
MODEL = (
    boto3.Session(aws_access_key_id="x", aws_secret_access_key="x")
    .client("autoscaling", region_name="us-east-1")
    .meta.service_model
)


def settings(**fleet: Any) -> Settings:
    version = {
        "name": "blue",
        "model": "r1-32b",
        "version": "1",
        "engine": {"image": "vllm:1"},
        "fleet": {"instance_types": ["g5.xlarge"], "min_size": 1, "max_size": 4, **fleet},
    }
    return Settings.model_validate(
        {
            "region": "us-east-1",
            "environment": "prod",
            "gateway": {"domain_name": "llm.example.com"},
            "model_versions": [version, {**version, "name": "green", "model": "r1-7b"}],
        }
    )


WARM = settings(warm_pool={"min_size": 1})


class Autoscaling:
    """One group with its nodes. A refresh goes through the statuses that it is given, one at each look."""

    def __init__(self, template_id: str, *, mixed: bool = False, warm: bool = False, left_in_pool: int = 0) -> None:
        self.template, self.mixed = {"LaunchTemplateId": template_id, "Version": "1"}, mixed
        self.live, self.warm = ["1", "1"], ["1"] if warm else []
        self.has_pool, self.left_in_pool = warm, left_in_pool
        self.refreshes: list[dict[str, Any]] = []
        self.course = ["Pending", "InProgress", "Successful"]
        self.calls: list[str] = []
        self.started: dict[str, Any] = {}
        self.pool: dict[str, Any] = {}

    def _check(self, operation: str, given: dict[str, Any]) -> None:
        shape = MODEL.operation_model(operation).input_shape
        assert shape is not None
        report = ParamValidator().validate(given, shape)
        assert not report.has_errors(), report.generate_report()
        self.calls.append(operation)

    def describe_auto_scaling_groups(self, **given: Any) -> dict[str, Any]:
        self._check("DescribeAutoScalingGroups", given)
        nodes = [{"InstanceId": "i", "LaunchTemplate": {"Version": version}} for version in self.live]
        group: dict[str, Any] = {"Instances": nodes, "TargetGroupARNs": [f"arn:aws:elb:us-east-1:1:{TARGET_GROUP}"]}
        if self.mixed:
            launch = {"LaunchTemplateSpecification": self.template, "Overrides": [{"InstanceType": "g5.xlarge"}]}
            group["MixedInstancesPolicy"] = {
                "LaunchTemplate": launch,
                "InstancesDistribution": {"OnDemandBaseCapacity": 1},
            }
        else:
            group["LaunchTemplate"] = self.template
        return {"AutoScalingGroups": [group] if given["AutoScalingGroupNames"] == [GROUP] else []}

    def describe_warm_pool(self, **given: Any) -> dict[str, Any]:
        self._check("DescribeWarmPool", given)
        nodes = [{"InstanceId": "w", "LaunchTemplate": {"Version": version}} for version in self.warm]
        return {"WarmPoolConfiguration": {"MinSize": 1}, "Instances": nodes} if self.has_pool else {"Instances": []}

    def describe_instance_refreshes(self, **given: Any) -> dict[str, Any]:
        self._check("DescribeInstanceRefreshes", given)
        if self.refreshes and self.refreshes[0]["Status"] in fleets.RUNNING and self.course:
            self.refreshes[0]["Status"] = status = self.course.pop(0)
            if status == "Successful":
                desired = self.refreshes[0]["DesiredConfiguration"]
                mixed = desired.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
                self.template = desired.get("LaunchTemplate") or mixed["LaunchTemplateSpecification"]
                self.live = [self.template["Version"]] * len(self.live)
                self.warm = ["1"] * self.left_in_pool + [self.template["Version"]] * (
                    len(self.warm) - self.left_in_pool
                )
        return {"InstanceRefreshes": [dict(one) for one in self.refreshes]}

    def start_instance_refresh(self, **given: Any) -> dict[str, Any]:
        self._check("StartInstanceRefresh", given)
        self.started = given
        new = {"InstanceRefreshId": f"r{len(self.refreshes)}", "Status": "Pending"}
        self.refreshes.insert(0, {**new, "DesiredConfiguration": given["DesiredConfiguration"]})
        return {"InstanceRefreshId": new["InstanceRefreshId"]}

    def delete_warm_pool(self, **given: Any) -> dict[str, Any]:
        self._check("DeleteWarmPool", given)
        self.has_pool, self.warm = False, []
        return {}

    def put_warm_pool(self, **given: Any) -> dict[str, Any]:
        self._check("PutWarmPool", given)
        self.has_pool, self.pool = True, given
        self.warm = [self.template["Version"]]
        return {}

    def changes(self) -> list[str]:
        return [call for call in self.calls if not call.startswith("Describe")]


class Ec2:
    """The account's, and the token that it was asked with last."""

    def __init__(self, client: Any) -> None:
        self._client, self.token = client, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def create_launch_template_version(self, **given: Any) -> Any:
        self.token = given["ClientToken"]
        return self._client.create_launch_template_version(**given)


def document(version: str = "1") -> str:
    """User data as a node really has it."""
    return user_data(
        NodeBoot(
            environment="prod",
            region="us-east-1",
            partition="aws",
            version_name="blue",
            group_name=GROUP,
            lifecycle_hook_name="hook",
            model="r1-32b",
            model_version=version,
            bucket="models",
            node_bundle_key=None,
            verification_key=None,
            registry="r",
            engine=settings().model_versions[0].engine,
            log_group="logs",
        )
    )


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def template(account: Any) -> str:
    account.client("cloudwatch").put_metric_alarm(
        AlarmName="ferry-blue-rollback-0a1b2c3",
        Namespace="AWS/ApplicationELB",
        MetricName="UnHealthyHostCount",
        Dimensions=[{"Name": "LoadBalancer", "Value": "app/x/1"}, {"Name": "TargetGroup", "Value": TARGET_GROUP}],
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        Threshold=0,
        Period=60,
        Statistic="Maximum",
    )
    data = {"ImageId": "ami-1", "InstanceType": "g5.xlarge", "UserData": encoded(document())}
    made = account.client("ec2").create_launch_template(LaunchTemplateName="nodes", LaunchTemplateData=data)
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


@pytest.fixture
def clients(account: Any) -> Callable[[Autoscaling], Account]:
    return lambda played: Account(played, Ec2(account.client("ec2")), account.client("cloudwatch"))


def run(account: Account, stack: Settings = WARM, version: str = "2", **more: Any) -> rollout.Rollout:
    serving = rollout.choose(stack, "r1-32b", None)
    given = {"pace": Pace(), "sleep": lambda seconds: None, **more}
    return rollout.roll_out(account, stack, serving, version, **given)


def test_nodes_are_replaced_from_a_template_that_names_the_version(
    account: Any, template: str, clients: Callable[[Autoscaling], Account]
) -> None:
    played = Autoscaling(template, warm=True)
    seen: list[rollout.Rollout] = []
    done = run(clients(played), told=seen.append)
    assert (done.state, done.served, done.outdated_live, done.outdated_warm) == ("in place", "2", 0, 0)
    assert [one.refresh.status for one in seen if one.refresh] == ["Pending", "InProgress", "Successful"]
    assert played.changes() == ["StartInstanceRefresh"]
    assert played.started == {
        "AutoScalingGroupName": GROUP,
        "Strategy": "Rolling",
        "DesiredConfiguration": {"LaunchTemplate": {"LaunchTemplateId": template, "Version": "2"}},
        "Preferences": {
            "MinHealthyPercentage": 100,
            "MaxHealthyPercentage": 110,
            "InstanceWarmup": 300,
            "AutoRollback": True,
            "AlarmSpecification": {"Alarms": ["ferry-blue-rollback-0a1b2c3"]},
            "SkipMatching": True,
            "CheckpointPercentages": [50, 100],
            "CheckpointDelay": 600,
        },
    }
    versions = account.client("ec2").describe_launch_template_versions(LaunchTemplateId=template)[
        "LaunchTemplateVersions"
    ]
    data = {one["VersionNumber"]: one["LaunchTemplateData"] for one in versions}
    assert base64.b64decode(data[2]["UserData"]).decode() == document("2")
    assert (data[2]["ImageId"], data[2]["InstanceType"]) == ("ami-1", "g5.xlarge")


def test_run_again_it_changes_nothing(template: str, clients: Callable[[Autoscaling], Account]) -> None:
    played = Autoscaling(template, warm=True)
    run(clients(played))
    played.calls.clear()
    assert run(clients(played)).state == "in place"
    assert played.changes() == []


def test_back_is_a_rollout_of_the_previous_version_and_makes_no_template(
    account: Any, template: str, clients: Callable[[Autoscaling], Account]
) -> None:
    played = Autoscaling(template, warm=True)
    run(clients(played))
    played.course = ["Pending", "Successful"]
    done = run(clients(played), version="1")
    assert (done.state, done.template_version, played.live) == ("in place", "1", ["1", "1"])
    found = account.client("ec2").describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"]
    assert len(found) == 2


def test_it_goes_on_with_the_refresh_that_is_under_way(
    template: str, clients: Callable[[Autoscaling], Account]
) -> None:
    played = Autoscaling(template, warm=True)
    started = run(clients(played), wait=False)
    assert started.state == "replacing"
    assert run(clients(played)).state == "in place"
    assert played.changes() == ["StartInstanceRefresh"]


def test_a_template_that_a_broken_off_rollout_made_is_used(
    account: Any, template: str, clients: Callable[[Autoscaling], Account]
) -> None:
    played = Autoscaling(template, warm=True)
    at = clients(played)
    made = fleets.template_for(at.ec2, fleets.look(played, GROUP), "2", make=True)
    assert made == run(at).template_version == "2"


def test_another_refresh_is_not_disturbed(template: str, clients: Callable[[Autoscaling], Account]) -> None:
    played = Autoscaling(template, warm=True)
    run(clients(played), wait=False)
    with pytest.raises(Conflict, match=r"r0 .* is under way and does not bring 3; let it end"):
        run(clients(played), version="3")
    assert played.changes() == ["StartInstanceRefresh"]


def test_a_rollback_does_not_cut_off_the_refresh_that_is_under_way(
    template: str, clients: Callable[[Autoscaling], Account]
) -> None:
    played = Autoscaling(template, warm=True)
    run(clients(played), wait=False)
    with pytest.raises(Conflict, match="is under way and does not bring 1"):
        run(clients(played), version="1")


def test_a_refresh_that_is_being_undone_is_not_waited_for(
    template: str, clients: Callable[[Autoscaling], Account]
) -> None:
    played = Autoscaling(template, warm=True)
    run(clients(played), wait=False)
    played.course = ["RollbackInProgress"]
    with pytest.raises(Conflict, match="RollbackInProgress"):
        run(clients(played))


def test_a_group_without_nodes_gets_the_template(template: str, clients: Callable[[Autoscaling], Account]) -> None:
    played = Autoscaling(template)
    played.live = []
    assert run(clients(played), settings()).served == "2"
    assert played.template["Version"] == "2"


def test_two_that_make_the_same_template_ask_with_the_same_token(
    account: Any, template: str, clients: Callable[[Autoscaling], Account]
) -> None:
    class SeesNoneYet(Ec2):
        def get_paginator(self, name: str) -> Any:
            return SimpleNamespace(paginate=lambda **given: [])

    asked = [SeesNoneYet(account.client("ec2")) for _ in range(3)]
    seen = fleets.look(Autoscaling(template), GROUP)
    for client, version in zip(asked, ("2", "2", "3"), strict=True):
        fleets.template_for(client, seen, version, make=True)
    assert asked[0].token == asked[1].token != asked[2].token


@pytest.mark.parametrize(
    ("ends", "state"), [("RollbackSuccessful", "rolled back"), ("Failed", "failed"), ("Cancelled", "failed")]
)
def test_what_was_undone_is_told_and_can_be_tried_again(
    template: str, clients: Callable[[Autoscaling], Account], ends: str, state: str
) -> None:
    played = Autoscaling(template, warm=True)
    played.course = ["Pending", "InProgress", ends]
    done = run(clients(played))
    assert (done.state, done.served, played.live) == (state, "1", ["1", "1"])
    played.course = ["Pending", "Successful"]
    assert run(clients(played)).state == "in place"
    assert played.changes() == ["StartInstanceRefresh", "StartInstanceRefresh"]


def test_a_warm_pool_that_kept_an_old_node_is_made_again_as_the_stack_has_it(
    template: str, clients: Callable[[Autoscaling], Account]
) -> None:
    played = Autoscaling(template, warm=True, left_in_pool=1)
    assert run(clients(played)).state == "in place"
    assert played.changes() == ["StartInstanceRefresh", "DeleteWarmPool", "PutWarmPool"]
    assert played.pool == {
        "AutoScalingGroupName": GROUP,
        "MinSize": 1,
        "PoolState": "Stopped",
        "InstanceReusePolicy": {"ReuseOnScaleIn": True},
    }


def test_a_warm_pool_that_was_taken_away_by_a_broken_off_rollout_is_made(
    template: str, clients: Callable[[Autoscaling], Account]
) -> None:
    played = Autoscaling(template, warm=True)
    run(clients(played))
    played.delete_warm_pool(AutoScalingGroupName=GROUP)
    played.calls.clear()
    assert run(clients(played)).state == "in place"
    assert played.changes() == ["PutWarmPool"]


def test_a_stack_without_a_warm_pool_gets_none(template: str, clients: Callable[[Autoscaling], Account]) -> None:
    played = Autoscaling(template)
    assert run(clients(played), settings()).state == "in place"
    assert played.changes() == ["StartInstanceRefresh"]


def test_a_mixed_group_keeps_its_types_and_its_distribution(
    template: str, clients: Callable[[Autoscaling], Account]
) -> None:
    played = Autoscaling(template, mixed=True)
    run(clients(played), settings())
    assert played.started["DesiredConfiguration"] == {
        "MixedInstancesPolicy": {
            "LaunchTemplate": {
                "LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "2"},
                "Overrides": [{"InstanceType": "g5.xlarge"}],
            },
            "InstancesDistribution": {"OnDemandBaseCapacity": 1},
        }
    }


def test_looking_changes_nothing(account: Any, template: str, clients: Callable[[Autoscaling], Account]) -> None:
    played = Autoscaling(template, warm=True)
    serving = rollout.choose(WARM, "r1-32b", None)
    found = rollout.look(clients(played), WARM, serving, "2")
    assert (found.state, found.served, found.template_version, found.outdated_live) == ("pending", "1", None, None)
    assert played.changes() == []
    found = rollout.look(clients(played), WARM, serving, "1")
    assert (found.state, found.outdated_live) == ("in place", 0)
    versions = account.client("ec2").describe_launch_template_versions(LaunchTemplateId=template)
    assert len(versions["LaunchTemplateVersions"]) == 1


def test_without_the_alarm_nothing_is_started(
    account: Any, template: str, clients: Callable[[Autoscaling], Account]
) -> None:
    account.client("cloudwatch").delete_alarms(AlarmNames=["ferry-blue-rollback-0a1b2c3"])
    played = Autoscaling(template)
    with pytest.raises(RepositoryError, match="nothing would undo a bad rollout"):
        run(clients(played), settings())
    assert played.changes() == []


def test_user_data_that_names_no_version_is_refused(account: Any, clients: Callable[[Autoscaling], Account]) -> None:
    data = {"ImageId": "ami-1", "UserData": encoded("#cloud-config\n")}
    made = account.client("ec2").create_launch_template(LaunchTemplateName="odd", LaunchTemplateData=data)
    played = Autoscaling(made["LaunchTemplate"]["LaunchTemplateId"])
    with pytest.raises(RepositoryError, match="names a model version 0 times"):
        run(clients(played), settings())


def test_a_group_that_launches_the_latest_template_is_refused(
    template: str, clients: Callable[[Autoscaling], Account]
) -> None:
    played = Autoscaling(template)
    played.template["Version"] = "$Latest"
    with pytest.raises(RepositoryError, match="which cannot be rolled back to"):
        run(clients(played), settings())


def test_a_group_that_is_not_there_is_refused(template: str, clients: Callable[[Autoscaling], Account]) -> None:
    stack = settings()
    green = stack.model_versions[1]
    with pytest.raises(InvalidField, match="group ferry-prod-green is not in the account"):
        rollout.look(clients(Autoscaling(template)), stack, green, "2")


def test_what_aws_refuses_is_told_on_one_line(template: str, clients: Callable[[Autoscaling], Account]) -> None:
    class Refusing(Autoscaling):
        def start_instance_refresh(self, **given: Any) -> dict[str, Any]:
            raise ClientError({"Error": {"Code": "LimitExceeded", "Message": "not\nnow"}}, "StartInstanceRefresh")

    with pytest.raises(TransferError, match=r"LimitExceeded.*run it again, it goes on from here") as raised:
        run(clients(Refusing(template)), settings())
    assert "\n" not in str(raised.value)


def test_the_embedded_account_exchanges_nodes_and_says_what_it_does_not_look_at(template: str, account: Any) -> None:
    at = Account(*(account.client(service) for service in ("autoscaling", "ec2", "cloudwatch")))
    group = account.client("elbv2").create_target_group(
        Name="blue", Protocol="HTTP", Port=8000, VpcId=at.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    )["TargetGroups"][0]["TargetGroupArn"]
    at.cloudwatch.put_metric_alarm(
        AlarmName="rollback",
        Namespace="AWS/ApplicationELB",
        MetricName="UnHealthyHostCount",
        Dimensions=[{"Name": "TargetGroup", "Value": group.rpartition(":")[2]}],
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        Threshold=0,
        Period=60,
        Statistic="Maximum",
    )
    at.autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=GROUP,
        MinSize=2,
        MaxSize=2,
        AvailabilityZones=["us-east-1a"],
        LaunchTemplate={"LaunchTemplateId": template, "Version": "1"},
        TargetGroupARNs=[group],
    )
    before = fleets.look(at.autoscaling, GROUP)
    started = run(at, settings(), wait=False)
    assert (started.state, started.outdated_live) == ("replacing", 2)
    with pytest.raises(ClientError, match="InstanceRefreshInProgress"):
        at.autoscaling.start_instance_refresh(AutoScalingGroupName=GROUP)
    done = run(at, settings())
    after = fleets.look(at.autoscaling, GROUP)
    assert (done.state, done.served, done.outdated_live) == ("in place", "2", 0)
    assert (before.live, after.live, after.template_version) == ({"1": 2}, {"2": 2}, "2")
    assert done.refresh is not None
    assert "nothing of their health, warm-up, checkpoints or alarm is seen" in done.refresh.reason
    assert run(at, settings(), version="1").served == "1"


def test_a_template_of_another_image_is_not_taken_for_it(
    account: Any, template: str, clients: Callable[[Autoscaling], Account]
) -> None:
    account.client("ec2").create_launch_template_version(
        LaunchTemplateId=template,
        LaunchTemplateData={"ImageId": "ami-0", "InstanceType": "g5.xlarge", "UserData": encoded(document("2"))},
    )
    assert run(clients(Autoscaling(template)), settings()).template_version == "3"


@pytest.mark.parametrize(
    ("state", "code", "named"),
    [("in place", 0, "2"), ("rolled back", 3, "1"), ("failed", 3, "1"), ("replacing", 0, "1")],
)
def test_the_command_names_the_version_in_the_stack_file_once_it_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signer: FileSigner, state: str, code: int, named: str
) -> None:
    (tmp_path / "components").mkdir()
    (tmp_path / "stacks").mkdir()
    (tmp_path / "Pulumi.yaml").touch()
    file = tmp_path / "stacks" / "Pulumi.prod.yaml"
    file.write_text(STACK, encoding="utf-8")
    asked: dict[str, Any] = {}

    def roll_out(account: Account, stack: Settings, serving: Any, version: str, **more: Any) -> rollout.Rollout:
        asked.update(more, region=account.ec2.meta.region_name)
        return rollout.Rollout(
            fleet=serving.name,
            group_name=GROUP,
            model=serving.model,
            version=version,
            served=version,
            state=state,  # type: ignore[arg-type]
            template_version="2",
            refresh=None,
            outdated_live=0,
            outdated_warm=0,
        )

    monkeypatch.setattr(rollout, "roll_out", roll_out)
    monkeypatch.setattr(
        "ferry.models.channels.resolve", lambda *given: SimpleNamespace(manifest=SimpleNamespace(version="2"))
    )
    key = tmp_path / "key.pem"
    key.write_bytes(signer.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    command = [
        *("models", "rollout", "r1-32b", "--stack", "prod", "--channel", "stable", "--bucket", "b"),
        *("--project", str(tmp_path), "--state", str(tmp_path / "state"), "--checkpoint", "25", "--json"),
        *("--key", str(key)),
    ]
    done = CliRunner().invoke(app, command, env={"AWS_REGION": "eu-west-1"})
    assert (done.exit_code, done.exception and str(done.exception)) == (code, str(code) if code else None)
    assert file.read_text(encoding="utf-8") == STACK.replace('version: "1"', f'version: "{named}"')
    assert (asked["region"], asked["pace"]) == ("us-east-1", Pace(checkpoint_percents=(25,)))
    assert f"ferry-prod-blue: r1-32b@2 {state}" in (tmp_path / "state" / "ledger.jsonl").read_text(encoding="utf-8")


STACK = """# ours
config:
  aws:region: us-east-1
  ferry:environment: prod
  ferry:gateway:
    domain_name: llm.example.com
  ferry:model_versions:
    - name: blue # the live one
      model: r1-32b
      version: "1"
      engine:
        image: vllm:1
      fleet:
        instance_types: [g5.xlarge]
        min_size: 1
        max_size: 4
"""


def test_a_model_that_several_fleets_serve_needs_the_fleets_name() -> None:
    stack = settings()
    both = stack.model_copy(
        update={"model_versions": [one.model_copy(update={"model": "r1-32b"}) for one in stack.model_versions]}
    )
    with pytest.raises(InvalidField, match="name one with --fleet"):
        rollout.choose(both, "r1-32b", None)
    assert rollout.choose(both, "r1-32b", "green").name == "green"
    with pytest.raises(InvalidField, match="no fleet that serves other"):
        rollout.choose(stack, "other", None)


@pytest.mark.parametrize(
    "pace",
    [
        {"min_healthy_percent": 101},
        {"checkpoint_percents": (50, 50)},
        {"checkpoint_percents": (0, 100)},
        {"checkpoint_delay_seconds": -1},
    ],
)
def test_a_pace_that_aws_refuses_is_refused_before(pace: dict[str, Any]) -> None:
    with pytest.raises(InvalidField, match="allowed"):
        Pace(**pace)
