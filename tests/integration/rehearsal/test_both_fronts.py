"""Both fronts leave the same account: the provider over gRPC, without the CLI, beside the in-process front.

The same, with the CLI: tests/e2e/test_engine.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

import ferry.rehearsal.handlers
from ferry.rehearsal import program, seeds
from ferry.rehearsal.checks import Stack
from ferry.rehearsal.engine import values
from ferry.rehearsal.engine.provider import Provider, serve
from ferry.rehearsal.handlers import HANDLERS, Account, Created, Inputs
from ferry.render.stack_file import StackFile
from stacks.settings import PROJECT, Settings
from tests.accounts import differences, told
from tests.conftest import import_all

REPOSITORY = Path(__file__).resolve().parents[3]
STACKS = ("dev", "staging", "prod", "prod-cn") if os.environ.get("FERRY_SOAK") else ("prod-cn",)


@pytest.mark.parametrize("environment", STACKS)
def test_both_fronts_leave_the_same_account_which_reads_as_it_was_made_and_can_be_taken_down(
    rehearsed: Callable[[str], Any],
    account_in: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    environment: str,
) -> None:
    import_all(ferry.rehearsal.handlers)
    in_process = rehearsed(environment)
    config = StackFile.read(REPOSITORY / "stacks" / f"Pulumi.{environment}.yaml").config
    settings = Settings.from_config(config)
    account = account_in(settings.region)
    seeds.seed(account, settings)
    provider = Provider(account, "7.0.0")
    server, port = serve(provider)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        made: list[Made] = []
        monkeypatch.setattr(program, "HANDLERS", {token: _by_the_provider(stub, made) for token in HANDLERS})
        done = program.run(REPOSITORY, PROJECT, environment, config, account)
        created = dict(provider.resources)
        by_the_provider = told(account, Stack(settings, done.outputs))
        assert [one.urn for one in made if not _reads_as_it_was_made(stub, one)] == []
        _take_down(stub, account, made)
    server.stop(None).wait()
    assert what_is_left(account) == {}

    assert created == in_process.served.rehearsal.resources
    assert sorted(done.outputs) == sorted(in_process.served.rehearsal.outputs)
    assert provider.properties.items() <= {**in_process.served.properties}.items()
    assert len(by_the_provider) > 50
    assert differences(by_the_provider, told(in_process.account, in_process.stack)) == []


@dataclass(frozen=True)
class Made:
    urn: str
    id: str
    inputs: Any
    outputs: Any


def _reads_as_it_was_made(stub: Any, made: Made) -> bool:
    request = provider_pb2.ReadRequest(id=made.id, urn=made.urn, inputs=made.inputs, properties=made.outputs)
    found = stub.Read(request)
    return found.id == made.id and found.inputs == made.inputs


def _take_down(stub: Any, account: Any, made: list[Made]) -> None:
    """In the reverse order, as the engine does, once protection is off and the access logs are deleted."""
    elbv2 = account.client("elbv2")
    for balancer in elbv2.describe_load_balancers()["LoadBalancers"]:
        elbv2.modify_load_balancer_attributes(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}],
        )
    s3 = account.client("s3")
    for one in reversed(made):
        if one.urn.endswith("bucket:Bucket::ferry-access-logs-bucket"):  # logs are written to the last moment
            for version in s3.list_object_versions(Bucket=one.id).get("Versions", []):
                s3.delete_object(Bucket=one.id, Key=version["Key"], VersionId=version["VersionId"])
        stub.Delete(provider_pb2.DeleteRequest(id=one.id, urn=one.urn, old_inputs=one.inputs, properties=one.outputs))


def what_is_left(account: Any) -> dict[str, int]:
    """How many of each kind of thing the account still has, of those that the program makes."""
    ec2, iam = account.client("ec2"), account.client("iam")
    kms = account.client("kms")
    keys = [kms.describe_key(KeyId=one["KeyId"])["KeyMetadata"] for one in kms.list_keys()["Keys"]]
    left = {
        "alarms": account.client("cloudwatch").describe_alarms()["MetricAlarms"],
        "buckets": account.client("s3").list_buckets()["Buckets"],
        "gateways": ec2.describe_internet_gateways()["InternetGateways"],
        "groups": account.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"],
        "keys": [
            # The emulator makes a default key for volumes of its own.
            one
            for one in keys
            if one["KeyState"] == "Enabled" and not one["Description"].startswith("Default master key")
        ],
        "load balancers": account.client("elbv2").describe_load_balancers()["LoadBalancers"],
        "log groups": account.client("logs").describe_log_groups()["logGroups"],
        "profiles": iam.list_instance_profiles()["InstanceProfiles"],
        "roles": iam.list_roles()["Roles"],
        "rules": account.client("events").list_rules()["Rules"],
        "templates": ec2.describe_launch_templates()["LaunchTemplates"],
        "topics": account.client("sns").list_topics()["Topics"],
        "trails": account.client("cloudtrail").list_trails()["Trails"],
        "VPCs": [one for one in ec2.describe_vpcs()["Vpcs"] if not one["IsDefault"]],
    }
    return {kind: len(found) for kind, found in left.items() if found}


def _by_the_provider(stub: Any, made: list[Made]) -> Callable[[Account, Inputs], Created]:
    """In the place of a handler: the same inputs, asked of the provider as the engine does."""

    def create(account: Account, inputs: Inputs) -> Created:
        given = values.to_struct({key: _travelling(inputs.take(key)) for key in inputs.properties})
        urn = f"urn:pulumi:s::{PROJECT}::{inputs.type}::{inputs.name}"
        checked = stub.Check(provider_pb2.CheckRequest(urn=urn, news=given))
        answer = stub.Create(provider_pb2.CreateRequest(urn=urn, properties=checked.inputs))
        made.append(Made(urn, answer.id, checked.inputs, answer.properties))
        return Created(answer.id, values.plain(values.of_struct(answer.properties)))

    return create


def _travelling(value: Any) -> Any:
    """Assets travel as what the SDK makes of them."""
    if type(value).__name__ == "FileAsset":
        return {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "path": str(value.path)}
    return value
